"""A raw image out of a file, whatever it is packed with, block by block and never unpacked to disk.

What packs it is seen by its first bytes. Where the format allows it the whole file is walked before anything is
unpacked (`packed.py`), so that a truncated one is refused before a card is touched.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import IO, Final

from im_client.flash import packed
from im_client.flash.model import BadImage
from im_client.flash.stream import Raw, Stream
from im_client.flash.unpack import Gunzip, Packed, Zip, Zstd, unxz
from im_client.flash.xz_blocks import XzBlocks, threads_for
from im_client.flash.xz_index import read_index
from infracore.errors import NotFound

__all__ = ["Stream", "open_stream"]

_SMALLEST: Final = 512
_OTHERS: Final = {
    b"BZh": "bzip2",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
    b"QFI\xfb": "qcow2",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x3a\xff\x26\xed": "Android's sparse format",
}


class _Checked(Stream):
    """A stream whose size and digest are known beforehand, and looked at when it ends."""

    def __init__(self, inner: Stream, size: int | None, sha256: str | None) -> None:
        self._inner = inner
        self.path, self.length, self.kind = inner.path, inner.length, inner.kind
        self.size = inner.size if inner.size is not None else size
        self.sha256 = sha256.lower() if sha256 else None
        self._expected = size
        self._hash = hashlib.sha256()
        self._seen = 0

    @property
    def taken(self) -> int:
        return self._inner.taken

    def read_into(self, block: memoryview) -> int:
        count = self._inner.read_into(block)
        self._seen += count
        if self.sha256:
            self._hash.update(block[:count])
        if self._expected is not None and self._seen > self._expected:
            raise BadImage(f"{self.path} holds more than the {self._expected} bytes that it should")
        if count < len(block):
            self._check()
        return count

    def _check(self) -> None:
        if self._expected is not None and self._seen != self._expected:
            raise BadImage(f"{self.path} holds {self._seen} bytes, not {self._expected}", "is it the right image?")
        if self.sha256 and self._hash.hexdigest() != self.sha256:
            raise BadImage(
                f"the image in {self.path} has the SHA-256 {self._hash.hexdigest()}, not {self.sha256}",
                "it was changed, or is another version",
            )

    def fileno(self) -> int | None:
        return None if self.sha256 else self._inner.fileno()

    def close(self) -> None:
        self._inner.close()


def open_stream(path: Path, *, size: int | None = None, sha256: str | None = None) -> Stream:
    """Open an image. `size` and `sha256` are what the raw image in it must have, where somebody says so.

    Raises:
        BadImage: truncated (as far as it can be seen without unpacking), of no format that is known, or a zip of
            several files. NotFound: it cannot be opened.
    """
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise NotFound(f"the image {path} cannot be opened: {error.strerror}") from error
    try:
        found = _open(path, file)
    except OSError as error:
        file.close()
        raise BadImage(f"the image {path} cannot be read: {error.strerror}") from error
    except BaseException:
        file.close()
        raise
    if found.size is not None and found.size < _SMALLEST:
        found.close()
        raise BadImage(f"{path} is too small for an image: {found.size} bytes")
    if size is not None and found.size is not None and size != found.size:
        found.close()
        raise BadImage(f"{path} holds {found.size} bytes, not {size}", "is it the right image?")
    return found if size is None and sha256 is None else _Checked(found, size, sha256)


def _open(path: Path, file: IO[bytes]) -> Stream:
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise BadImage(f"{path} is no file")
    head = os.pread(file.fileno(), 16, 0)
    kind = packed.kind_of(head)
    if kind == "xz":
        index = read_index(file.fileno(), str(path))
        threads = threads_for(file.fileno(), index)
        return XzBlocks(path, file, index, threads) if threads > 1 else Packed(path, file, kind, unxz, index.size)
    if kind == "zst":
        return Zstd(path, file, packed.zst_size(file.fileno(), str(path)))
    if kind == "gz":
        gz = Packed(path, file, kind, Gunzip, None)
        gz.least = packed.gz_least(file.fileno(), str(path))
        return gz
    if kind == "zip":
        return Zip(path, file)
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise BadImage(f"{path} is {name}, and not an image as raw, xz, zst, gz or zip")
    return Raw(path, file)
