"""The settings of the provider `raspberry_pi`."""

from collections.abc import Mapping
from typing import Final

import msgspec

from infracore.outlets.halting import HALT_S, SETTLE_S

__all__ = ["STARTING", "RaspberryPiSettings"]

STARTING: Final[Mapping[str, int]] = {"plug": 4, "poe": 4}
"""How many boards start at once where it is not set, by how the power of the next one is switched."""


class RaspberryPiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be set."""

    inventory: str = ""
    """The fleet: a file or folder that `ansible-inventory -i` takes; see docs/howto/raspberry-pi-provider.md."""
    state_dir: str = ""
    """Folder of claims. Whoever shares boards shares this folder."""
    flash_dir: str = ""
    """Folder in which `im flash` records host keys: `HOSTNAME/host_key.pub` and `known_hosts`."""
    ansible_inventory: str = ""
    """Path of the program `ansible-inventory`."""
    connect_timeout_s: float = 5.0
    """How long a board may take to answer before it counts as silent."""
    starting: int | None = None
    """How many boards start at once, for the sake of a PoE switch or power supply; 0: any number; None: as `STARTING`
    says."""
    boot_s: float = 300.0
    """How long a board may take from power to SSH; 30 to 90 s are usual, the first boot of a card takes longer."""
    settle_s: float = SETTLE_S
    """How long a board is silent before its power is cut: the network may end before the file systems are unmounted."""
    halt_s: float = HALT_S
    """How long it may refuse SSH without a break before its power is cut: then its shutdown hangs."""
