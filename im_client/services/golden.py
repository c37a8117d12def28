"""Golden images: which there are, and which one a group's machines start from. `services.saving` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass

from im_client.providers.base import Provider
from im_client.providers.images import ImageKeeper, SavedImage
from im_client.services.context import Context
from im_client.services.sites import Sites
from im_client.topology.golden import golden_parts
from im_client.topology.model import Group, Topology
from infracore.errors import Conflict, InfraError, InvalidUsage, Misconfigured, NotFound, Unsupported

__all__ = ["KnownImages", "SiteImage", "choose_images", "find_image", "image_keeper", "known_images", "require_images"]


@dataclass(frozen=True, slots=True)
class SiteImage:
    """An image, where it is, and who keeps it."""

    site: str
    image: SavedImage
    keeper: ImageKeeper


@dataclass(frozen=True, slots=True)
class KnownImages:
    """The images of all places that could be asked."""

    images: tuple[SiteImage, ...]
    silent: Mapping[str, InfraError]
    """Site that could not be asked -> why."""


def image_keeper(provider: Provider, site: str) -> ImageKeeper:
    """Return a provider as one that keeps images.

    Raises:
        Unsupported: it keeps none.
    """
    if not isinstance(provider, ImageKeeper):
        raise Unsupported(
            f"{site} keeps no images of machines",
            "systemd-nspawn machines of the provider local can be saved, and those of libvirt, OpenStack and EC2",
        )
    return provider


def known_images(ctx: Context) -> KnownImages:
    """Return the images of the provider of the settings, of all sites, and of those that infrastructures are at.

    Those of one site stand together, the newest first. Sites that keep none are left out.

    Raises:
        InfraError: the only place cannot be asked.
    """
    places: dict[Provider, str] = {}
    silent: dict[str, InfraError] = {}
    for name in (ctx.settings.provider, *ctx.settings.sites):
        try:
            places.setdefault(ctx.provider(name), name)
        except InfraError as error:
            silent[name] = error
    for record in ctx.store.infrastructures():
        try:
            places.setdefault(Sites(ctx, record).at(record.provider), record.provider)
        except (InvalidUsage, Misconfigured):  # a site that is not in the settings any more
            continue
        except InfraError as error:
            silent.setdefault(record.provider, error)
    found: list[SiteImage] = []
    for provider, site in places.items():
        if isinstance(provider, ImageKeeper):
            try:
                found += [SiteImage(site, image, provider) for image in provider.list_images()]
            except InfraError as error:
                silent[site] = error
    if len({*places.values(), *silent}) == 1 and silent:
        raise next(iter(silent.values()))
    return KnownImages(tuple(found), silent)


def find_image(ctx: Context, name: str, site: str | None = None) -> SiteImage:
    """Return the image of a name or id.

    Raises:
        NotFound: there is none at any place that could be asked. Conflict: several sites have one of this name.
    """
    known = known_images(ctx)
    if site is not None and site in known.silent:
        raise known.silent[site]
    found = [one for one in known.images if name in {one.image.name, one.image.id} and site in {None, one.site}]
    if not found:
        there = ", ".join(one.image.name for one in known.images)
        unasked = f"; not asked: {', '.join(known.silent)}" if known.silent else ""
        raise NotFound(
            f"there is no golden image {name!r}{unasked}", f"there are: {there}" if there else "im image save makes one"
        )
    if len(found) > 1:
        sites = ", ".join(one.site for one in found)
        raise Conflict(f"several sites have an image {name!r}: {sites}", "say which: --site NAME")
    return found[0]


def choose_images(
    sites: Sites, topology: Topology, chosen: Mapping[str, str]
) -> tuple[Mapping[str, Mapping[str, str]], tuple[str, ...]]:
    """Return group -> site -> id of the image that its machines start from there, and what the user should know.

    `chosen` wins over the template. An image that is gone keeps no cluster from growing: its machines are made as
    without it, which a remark says.
    """
    images: dict[str, Mapping[str, str]] = {}
    notes: list[str] = []
    for group in topology.groups.values():
        name = chosen.get(group.name, group.golden_image)
        if not name:
            continue
        there, silent = _at_sites(sites, group, name)
        images[group.name] = {site: image.id for site, image in there.items() if image.is_ready}
        for site, error in silent.items():
            notes.append(f"the golden image {name} of {group.name} cannot be looked for at {site}: {error.message}")
        if not images[group.name] and not silent:
            why = "is not ready yet" if there else "is gone"
            notes.append(f"the golden image {name} of {group.name} {why}: its machines are made without it")
    return images, tuple(notes)


def require_images(sites: Sites, topology: Topology, wanted: Mapping[str, str]) -> None:
    """Check images that a user asks for; "" is none.

    Raises:
        Unsupported: no site of the group keeps images. NotFound: none has this one. InvalidUsage: there is no such
            group, or the image is of another group's machines. InfraError: where it may be, cannot be asked.
    """
    for name, image in wanted.items():
        group = topology.groups.get(name)
        if group is None:
            raise InvalidUsage(f"there is no group of machines {name!r}", f"there are: {', '.join(topology.groups)}")
        if not image:
            continue
        found, silent = _at_sites(sites, group, image)
        if silent and not found:
            raise next(iter(silent.values()))
        if not found:
            places = group.placement.sites or (sites.own,)
            for place in places[:1]:
                image_keeper(sites.at(place), place)
            raise NotFound(f"no golden image {image!r} at {', '.join(places)}", "im image list shows what there is")
        others = sorted({one.group for one in found.values()} - {name})
        if others:
            raise InvalidUsage(
                f"the golden image {image!r} is of a machine of {', '.join(others)}, not of {name}",
                f"save a machine of {name}: im image save",
            )


def _at_sites(sites: Sites, group: Group, name: str) -> tuple[dict[str, SavedImage], dict[str, InfraError]]:
    """Return site -> image, for the sites of a group that have it, and why others could not be asked."""
    found: dict[str, SavedImage] = {}
    silent: dict[str, InfraError] = {}
    only, name = golden_parts(name)
    for site in group.placement.sites or (sites.own,):
        if only not in {None, site}:
            continue
        provider = sites.at(site)
        try:
            images = provider.list_images() if isinstance(provider, ImageKeeper) else ()
        except InfraError as error:
            silent[site] = error
            continue
        chosen = next((image for image in images if name in {image.name, image.id}), None)
        if chosen is not None:
            found[site] = chosen
    return found, silent
