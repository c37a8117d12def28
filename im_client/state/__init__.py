"""What is known of infrastructures between two commands.

For: the store's protocol and its SQLite form, migrations, and the lock of one writer an infrastructure.
May import: `plan`, `topology`, `infracore`. Never: imports a provider; keeps a secret in clear.
Tests: `tests/im_client/state/`.
"""
