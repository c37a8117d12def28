"""Talking to machines over SSH: the system's `ssh` first, paramiko where there is none.

May import: `topology`, `infracore`, paramiko. Never: trusts a host key that is not known in advance.
Tests: `tests/im_client/remote/` (against a real sshd on loopback).
"""
