"""What is known of infrastructures between two commands.

For: the store's protocol with its forms in SQLite and PostgreSQL, migrations, the lock of one writer an infrastructure,
and the queue of the workers; psycopg and procrastinate live here, and are loaded only where PostgreSQL is used.
May import: `plan`, `topology`, `infracore`. Never: imports a provider; keeps a secret in clear.
Tests: `tests/im_client/state/`.
"""
