"""What boards without a BMC get their power from: ports of PoE switches and smart plugs, and how one talks to them.

Shared by the power drivers of `clues` and the provider `raspberry_pi` of `im`. Here a switch is read, set, and read
back, and it is told from a board's answers when its power may go (`halting.py`); asking the board is theirs. May
import `infracore` only.
Tests: `tests/contracts/test_power.py`, `tests/infracore/outlets/`.
"""
