"""Base images: chosen by what a template says, and brought into the pool once."""

import hashlib
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import msgspec

from im_client.plan.model import Spec
from im_client.providers.base import Progress
from im_client.providers.cloud.choose import choose_image, image_address, image_query, system_of
from im_client.providers.cloud.model import CloudImage
from im_client.providers.libvirt.domain import Boot
from im_client.providers.libvirt.settings import ImageSettings, LibvirtSettings
from im_client.providers.libvirt.storage import Storage
from infracore.errors import Misconfigured, NotFound, Transient, Unsupported
from infracore.process import run

__all__ = ["Base", "BaseImages", "account_of", "disk_facts"]

PREFIX: Final = "imc.base."
_CHUNK: Final = 1 << 20
_STALL_S: Final = 60.0
_USERS: Final = {"debian": "debian", "ubuntu": "ubuntu", "centos": "centos", "rocky": "rocky", "fedora": "fedora"}


@dataclass(frozen=True, slots=True)
class Base:
    """What a root disk stands on, as the host has it."""

    name: str
    volume: str
    path: str
    format: str
    size: int
    """Of the disk, in bytes."""
    user: str
    boot: Boot | None = None


def account_of(image: ImageSettings | CloudImage, spec: Spec, default: str) -> str:
    """Return the account that is logged in to."""
    return spec.user or image.user or default or _USERS.get(image.distribution, "") or "root"


def disk_facts(path: Path) -> tuple[str, int]:
    """Return format and size of a disk image.

    Raises:
        Misconfigured: it is none, or it would have other files of the host read.
    """
    said = run(["qemu-img", "info", "--output=json", "--force-share", path], timeout_s=60, check=False)
    try:
        found: dict[str, Any] = msgspec.json.decode(said.stdout)
    except msgspec.DecodeError as error:
        raise Misconfigured(f"{path} is no disk image: {said.stderr.strip()[-200:]}") from error
    data = found.get("format-specific", {}).get("data", {})
    if "backing-filename" in found or "data-file" in data:
        raise Misconfigured(f"the image {path} stands on another file", "flatten it: qemu-img convert -O qcow2")
    if found.get("format") not in {"qcow2", "raw"}:
        raise Misconfigured(f"the image {path} is {found.get('format')}, not qcow2 or raw", "qemu-img convert")
    return str(found["format"]), int(found["virtual-size"])


class BaseImages:
    """The images of the settings and of the image pool."""

    def __init__(self, storage: Storage, pool: Storage | None, settings: LibvirtSettings) -> None:
        self._storage = storage
        self._pool = pool
        self._settings = settings

    def choices(self) -> list[CloudImage]:
        """List them all."""
        found = []
        for name, image in self._settings.images.items():
            distribution, version = (image.distribution, image.version) if image.distribution else system_of(name)
            found.append(
                CloudImage(
                    name,
                    name,
                    distribution=distribution,
                    version=version,
                    architecture=image.architecture,
                    user=image.user,
                )
            )
        if self._pool is not None:
            known = {one.name for one in found}
            for name in self._pool.names():
                distribution, version = system_of(name)
                if name not in known and not name.startswith("imc."):
                    found.append(CloudImage(name, name, distribution=distribution, version=version))
        return found

    def choose(self, spec: Spec) -> CloudImage:
        """Return the image that fits.

        Raises:
            NotFound: there is none. Unsupported: the template names one of another kind of place.
        """
        scheme, _, _ = image_address(spec.image or "")
        if scheme not in {"", "libvirt"}:
            raise Unsupported(
                f"the image {spec.image} is none of a libvirt host",
                "its images are named libvirt://HOST/NAME; or describe it by distribution and version",
            )
        choices = self.choices()
        try:
            return choose_image(choices, image_query(spec, self._settings.image))
        except NotFound as error:
            hint = error.hint if choices else "set `images` of the provider libvirt; see docs/howto/libvirt.md"
            raise NotFound(error.message, hint) from error

    def ready(self, image: CloudImage, on_progress: Progress) -> Base:
        """Bring an image into the pool unless it is there: minutes the first time. May be repeated, and killed."""
        settings = self._settings.images.get(image.name)
        if settings is None:
            pool = self._pool or self._storage
            return Base(
                image.name,
                image.name,
                pool.path(image.name),
                pool.format(image.name),
                pool.size(image.name),
                account_of(image, Spec(), self._settings.user),
            )
        key = _key(image.name, settings)
        known = set(self._storage.names())
        volume = next((f"{key}.{form}" for form in ("qcow2", "raw") if f"{key}.{form}" in known), "")
        if f"{key}.ok" not in known or not volume:
            volume = self._upload(key, image.name, settings, on_progress)
        boot = None
        if settings.kernel:
            initrd = self._storage.path(f"{key}.initrd") if settings.initrd else ""
            boot = Boot(self._storage.path(f"{key}.kernel"), initrd, settings.cmdline)
        return Base(
            image.name,
            volume,
            self._storage.path(volume),
            volume.rpartition(".")[2],
            self._storage.size(volume),
            account_of(replace(image, user=settings.user), Spec(), self._settings.user),
            boot,
        )

    def _upload(self, key: str, name: str, settings: ImageSettings, on_progress: Progress) -> str:
        """Upload disk, kernel and RAM disk, then a small volume that says that they are complete.

        Who finds them without that one uploads again, over them: two who do so write the same bytes.
        """
        path = Path(settings.path) if settings.path else self._downloaded(settings, on_progress)
        if settings.path and settings.sha256 and (found := _digest(path)) != settings.sha256:
            raise Misconfigured(f"the image {path} has the SHA-256 {found}, not {settings.sha256}")
        form, size = disk_facts(path)
        on_progress(f"uploading the image {name} (once)")
        parts = [(f"{key}.{form}", path, size, form)]
        for word, beside in (("kernel", settings.kernel), ("initrd", settings.initrd)):
            if beside:
                parts.append((f"{key}.{word}", Path(beside), _size(Path(beside)), "raw"))
        for volume, file, room, kind in parts:
            self._storage.make(volume, room, kind, keep=True)
            self._storage.fill(volume, file)
        self._storage.make(f"{key}.ok", 512, "raw", keep=True)
        return parts[0][0]

    def _downloaded(self, settings: ImageSettings, on_progress: Progress) -> Path:
        folder = Path(self._settings.cache_dir) if self._settings.cache_dir else Path.home() / ".cache/im-clues/images"
        place = folder / settings.sha256
        if place.exists():
            return place
        folder.mkdir(parents=True, exist_ok=True)
        on_progress(f"downloading {settings.url}")
        fresh = folder / f".{settings.sha256}.part"
        try:
            with urllib.request.urlopen(settings.url, timeout=_STALL_S) as answer, fresh.open("wb") as file:  # noqa: S310 - https, by the settings
                while part := answer.read(_CHUNK):
                    file.write(part)
        except urllib.error.HTTPError as error:
            raise NotFound(f"{settings.url}: the server answers {error.code} {error.reason}") from error
        except (OSError, HTTPException) as error:
            raise Transient(f"{settings.url} cannot be fetched: {error}", "check the network, or set `path`") from error
        found = _digest(fresh)
        if found != settings.sha256:
            fresh.unlink()
            raise Misconfigured(f"{settings.url} has the SHA-256 {found}, not {settings.sha256}")
        fresh.rename(place)
        return place


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise Misconfigured(f"the file {path} of an image cannot be read: {error.strerror}") from error


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Misconfigured(f"the image {path} cannot be read: {error.strerror}") from error


def _key(name: str, settings: ImageSettings) -> str:
    """Name an image's volumes: another content, another name."""
    facts = [settings.sha256]
    for text in (settings.path, settings.kernel, settings.initrd):
        if text and not (text == settings.path and settings.sha256):
            _size(Path(text))
            found = Path(text).stat()
            facts.append(f"{text}:{found.st_size}:{found.st_mtime_ns}")
    digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:12]
    return f"{PREFIX}{re.sub('[^A-Za-z0-9_-]', '-', name)[:60]}-{digest}"
