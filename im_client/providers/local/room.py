"""What this computer has, and what is given to our machines on it."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from im_client.providers.local.records import Manifest
from im_client.providers.quotas import Quota, Share

__all__ = ["room_here"]


def room_here(folder: Path, machines: Iterable[Manifest]) -> Quota:
    """Return cores, memory and disk of this computer, with what the machines of a state folder have of them.

    Machines share the cores, so that more may be given away than there are. Memory is what machines that are to run
    may use at the most; the disk is that of the folder, used by whomever.
    """
    present = [machine for machine in machines if machine.wanted != "deleted"]
    running = [machine for machine in present if machine.wanted == "running"]
    there = next(place for place in (folder, *folder.parents) if place.exists())
    disk = shutil.disk_usage(there)
    return Quota(
        cpus=Share(sum(machine.num_cpus or 1 for machine in running), os.cpu_count(), is_firm=False),
        memory_bytes=Share(
            sum(machine.mem_bytes or 0 for machine in running),
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        ),
        machines=Share(len(present)),
        disk_bytes=Share(disk.total - disk.free, disk.total),
    )
