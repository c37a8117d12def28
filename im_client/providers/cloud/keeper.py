"""Clouds that keep golden images: `ImageCloud` is what their adapters offer besides."""

from collections.abc import Sequence
from typing import Protocol

from im_client.providers.cloud.base import Cloud
from im_client.providers.cloud.provider import CloudProvider
from im_client.providers.cloud.settings import CloudSettings
from im_client.providers.images import ImageRequest, SavedImage
from infracore.clock import Clock

__all__ = ["ImageCloud", "KeepingProvider"]


class ImageCloud(Cloud, Protocol):
    """An adapter that saves machines. Images are marked in the call that makes them; `CloudProvider` tries again."""

    def save_image(self, request: ImageRequest) -> SavedImage:
        """Ask for an image of a stopped machine; return it, ready or not.

        Raises:
            Conflict: the machine runs, or another image has the name.
        """
        ...

    def list_images(self) -> Sequence[SavedImage]:
        """List the images that carry our mark, the newest first."""
        ...

    def check_image(self, image_id: str) -> str:
        """Say what is wrong with one, or "". Raises NotFound."""
        ...

    def delete_image(self, image_id: str) -> None:
        """Delete one with all that was saved with it. Absent: succeeds. Raises Conflict while machines need it."""
        ...


class KeepingProvider(CloudProvider):
    """The provider of a cloud whose adapter saves machines. A cloud cannot look into a disk: the caller scrubs."""

    scrubs_images = False

    def __init__(self, cloud: ImageCloud, settings: CloudSettings, clock: Clock | None = None) -> None:
        super().__init__(cloud, settings, clock)
        self._images = cloud

    def save_image(self, request: ImageRequest) -> SavedImage:
        """Ask for it, and after an answer that was lost look whether it is there."""
        is_first = True

        def ask() -> SavedImage:
            nonlocal is_first
            listed = () if is_first else self._images.list_images()
            is_first = False
            mine = (one for one in listed if (one.name, one.machine) == (request.name, request.machine))
            return next(mine, None) or self._images.save_image(request)

        return self._call(ask)

    def list_images(self) -> Sequence[SavedImage]:
        return self._call(self._images.list_images)

    def check_image(self, image_id: str) -> str:
        return self._call(lambda: self._images.check_image(image_id))

    def delete_image(self, image_id: str) -> None:
        """Delete it, and what is kept of the cloud's answers about it."""
        self._call(lambda: self._images.delete_image(image_id))
        self._kept.forget(_is_about_images)


def _is_about_images(key: object) -> bool:
    return isinstance(key, tuple) and key[0] == "images"
