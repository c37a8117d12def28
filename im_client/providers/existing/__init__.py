"""Hosts that are there already: a rack, a cluster of Raspberry Pis, single machines, reached over SSH.

Creating a machine reserves a free host and adds the infrastructure's public key to its account; deleting removes the
key and releases the host. Nothing is installed, wiped or switched off by the provider itself.
"""

from im_client.providers.existing.provider import ExistingProvider, open_provider

__all__ = ["ExistingProvider", "open_provider"]
