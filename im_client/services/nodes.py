"""Finding the boards of a fleet on the network, and writing down where they are."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from im_client.flash.discover.keys import Recorded, read_recorded
from im_client.flash.discover.look import Places, look
from im_client.flash.discover.match import usable
from im_client.flash.discover.model import Finding, KeyState, Wanted
from im_client.flash.fleet import Fleet
from im_client.flash.known import FOLDER, KnownBoards, names_of
from im_client.inventory.host_vars import Change, set_variable
from infracore.clock import Clock
from infracore.errors import Cancelled, InfraError, InvalidUsage
from infracore.exitcodes import ExitCode

__all__ = ["Report", "Search", "discover_nodes", "wanted_of"]

_PAUSE_S: Final = 3.0
_LONGEST_PAUSE_S: Final = 30.0
"""Each pause is longer than the one before: a slow board keeps what was given up on, and its sshd admits ten such
connections (MaxStartups) for two minutes (LoginGraceTime)."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and what is done with what is found."""

    places: Places = Places()  # noqa: RUF009 (frozen)
    limit_s: float = 60.0
    wait: bool = False
    """Look again until every board of the fleet has proved its key, or until the time is over."""
    write_to: Path | None = None
    """The inventory in whose `host_vars` the addresses are put."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found."""

    findings: tuple[Finding, ...]
    missing: tuple[Wanted, ...] = ()
    """Boards of the fleet that no machine was matched to."""
    changes: tuple[tuple[str, Change], ...] = ()
    """Board -> what was written of it."""
    unwritten: tuple[tuple[str, str], ...] = ()
    """Board -> why its address was not written, where it was to be."""

    @property
    def impostors(self) -> tuple[Finding, ...]:
        """Machines that are matched to a board and do not have its key."""
        return tuple(one for one in self.findings if one.key is KeyState.CHANGED)

    @property
    def exit_code(self) -> ExitCode:
        """FAILED where a machine has a wrong key, PARTLY_DONE where a board is missing or was not written."""
        if self.impostors:
            return ExitCode.FAILED
        return ExitCode.PARTLY_DONE if self.missing or self.unwritten else ExitCode.DONE


def wanted_of(fleet: Fleet) -> tuple[Wanted, ...]:
    """Return the boards of a fleet as far as it helps to find them."""
    return tuple(
        Wanted(
            name=board.name,
            hostname=board.node.hostname,
            mac=board.mac,
            serial=board.serial,
            user=board.node.user,
            address=board.address,
            names=names_of(board.node),
        )
        for board in fleet.boards
    )


def discover_nodes(
    fleet: Sequence[Wanted] | None,
    search: Search,
    *,
    state_dir: Path,
    clock: Clock,
    cancel: threading.Event,
    tell: Callable[[str], None],
) -> Report:
    """Look for the boards of a fleet; without one, for those that were flashed from here.

    Raises:
        InvalidUsage: `wait` without a fleet. Cancelled: `cancel` was set; nothing is written then.
        Misconfigured: a recorded key or a lease file cannot be read, or a program is missing.
    """
    recorded = read_recorded(state_dir / FOLDER)
    if search.wait and fleet is None:
        raise InvalidUsage("there is nothing to wait for without an inventory", "im nodes discover -i INVENTORY --wait")
    boards = _flashed(recorded) if fleet is None else tuple(fleet)
    findings = _until_found(boards, recorded, search, clock=clock, cancel=cancel, tell=tell)
    matched = {one.board for one in findings}
    missing = () if fleet is None else tuple(board for board in boards if board.name not in matched)
    if search.write_to is None:
        return Report(findings, missing)
    changes, unwritten = _written(search.write_to, boards, findings)
    known = KnownBoards(state_dir)
    for board in boards:
        address = next((change.after for name, change in changes if name == board.name), "")
        if address:  # so that ssh and Ansible find the key under the address that they are given
            known.remember(board.hostname, recorded.key_of(board.hostname, address), (*board.names, address))
    return Report(findings, missing, changes, unwritten)


def _flashed(recorded: Recorded) -> tuple[Wanted, ...]:
    return tuple(Wanted(name, name) for name in recorded.keys)


def _until_found(
    boards: Sequence[Wanted],
    recorded: Recorded,
    search: Search,
    *,
    clock: Clock,
    cancel: threading.Event,
    tell: Callable[[str], None],
) -> tuple[Finding, ...]:
    ends = clock.monotonic() + search.limit_s
    pause_s = _PAUSE_S
    while True:
        left = ends - clock.monotonic()
        findings = look(boards, recorded, search.places, limit_s=left, clock=clock, cancel=cancel, tell=tell)
        absent = [board.name for board in boards if board.name not in usable(findings)]
        left = ends - clock.monotonic()
        if not search.wait or not absent or left <= _PAUSE_S:
            return findings
        tell(f"waiting for {', '.join(absent)}")
        if clock.wait(cancel, max(_PAUSE_S, min(pause_s, left - _PAUSE_S))):
            raise Cancelled(f"interrupted while waiting for {', '.join(absent)}")
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def _written(
    inventory: Path, boards: Sequence[Wanted], findings: Sequence[Finding]
) -> tuple[tuple[tuple[str, Change], ...], tuple[tuple[str, str], ...]]:
    """Write the addresses of boards that have proved their key, and of no other."""
    best = usable(findings)
    changes: list[tuple[str, Change]] = []
    unwritten: list[tuple[str, str]] = []
    for board in boards:
        if board.name in best:
            try:
                changes.append(
                    (board.name, set_variable(inventory, board.name, "ansible_host", best[board.name].address))
                )
            except InfraError as error:
                unwritten.append((board.name, error.message))
        else:
            seen = [one for one in findings if one.board == board.name]
            unwritten.append((board.name, seen[0].note or f"its key is {seen[0].key}" if seen else "not found"))
    return tuple(changes), tuple(unwritten)
