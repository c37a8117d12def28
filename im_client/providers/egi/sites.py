"""Sites of the Federated Cloud and their images: which one is meant, and what to say where none is. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from infracore.decoding import fits_nearly
from infracore.errors import Misconfigured, NotFound, Unsupported

__all__ = ["ImageAddress", "Site", "SiteImage", "find_image", "find_site", "image_address_of", "of_vo", "project_of"]

_GUID: Final = re.compile(r"[0-9a-fA-F-]{36}(:[0-9]+)+")
_MOST_SHOWN: Final = 15


@dataclass(frozen=True, slots=True)
class Site:
    """One OpenStack of the federation."""

    name: str
    endpoint: str
    """Of its Keystone."""
    projects: Mapping[str, str]
    """VO -> id of the project that it has there."""
    gocdb: str = ""
    """Name in GOCDB where it is another: a site may have several clouds."""
    hostname: str = ""
    protocol: str = ""
    """Of Keystone's federation; "": the usual one."""
    identity_provider: str = ""
    """As its Keystone calls Check-in; "": the usual one."""
    region: str = ""


@dataclass(frozen=True, slots=True)
class SiteImage:
    """An image of the registry (before: of AppDB) as a site has it."""

    egi_id: str
    """`egi_vm_images/ubuntu:22.04`; of AppDB: `egi.ubuntu.22.04`."""
    id: str
    """In the site's glance."""
    name: str = ""
    version: str = ""
    mpuri: str = ""
    """Where it comes from: `registry.egi.eu/egi_vm_images/ubuntu:22.04-sha256:...`."""
    vo: str = ""
    also: tuple[str, ...] = ()
    """Further ids."""


@dataclass(frozen=True, slots=True)
class ImageAddress:
    """`appdb://SITE/NAME?VO`, of which site and VO may be missing."""

    site: str
    name: str
    vo: str


def find_site(sites: Iterable[Site], wanted: str, vo: str) -> Site:
    """Return a site by its name, or by the host of its endpoint; of several clouds, the one that supports the VO.

    Raises:
        NotFound: there is none; the hint says which was meant, probably. Misconfigured: several fit.
    """
    known = list(sites)
    name = wanted.strip().lower()
    found = [site for site in known if name in {site.name.lower(), site.gocdb.lower()} - {""}]
    found = found or [site for site in known if name in {site.hostname.lower(), _host(site.endpoint)} - {""}]
    found = [site for site in found if site.projects.get(vo)] or found
    if len({(site.endpoint, site.region) for site in found}) > 1:
        places = ", ".join(site.endpoint for site in found)
        raise Misconfigured(f"{wanted} has several clouds: {places}", "use the host of one's endpoint as the site")
    if found:
        return found[0]
    names = sorted(site.name for site in known)
    near = fits_nearly(name, [one.lower() for one in names])
    meant = next((one for one in names if one.lower() == near), "")
    raise NotFound(
        f"the Federated Cloud has no site {wanted!r}", f"did you mean {meant}?" if meant else _some("there are", names)
    )


def of_vo(sites: Iterable[Site], vo: str) -> tuple[Site, ...]:
    """Return the sites that have a project for a VO, in their order.

    Raises:
        NotFound: there is none.
    """
    known = list(sites)
    found = tuple(site for site in known if site.projects.get(vo))
    if not found:
        raise _no_vo(
            f"no site of the Federated Cloud supports the VO {vo!r}", vo, [v for s in known for v in s.projects]
        )
    return found


def project_of(site: Site, vo: str, sites: Iterable[Site] = ()) -> str:
    """Return the id of the project that a VO has at a site; never that of another.

    Raises:
        NotFound: the site does not support the VO, or names no project for it.
    """
    if vo not in site.projects:
        others = sorted(one.name for one in sites if one.projects.get(vo))
        error = _no_vo(f"{site.name} does not support the VO {vo!r}", vo, site.projects)
        if not others:
            raise error
        raise NotFound(error.message, f"{error.hint}; {_some('sites of the VO', others)}")
    project = site.projects[vo]
    if not project:
        raise NotFound(
            f"{site.name} supports the VO {vo}, and says of no project for it",
            "ask the site, or write its project into a file of sites (setting sites_file)",
        )
    return project


def image_address_of(text: str) -> ImageAddress | None:
    """Read `appdb://SITE/NAME?VO` and `appdb://NAME?VO`; None for what is no such address.

    Raises:
        Unsupported: it names no image.
    """
    scheme, mark, rest = text.partition("://")
    if not mark or scheme.lower() != "appdb":
        return None
    rest, _, vo = rest.partition("?")
    site, slash, name = rest.partition("/")
    if not slash:
        site, name = "", site
    if not name:
        raise Unsupported(f"{text!r} names no image", "write appdb://SITE/IMAGE or appdb://SITE/IMAGE?VO")
    return ImageAddress(unquote(site), unquote(name), unquote(vo))


def find_image(images: Sequence[SiteImage], name: str) -> SiteImage | None:
    """Return the newest image of a name: an id of the registry or of AppDB, with or without the parts in front.

    So `egi_vm_images/ubuntu:22.04`, `ubuntu:22.04`, `registry.egi.eu/egi_vm_images/ubuntu:22.04`, its whole address
    with the digest, AppDB's `egi.ubuntu.22.04` and `GUID:VERSION` are all understood.
    """
    for fits in (_is_named, _ends_with):
        found = [image for image in images if fits(image, name)]
        if found:
            return max(found, key=lambda image: (_numbers(image.version), image.version, image.id))
    return None


def _is_named(image: SiteImage, name: str) -> bool:
    if name in {image.egi_id, image.id, image.mpuri, image.name, *image.also}:
        return True
    if _GUID.fullmatch(name):
        return image.mpuri.rstrip("/").endswith(f"/store/vo/image/{name}")
    # the digest stands behind a dash: registry.egi.eu/project/name:tag-sha256:...
    return "/" in name and image.mpuri.partition("-sha256:")[0] == name


def _ends_with(image: SiteImage, name: str) -> bool:
    return ":" in name and image.egi_id.endswith(f"/{name}")


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers in a version, so that 2024.9 comes before 2024.10."""
    return tuple(int(digits) for digits in re.findall(r"\d{1,18}", version.partition("-sha256")[0])[:6])


def _no_vo(message: str, vo: str, known: Iterable[str]) -> NotFound:
    names = sorted(set(known))
    near = fits_nearly(vo, names)
    return NotFound(message, f"did you mean {near}?" if near else _some("it supports", names))


def _some(what: str, names: Sequence[str]) -> str:
    if not names:
        return f"{what}: none"
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f"{what}: {', '.join(names[:_MOST_SHOWN])}{more}"


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition(":")[0].lower()
