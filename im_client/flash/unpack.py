"""Streams of packed images, unpacked by Python's own modules."""

import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, Protocol

from im_client.flash import packed
from im_client.flash.model import BadImage
from im_client.flash.stream import Stream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["XZ_MEMORY", "Gunzip", "Packed", "Unpacker", "Zip", "unxz", "unzstd"]

XZ_MEMORY: Final = 100 << 20
"""Bytes: `xz -9` needs 65 MiB."""
_INPUT: Final = 128 << 10
_OUTPUT: Final = 128 << 10
"""Bytes unpacked at once: what is copied from there is still in the processor's cache. Larger ones took 20 % longer."""


class Unpacker(Protocol):
    """One compressed stream; as lzma.LZMADecompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Gunzip:
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


def unxz() -> Unpacker:
    """Return what unpacks one stream."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)


def unzstd() -> Unpacker:
    """Return what unpacks one frame."""
    # a window of at most 128 MiB, as `zstd -d` without --long
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 27})


class Packed(Stream):
    """One or several compressed streams, one after another."""

    def __init__(self, path: Path, file: IO[bytes], kind: str, make: Callable[[], Unpacker], size: int | None) -> None:
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
            part = self._unpacker.decompress(data, min(most, _OUTPUT))
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


class Zip(Stream):
    """A zip of one file."""

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
        except (zipfile.BadZipFile, UnicodeDecodeError) as error:
            raise BadImage(f"truncated zip: {path}: {error}", "fetch it again") from error
        except (RuntimeError, NotImplementedError) as error:  # encrypted; packed with what Python does not know
            raise BadImage(f"{path} cannot be unpacked: {error}") from error
        self._seen = 0

    def read_into(self, block: memoryview) -> int:
        done = 0
        try:
            while done < len(block) and (part := self._member.read(min(len(block) - done, _OUTPUT))):
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
