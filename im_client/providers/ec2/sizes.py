"""Instance types: which are asked for, and how they read.

There are more than 1,300, a description of all of them is tens of megabytes: what is asked for is narrowed by what the
machine needs, and widened only where nothing fits.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from im_client.plan.model import Spec
from im_client.providers.cloud.model import Size
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.settings import Ec2Settings

__all__ = ["Sizes", "size_of"]

_MIB: Final = 2**20
_CPUS: Final = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 448, 512, 768, 896)
"""What types of the current generation have."""
_MEMORY_MIB: Final = tuple(2**power for power in range(9, 26))


class Sizes:
    """The instance types of one region."""

    def __init__(self, client: Client, settings: Ec2Settings) -> None:
        self._client = client
        self._allowed = settings.sizes
        self.known: dict[str, Size] = {}
        """Those that were seen, by name."""

    def fitting(self, spec: Spec, architecture: str) -> Iterator[list[Size]]:
        """Ask for those that may fit a machine, ever wider: the caller stops where one does fit."""
        for filters in _ladder(spec, architecture):
            if self._allowed:
                filters.setdefault("instance-type", list(self._allowed))
            asked = [{"Name": name, "Values": values} for name, values in filters.items()]
            found = [
                size_of(one) for one in self._client.every("describe_instance_types", "InstanceTypes", Filters=asked)
            ]
            self.known.update({size.name: size for size in found})
            yield found


def size_of(told: Mapping[str, Any]) -> Size:
    """Read one instance type."""
    gpus = told.get("GpuInfo", {}).get("Gpus", ())
    architectures = told.get("ProcessorInfo", {}).get("SupportedArchitectures", ())
    name = told["InstanceType"]
    return Size(
        id=name,
        name=name,
        num_cpus=told["VCpuInfo"]["DefaultVCpus"],
        mem_bytes=told["MemoryInfo"]["SizeInMiB"] * _MIB,
        num_gpus=sum(gpu.get("Count", 1) for gpu in gpus),
        gpu_vendor=gpus[0].get("Manufacturer", "") if gpus else "",
        gpu_model=gpus[0].get("Name", "") if gpus else "",
        architecture=next((one for one in architectures if one in {"x86_64", "arm64"}), "other"),
        is_available=bool(told.get("CurrentGeneration", True)) and not told.get("BareMetal", False),
    )


def _ladder(spec: Spec, architecture: str) -> Iterator[dict[str, list[str]]]:
    if spec.instance_type is not None:
        yield {"instance-type": [spec.instance_type]}
        return
    base = {"current-generation": ["true"], "bare-metal": ["false"]}
    if architecture:
        base["processor-info.supported-architecture"] = [architecture]
    cpus = [count for count in _CPUS if count >= (spec.num_cpus or 1)]
    if spec.num_gpus:  # accelerators are in these families only
        yield {**base, "instance-type": ["g*", "p*"]}
        return
    memory = [mib for mib in _MEMORY_MIB if mib * _MIB >= (spec.mem_bytes or 0)]
    for many_cpus, many_sizes in ((2, 2), (4, 4)) if cpus and memory else ():
        yield {
            **base,
            "vcpu-info.default-vcpus": [str(count) for count in cpus[:many_cpus]],
            "memory-info.size-in-mib": [str(mib) for mib in memory[:many_sizes]],
        }
    yield base
