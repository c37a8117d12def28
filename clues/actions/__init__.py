"""The queue of what is being done: power on and wait, cordon, drain, power off; intent first. May import power, drain.

Tests: `tests/clues/actions/`.
"""
