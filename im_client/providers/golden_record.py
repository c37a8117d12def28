"""What is recorded of a golden image where we keep it ourselves: on this computer, and in a pool of libvirt."""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from im_client.providers.images import ImageRequest, SavedImage
from im_client.providers.scrub import Scrubbed
from infracore.errors import NotFound

__all__ = ["GoldenRecord", "facts_of", "newest_first", "of_name"]

_MOST_PRIVATE: Final = 50
"""Names of private files that are recorded."""


class GoldenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of an image; its name is its id. Holds no secret."""

    name: str
    group: str
    infrastructure: str
    machine: str
    created_at: float
    size_bytes: int
    system: str
    sha256: str
    removed: int = 0
    private: tuple[str, ...] = ()

    def saved(self) -> SavedImage:
        """Return it as the protocol has it."""
        return SavedImage(
            id=self.name,
            name=self.name,
            group=self.group,
            infrastructure=self.infrastructure,
            machine=self.machine,
            created_at=self.created_at,
            size_bytes=self.size_bytes,
            system=self.system,
            sha256=self.sha256,
            removed=self.removed,
            private=self.private,
        )


_Image = TypeVar("_Image", bound=GoldenRecord)


def facts_of(request: ImageRequest, scrubbed: Scrubbed) -> dict[str, Any]:
    """Return the fields of a record that the request and the scrubbing say."""
    return {
        "name": request.name,
        "group": request.group,
        "infrastructure": request.infrastructure,
        "machine": request.machine,
        "created_at": request.now,
        "removed": len(scrubbed.removed),
        "private": scrubbed.private[:_MOST_PRIVATE],
    }


def newest_first(images: Iterable[_Image]) -> list[_Image]:
    """Sort images as they are listed."""
    return sorted(images, key=lambda image: (-image.created_at, image.name))


def of_name(images: Iterable[_Image], name: str, where: str) -> _Image:
    """Return the image of a name.

    Raises:
        NotFound: there is none.
    """
    image = next((image for image in images if image.name == name), None)
    if image is None:
        raise NotFound(f"there is no golden image {name!r} {where}", "im image list shows what there is")
    return image
