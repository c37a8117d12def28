"""Where fake machines are written down: one small file each, or memory."""

import contextlib
import fcntl
import itertools
import os
import re
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from im_client.providers.things import Thing
from infracore.errors import Misconfigured

__all__ = ["FolderWorld", "Image", "Machine", "MemoryWorld", "World"]

_ID: Final = re.compile(r"fake-[A-Za-z0-9._-]{1,128}")
_THING: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")


class Machine(msgspec.Struct, frozen=True):
    """What is written down of a machine. Holds no secret."""

    id: str
    name: str
    token: str
    infrastructure: str
    number: int
    """Counts up from 0 in one world."""
    ready_at: float
    """Seconds since the epoch until which it is PENDING; 0: never."""
    private_address: str
    public_address: str | None
    user: str
    host_key: str | None
    got: dict[str, int | str]
    stopped: bool = False
    fault: str = ""
    has_no_room: bool = False
    created_at: float = 0.0


class Image(msgspec.Struct, frozen=True):
    """What is written down of a saved machine."""

    id: str
    name: str
    group: str
    infrastructure: str
    machine: str
    created_at: float


class World(Protocol):
    """A place for machines. Safe under threads."""

    def by_id(self, machine_id: str) -> Machine | None: ...

    def add(self, machine: Machine) -> Machine:
        """Write a new machine down, or return the one that has this id already."""
        ...

    def put(self, machine: Machine) -> None:
        """Replace what is written of a machine."""
        ...

    def remove(self, machine_id: str) -> None:
        """Absent: succeeds."""
        ...

    def all(self) -> Sequence[Machine]: ...

    def images(self) -> Sequence[Image]: ...

    def put_image(self, image: Image) -> None: ...

    def remove_image(self, image_id: str) -> None:
        """Absent: succeeds."""
        ...

    def things(self) -> Sequence[Thing]: ...

    def put_thing(self, thing: Thing) -> None: ...

    def remove_thing(self, thing_id: str) -> None:
        """Absent: succeeds."""
        ...

    def next_number(self) -> int: ...

    def count(self, fault: int, times: int) -> bool:
        """Count a fault; say whether it is still among its first `times`."""
        ...


class MemoryWorld:
    """A world for one process."""

    def __init__(self) -> None:
        self._machines: dict[str, Machine] = {}
        self._images: dict[str, Image] = {}
        self._things: dict[str, Thing] = {}
        self._numbers = itertools.count()
        self._faults: Counter[int] = Counter()
        self._lock = threading.Lock()

    def by_id(self, machine_id: str) -> Machine | None:
        return self._machines.get(machine_id)

    def add(self, machine: Machine) -> Machine:
        with self._lock:
            return self._machines.setdefault(machine.id, machine)

    def put(self, machine: Machine) -> None:
        with self._lock:
            self._machines[machine.id] = machine

    def remove(self, machine_id: str) -> None:
        with self._lock:
            self._machines.pop(machine_id, None)

    def all(self) -> Sequence[Machine]:
        with self._lock:
            return list(self._machines.values())

    def images(self) -> Sequence[Image]:
        return list(self._images.values())

    def put_image(self, image: Image) -> None:
        self._images[image.id] = image

    def remove_image(self, image_id: str) -> None:
        self._images.pop(image_id, None)

    def things(self) -> Sequence[Thing]:
        with self._lock:
            return list(self._things.values())

    def put_thing(self, thing: Thing) -> None:
        with self._lock:
            self._things[thing.id] = thing

    def remove_thing(self, thing_id: str) -> None:
        with self._lock:
            self._things.pop(thing_id, None)

    def next_number(self) -> int:
        with self._lock:
            return next(self._numbers)

    def count(self, fault: int, times: int) -> bool:
        with self._lock:
            self._faults[fault] += 1
            return self._faults[fault] <= times


class FolderWorld:
    """A world that outlives the process: `FOLDER/machines/ID.json`, put in place whole.

    Not synced to the disk: it is safe against a killed process, not against a power cut, which is all that its use
    asks for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._machines = folder / "machines"
        self._images = folder / "images"
        self._things = folder / "things"
        self._lock = threading.Lock()
        self._fresh = itertools.count()
        try:
            for place in (self._machines, self._images, self._things):
                place.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Misconfigured(
                f"cannot use {folder} for fake machines: {error}",
                "set state_dir of the provider fake to another folder",
            ) from error

    def by_id(self, machine_id: str) -> Machine | None:
        return _read(self._path(machine_id)) if _ID.fullmatch(machine_id) else None

    def add(self, machine: Machine) -> Machine:
        fresh = self._write(machine)
        try:
            os.link(fresh, self._path(machine.id))
        except FileExistsError:
            return self.by_id(machine.id) or machine
        finally:
            fresh.unlink()
        return machine

    def put(self, machine: Machine) -> None:
        self._write(machine).replace(self._path(machine.id))

    def remove(self, machine_id: str) -> None:
        if _ID.fullmatch(machine_id):
            self._path(machine_id).unlink(missing_ok=True)

    def all(self) -> Sequence[Machine]:
        found = (_read(path) for path in self._machines.iterdir() if path.suffix == ".json")
        return [machine for machine in found if machine is not None]

    def images(self) -> Sequence[Image]:
        return [msgspec.json.decode(path.read_bytes(), type=Image) for path in self._images.iterdir()]

    def put_image(self, image: Image) -> None:
        self._write(image).replace(self._images / f"{image.id}.json")

    def remove_image(self, image_id: str) -> None:
        if _ID.fullmatch(image_id):
            (self._images / f"{image_id}.json").unlink(missing_ok=True)

    def things(self) -> Sequence[Thing]:
        found = []
        for path in self._things.iterdir():
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                found.append(msgspec.json.decode(path.read_bytes(), type=Thing))
        return found

    def put_thing(self, thing: Thing) -> None:
        self._write(thing).replace(self._things / f"{thing.id}.json")

    def remove_thing(self, thing_id: str) -> None:
        if _THING.fullmatch(thing_id):
            (self._things / f"{thing_id}.json").unlink(missing_ok=True)

    def next_number(self) -> int:
        return self._add_one("next")

    def count(self, fault: int, times: int) -> bool:
        return self._add_one(f"fault-{fault}") < times

    def _path(self, machine_id: str) -> Path:
        return self._machines / f"{machine_id}.json"

    def _write(self, thing: Machine | Image | Thing) -> Path:
        fresh = self._folder / f"fresh.{os.getpid()}.{next(self._fresh)}"
        fresh.write_bytes(msgspec.json.encode(thing))
        return fresh

    def _add_one(self, counter: str) -> int:
        """Return a number of a file and write the next one; no two threads or processes get the same."""
        with self._lock:
            fd = os.open(self._folder / counter, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                number = int(os.read(fd, 32) or b"0")
                os.pwrite(fd, str(number + 1).encode(), 0)
            finally:
                os.close(fd)
        return number


def _read(path: Path) -> Machine | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Machine)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise Misconfigured(f"the fake machine {path} is damaged: {error}", "delete the file") from error
