"""How much room a libvirt host has."""

from collections.abc import Iterable

from im_client.providers.libvirt.domain import Domain
from im_client.providers.libvirt.storage import Storage
from im_client.providers.libvirt.virsh import Virsh
from im_client.providers.quotas import Quota, Share

__all__ = ["room_of"]


def room_of(virsh: Virsh, storage: Storage, domains: Iterable[Domain]) -> Quota:
    """Return cores, memory and pool of the host with what our machines have of them.

    Machines share the cores. Memory is what running machines of ours may use at the most; the disk is used by whomever.
    """
    present = list(domains)
    running = [domain for domain in present if domain.is_running]
    node, memory = virsh.each([["nodeinfo"], ["nodememstats"]])
    cpus = _numbers(node).get("CPU(s)")
    total = _numbers(memory).get("total")
    size, free = storage.room()
    return Quota(
        cpus=Share(sum(domain.num_cpus for domain in running), cpus, is_firm=False),
        memory_bytes=Share(sum(domain.mem_bytes for domain in running), total * 1024 if total is not None else None),
        machines=Share(len(present)),
        disk_bytes=Share(size - free, size),
    )


def _numbers(text: str) -> dict[str, int]:
    """Read lines such as `total  :  24684092 KiB`."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdecimal():
            found[name.strip()] = int(words[0])
    return found
