"""Which SSH host key a machine has, and what it says of itself once that is known.

A key that is only shown proves nothing: it is public. A machine is the board when it can sign with the private half,
which is what every SSH connection begins with; a login that is refused afterwards proves it just as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from im_client.flash.discover.keys import Recorded
from im_client.flash.discover.match import serial_fits
from im_client.flash.discover.model import Finding, KeyState, Wanted
from im_client.remote.access import Access
from im_client.remote.first_use import scan
from im_client.remote.shell import open_shell
from infracore.errors import Conflict, TimedOut, Transient, Unauthorised

__all__ = ["Examiner"]

_CONNECT_S: Final = 5.0
_RUN_S: Final = 15.0
_SERIAL: Final = "cat /proc/device-tree/serial-number 2>/dev/null || sed -n 's/^Serial[[:space:]]*: //p' /proc/cpuinfo"
_SERIAL_LENGTHS: Final = range(8, 17)


@dataclass(frozen=True, slots=True)
class Examiner:
    """Asks machines. Safe under threads."""

    recorded: Recorded
    boards: Mapping[str, Wanted]
    """By name."""
    port: int = 22
    key_file: str = ""
    """With which is logged in; "": the user's own agent and keys."""

    def examine(self, finding: Finding) -> Finding:
        """Return a machine with what its host key says. Blocks for up to 25 seconds.

        Raises:
            Misconfigured: ssh-keyscan is not installed, or an address that ssh cannot use.
        """
        shown = scan(Access(finding.address, port=self.port)) or ""
        seen = replace(finding, shown_key=shown)
        if not shown:
            return replace(seen, note=seen.note or "no answer on SSH")
        board = self.boards.get(finding.board)
        if board is None:
            board = self._owner(shown)
            if board is None:
                return replace(seen, key=KeyState.UNKNOWN)
            seen = replace(seen, board=board.name, by="key")
        expected = self.recorded.key_of(board.hostname, finding.address)
        if not expected:
            return replace(seen, key=KeyState.UNKNOWN, note=seen.note or f"no key of {board.hostname} is recorded here")
        return self._prove(seen, board, expected)

    def _owner(self, shown: str) -> Wanted | None:
        hostname = self.recorded.owner_of(shown)
        return next((board for board in self.boards.values() if hostname and board.hostname == hostname), None)

    def _prove(self, finding: Finding, board: Wanted, expected: str) -> Finding:
        """Connect with the one key that the board may show."""
        access = Access(
            finding.address,
            user=board.user or "root",
            port=self.port,
            host_key=expected,
            private_key_file=self.key_file or None,
        )
        try:
            with open_shell(access, connect_timeout_s=_CONNECT_S) as shell:
                said = shell.run(_SERIAL, timeout_s=_RUN_S, check=False).stdout
        except Unauthorised:
            return replace(finding, key=KeyState.KNOWN)
        except Conflict:
            if finding.by == "key":
                why = f"it shows the key of {board.name} and cannot sign with it"
            else:
                why = f"not the key that was put on the card of {board.hostname}"
            return replace(finding, key=KeyState.CHANGED, note=why)
        except (Transient, TimedOut) as error:
            return replace(finding, note=f"the key could not be checked: {error.message}")
        serial = said.strip("\0 \r\n").lower()
        if len(serial) not in _SERIAL_LENGTHS or not serial.isalnum():
            serial = ""
        note = finding.note
        if serial and board.serial and not serial_fits(serial, board.serial):
            note = f"the card of {board.name} is in the board {serial}, not in {board.serial}"
        return replace(finding, key=KeyState.KNOWN, serial=serial, note=note)
