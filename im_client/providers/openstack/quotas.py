"""How much the project may have, and has: Nova's and Cinder's limits."""

from collections.abc import Mapping
from typing import Any, Final

from im_client.providers.openstack.api import Api
from im_client.providers.quotas import Quota, Share
from infracore.errors import Misconfigured

__all__ = ["read_quotas"]

_MIB: Final = 2**20
_GIB: Final = 2**30


def read_quotas(api: Api) -> Quota:
    """Ask; two requests."""
    computing = _absolute(api.get("compute", "/limits"))
    try:
        storing = _absolute(api.get("block-storage", "/limits"))
    except Misconfigured:  # the cloud has no volumes
        storing = {}
    return Quota(
        cpus=_share(computing, "totalCoresUsed", "maxTotalCores"),
        memory_bytes=_share(computing, "totalRAMUsed", "maxTotalRAMSize", _MIB),
        machines=_share(computing, "totalInstancesUsed", "maxTotalInstances"),
        disk_bytes=_share(storing, "totalGigabytesUsed", "maxTotalVolumeGigabytes", _GIB),
    )


def _absolute(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    limits = answer.get("limits")
    found = limits.get("absolute") if isinstance(limits, dict) else None
    return found if isinstance(found, dict) else {}


def _share(limits: Mapping[str, Any], used: str, most: str, unit: int = 1) -> Share:
    """Return a share; a limit of -1 is none."""
    has, may = limits.get(used), limits.get(most)
    return Share(
        used=has * unit if isinstance(has, int) else None,
        limit=may * unit if isinstance(may, int) and may >= 0 else None,
    )
