"""What providers share whose machines are hosts that exist: which one takes a request, who has it, who may log in.

Shared by `existing` and `raspberry_pi`. May import what a provider may, and none of them.
Tests: `tests/contracts/`, `tests/im_client/providers/test_existing.py` and `test_raspberry_pi.py`.
"""
