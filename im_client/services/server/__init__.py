"""What serving many people over a network asks of the use cases: who may do what, and changes that go on by themselves.

Callers and their rights, operations that are recorded before they begin and survive the process, templates from
strangers, and the words of the Infrastructure Manager for what we call otherwise.

May import: the other services and everything below. Never: knows HTTP, or keeps a cloud's credential that its owner
did not put into the vault. Tests: `tests/im_client/services/server/`.
"""
