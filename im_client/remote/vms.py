"""VMs of another Infrastructure Manager: in which phase they are, and how to log in to them."""

from collections.abc import Mapping
from typing import Final

from im_client.plan.model import Phase
from im_client.remote.access import Access
from infracore.im_rest import Vm

__all__ = ["access_of_vm", "phase_of"]

_PHASES: Final[Mapping[str, Phase]] = {
    "pending": Phase.PENDING,
    "running": Phase.RUNNING,
    "configured": Phase.CONFIGURED,
    "unconfigured": Phase.UNCONFIGURED,
    "stopped": Phase.STOPPED,
    "off": Phase.GONE,
    "failed": Phase.FAILED,
    "deleting": Phase.DELETING,
}


def phase_of(word: str) -> Phase:
    """Return the phase for a state of the Infrastructure Manager; UNKNOWN for any other word."""
    return _PHASES.get(word, Phase.UNKNOWN)


def access_of_vm(vm: Vm, address: str) -> Access:
    """Return how to log in to a VM with what the server shows of it."""
    user = vm.user or "root"
    return Access(
        address=address,
        user=user,
        port=vm.port if address == vm.public_address else 22,
        private_key=vm.private_key,
        password=vm.password if vm.private_key is None else None,
        become=user != "root",
        become_password=vm.password,
    )
