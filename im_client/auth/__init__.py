"""Credentials: the IM auth file and environment. May import `infracore`. Tests: `tests/im_client/auth/`."""
