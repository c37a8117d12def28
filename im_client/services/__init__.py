"""The use cases: all that `cli` and `api` may call.

Every change is made in two steps. `prepare_*` reads templates, state and providers, changes nothing and
returns a `Prepared` with a plan to show; `apply` takes the lock, checks that the state has not moved on, and
does it. Reading functions (`listing`, `show`, `outputs`, `logs` ...) never wait for a lock.

May import: everything below it. Never: prints, asks, or knows a terminal. Tests: `tests/im_client/services/`.
"""
