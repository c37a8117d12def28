"""What a new infrastructure would need, for `dry_run`."""

from typing import Any

from im_client.plan.model import Action
from im_client.services.model import Prepared
from im_client.services.server.callers import Caller

__all__ = ["dry_run_answer"]

_MIB = 2**20
_GB = 10**9


def dry_run_answer(prepared: Prepared, caller: Caller) -> dict[str, Any]:
    """Return, per cloud, what its machines would be, in the words of the Infrastructure Manager."""
    clouds: dict[str, Any] = {}
    mine = {credential.id for credential in caller.credentials}
    for step in prepared.plan.steps:
        if step.action is not Action.CREATE or step.spec is None:
            continue
        spec = step.spec
        cloud = spec.cloud_id if spec.cloud_id in mine and spec.cloud_id else prepared.infrastructure.provider
        found = clouds.setdefault(
            cloud,
            {
                "cloudType": prepared.infrastructure.provider,
                "cloudEndpoint": prepared.infrastructure.provider,
                "compute": [],
                "storage": [],
            },
        )
        found["compute"].append(
            {
                "cpuCores": spec.num_cpus or 1,
                "memoryInMegabytes": (spec.mem_bytes or 0) // _MIB,
                "diskSizeInGigabytes": (spec.disk_bytes or 0) // _GB,
                "publicIP": sum(1 for interface in spec.interfaces if interface.public),
                "GPU": spec.num_gpus,
            }
        )
        found["storage"] += [
            {"sizeInGigabytes": volume.size_bytes // _GB, "type": volume.type}
            for volume in spec.volumes
            if volume.size_bytes
        ]
    return clouds
