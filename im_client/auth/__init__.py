"""Credentials: the IM auth file, and access tokens that stay fresh (oidc-agent, files, an issuer). Keeps none on disk.

May import: `infracore`. Never: shows a value, in a message or anywhere else; checks a token that others take.
Tests: `tests/im_client/auth/`.
"""
