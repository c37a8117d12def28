"""What a fake place would make of a machine: from its scripted sizes and images, chosen as clouds choose."""

from im_client.plan.model import Spec
from im_client.providers.cloud.choose import choose_image, choose_size, image_query
from im_client.providers.cloud.model import CloudImage, Size
from im_client.providers.fake_settings import FakeSettings
from im_client.providers.offers import Offer, Price

__all__ = ["offer_of"]


def offer_of(settings: FakeSettings, spec: Spec) -> Offer:
    """Choose size and image; what is not scripted is not told.

    Raises:
        NotFound: none fits.
    """
    image = CloudImage(id="", name="")
    if settings.images:
        known = [CloudImage(id=name, name=name) for name in settings.images]
        image = choose_image(known, image_query(spec))
    if not settings.sizes:
        return Offer(image=image.name, zone=settings.zone, notes=settings.notes)
    scripted = {size.name: size for size in settings.sizes}
    sizes = [
        Size(one.name, one.name, one.num_cpus, one.mem_bytes, one.disk_bytes, num_gpus=one.num_gpus)
        for one in settings.sizes
    ]
    size = choose_size(sizes, spec, image, lambda one: scripted[one.name].price)
    price = scripted[size.name].price
    return Offer(
        size=size.name,
        image=image.name,
        zone=spec.availability_zone or settings.zone,
        price=None if price is None else Price(price, settings.currency, "settings"),
        num_cpus=size.num_cpus,
        mem_bytes=size.mem_bytes,
        disk_bytes=max(size.disk_bytes, spec.disk_bytes or 0) or None,
        num_gpus=size.num_gpus,
        notes=settings.notes,
    )
