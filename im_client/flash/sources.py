"""What a person names, as an image: a file, a URL, or a name of rpi-imager's list."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from im_client.flash.bmap import BlockMap, parse_bmap, read_bmap
from im_client.flash.fetch import MOST_TEXT, fetch_text
from im_client.flash.model import Source
from im_client.flash.oslist import OFFICIAL, find_image
from infracore.errors import InvalidUsage, Misconfigured, NotFound, Transient
from infracore.files import write_durably
from infracore.options import expanded

__all__ = ["block_map", "find"]


def find(
    address: str, *, cache: Path, os_list: str | None = None, sha256: str | None = None, bmap: str | None = None
) -> Source:
    """Return the image that `address` names; of a list its checksums too.

    `os_list` is the path or URL of a list, None rpi-imager's own, which is kept in the cache for when there is no
    network. `sha256` is of the file as it lies there, packed.

    Raises:
        InvalidUsage: http without a checksum, a checksum that is none. NotFound: no such file or name.
        Misconfigured: the list is none. Transient: it cannot be fetched.
    """
    if sha256 is not None:
        sha256 = sha256.strip().lower()
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise InvalidUsage(f"{sha256[:80]!r} is no SHA-256", "64 hexadecimal digits, as sha256sum prints them")
    found = _find(address, cache, os_list)
    if sha256 is not None and found.sha256 not in {None, sha256}:
        raise InvalidUsage(f"the list says that {found.name} has the SHA-256 {found.sha256}, not {sha256}")
    found = replace(found, sha256=sha256 or found.sha256, bmap=bmap or found.bmap)
    if found.address.startswith("http://") and found.sha256 is None and found.extract_sha256 is None:
        raise InvalidUsage(
            f"{found.address}: over http anybody on the way can change an image", "give its SHA-256, or use https"
        )
    return found


def _find(address: str, cache: Path, os_list: str | None) -> Source:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
        try:
            parts = urlsplit(address) if re.fullmatch(r"https?://[\x21-\x7e]{1,2000}", address) else None
        except ValueError:
            parts = None
        if parts is None or not parts.hostname:
            raise InvalidUsage(f"{address[:200]!r} is no http(s) address of an image")
        if parts.username is not None or parts.password is not None:
            raise InvalidUsage("the address of an image holds no user and no password")
        return Source(address, name=PurePosixPath(parts.path).name or parts.hostname)
    path = _path(address)
    try:
        if path.is_file() or path.is_block_device():
            return Source(str(path), name=path.name)
        if path.exists():
            what = "a folder" if path.is_dir() else "neither a file nor a disk"
            raise InvalidUsage(
                f"{address} is {what}, and no image", "name a file, a URL, or a name of rpi-imager's list"
            )
    except OSError as error:
        raise NotFound(f"the image {address[:200]} cannot be opened: {error.strerror}") from error
    if "/" in address:
        raise NotFound(f"there is no image {address}", "a file, a URL, or a name of rpi-imager's list")
    where = os_list or OFFICIAL
    try:
        return find_image(address, where, _getter(cache))
    except Transient as error:
        said = f"{address!r} is no file here, and the list of names cannot be had: {error.message}"
        raise Transient(said, error.hint) from error


def _path(text: str) -> Path:
    try:
        return expanded(text)
    except ValueError as error:
        raise InvalidUsage(str(error), "write the path out") from error


def _getter(cache: Path) -> Callable[[str], bytes]:
    """Return what reads a list; of one from the network the last copy where there is none."""

    def get(where: str) -> bytes:
        if not where.startswith(("http://", "https://")):
            try:
                with _path(where).open("rb") as file:
                    text = file.read(MOST_TEXT + 1)
            except OSError as error:
                raise Misconfigured(f"the list {where} cannot be read: {error.strerror}") from error
            if len(text) > MOST_TEXT:
                raise Misconfigured(f"the list {where} is larger than {MOST_TEXT >> 20} MiB")
            return text
        copy = cache / "os_lists" / re.sub("[^A-Za-z0-9.]+", "-", where)[-200:]
        try:
            text = fetch_text(where)
        except Transient:
            if copy.is_file():
                return copy.read_bytes()
            raise
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_durably(copy, text)
        return text

    return get


def block_map(source: Source, image: Path) -> BlockMap | None:
    """Return the map that the source names, else the file IMAGE.bmap beside a local image; None where is neither.

    Raises:
        BadImage, NotFound, Transient
    """
    if source.bmap and source.bmap.startswith(("http://", "https://")):
        return parse_bmap(fetch_text(source.bmap), source.bmap)
    if source.bmap:
        return read_bmap(_path(source.bmap))
    beside = (image.with_name(image.name + ".bmap"), image.with_suffix(".bmap"))
    return next((read_bmap(path) for path in beside if path.is_file()), None)
