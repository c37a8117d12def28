"""Machines of another Infrastructure Manager: each is an infrastructure there with one VM, and is configured from here.

The name of that infrastructure carries our mark. May import: what `providers` may. Never: configures a machine, or
keeps credentials. Tests: the contract suite with `tests/contracts/harness_im_*.py`, `tests/im_client/providers/`.
"""

from im_client.providers.im.provider import ImProvider, open_provider

__all__ = ["ImProvider", "open_provider"]
