"""Credentials for clouds: the IM auth file. Reads, never writes.

May import: `infracore`. Never: shows a value, in a message or anywhere else. Tests: `tests/im_client/auth/`.
"""
