"""A simulated cluster in virtual time around the same decision code.

Tests: `tests/clues/sim/`.
"""
