"""A raw image out of a file, whatever it is packed with, block by block and never unpacked to disk.

What packs it is seen by its first bytes. Where the format allows it the whole file is walked before anything is
unpacked (`packed.py`), so that a truncated one is refused before a card is touched.
"""

import hashlib
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Protocol, Self

from backports import zstd

from im_client.flash import packed
from im_client.flash.model import BadImage
from infracore.errors import NotFound

__all__ = ["Stream", "open_stream"]

_INPUT: Final = 256 << 10
_SMALLEST: Final = 512
_XZ_MEMORY: Final = 100 << 20
"""Bytes: `xz -9` needs 65 MiB."""
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


class Stream:
    """The raw image, from its begin to its end. To be used by one thread, as a context manager."""

    kind: str = "raw"
    """`raw`, `xz`, `zst`, `gz` or `zip`."""
    size: int | None = None
    """Bytes of the raw image, where they are known beforehand."""
    sha256: str | None = None
    """What the raw image's digest must be; checked at its end, where it is read whole."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self.length = os.fstat(file.fileno()).st_size
        """Bytes of the file."""

    @property
    def taken(self) -> int:
        """Bytes of the file that are read."""
        return self._file.tell()

    def read_into(self, block: memoryview) -> int:
        """Fill the block and return how many bytes that are: fewer than its size only at the image's end.

        Raises:
            BadImage: truncated, corrupt, or not of the size it says.
        """
        raise NotImplementedError

    def fileno(self) -> int | None:
        """Return the descriptor of a raw image, which can be read anywhere; None where it must be read in its order."""
        return None

    def close(self) -> None:
        """Close the file. May be repeated."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class _Raw(Stream):
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        super().__init__(path, file)
        self.length = self.size = os.lseek(file.fileno(), 0, os.SEEK_END)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        self._at = 0

    @property
    def taken(self) -> int:
        return self._at

    def read_into(self, block: memoryview) -> int:
        done = 0
        while done < len(block):
            try:
                count = os.preadv(self._file.fileno(), [block[done:]], self._at)
            except OSError as error:
                raise BadImage(f"{self.path} cannot be read at byte {self._at}: {error.strerror}") from error
            if not count:
                break
            done += count
            self._at += count
        return done

    def fileno(self) -> int | None:
        return self._file.fileno()


class _Unpacker(Protocol):
    """One compressed stream; as lzma.LZMADecompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """zlib's decompressor in the shape of lzma's."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _unxz() -> _Unpacker:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def _unzstd() -> _Unpacker:
    # a window of at most 128 MiB, as `zstd -d` without --long
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})


class _Packed(Stream):
    """One or several compressed streams, one after another."""

    def __init__(self, path: Path, file: IO[bytes], kind: str, make: Callable[[], _Unpacker], size: int | None) -> None:
        super().__init__(path, file)
        self.kind = kind
        self.size = size
        self._make = make
        self._unpacker = make()
        self._rest = b""
        self._is_over = False

    def read_into(self, block: memoryview) -> int:
        done = 0
        while done < len(block) and not self._is_over:
            part = self._some(len(block) - done)
            block[done : done + len(part)] = part
            done += len(part)
        return done

    def _some(self, most: int) -> bytes:
        if self._unpacker.eof:
            self._next()
            return b""
        data = b""
        if self._unpacker.needs_input:
            data = self._rest or self._read()
            self._rest = b""
            if not data:
                raise BadImage(f"truncated {self.kind}: {self.path} ends too early", "fetch it again")
        try:
            part = self._unpacker.decompress(data, most)
        except (lzma.LZMAError, zlib.error, zstd.ZstdError, EOFError) as error:
            raise self._corrupt(error) from error
        except MemoryError as error:
            raise BadImage(f"{self.path} needs more memory than there is to unpack", "pack it with less") from error
        return part

    def _corrupt(self, error: Exception) -> BadImage:
        said = str(error)
        if "emory" in said or "too much" in said:
            return BadImage(f"{self.path} needs too much memory to be unpacked: {said}", f"{self.kind} -6 is enough")
        return BadImage(f"corrupt {self.kind}: {self.path} before byte {self.taken}: {said}", "fetch it again")

    def _next(self) -> None:
        """Begin the next stream, if there is one; zeros between them (xz, gz) are skipped."""
        rest = self._unpacker.unused_data
        while True:
            rest = rest.lstrip(b"\0") if self.kind != "zst" else rest
            more = b"" if len(rest) >= 6 else self._read()
            rest += more
            if len(rest) >= 6 and rest[:1] != b"\0":
                break
            if not more:
                if rest.strip(b"\0"):
                    raise BadImage(f"corrupt {self.kind}: {self.path} has something behind its end")
                self._is_over = True
                return
        if packed.kind_of(rest) != self.kind:
            raise BadImage(f"corrupt {self.kind}: {self.path} has something behind its end")
        self._unpacker = self._make()
        self._rest = rest

    def _read(self) -> bytes:
        try:
            return self._file.read(_INPUT)
        except OSError as error:
            raise BadImage(f"{self.path} cannot be read at byte {self.taken}: {error.strerror}") from error


class _Zip(Stream):
    kind = "zip"

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        super().__init__(path, file)
        try:
            self._archive = zipfile.ZipFile(file)
            members = [one for one in self._archive.infolist() if not one.is_dir()]
            if len(members) != 1:
                raise BadImage(f"{path} holds {len(members)} files, and not one image", "unpack it and name one")
            self.size = members[0].file_size
            self._member = self._archive.open(members[0])
        except zipfile.BadZipFile as error:
            raise BadImage(f"truncated zip: {path}: {error}", "fetch it again") from error
        except (RuntimeError, NotImplementedError) as error:  # encrypted; packed with what Python does not know
            raise BadImage(f"{path} cannot be unpacked: {error}") from error
        self._seen = 0

    def read_into(self, block: memoryview) -> int:
        done = 0
        try:
            while done < len(block) and (part := self._member.read(min(len(block) - done, _INPUT * 4))):
                block[done : done + len(part)] = part
                done += len(part)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError) as error:
            raise BadImage(f"corrupt zip: {self.path}: {error}", "fetch it again") from error
        except EOFError as error:
            raise BadImage(f"truncated zip: {self.path} ends too early", "fetch it again") from error
        self._seen += done
        if done < len(block) and self._seen != self.size:
            raise BadImage(f"truncated zip: {self.path} holds {self._seen} bytes, and says {self.size}")
        return done

    def close(self) -> None:
        self._member.close()
        self._archive.close()
        super().close()


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
        _refuse_other(found, size)
    except OSError as error:
        file.close()
        raise BadImage(f"the image {path} cannot be read: {error.strerror}") from error
    except BaseException:
        file.close()
        raise
    return found if size is None and sha256 is None else _Checked(found, size, sha256)


def _refuse_other(found: Stream, size: int | None) -> None:
    if size is not None and found.size is not None and size != found.size:
        raise BadImage(f"{found.path} holds {found.size} bytes, not {size}", "is it the right image?")


def _open(path: Path, file: IO[bytes]) -> Stream:
    mode = os.fstat(file.fileno()).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise BadImage(f"{path} is no file")
    head = os.pread(file.fileno(), 16, 0)
    kind = packed.kind_of(head)
    if kind == "xz":
        return _Packed(path, file, kind, _unxz, packed.xz_size(file.fileno(), str(path)))
    if kind == "zst":
        return _Packed(path, file, kind, _unzstd, packed.zst_size(file.fileno(), str(path)))
    if kind == "gz":
        return _Packed(path, file, kind, _Gunzip, None)
    if kind == "zip":
        return _Zip(path, file)
    for magic, name in _OTHERS.items():
        if head.startswith(magic):
            raise BadImage(f"{path} is {name}, and not an image as raw, xz, zst, gz or zip")
    found = _Raw(path, file)
    if not found.size or found.size < _SMALLEST:
        raise BadImage(f"{path} is too small for an image: {found.size} bytes")
    return found
