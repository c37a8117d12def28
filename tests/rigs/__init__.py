"""Real things on loopback that tests turn on and off: each module starts one and stops it again.

They need Debian packages that not every computer has; `needs` skips with the reason. Tests of the rigs' users:
`tests/contracts/test_power.py` and `tests/clues/power/`.
"""
