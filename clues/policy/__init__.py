"""Pure rules: demand, fit, pack, choose, limits, scale-in. No I/O, no clock, no log.

May import decision, snapshot, options, slurm_model, model. Tests: `tests/clues/policy/`.
"""
