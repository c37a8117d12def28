"""What a provider may offer besides: to finish a machine that exists already, with addresses and disks, say."""

from typing import Protocol, runtime_checkable

from im_client.providers.base import Instance, MachineRequest

__all__ = ["Settles"]


@runtime_checkable
class Settles(Protocol):
    """A provider whose machines are not complete when `create` returns.

    The deployer calls `settle` in place of `get` while it waits for a machine to run, and once for each machine that
    is to be logged in to: it goes on where a killed process left off.
    """

    def settle(self, provider_id: str, request: MachineRequest) -> Instance:
        """Do the next of what is left to do for a machine; PENDING until all is done. Costs one look when it is.

        Raises:
            NotFound: there is no machine of this id. NoCapacity, QuotaExceeded: no address or disk is to be had.
        """
        ...
