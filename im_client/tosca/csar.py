"""CSAR archives: the entry template of a zip file, and its other files by name, without ever leaving it.

TOSCA Simple Profile 1.3, chapter 6: `TOSCA-Metadata/TOSCA.meta` names the entry, or one YAML file at the root is it.
"""

import hashlib
import io
import posixpath
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Final, Protocol

from im_client.tosca.locations import INSIDE
from infracore.errors import InfraError, Misconfigured, NotFound

__all__ = ["Archive", "ArchiveReader", "is_archive", "unpack"]

MAX_ENTRIES: Final = 5_000
MAX_UNPACKED_BYTES: Final = 256 * 2**20
MAX_RATIO: Final = 200
"""Deflate reaches 1032; text of templates and playbooks stays below 20."""
_META: Final = "TOSCA-Metadata/TOSCA.meta"
_BROKEN: Final = (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, OSError, ValueError)


class _Reads(Protocol):
    def read(self, location: str, /) -> bytes: ...
    def digest(self, location: str, /) -> str: ...


def is_archive(text: bytes) -> bool:
    """Say whether bytes begin as a zip file does."""
    return text.startswith((b"PK\x03\x04", b"PK\x05\x06"))


class Archive:
    """A checked zip file in memory.

    Raises:
        Misconfigured: broken, too large unpacked, encrypted, or with names or links that lead outside.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            entries = self._zip.infolist()
        except _BROKEN as error:
            raise Misconfigured(f"the archive is broken: {error}", "make the CSAR again") from error
        if len(entries) > MAX_ENTRIES:
            raise Misconfigured(f"the archive has {len(entries)} files; {MAX_ENTRIES} is the most")
        total = 0
        for entry in entries:
            _check_name(entry)
            total += entry.file_size
            packed = max(entry.compress_size, 1)
            if entry.file_size > 2**20 and entry.file_size / packed > MAX_RATIO:
                raise Misconfigured(f"{entry.filename} unpacks to {entry.file_size} bytes from {packed}: a zip bomb")
        if total > MAX_UNPACKED_BYTES:
            raise Misconfigured(f"the archive unpacks to {total} bytes; {MAX_UNPACKED_BYTES} is the most")
        self._entries = {posixpath.normpath(e.filename): e for e in entries if not e.is_dir()}

    def read(self, name: str) -> bytes:
        """Return one file.

        Raises:
            NotFound: there is none of the name. Misconfigured: its data is broken or longer than announced.
        """
        entry = self._entries.get(posixpath.normpath(name))
        if entry is None:
            raise NotFound(f"the archive has no file {name}")
        try:
            with self._zip.open(entry) as file:
                text = file.read(entry.file_size + 1)
        except _BROKEN as error:
            raise Misconfigured(f"{name} in the archive is broken: {error}", "make the CSAR again") from error
        if len(text) > entry.file_size:
            raise Misconfigured(f"{name} in the archive is longer than the archive says")
        return text

    def entry(self) -> str:
        """Return the name of the entry template.

        Raises:
            Misconfigured: no TOSCA.meta names one, and there is none, or more than one, at the root.
        """
        if _META in self._entries:
            text = self.read(_META).decode("utf-8", "replace")
            for line in text.splitlines():
                key, colon, value = line.partition(":")
                if colon and key.strip() == "Entry-Definitions":
                    name = value.strip()
                    if posixpath.normpath(name) not in self._entries:
                        raise Misconfigured(f"{_META} names {name}, which the archive does not have")
                    return posixpath.normpath(name)
            raise Misconfigured(f"{_META} names no entry", "write: Entry-Definitions: template.yaml")
        root = sorted(n for n in self._entries if "/" not in n and n.lower().endswith((".yaml", ".yml")))
        if len(root) != 1:
            found = f"{len(root)} YAML files ({', '.join(root[:5])})" if root else "no YAML file"
            raise Misconfigured(
                f"the archive has no {_META} and {found} at its root", "leave exactly one, or add TOSCA.meta"
            )
        return root[0]

    def names(self) -> tuple[str, ...]:
        """Return the names of all files."""
        return tuple(self._entries)


def _check_name(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    if not name:  # zipfile itself stumbles over it: is_dir() asks for the last character
        raise Misconfigured("the archive holds an entry without a name", "make the CSAR again")
    if name.startswith(("/", "\\")) or "\\" in name or "\0" in name or ":" in name.split("/")[0]:
        raise Misconfigured(f"the archive holds the name {name!r}, which leads outside")
    if ".." in name.split("/"):
        raise Misconfigured(f"the archive holds the name {name!r}, which leads outside")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Misconfigured(f"{name} in the archive is a link", "put the file itself in")
    if entry.flag_bits & 0x1:
        raise Misconfigured(f"{name} in the archive is encrypted")


class ArchiveReader:
    """Reads names inside of one archive from it, all others by another reader."""

    def __init__(self, location: str, archive: Archive, beyond: _Reads) -> None:
        self._prefix = location + INSIDE
        self._archive = archive
        self._beyond = beyond

    def read(self, location: str, /) -> bytes:
        """As `front.Reader.read`."""
        if location.startswith(self._prefix):
            return self._archive.read(location.removeprefix(self._prefix))
        return self._beyond.read(location)

    def digest(self, location: str, /) -> str:
        """As `front.Reader.digest`."""
        if not location.startswith(self._prefix):
            return self._beyond.digest(location)
        try:
            return hashlib.sha256(self.read(location)).hexdigest()
        except InfraError:
            return ""


def unpack(data: bytes, folder: Path) -> Path:
    """Write a CSAR's files below an empty folder and return the path of its entry template.

    Raises:
        Misconfigured: as `Archive`; nothing is written then.
    """
    archive = Archive(data)
    entry = archive.entry()
    files = {name: archive.read(name) for name in archive.names()}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    return folder / entry
