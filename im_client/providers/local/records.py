"""Machines on disk: one folder each, with a manifest that is there before anything else is made."""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from infracore.errors import InvalidUsage, Locked, NotFound
from infracore.files import write_durably

__all__ = ["Manifest", "Records", "VolumeRecord", "file_lock", "is_locked"]

_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_MANIFEST: Final = "machine.json"


class VolumeRecord(msgspec.Struct, frozen=True):
    """A disk beside the root disk: a file system in a sparse file `volumes/NAME.img` of the machine's folder."""

    name: str
    size_bytes: int
    mount_path: str
    fs_type: str = "ext4"


class Manifest(msgspec.Struct, frozen=True):
    """All that must be known of a machine to finish, run, find and remove it. Holds no secret."""

    token: str
    infrastructure: str
    name: str
    kind: str
    base: str = ""
    """Folder (nspawn; several with colons between, the uppermost first) or file (qemu) of the base image."""
    golden: str = ""
    """Name of the golden image that it started from; `base` then names the image's layers too."""
    image: str = ""
    """For people: `debian bookworm`."""
    address: str = ""
    link: str = ""
    """Name of the network namespace and of the veth on the bridge."""
    port: int = 22
    """Port of ssh."""
    ssh_address: str = ""
    """Where ssh answers, if not on `address`."""
    disk_bytes: int | None = None
    stop_by: float = 0.0
    """Seconds since the epoch after which a machine that shuts down is powered off (qemu)."""
    public: bool = False
    num_cpus: int | None = None
    mem_bytes: int | None = None
    volumes: tuple[VolumeRecord, ...] = ()
    tags: dict[str, str] = {}
    host_key: str = ""
    """Public half."""
    made: bool = False
    """Whether everything on disk is complete."""
    wanted: str = "running"
    """What was last asked for: `running`, `stopped` or `deleted`."""
    boot: str = ""
    """Boot id of this computer when it was last started."""


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock file (made on first use) against other processes and threads.

    The file may be removed by its holder: who waited for a removed file looks again.

    Raises:
        Locked: somebody holds it, and `wait` is False.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if _is_same_file(fd, path):
                yield
                return
        except BlockingIOError as error:
            raise Locked(f"another process holds {path}") from error
        finally:
            os.close(fd)


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock file now."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class Records:
    """The folders of machines below `STATE/machines`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._machines = root / "machines"
        self._locks = root / "locks"

    def make(self) -> None:
        """Make the folders; readable by the owner alone, for the machines hold host keys."""
        for folder in (self.root, self._machines, self._locks):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o711)

    def folder(self, token: str) -> Path:
        """Return the folder of a machine, which need not exist.

        Raises:
            InvalidUsage: it is no token: 1 to 40 of a-z, 0-9 and hyphen.
        """
        if _TOKEN.fullmatch(token) is None:
            raise InvalidUsage(f"{token!r} is no token of a local machine", "use a-z, 0-9 and hyphens, 40 at most")
        return self._machines / token

    @contextmanager
    def machine_lock(self, token: str) -> Iterator[None]:
        """Keep other processes and threads from changing this machine meanwhile; waits for them."""
        self.folder(token)
        self.make()
        path = self._locks / f"{token}.lock"
        with file_lock(path):
            yield
            if not self.folder(token).exists():
                path.unlink(missing_ok=True)

    def is_busy(self, token: str) -> bool:
        """Tell whether somebody is changing the machine right now."""
        return is_locked(self._locks / f"{token}.lock")

    @contextmanager
    def network_lock(self) -> Iterator[None]:
        """Keep others from choosing addresses and from changing the bridge; held for a second at most."""
        self.make()
        with file_lock(self.root / "network.lock"):
            yield

    def save(self, manifest: Manifest) -> None:
        """Store a manifest durably."""
        folder = self.folder(manifest.token)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_durably(folder / _MANIFEST, msgspec.json.encode(manifest))

    def load(self, token: str) -> Manifest:
        """Read a manifest.

        Raises:
            NotFound: there is no such machine.
        """
        path = self.folder(token) / _MANIFEST
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except FileNotFoundError as error:
            raise NotFound(f"there is no local machine {token}") from error

    def all(self) -> tuple[Manifest, ...]:
        """Read every manifest; machines that vanish meanwhile are left out."""
        found = []
        for path in sorted(self._machines.glob(f"*/{_MANIFEST}")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Manifest))
            except FileNotFoundError:
                continue
        return tuple(found)

    def remove(self, token: str) -> None:
        """Remove a machine's folder: the manifest last, so that what is half removed is still found."""
        folder = self.folder(token)
        if not folder.exists():
            return
        for entry in folder.iterdir():
            if entry.name == _MANIFEST:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        shutil.rmtree(folder)
