"""What boards without a BMC get their power from: ports of PoE switches and smart plugs, and how one talks to them.

Shared by the power drivers of `clues` and the provider `raspberry_pi` of `im`. Whether a machine may lose its power is
theirs to know; here a switch is read, set, and read back. May import `infracore` only.
Tests: `tests/contracts/test_power.py`, `tests/infracore/outlets/`.
"""
