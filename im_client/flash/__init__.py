"""Raspberry Pis from blank cards: an image found, streamed to many cards at once, read back and customised.

May import: `remote`, `inventory`, `infracore`. Never: providers, services, cli; writes to a disk that nobody named.
Nothing here asks or prints: `services/flash.py` and the Ansible module do. Tests: `tests/im_client/flash/` (marker
`loop` writes to real loop devices).
"""
