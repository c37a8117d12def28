"""A real Kubernetes control plane on loopback for tests: built from Go modules once, started in seconds.

`programs.py` finds or builds the programs, `rig.py` runs them, `kubelets.py` plays the kubelets.
"""
