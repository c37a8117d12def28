"""What is flashed, to what, and how it went."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from infracore.errors import InfraError

__all__ = [
    "BadBlock",
    "BadImage",
    "InitFormat",
    "Phase",
    "Progress",
    "Result",
    "Source",
    "State",
    "Target",
]


class BadImage(InfraError):
    """The image is truncated, corrupt, or not what it was said to be."""

    code = "bad-image"


class BadBlock(InfraError):
    """A target cannot be written, or does not hold what was written. `offset` is in bytes from its begin."""

    code = "bad-block"

    def __init__(self, message: str, hint: str = "", *, offset: int) -> None:
        super().__init__(message, hint)
        self.offset = offset


class InitFormat(StrEnum):
    """How a system is customised before its first boot, in rpi-imager's words."""

    NONE = "none"
    CLOUDINIT = "cloudinit"
    CLOUDINIT_RPI = "cloudinit-rpi"
    SYSTEMD = "systemd"


@dataclass(frozen=True, slots=True)
class Source:
    """An image, and what is known of it before it is fetched. Digests are SHA-256 in small hexadecimal letters."""

    address: str
    """A path, or an http(s) URL."""
    sha256: str | None = None
    """Of the file as it is fetched."""
    extract_sha256: str | None = None
    """Of the raw image in it."""
    extract_size: int | None = None
    """Bytes of the raw image."""
    init_format: InitFormat | None = None
    """None: not said; it is found by what is on the boot partition."""
    name: str = ""
    """As people know it: that of the OS list, else the file's."""
    bmap: str | None = None
    """Path or URL of its block map."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is written: a block device, or an image file that need not exist."""

    name: str
    """Node or device; what messages call it."""
    path: Path
    size: int = 0
    """Bytes of the device; 0 for an image file, which grows."""


class Phase(StrEnum):
    """What is being done."""

    DOWNLOAD = "download"
    WRITE = "write"
    VERIFY = "verify"
    FINISH = "finish"
    """What the caller does with a card that holds the image, such as customising it."""


class State(StrEnum):
    """How it went with one target."""

    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one target, or the download, is."""

    name: str
    """The target's name; for a download the image's."""
    phase: Phase
    done: int
    """Bytes."""
    total: int | None
    """Bytes; None where the image does not say how large it is."""
    rate: float
    """Bytes a second, over the last seconds."""
    left_s: float | None
    """Seconds until the phase ends; None where that cannot be known yet."""

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where the whole is not known."""
        return None if self.total is None else 1.0 if self.total == 0 else min(1.0, self.done / self.total)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one target. One that was begun and is not done is marked unfinished, if it takes the mark."""

    target: Target
    state: State
    written: int = 0
    """Bytes, holes not counted."""
    verified: bool = False
    """Whether all of it was read back and found equal."""
    error: InfraError | None = None
    size: int = 0
    """Bytes of the raw image; 0 where its end was not seen."""
    is_begun: bool = False
    """Whether anything was written to it: what it held is lost."""
