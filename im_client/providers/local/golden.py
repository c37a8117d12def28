"""Golden images of nspawn machines: the machine's own layer, scrubbed, as one more layer above the base image.

`STATE/golden/NAME` holds `layer/` (the files) and `image.json`. A machine that starts from it mounts it below its own
empty layer: nothing is copied at its start, and however many machines share one image, it is there once.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from im_client.providers.golden_record import GoldenRecord, facts_of, newest_first, of_name
from im_client.providers.images import ImageRequest
from im_client.providers.local.records import Manifest, file_lock, is_locked
from im_client.providers.scrub import scrub
from infracore.errors import CommandFailed, Conflict, NoCapacity, NotFound
from infracore.files import write_durably
from infracore.process import run
from infracore.units import format_bytes

__all__ = ["GoldenImage", "GoldenImages"]

_RECORD: Final = "image.json"
_MARGIN_BYTES: Final = 256 * 1024**2
"""What must stay free beside an image."""
_DEEPEST: Final = 8
"""Images that stand on each other: the kernel takes one page of mount options."""
_COPY_S: Final = 1800.0
_REMOVE_S: Final = 600.0
_CHUNK_BYTES: Final = 1 << 20


class GoldenImage(GoldenRecord, frozen=True, kw_only=True):
    """What is recorded of an image; its folder has its name."""

    base: str
    """Folders of the layers below its own, the uppermost first, with colons between."""
    parent: str = ""
    """The image that its machine had started from."""


class GoldenImages:
    """The images of one state folder."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "golden"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others from adding, using and deleting images; held for a moment."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file_lock(self._folder / ".lock"):
            yield

    def all(self) -> list[GoldenImage]:
        """Read what is recorded of every image, the newest first."""
        found = []
        for path in self._folder.glob(f"[!.]*/{_RECORD}"):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=GoldenImage))
            except FileNotFoundError:
                continue
        return newest_first(found)

    def load(self, name: str) -> GoldenImage:
        """Return one image.

        Raises:
            NotFound: there is none of this name, or the base image below it is gone.
        """
        image = of_name(self.all(), name, "on this computer")
        for layer in image.base.split(":"):
            if not Path(layer).is_dir():
                raise NotFound(
                    f"the golden image {name!r} stands on {layer}, which is gone", "delete it, and save anew"
                )
        return image

    def layers(self, image: GoldenImage) -> str:
        """Return the folders below a machine that starts from an image, for overlayfs."""
        return f"{self._folder / image.name / 'layer'}:{image.base}"

    def save(self, request: ImageRequest, manifest: Manifest, upper: Path) -> GoldenImage:
        """Copy, scrub and record the layer of a machine that does not run.

        Raises:
            Conflict: the name is taken, another image is being saved, or too many stand on each other.
            NoCapacity: there is no room. CommandFailed: the copy failed.
        """
        with self.lock():
            pass
        saving = self._folder / ".saving"
        if is_locked(saving):
            raise Conflict("another image is being saved on this computer", "run it again when that is done")
        with file_lock(saving):
            self._tidy()
            self._refuse(request, manifest)
            _check_room(self._folder, upper)
            fresh = self._folder / f".{request.name}.new"
            fresh.mkdir(mode=0o700)
            try:
                return self._filled(fresh, request, manifest, upper)
            finally:
                _remove(fresh)

    def _filled(self, fresh: Path, request: ImageRequest, manifest: Manifest, upper: Path) -> GoldenImage:
        layer = fresh / "layer"
        # ends with this process: what it has copied then is removed by the next who saves
        copy = ("setpriv", "--pdeathsig", "KILL", "cp", "--archive", "--reflink=auto", "--", upper, layer)
        run(copy, timeout_s=_COPY_S)
        try:
            scrubbed = scrub(layer, request.scrub)
            digest, size = _digest(layer)
        except (OSError, RecursionError) as error:
            raise CommandFailed(f"the files of {manifest.name} cannot be looked through: {error}") from error
        image = GoldenImage(
            **facts_of(request, scrubbed),
            size_bytes=size,
            system=manifest.image,
            sha256=digest,
            base=manifest.base,
            parent=manifest.golden,
        )
        write_durably(fresh / _RECORD, msgspec.json.encode(image))
        run(("sync", "--file-system", fresh), timeout_s=300)
        with self.lock():
            fresh.rename(self._folder / request.name)
        return image

    def _refuse(self, request: ImageRequest, manifest: Manifest) -> None:
        if (self._folder / request.name).exists():
            raise Conflict(f"there is a golden image {request.name!r} already", "choose another name, or delete it")
        if manifest.base.count(":") + 1 >= _DEEPEST:
            raise Conflict(
                f"{manifest.name} started from the last of {_DEEPEST - 1} images that stand on each other",
                "save a machine that was made without a golden image",
            )

    def _tidy(self) -> None:
        """Remove what a killed process left: under the lock of who saves, nobody else is at it."""
        for left in self._folder.glob(".*.*"):
            if left.is_dir():
                _remove(left)

    def check(self, name: str) -> str:
        """Look at all files of an image; return what is wrong or ""."""
        image = self.load(name)
        digest, _ = _digest(self._folder / name / "layer")
        return "" if digest == image.sha256 else f"its files have changed since it was saved ({digest[:12]}...)"

    def delete(self, name: str, users: list[str]) -> None:
        """Delete an image; absent: succeeds. To be called under `lock`; `users` are the machines that stand on it.

        Raises:
            Conflict: machines or other images need it.
        """
        children = [f"the image {image.name}" for image in self.all() if image.parent == name]
        if users or children:
            raise Conflict(
                f"the golden image {name!r} is needed by {', '.join([*users, *children])}",
                "delete these first; machines that are made anew start without it once `im scale --image none` said so",
            )
        place = self._folder / name
        if name in {image.name for image in self.all()}:
            gone = self._folder / f".{name}.gone"
            _remove(gone)
            place.rename(gone)
            _remove(gone)


def _remove(folder: Path) -> None:
    """Remove a folder that a machine has filled: however deep, which Python's own recursion could not. Absent: fine."""
    run(("rm", "--recursive", "--force", "--", folder), timeout_s=_REMOVE_S)


def _check_room(folder: Path, upper: Path) -> None:
    used = run(("du", "--summarize", "--block-size=1", "--", upper), timeout_s=_REMOVE_S).stdout
    needed = int(used.split()[0]) + _MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoCapacity(
            f"the image needs {format_bytes(needed)} in {folder}, and {format_bytes(free)} are free",
            "free some space, or delete an image: im image list",
        )


def _walk(root: Path) -> Iterator[Path]:
    """Yield all paths below a folder in a fixed order; no link is followed."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            yield Path(folder, name)


def _digest(root: Path) -> tuple[str, int]:
    """Return the SHA-256 over all paths with owner, mode, attributes and content, and the bytes on disk."""
    whole = hashlib.sha256()
    size = 0
    largest = shutil.disk_usage(root).total
    for path in _walk(root):
        found = path.lstat()
        attributes = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in _attributes(path)]
        facts = (str(path.relative_to(root)), found.st_mode, found.st_uid, found.st_gid, found.st_rdev, attributes)
        whole.update(repr(facts).encode(errors="surrogateescape"))
        size += found.st_blocks * 512
        if stat.S_ISLNK(found.st_mode):
            whole.update(os.fsencode(path.readlink()))
        elif found.st_size > largest:  # sparse: reading it would take days
            raise OSError(f"{path.name!r} says that it is larger than the disk")
        elif stat.S_ISREG(found.st_mode):
            with path.open("rb") as file:
                whole.update(found.st_size.to_bytes(8, "big"))
                while part := file.read(_CHUNK_BYTES):
                    whole.update(part)
    return whole.hexdigest(), size


def _attributes(path: Path) -> list[str]:
    """Return the names of a file's extended attributes but those that the kernel changes while it is a layer."""
    kept = ("trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.metacopy")
    return sorted(
        name
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith("trusted.overlay.") or name in kept
    )
