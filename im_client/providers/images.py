"""What a provider may offer besides: golden images, machines that were configured and saved, for others to start from.

Rules for a provider that keeps images:

- **Saved whole or not at all.** A process that is killed half-way leaves nothing that is listed.
- **Consistent.** The machine is stopped, or the provider makes the copy as of one moment. One that can do neither
  with a running machine raises `Conflict`; the caller has it stopped before.
- **Scrubbed.** What `scrub.PATTERNS` and the request name is not in the image. Where the disk can be mounted
  (`local`, libvirt) it is removed from the copy. A cloud cannot look into a disk (`scrubs_images` is False): the caller
  removes it from the running machine, over ssh, before it is stopped and saved (`services/saving.py`).
- **Marked as ours**, with what `SavedImage` says, in the image's own metadata or tags: images outlive this computer.
- `MachineRequest.spec.golden_image` is the `id` of an image; `create` raises `NotFound` where it is gone. All else of
  the request counts as without it: name, addresses, keys and host key are the new machine's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["ImageKeeper", "ImageRequest", "SavedImage"]


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """All that a provider needs to save a machine."""

    name: str
    provider_id: str
    infrastructure: str
    machine: str
    group: str
    now: float
    """Seconds since the epoch; recorded."""
    scrub: tuple[str, ...] = ()
    """Further patterns, as `scrub.check_patterns` returns them."""


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image as its provider reports it."""

    id: str
    name: str
    group: str
    """The group of the template whose machines it is for."""
    infrastructure: str
    machine: str
    created_at: float
    size_bytes: int
    system: str = ""
    """For people: `debian bookworm`."""
    sha256: str = ""
    """Of the content, where it can be looked at."""
    is_ready: bool = True
    """False while a cloud is still at it."""
    removed: int = 0
    """How many files and folders were scrubbed."""
    private: tuple[str, ...] = ()
    """Files that only their owner may read and that stay in it: perhaps secrets that the scrubbing does not know."""


@runtime_checkable
class ImageKeeper(Protocol):
    """A provider that keeps golden images."""

    @property
    def scrubs_images(self) -> bool:
        """Whether `save_image` removes what is not to be in an image; if not, the caller has done so before."""
        ...

    def save_image(self, request: ImageRequest) -> SavedImage:
        """Save a machine. Blocks until the machine may be started again; the image may need longer (`is_ready`).

        Raises:
            Conflict: the machine runs and must be stopped, or the name is taken. NoCapacity: no room for the image.
        """
        ...

    def list_images(self) -> Sequence[SavedImage]:
        """List the images that carry our mark, the newest first."""
        ...

    def check_image(self, image_id: str) -> str:
        """Look at the content of an image anew and return what is wrong with it, or "". May take a minute.

        Raises:
            NotFound: there is none.
        """
        ...

    def delete_image(self, image_id: str) -> None:
        """Delete an image. Absent: succeeds.

        Raises:
            Conflict: machines or images that are there need it; the message names them.
        """
        ...
