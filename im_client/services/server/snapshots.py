"""From a caller's wish for an image of a machine to an accepted operation. `perform_snapshot` carries it out."""

import hashlib
import re

from im_client.services.golden import image_keeper
from im_client.services.saving import check_ready
from im_client.services.server.callers import Caller
from im_client.services.server.changes import Accepted, named_vms, new_operation
from im_client.services.server.house import House
from im_client.services.server.images import forget_never_made
from im_client.services.server.lending import of_caller
from im_client.services.sites import Sites
from im_client.state.server import Acceptance, ImageRecord, OperationKind
from im_client.topology.golden import golden_address
from infracore.errors import Conflict, Unsupported

__all__ = ["address_of", "snapshot"]


def snapshot(
    house: House,
    caller: Caller,
    infra: str,
    vm: int,
    title: str,
    *,
    disk: int = 0,
    auto_delete: bool = False,
    if_version: int | None = None,
) -> tuple[Accepted, str]:
    """Have a machine's first disk saved as an image of the caller's own; return the image's address too.

    With `auto_delete` the image goes when the infrastructure is destroyed.

    Raises:
        NotFound: there is no such VM. Unsupported: another disk, or its provider keeps no images.
        Conflict: the machine is not configured, or the caller has an image of this title.
        QuotaExceeded: the caller has too many images.
    """
    house = of_caller(house, caller)
    with house.operations.guard(infra):
        name = named_vms(house, infra, [vm])[0]
        record = house.ctx.store.infrastructure(infra)
        node = next((one for one in house.ctx.store.nodes(infra) if one.name == name), None)
        if node is None:
            raise Conflict(f"{name} is only announced yet", "ask again when it is there")
        if disk:
            raise Unsupported(
                f"disk {disk} of {name} cannot be saved: an image is what the machine itself runs from", "say disk 0"
            )
        image_keeper(Sites(house.ctx, record).at(node.provider), node.provider)
        if not house.operations.unfinished(infra):  # else what is under way may bring it to where it can be saved
            check_ready(record, node)
        forget_never_made(house, caller.name, node.provider)
        operation = new_operation(house, caller, infra, OperationKind.SNAPSHOT, nodes=(name,))
        image = ImageRecord(
            site=node.provider,
            name=_name(title, operation.id),
            account=caller.name,
            title=title,
            infrastructure=infra,
            node=name,
            operation=operation.id,
            created_at=operation.created_at,
            auto_delete=auto_delete,
        )
        ticket = house.operations.submit(
            Acceptance(
                operation=operation,
                if_version=if_version,
                image=image,
                most_images=house.ctx.settings.server.most_images,
            )
        )
    return Accepted(infra, ticket, version=if_version), golden_address(image.site, image.name)


def address_of(house: House, operation: str) -> str | None:
    """Return the address of the image that an operation makes, None where there is none any more."""
    image = house.records.image_by(operation)
    return None if image is None else golden_address(image.site, image.name)


def _name(title: str, operation: str) -> str:
    """Make a provider's name: readable, and never that of anybody else's image, so that nobody learns of those."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:27].strip("-")
    return f"{words or 'image'}-{hashlib.sha256(operation.encode()).hexdigest()[:12]}"
