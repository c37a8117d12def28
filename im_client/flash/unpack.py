"""Streams of packed images, unpacked by Python's own modules and by `zstandard`."""

import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final, Protocol

import zstandard

from im_client.flash import packed
from im_client.flash.model import BadImage
from im_client.flash.stream import Stream

__all__ = ["XZ_MEMORY", "Gunzip", "Packed", "Unpacker", "Zip", "Zstd", "unpacked", "unxz"]

XZ_MEMORY: Final = 100 << 20
"""Bytes: `xz -9` needs 65 MiB."""
_WINDOW: Final = 128 << 20
"""Bytes, as `zstd -d` without --long."""
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
        return unpacked(self, self._unpacker, data, min(most, _OUTPUT))

    def _next(self) -> None:
        """Begin the next stream, if there is one; zeros between them (xz, gz) are skipped."""
        rest = self._unpacker.unused_data
        while True:
            rest = rest.lstrip(b"\0")
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
            raise _unread(self, error) from error


class Zstd(Stream):
    """One or several frames, unpacked straight into the blocks."""

    kind = "zst"

    def __init__(self, path: Path, file: IO[bytes], size: int | None) -> None:
        super().__init__(path, file)
        self.size = size
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._reader = unpacker.stream_reader(file, read_size=_INPUT, read_across_frames=True, closefd=False)

    def read_into(self, block: memoryview) -> int:
        done = 0
        try:
            while done < len(block) and (count := self._reader.readinto(block[done:])):
                done += count
        except zstandard.ZstdError as error:
            raise _corrupt(self, error) from error
        except OSError as error:
            raise _unread(self, error) from error
        except MemoryError as error:
            raise _too_large(self.path) from error
        if done < len(block) and self.taken < self.length:
            raise BadImage(f"truncated zst: {self.path} ends too early", "fetch it again")
        return done


def unpacked(stream: Stream, unpacker: Unpacker, data: bytes, most: int) -> bytes:
    """Return up to `most` more bytes of a stream. Raises BadImage: corrupt, or too large for this computer."""
    try:
        return unpacker.decompress(data, most)
    except (lzma.LZMAError, zlib.error, EOFError) as error:
        raise _corrupt(stream, error) from error
    except MemoryError as error:
        raise _too_large(stream.path) from error


def _corrupt(stream: Stream, error: Exception) -> BadImage:
    said = str(error)
    if "emory" in said or "too much" in said:
        return BadImage(f"{stream.path} needs too much memory to be unpacked: {said}", f"{stream.kind} -6 is enough")
    return BadImage(f"corrupt {stream.kind}: {stream.path} before byte {stream.taken}: {said}", "fetch it again")


def _unread(stream: Stream, error: OSError) -> BadImage:
    return BadImage(f"{stream.path} cannot be read at byte {stream.taken}: {error.strerror}")


def _too_large(path: Path) -> BadImage:
    return BadImage(f"{path} needs more memory than there is to unpack", "pack it with less")


class Zip(Stream):
    """A zip of one file."""

    kind = "zip"

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        super().__init__(path, file)
        try:
            self._archive = zipfile.ZipFile(file)
            members = [one for one in self._archive.infolist() if not one.filename.endswith("/")]
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
