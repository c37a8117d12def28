"""A Kubernetes control plane on loopback for tests: the real one, or a small one of ours where that cannot be had.

`choice.py` says which; `programs.py` finds or builds the programs of the real one and `rig.py` runs them; `small/` is
ours; `plane.py` is what tests ask of either. `heartbeat.py` plays machines and their kubelets, `cluster.py` runs cluesd
over them, `follow.py` keeps what happened, `answers.py` knows what `clues why` has to say.
"""
