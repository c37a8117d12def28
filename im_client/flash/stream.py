"""The raw image of a file, block by block; here of one that is not packed."""

import os
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from im_client.flash.model import BadImage

__all__ = ["Raw", "Stream"]


class Stream(ABC):
    """The raw image, from its begin to its end. To be used by one thread, as a context manager."""

    kind: str = "raw"
    """`raw`, `xz`, `zst`, `gz` or `zip`."""
    size: int | None = None
    """Bytes of the raw image, where they are known beforehand."""
    least: int = 0
    """Bytes that it has at least, where a file says no more than that."""
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

    @abstractmethod
    def read_into(self, block: memoryview) -> int:
        """Fill the block and return how many bytes that are: fewer than its size only at the image's end.

        Raises:
            BadImage: truncated, corrupt, or not of the size it says.
        """
        ...

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


class Raw(Stream):
    """An image that is not packed."""

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
