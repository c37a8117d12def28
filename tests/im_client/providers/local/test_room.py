"""What this computer has, and what our machines have of it."""

from pathlib import Path

from im_client.providers.local.records import Manifest
from im_client.providers.local.room import room_here


def machine(name: str, wanted: str = "running", cpus: int | None = 2) -> Manifest:
    return Manifest(name, "x", name, "nspawn", num_cpus=cpus, mem_bytes=2**30, wanted=wanted)


def test_machines_that_are_off_have_no_cores_and_memory(tmp_path: Path) -> None:
    machines = [machine("a"), machine("b", cpus=None), machine("c", "stopped"), machine("d", "deleted")]
    quota = room_here(tmp_path, machines)
    assert (quota.cpus.used, quota.memory_bytes.used, quota.machines.used) == (3, 2 * 2**30, 3)
    assert quota.machines.limit is None
    assert quota.memory_bytes.limit is not None
    assert quota.memory_bytes.left == max(0, quota.memory_bytes.limit - 2 * 2**30)
    assert not quota.cpus.is_firm
    assert quota.disk_bytes.limit is not None
    assert 0 < (quota.disk_bytes.used or 0) < quota.disk_bytes.limit
