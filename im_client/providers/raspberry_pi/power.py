"""How a board's power is switched, as `raspberry_pi_power` of the inventory says."""

import contextlib
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from infracore.deadline import Deadline
from infracore.errors import CommandFailed, Misconfigured, NotFound
from infracore.outlets.plug import Plug, PlugAccess
from infracore.outlets.poe import PoeSwitch, SwitchAccess
from infracore.process import run
from infracore.secret_source import SecretSource

__all__ = ["Power", "decode_power"]

CALL_S: Final = 20.0
"""Limit of one look at a switch, and of one change."""
_PLACE: Final = re.compile(r"\{([a-z]+)\}")
_BOOLEANS: Final[Mapping[object, str]] = {True: "on", False: "off", "true": "on", "false": "off"}
"""`on:` and `off:` without quotes are no words in YAML 1.1, and Ansible's JSON has them as `true` and `false`."""
_HINT: Final = "see docs/howto/raspberry-pi-provider.md"


class Power(Protocol):
    """The power of one board. Safe under threads; both block for seconds at most and raise typed errors."""

    kind: str
    where: str
    """What is switched, for people."""
    place: str
    """The same for the same outlet."""

    def is_on(self) -> bool:
        """Read it."""
        ...

    def switch(self, on: bool) -> None:
        """Set it, and read it back."""
        ...


class _Poe(SwitchAccess, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="poe"):
    port: int
    """Of the switch, from 1."""


class _Plug(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="plug"):
    plug: Literal["shelly1", "shelly2", "tasmota"]
    address: str
    outlet: int = 1
    user: str = "admin"
    password: SecretSource = SecretSource()
    request_s: float = 5.0


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="command"):
    on: tuple[str, ...]
    off: tuple[str, ...]
    status: tuple[str, ...]
    """Ends with 0 where the board has power, with 1 where it has none."""


class _None(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="none"):
    pass


def decode_power(text: Mapping[str, Any], where: str, board: Mapping[str, str]) -> Power | None:
    """Read `raspberry_pi_power`; None: nobody can switch it. `board` fills `{name}` and the like in commands.

    Raises:
        Misconfigured: unknown keys, wrong types, an outlet that cannot be; the message begins with `where`.
    """
    try:
        words = {_BOOLEANS.get(key, key): value for key, value in text.items()}
        read = msgspec.convert(words or {"kind": "none"}, _Poe | _Plug | _Command | _None, strict=False)
        return _made(read, board)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{where}: raspberry_pi_power: {error}", _HINT) from error
    except Misconfigured as error:
        raise Misconfigured(f"{where}: raspberry_pi_power: {error.message}", error.hint or _HINT) from error


def _made(read: _Poe | _Plug | _Command | _None, board: Mapping[str, str]) -> Power | None:
    match read:
        case _Poe():
            if read.port < 1:
                raise Misconfigured("port is the switch port, from 1")
            fields = {name: getattr(read, name) for name in SwitchAccess.__struct_fields__}
            return _PoePort(SwitchAccess(**fields), read.port)
        case _Plug():
            if not (math.isfinite(read.request_s) and read.request_s > 0):
                raise Misconfigured(f"request_s: {read.request_s} is no number of seconds")
            access = PlugAccess(kind=read.plug, user=read.user, password=read.password, request_s=read.request_s)
            return _Outlet(Plug(access, read.address, read.outlet), f"outlet {read.outlet} of {read.address}")
        case _Command():
            if not (read.on and read.off and read.status):
                raise Misconfigured("on, off and status are programs with their words")
            return _Commands(read.on, read.off, read.status, board)
        case _None():
            return None


class _PoePort:
    kind = "poe"

    def __init__(self, access: SwitchAccess, port: int) -> None:
        self._switch, self._port = PoeSwitch(access), port
        group = f", group {access.group}" if access.group != 1 else ""
        self.where = f"port {port} of {access.switch}{group}"
        self.place = f"port {port} of {self._switch.place}{group}"

    def is_on(self) -> bool:
        with _no_such_outlet():
            return self._switch.is_on(self._port, _deadline(self.where))

    def switch(self, on: bool) -> None:
        with _no_such_outlet():
            self._switch.switch(self._port, on, _deadline(self.where))


class _Outlet:
    kind = "plug"

    def __init__(self, plug: Plug, where: str) -> None:
        self._plug, self.where, self.place = plug, where, plug.place

    def is_on(self) -> bool:
        with _no_such_outlet():
            return self._plug.is_on(_deadline(self.where))

    def switch(self, on: bool) -> None:
        with _no_such_outlet():
            self._plug.switch(on, _deadline(self.where))


class _Commands:
    kind = "command"

    def __init__(self, on: Sequence[str], off: Sequence[str], status: Sequence[str], board: Mapping[str, str]) -> None:
        self._on, self._off, self._status = ([_filled(word, board) for word in words] for words in (on, off, status))
        self.where = self.place = " ".join(self._on)

    def is_on(self) -> bool:
        done = run(self._status, timeout_s=CALL_S, check=False)
        if done.status not in {0, 1}:
            said = " ".join((done.stderr or done.stdout).split())[-300:]
            raise CommandFailed(f"{self._status[0]} ended with status {done.status}, neither 0 nor 1: {said}")
        return done.status == 0

    def switch(self, on: bool) -> None:
        run(self._on if on else self._off, timeout_s=CALL_S)
        if self.is_on() is not on:
            raise CommandFailed(f"{(self._on if on else self._off)[0]} said yes, and the power is not switched")


@contextlib.contextmanager
def _no_such_outlet() -> Iterator[None]:
    """Tell that an outlet is not there in other words than that a machine is not."""
    try:
        yield
    except NotFound as error:
        raise Misconfigured(error.message, error.hint) from error


def _filled(word: str, board: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda found: board.get(found[1], found[0]), word)


def _deadline(what: str) -> Deadline:
    return Deadline(what, CALL_S, threading.Event())
