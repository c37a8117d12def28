"""Which size and which image a machine gets. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from im_client.plan.model import Spec
from im_client.providers.cloud.model import CloudImage, ImageQuery, Rule, Size
from infracore.errors import NotFound, Unsupported
from infracore.units import format_bytes

__all__ = ["choose_image", "choose_size", "image_address", "image_query", "rules_of", "system_of"]

_PORT: Final = re.compile(r"(tcp|udp)/(\d{1,5})(?:-(\d{1,5}))?(?:>(\d{1,5}))?(?:@(\S+))?")
_ICMP: Final = re.compile(r"icmp(?:@(\S+))?")
_SYSTEM: Final = re.compile(
    r"(?i)\b(debian|ubuntu|centos(?:[ -]?stream)?|rocky(?:[ -]?linux)?|alma(?:[ -]?linux)?|fedora|rhel|opensuse|alpine)"
    r"\D{0,12}?(\d+(?:\.\d+)?)"
)
_SAME: Final = {
    "amd64": "x86_64",
    "x86-64": "x86_64",
    "aarch64": "arm64",
    "rocky linux": "rocky",
    "rocky-linux": "rocky",
    "rockylinux": "rocky",
    "alma linux": "alma",
    "alma-linux": "alma",
    "almalinux": "alma",
    "centos stream": "centos",
    "centos-stream": "centos",
}
_CODENAMES: Final = {
    "bullseye": "11",
    "bookworm": "12",
    "trixie": "13",
    "focal": "20.04",
    "jammy": "22.04",
    "noble": "24.04",
}


def choose_size(sizes: Sequence[Size], spec: Spec, image: CloudImage, price: Callable[[Size], float | None]) -> Size:
    """Return the size that fits with the least waste: no GPU that nobody asked for, then the cheapest where all prices
    are known, then the fewest spare CPUs and bytes.

    Raises:
        NotFound: none fits; the message says what is missing of the one that comes closest.
    """
    named = [s for s in sizes if spec.instance_type is None or _names(spec.instance_type, s.name, s.id)]
    if not named:
        raise NotFound(f"there is no size {spec.instance_type!r}", _some("there are", [s.name for s in sizes]))
    lacks = {size: _lacking(size, spec, image) for size in named}
    fits = [size for size in named if not lacks[size]]
    if not fits:
        best = min(named, key=lambda size: (len(lacks[size]), -size.num_cpus, -size.mem_bytes))
        raise NotFound(
            f"no size fits: the closest, {best.name}, has {', '.join(lacks[best])}",
            "ask for less, or choose another cloud" if spec.instance_type is None else "leave instance_type out",
        )
    costs = {size: price(size) for size in fits}
    known = all(cost is not None for cost in costs.values())

    def waste(size: Size) -> tuple[object, ...]:
        spare = size.num_cpus / (spec.num_cpus or 1) + size.mem_bytes / (spec.mem_bytes or 2**30)
        is_small = 0 < size.disk_bytes < max(spec.disk_bytes or 0, image.min_disk_bytes)
        return (size.num_gpus, costs[size] if known else 0.0, spare, is_small, size.disk_bytes, size.name)

    return min(fits, key=waste)


def choose_image(images: Iterable[CloudImage], query: ImageQuery) -> CloudImage:
    """Return the newest image that fits; one whose id or very name was asked for wins over wildcards.

    Raises:
        NotFound: none fits.
    """
    known = list(images)
    fits = [one for one in known if _fits(one, query)]
    exact = [one for one in fits if query.name and query.name in {one.id, one.name}]
    if not fits:
        words = [query.name or f"{query.distribution} {query.version}".strip(), query.architecture]
        said = " ".join(word for word in words if word) or "any"
        raise NotFound(f"there is no image {said!r}", _some("there are", [one.name for one in known]))
    return max(exact or fits, key=lambda one: (one.created_at, one.name, one.id))


def image_address(url: str) -> tuple[str, str, str]:
    """Split `ost://cloud.example.org/ID` into scheme, host and name; a plain name has neither of the first two."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return "", "", url
    host, _, name = rest.partition("/")
    return scheme.lower(), host, name


def image_query(spec: Spec, default: str = "") -> ImageQuery:
    """Return what a machine's spec says of its image; `default` is a name for where it says nothing at all."""
    name = image_address(spec.image)[2] if spec.image else ""
    if not name and not spec.os_distribution and not spec.os_version:
        name = image_address(default)[2]
    return ImageQuery(
        name=name,
        os_type=(spec.os_type or "").lower(),
        distribution=_same(spec.os_distribution or ""),
        version=_version(spec.os_version or ""),
        architecture=_same(spec.architecture or ""),
    )


def system_of(name: str) -> tuple[str, str]:
    """Read distribution and version out of an image's name, "" for what it does not say: `debian`, `12`."""
    found = _SYSTEM.search(name)
    if found:
        return _same(found[1]), found[2]
    for word, version in _CODENAMES.items():
        if word in name.lower():
            return ("ubuntu" if "." in version else "debian"), version
    return "", ""


def rules_of(ports: Sequence[str]) -> tuple[Rule, ...]:
    """Return the rules of a spec's ports, with SSH from anywhere where none names port 22, sorted.

    Raises:
        Unsupported: a port is opened as another than it is on the machine.
    """
    found: set[Rule] = set()
    for text in ports:
        if icmp := _ICMP.fullmatch(text):
            found.add(Rule("icmp", 0, 0, icmp[1] or "0.0.0.0/0"))
            continue
        port = _PORT.fullmatch(text)
        if port is None or port[4]:
            raise Unsupported(f"{text!r} cannot be opened by a cloud's firewall", "open the machine's own port")
        first = int(port[2])
        found.add(Rule(port[1], first, int(port[3] or first), port[5] or "0.0.0.0/0"))
    if not any(rule.protocol == "tcp" and rule.first <= 22 <= rule.last for rule in found):
        found.add(Rule("tcp", 22, 22, "0.0.0.0/0"))
    return tuple(sorted(found, key=lambda rule: (rule.protocol, rule.first, rule.last, rule.remote_cidr)))


def _lacking(size: Size, spec: Spec, image: CloudImage) -> list[str]:
    disk = max(spec.disk_bytes or 0, image.min_disk_bytes)
    lacks = []
    if not size.is_available and spec.instance_type not in {size.name, size.id}:
        lacks.append("no longer any machines")
    if size.num_cpus < (spec.num_cpus or 0):
        lacks.append(f"{size.num_cpus} CPUs, not {spec.num_cpus}")
    memory = max(spec.mem_bytes or 0, image.min_mem_bytes)
    if size.mem_bytes < memory:
        lacks.append(f"{format_bytes(size.mem_bytes)} of memory, not {format_bytes(memory)}")
    if 0 < size.disk_bytes < disk and not size.grows:
        lacks.append(f"a root disk of {format_bytes(size.disk_bytes)}, not {format_bytes(disk)}")
    if size.num_gpus < spec.num_gpus:
        lacks.append(f"{size.num_gpus} GPUs, not {spec.num_gpus}")
    for wanted, has, what in ((spec.gpu_vendor, size.gpu_vendor, "vendor"), (spec.gpu_model, size.gpu_model, "model")):
        if spec.num_gpus and wanted and not _names(f"*{wanted}*".lower(), has.lower()):
            lacks.append(f"GPU {what} {has or 'unknown'}, not {wanted}")
    wanted = _same(spec.architecture or "") or _same(image.architecture)
    if wanted and size.architecture and _same(size.architecture) != wanted:
        lacks.append(f"architecture {size.architecture}, not {wanted}")
    return lacks


def _fits(image: CloudImage, query: ImageQuery) -> bool:
    if query.name and not _names(query.name, image.id, image.name):
        return False
    if query.architecture and image.architecture and _same(image.architecture) != query.architecture:
        return False
    if query.name:
        return True
    distribution, version = _same(image.distribution), image.version
    if not distribution:
        distribution, version = system_of(image.name)
    if query.os_type and image.os_type and query.os_type != image.os_type.lower():
        return False
    if query.distribution and query.distribution != distribution:
        return False
    version = _version(version)
    return not query.version or version == query.version or version.startswith(f"{query.version}.")


def _same(word: str) -> str:
    word = word.strip().lower()
    return _SAME.get(word, word)


def _version(word: str) -> str:
    """Return a release's number; TOSCA's type `version` writes 12 as 12.0."""
    word = word.strip().lower()
    return _CODENAMES.get(word, word).removesuffix(".0")


def _names(pattern: str, *names: str) -> bool:
    return any(pattern == name or fnmatchcase(name, pattern) for name in names)


def _some(what: str, names: Sequence[str]) -> str:
    shown = sorted(set(names))
    more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    return f"{what}: {', '.join(shown[:12])}{more}" if shown else "there are none"
