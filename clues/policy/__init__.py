"""Pure rules: demand, fit, pack, choose, limits, scale-in. No I/O, no clock, no log; may import decision, snapshot, options, model.

Tests: `tests/clues/policy/`.
"""
