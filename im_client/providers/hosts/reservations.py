"""Who has which host: one file a reservation, under a lock, durable against a crash."""

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from im_client.providers.hosts.host import Host
from infracore.errors import Misconfigured
from infracore.files import write_durably

__all__ = ["Reservation", "Reservations", "slot_of"]


class Reservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One host that is taken."""

    host: str
    token: str
    infrastructure: str
    name: str
    address: str
    port: int
    user: str

    @property
    def provider_id(self) -> str:
        """The id of the machine: the same host reserved again is another machine."""
        return f"{self.host}:{self.token}"


def slot_of(host: Host) -> str:
    """Return the name of the file that reserves a host; two files of hosts that name one address share it."""
    place = f"{host.access.address}:{host.access.port}"
    return hashlib.sha256(place.encode()).hexdigest()[:20]


_R = TypeVar("_R", bound=Reservation)


class Reservations(Generic[_R]):
    """The folder of reservations of one kind. Safe under threads and processes."""

    def __init__(self, folder: Path, kind: type[_R]) -> None:
        self._kind = kind
        self._folder = folder / "reservations"
        self._left = folder / "left-keys"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the folder. Never while a host is spoken to."""
        self._make()
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def all(self) -> tuple[_R, ...]:
        """Return every reservation, by host."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # released meanwhile
                found.append(self._read(path))
        return tuple(sorted(found, key=lambda r: r.host))

    def taken_slots(self) -> frozenset[str]:
        """Return the slots that are taken."""
        return frozenset(path.stem for path in self._folder.glob("*.json"))

    def by_token(self, token: str) -> _R | None:
        """Return the reservation that carries a token."""
        return next((r for r in self.all() if r.token == token), None)

    def by_id(self, provider_id: str) -> _R | None:
        """Return the reservation of a machine."""
        return next((r for r in self.all() if r.provider_id == provider_id), None)

    def put(self, slot: str, reservation: _R) -> None:
        """Write a reservation whole, or not at all."""
        _write(self._folder / f"{slot}.json", msgspec.json.encode(reservation))

    def replace(self, reservation: _R) -> None:
        """Write a reservation anew where it is, whatever the host's address is now; one that was released stays so."""
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                if self._read(path).token == reservation.token:
                    _write(path, msgspec.json.encode(reservation))

    def remove(self, token: str) -> None:
        """Release the host that carries a token."""
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                if self._read(path).token == token:
                    path.unlink()

    def left_tokens(self, slot: str) -> tuple[str, ...]:
        """Return the tokens of keys that are still on a host, since it could not be reached at the delete."""
        try:
            return tuple((self._left / slot).read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return ()

    def leave(self, slot: str, tokens: tuple[str, ...]) -> None:
        """Note which keys are still on a host; none: forget it."""
        if tokens:
            _write(self._left / slot, "\n".join(dict.fromkeys(tokens)).encode())
        else:
            (self._left / slot).unlink(missing_ok=True)

    def _read(self, path: Path) -> _R:
        try:
            return msgspec.json.decode(path.read_bytes(), type=self._kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Misconfigured(f"the reservation {path} is damaged: {error}", "examine and remove it") from error

    def _make(self) -> None:
        try:
            for folder in (self._folder, self._left):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Misconfigured(f"cannot make {error.filename}: {error.strerror}", "set state_dir") from error


def _write(path: Path, content: bytes) -> None:
    try:
        write_durably(path, content)
    except OSError as error:
        raise Misconfigured(f"cannot write {path}: {error.strerror}", "see state_dir and its disk") from error
