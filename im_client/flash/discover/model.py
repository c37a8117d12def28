"""What is looked for and what is found."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["Finding", "KeyState", "Sighting", "Wanted", "is_raspberry_pi", "plain_mac", "serial_of_mac"]

PREFIXES: Final = ("b8:27:eb", "dc:a6:32", "e4:5f:01", "28:cd:c1", "d8:3a:dd", "2c:cf:67", "88:a2:9e")
"""MAC prefixes that the IEEE has given to the Raspberry Pi companies (its list of MA-L, "Raspberry Pi")."""
_OLD_PREFIX: Final = "b8:27:eb"
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class KeyState(StrEnum):
    """What the SSH host key of a machine says about it."""

    KNOWN = "known"
    """The machine holds the private half of the key that was put on the board's card: it signed with it."""
    UNKNOWN = "unknown"
    """It shows a key, and none is recorded to compare it with."""
    CHANGED = "changed"
    """It shows another key than the recorded one: an impostor, or a card that something else has flashed."""
    NONE = "none"
    """It does not answer on SSH, or was not asked in time."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One line of one place where machines are looked for."""

    address: str
    mac: str = ""
    """In small letters with colons; "" where the place does not tell."""
    hostname: str = ""
    """Without a domain."""
    source: str = ""
    """`neighbours`, `leases`, `mdns` or `sweep`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A board of a fleet, as far as it helps to find it. Text that is not known is ""."""

    name: str
    hostname: str
    mac: str = ""
    serial: str = ""
    user: str = ""
    address: str = ""
    """Where the inventory says that it is."""
    names: tuple[str, ...] = ()
    """What else it is reached under: for known_hosts."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One machine."""

    address: str
    mac: str = ""
    hostname: str = ""
    """What it calls itself: anybody can."""
    sources: tuple[str, ...] = ()
    board: str = ""
    """Name in the inventory of the board that it is, or says it is."""
    by: str = ""
    """What it was matched by: `key`, `mac`, `serial`, `hostname` or `address`."""
    key: KeyState = KeyState.NONE
    shown_key: str = ""
    """`ssh-ed25519 AAAA...` as it was shown."""
    serial: str = ""
    """As the machine told it over ssh; only asked where the key is known."""
    note: str = ""

    @property
    def is_trusted(self) -> bool:
        """Whether it is the board that it is matched to."""
        return self.key is KeyState.KNOWN and bool(self.board)


def plain_mac(text: str) -> str:
    """Return a MAC address in small letters with colons, "" where it is none."""
    mac = text.strip().lower().replace("-", ":")
    return mac if _MAC.fullmatch(mac) else ""


def is_raspberry_pi(mac: str, more: tuple[str, ...] = ()) -> bool:
    """Say whether an address of the network card was given out by Raspberry Pi, or begins with one of `more`."""
    return mac.startswith((*PREFIXES, *more))


def serial_of_mac(mac: str) -> str:
    """Return the last six digits of the board's serial number; "" where the MAC does not tell.

    Boards up to the Raspberry Pi 3 take their MAC from the serial number; from the Raspberry Pi 4 on it is a number
    of its own (Raspberry Pi documentation, TFTP_PREFIX).
    """
    return mac.replace(":", "")[6:] if mac.startswith(_OLD_PREFIX) else ""


def by_hostname(boards: tuple[Wanted, ...]) -> Mapping[str, Wanted]:
    """Return the boards by their hostnames, in small letters."""
    return {board.hostname.lower(): board for board in boards if board.hostname}
