"""The provider: that of every cloud, with the Infrastructure Manager's addresses of images, `appdb://SITE/NAME?VO`."""

from dataclasses import replace

from im_client.plan.model import Spec
from im_client.providers.cloud.keeper import KeepingProvider
from im_client.providers.cloud.model import CloudImage
from im_client.providers.egi.cloud import EgiCloud
from im_client.providers.egi.settings import EgiSettings
from im_client.providers.egi.sites import image_address_of
from infracore.clock import Clock
from infracore.errors import Unsupported

__all__ = ["EgiProvider"]


class EgiProvider(KeepingProvider):
    """The provider. Safe under threads."""

    def __init__(self, cloud: EgiCloud, settings: EgiSettings, clock: Clock | None = None) -> None:
        super().__init__(cloud, settings, clock)
        self._account = cloud.account

    def _image(self, spec: Spec) -> CloudImage:
        address = image_address_of(spec.image or "")
        if address is None:
            return super()._image(spec)
        site, vo = self._account.where().site, self._account.vo
        if address.site and address.site.lower() not in {site.name.lower(), site.gocdb.lower()}:
            raise Unsupported(
                f"the image {spec.image} is one of {address.site}, and this is {site.name}",
                f"leave the site out: appdb://{address.name}",
            )
        if address.vo and address.vo != vo:
            raise Unsupported(f"the image {spec.image} is for the VO {address.vo}, and this account is of {vo}")
        return super()._image(replace(spec, image=address.name))
