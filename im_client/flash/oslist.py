"""rpi-imager's list of operating systems: JSON with entries in entries, some of which are lists elsewhere.

`doc/json-schema/os-list-schema.json` of rpi-imager describes it. It comes from the network, and nothing in it is
trusted to be what it should be.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import msgspec

from im_client.flash.model import InitFormat, Source
from infracore.decoding import fits_nearly
from infracore.errors import InvalidUsage, Misconfigured, NotFound

__all__ = ["OFFICIAL", "find_image", "parse_list"]

OFFICIAL: Final = "https://downloads.raspberrypi.com/os_list_imagingutility_v4.json"
_MOST_DEPTH: Final = 16
_MOST_LISTS: Final = 32
_MOST_ENTRIES: Final = 10_000
_HEX: Final = re.compile("[0-9A-Fa-f]{64}")
_SHOWN: Final = 12


class _Entry(msgspec.Struct, frozen=True):
    """What of an entry matters here; icons, descriptions and devices do not."""

    name: str = ""
    url: str | None = None
    extract_size: int | None = None
    extract_sha256: str | None = None
    image_download_sha256: str | None = None
    init_format: str | None = None
    bmap: str | None = None
    subitems: list[msgspec.Raw] = []
    subitems_url: str | None = None


class _List(msgspec.Struct, frozen=True):
    os_list: list[msgspec.Raw]


@dataclass(frozen=True, slots=True)
class _More:
    """A list that is elsewhere."""

    url: str


def find_image(name: str, where: str, fetch: Callable[[str], bytes]) -> Source:
    """Return the image of that name, whatever the case of its letters; `fetch` gets the lists, `where` is the first.

    Raises:
        NotFound: there is none. InvalidUsage: several have the name. Misconfigured: a list is no list.
    """
    seen: set[str] = set()
    left = [where]
    known: dict[str, Source] = {}
    while left:
        url = left.pop(0)
        if url in seen:
            continue
        seen.add(url)
        if len(seen) > _MOST_LISTS:
            raise Misconfigured(f"{where} leads to more than {_MOST_LISTS} lists", "name the image's URL")
        for entry in parse_list(fetch(url), url):
            if isinstance(entry, _More):
                left.append(entry.url)
            elif entry.name.casefold() not in known:
                known[entry.name.casefold()] = entry
            elif entry != known[entry.name.casefold()] and entry.name.casefold() == name.casefold():
                raise InvalidUsage(f"{where} has several images named {entry.name!r}", "name the image's URL")
        if name.casefold() in known:  # the lists that others keep are not asked where that is not needed
            return known[name.casefold()]
    near = fits_nearly(name.casefold(), tuple(known))
    names = [known[near].name] if near else [one.name for one in known.values()][:_SHOWN]
    raise NotFound(
        f"{name!r} is no file, no URL, and no image of {where}", f"there are: {'; '.join(names)}" if names else ""
    )


def parse_list(text: bytes, where: str) -> list[Source | _More]:
    """Return the images of a list, in its order, with those in its submenus. Raises Misconfigured."""
    try:
        return list(_walk(msgspec.json.decode(text, type=_List).os_list, where, 0, [0]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        said = str(error)[:200]
        raise Misconfigured(
            f"{where} is no list of images as rpi-imager reads it: {said}", "check its address"
        ) from error


def _walk(entries: list[msgspec.Raw], where: str, depth: int, count: list[int]) -> Iterator[Source | _More]:
    if depth > _MOST_DEPTH:
        raise ValueError(f"its submenus are deeper than {_MOST_DEPTH}")
    for raw in entries:
        count[0] += 1
        if count[0] > _MOST_ENTRIES:
            raise ValueError(f"it has more than {_MOST_ENTRIES} entries")
        entry = msgspec.json.decode(raw, type=_Entry)
        if entry.url and not entry.url.startswith("internal:"):  # what the imager itself does, such as erasing
            yield _source(entry, where)
        if entry.subitems_url and not entry.subitems_url.startswith("internal:"):
            yield _More(_web(entry.subitems_url, entry.name, where))
        yield from _walk(entry.subitems, where, depth + 1, count)


def _source(entry: _Entry, where: str) -> Source:
    name = entry.name.strip()
    if not name or not name.isprintable() or len(name) > 200:
        raise ValueError(f"{name[:80]!r} is no name of an image")
    for digest in (entry.image_download_sha256, entry.extract_sha256):
        if digest and not _HEX.fullmatch(digest):
            raise ValueError(f"{name}: {digest[:80]!r} is no SHA-256")
    size = entry.extract_size or None
    if size is not None and not 0 < size < 1 << 50:
        raise ValueError(f"{name}: an image of {size} bytes")
    known = {one.value: one for one in InitFormat}
    return Source(
        _web(entry.url or "", name, where),
        (entry.image_download_sha256 or "").lower() or None,
        (entry.extract_sha256 or "").lower() or None,
        size,
        known.get(entry.init_format or ""),
        name,
        _web(entry.bmap, name, where) if entry.bmap else None,
    )


def _web(url: str, name: str, where: str) -> str:
    """Return an address, made whole by that of the list. Raises ValueError: a list names no file of this computer."""
    is_clean = re.fullmatch(r"[\x21-\x7e]{1,2000}", url)  # urljoin would drop a line's end silently
    whole = urljoin(where, url) if is_clean and urlsplit(where).scheme in {"http", "https"} else url
    if not is_clean or not re.fullmatch(r"https?://[^/].*", whole) or "@" in urlsplit(whole).netloc:
        raise ValueError(f"{name[:80]}: {url[:80]!r} is no http(s) address")
    return whole
