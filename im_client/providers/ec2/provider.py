"""The provider: what all clouds have, with EC2's way to ask for sizes."""

from collections.abc import Sequence

from im_client.plan.model import Spec
from im_client.providers.base import Progress
from im_client.providers.cloud.choose import choose_size
from im_client.providers.cloud.keeper import KeepingProvider
from im_client.providers.cloud.model import CloudImage, Server, Size
from im_client.providers.ec2.cloud import Ec2
from im_client.providers.ec2.settings import Ec2Settings
from infracore.clock import Clock
from infracore.errors import NotFound

__all__ = ["Ec2Provider"]


class Ec2Provider(KeepingProvider):
    """See `CloudProvider` and `KeepingProvider`. Safe under threads."""

    looks_at_once = 16  # EC2 allows 100 at once and 20 a second ("Request throttling", EC2 API reference)

    def __init__(self, cloud: Ec2, settings: Ec2Settings, clock: Clock | None = None) -> None:
        super().__init__(cloud, settings, clock)
        self._ec2 = cloud

    def prepare(self, on_progress: Progress) -> None:
        """Nothing is shared until an infrastructure is known, and a plan has tried the account."""
        on_progress(self._ec2.place)

    def _several(self, infrastructure: str, ids: Sequence[str]) -> Sequence[Server]:
        """Ask for those only: a description of a thousand machines takes EC2 and us seconds."""
        return self._call(lambda: self._ec2.some_servers(infrastructure, ids))

    def _size(self, spec: Spec, image: CloudImage) -> Size:
        """Ask for few instance types first, and for more while none fits."""
        needs = (spec.num_cpus, spec.mem_bytes, spec.instance_type, spec.num_gpus, spec.gpu_vendor, spec.gpu_model)
        return self._kept.get(
            ("size", *needs, spec.architecture, image.architecture, image.min_mem_bytes),
            lambda: self._call(lambda: self._fitting(spec, image)),
        )

    def _fitting(self, spec: Spec, image: CloudImage) -> Size:
        refusal = NotFound(f"there are no sizes at {self._ec2.place}")
        for sizes in self._ec2.sizes_here.fitting(spec, image.architecture or spec.architecture or ""):
            try:
                return choose_size(sizes, spec, image, lambda size: self._hourly(size, spec))
            except NotFound as error:
                refusal = error
        raise refusal
