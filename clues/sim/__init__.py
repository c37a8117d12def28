"""A simulated cluster in virtual time around the same decision code.

`workload` reads traces, `run` is the loop with its cluster and machines, `report` the figures. Pure but for reading the
workload's file: one seed, one outcome. Tests: `tests/clues/sim/`.
"""
