"""Images at Azure: the subscription's own, and those of the distributions' publishers.

The marketplace has tens of thousands, which libcloud lists one request a version (3.9.1): hours. Here the offers of the
distributions are known, and only their newest versions are asked for.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from im_client.providers.cloud.model import CloudImage, ImageQuery
from im_client.providers.libcloud.units import GIB
from infracore.errors import NotFound

__all__ = ["images", "reference_of"]

_VERSION: Final = "2021-11-01"
_DISK: Final = 30 * GIB
"""What the publishers' Linux images need."""
_URN: Final = re.compile(r"[\w.-]+(:[\w.-]+){3}")


@dataclass(frozen=True, slots=True)
class _Offer:
    distribution: str
    version: str
    architecture: str
    publisher: str
    offer: str
    sku: str


_OFFERS: Final = (
    _Offer("debian", "13", "x86_64", "Debian", "debian-13", "13-gen2"),
    _Offer("debian", "13", "arm64", "Debian", "debian-13", "13-arm64"),
    _Offer("debian", "12", "x86_64", "Debian", "debian-12", "12-gen2"),
    _Offer("debian", "12", "arm64", "Debian", "debian-12", "12-arm64"),
    _Offer("debian", "11", "x86_64", "Debian", "debian-11", "11-gen2"),
    _Offer("ubuntu", "24.04", "x86_64", "Canonical", "ubuntu-24_04-lts", "server"),
    _Offer("ubuntu", "24.04", "arm64", "Canonical", "ubuntu-24_04-lts", "server-arm64"),
    _Offer("ubuntu", "22.04", "x86_64", "Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"),
    _Offer("ubuntu", "22.04", "arm64", "Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-arm64"),
    _Offer("alma", "9", "x86_64", "almalinux", "almalinux-x86_64", "9-gen2"),
)
"""Of those that need no terms to be accepted first: from the publishers' own pages on Azure, the newest first."""


def images(driver: Any, region: str, query: ImageQuery) -> Sequence[CloudImage]:
    """List what may fit: one request an offer, and one for the subscription's own where a name asks for them."""
    if _URN.fullmatch(query.name):
        *offer, version = query.name.split(":")
        return [CloudImage(query.name, query.name)] if _newest(driver, region, offer, version) else []
    found = [*_own(driver, region)] if query.name else []
    done: set[tuple[str, str]] = set()
    for one in _OFFERS:
        if not _may_fit(one, query) or (one.distribution, one.architecture) in done:
            continue
        version = _newest(driver, region, (one.publisher, one.offer, one.sku))
        if version:
            if not query.version and not query.name:
                done.add((one.distribution, one.architecture))
            urn = f"{one.publisher}:{one.offer}:{one.sku}:{version}"
            found.append(CloudImage(urn, urn, 0.0, "linux", one.distribution, one.version, one.architecture, "", _DISK))
    return found


def reference_of(image_id: str) -> dict[str, str]:
    """Return an image as the request for a machine has it."""
    if not _URN.fullmatch(image_id):
        return {"id": image_id}
    return dict(zip(("publisher", "offer", "sku", "version"), image_id.split(":"), strict=True))


def _may_fit(one: _Offer, query: ImageQuery) -> bool:
    wanted = query.architecture or "x86_64"
    if query.name:
        return True
    version = not query.version or one.version == query.version or query.version.startswith(f"{one.version}.")
    return query.distribution in {"", one.distribution} and version and one.architecture == wanted


def _newest(driver: Any, region: str, names: Sequence[str], version: str = "") -> str:
    """Return the newest version of an offer, or the one that is named; "" where the region has none."""
    publisher, offer, sku = map(quote, names)
    path = f"{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions"
    try:
        answer = driver.connection.request(
            f"/subscriptions/{driver.subscription_id}/providers/Microsoft.Compute/locations/{region}/publishers/{path}",
            params={"api-version": _VERSION, "$orderby": "name desc", "$top": "1" if not version else "500"},
        ).object
    except NotFound:
        return ""
    known = [str(one["name"]) for one in answer]
    if version and version != "latest":
        return version if version in known else ""
    return max(known, key=lambda name: [int(number) for number in re.findall(r"\d+", name)], default="")


def _own(driver: Any, region: str) -> Iterator[CloudImage]:
    path = f"/subscriptions/{driver.subscription_id}/providers/Microsoft.Compute/images"
    answer: Mapping[str, Any] = driver.connection.request(path, params={"api-version": _VERSION}).object
    for one in answer["value"]:
        if one["location"] == region:
            yield CloudImage(one["id"], one["name"])
