"""The host keys that `im flash` has put on cards, as it recorded them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from im_client.remote.hostkeys import find_known_host, public_of
from infracore.errors import Misconfigured

__all__ = ["Recorded", "read_recorded"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of boards that were flashed from here."""

    keys: Mapping[str, str]
    """Hostname -> `ssh-ed25519 AAAA...`."""
    known_hosts: str = ""
    """The text of the file of all of them, which people may add lines to."""

    def key_of(self, hostname: str, address: str = "") -> str:
        """Return the key that a board must show, "" where none is recorded."""
        if hostname in self.keys:
            return self.keys[hostname]
        names = (hostname, f"{hostname}.local" if hostname else "", address)
        return next((key for name in names if name and (key := find_known_host(self.known_hosts, name, 22))), "")

    def owner_of(self, key: str) -> str:
        """Return the hostname that a key was made for, "" where it is nobody's."""
        return next((name for name, one in self.keys.items() if one == key), "")


def read_recorded(folder: Path) -> Recorded:
    """Read `$IM_STATE_DIR/raspberry_pi`: `<hostname>/host_key.pub` and `known_hosts`; either may be missing.

    Raises:
        Misconfigured: a file cannot be read, or holds no key. Passing over it would trust a machine unasked.
    """
    keys: dict[str, str] = {}
    path = folder
    try:
        for path in sorted(folder.glob("*/host_key.pub")):
            keys[path.parent.name] = public_of(path.read_text(encoding="utf-8"))
        path = folder / "known_hosts"
        known = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"cannot use the host key in {path}: {error}", "im flash writes it anew when it flashes the board"
        ) from error
    return Recorded(keys, known)
