"""Golden images as callers see them: each its own, and those of this computer where a setting says so.

Whose an image is stands in the server's records; whether it is there, its provider says. One that is recorded and was
never made (its operation failed, or was cancelled) is forgotten when its account asks for another.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from im_client.providers.images import ImageKeeper
from im_client.services.golden import image_keeper
from im_client.services.server.callers import Caller
from im_client.services.server.clouds import needs_line, offered
from im_client.services.server.house import House
from im_client.services.server.rights import Forbidden
from im_client.state.server import ImageRecord, Role
from im_client.topology.golden import golden_address, golden_parts
from infracore.errors import Conflict, InfraError, NotFound

__all__ = ["Seen", "Usable", "delete_image", "forget_never_made", "list_images", "usable_images"]


@dataclass(frozen=True, slots=True)
class Seen:
    """An image that a caller may use."""

    address: str
    """What a template says: `golden://SITE/NAME`."""
    name: str
    """What the provider calls it; a template may say that too."""
    title: str
    """What its owner calls it."""


@dataclass(frozen=True, slots=True)
class Usable:
    """The images that a caller's templates may name."""

    names: frozenset[str] = frozenset()
    """Names and addresses."""
    silent: Mapping[str, InfraError] = field(default_factory=dict)
    """Site that could not be asked -> why."""


def list_images(house: House, caller: Caller, site: str) -> Sequence[Seen]:
    """Return the images at a site that are there and that a caller may use, the newest first.

    Raises:
        Unsupported: the site keeps none.
    """
    keeper = image_keeper(house.ctx.provider(site), site)
    return tuple(_seen(house, caller, site, keeper))


def usable_images(house: House, caller: Caller, wanted: Collection[str]) -> Usable:
    """Return the images that the caller's templates may name, of all sites where those that are wanted may be.

    An address says its site. One site that cannot be asked does not keep the others from being used.
    """
    found: set[str] = set()
    silent: dict[str, InfraError] = {}
    named = {golden_parts(image)[0] for image in wanted}
    here = (*(site for site in offered(house.ctx) if not needs_line(site)), *house.ctx.lent)
    for site in here if None in named else [site for site in here if site in named]:
        try:
            keeper = house.ctx.provider(site)
            if isinstance(keeper, ImageKeeper):
                for one in _seen(house, caller, site, keeper):
                    found |= {one.name, one.address}
        except InfraError as error:
            silent[site] = error
    return Usable(frozenset(found), silent)


def delete_image(house: House, caller: Caller, site: str, name: str) -> None:
    """Delete an image of the caller's own.

    Raises:
        NotFound: the caller has none of this name. Forbidden: the token is good for less.
        Conflict: it is being made, or machines or other images need it.
    """
    keeper = image_keeper(house.ctx.provider(site), site)
    record = next((one for one in house.records.images(caller.name) if (one.site, one.name) == (site, name)), None)
    if record is None or not _is_in_reach(caller, record):
        raise NotFound(f"you have no image {name!r} at {site}", "GET /clouds/ID/images shows yours")
    if not caller.most.allows(Role.OPERATOR):
        raise Forbidden(f"this asks for the role {Role.OPERATOR}, and the token is for {caller.most}")
    if not _has_ended(house, record):
        raise Conflict(f"the image {name} is being made", f"cancel its operation first: {record.operation}")
    image = next((one for one in keeper.list_images() if one.name == name), None)
    if image is not None:
        keeper.delete_image(image.id)
    house.records.remove_image(record.operation)


def forget_never_made(house: House, account: str, site: str) -> None:
    """Forget those of an account's images at a site that are not there and that nothing makes any more."""
    keeper = image_keeper(house.ctx.provider(site), site)
    there = {image.name for image in keeper.list_images()}
    for record in house.records.images(account):
        if record.site == site and record.name not in there and _has_ended(house, record):
            house.records.remove_image(record.operation)


def _seen(house: House, caller: Caller, site: str, keeper: ImageKeeper) -> Iterator[Seen]:
    recorded = {record.name: record for record in house.records.images_at(site)}
    there = [image for image in keeper.list_images() if image.is_ready]
    for image in there:
        record = recorded.get(image.name)
        if record is None:
            if house.ctx.settings.server.offer_images:
                yield Seen(golden_address(site, image.name), image.name, image.name)
        elif record.account == caller.name and _is_in_reach(caller, record):
            yield Seen(golden_address(site, image.name), image.name, record.title)


def _is_in_reach(caller: Caller, record: ImageRecord) -> bool:
    """Whether a token that is for one infrastructure reaches an image: one of its machines."""
    return caller.infrastructure in {None, record.infrastructure}


def _has_ended(house: House, record: ImageRecord) -> bool:
    try:
        return house.operations.find(record.operation).state.is_end
    except NotFound:
        return True
