"""One look at all places: who is there, which board each is, and whether that is proved."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final

from im_client.flash.discover.examine import Examiner
from im_client.flash.discover.keys import Recorded
from im_client.flash.discover.leases import read_leases
from im_client.flash.discover.match import machines_of, matched
from im_client.flash.discover.mdns import ask, questions_for
from im_client.flash.discover.model import Finding, Sighting, Wanted, is_raspberry_pi
from im_client.flash.discover.neighbours import own_networks, read_neighbours
from im_client.flash.discover.sweep import Network, sweep
from infracore.clock import Clock
from infracore.errors import Cancelled

__all__ = ["Places", "look"]

_AT_ONCE: Final = 16
_LEAST_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Places:
    """Where and how is looked."""

    root: Path = Path("/")
    """Below it stand the lease files that are known."""
    leases: tuple[Path, ...] = ()
    """More of them."""
    sweep: Network | None = None
    """A network each address of which is asked."""
    prefixes: tuple[str, ...] = ()
    """More MAC prefixes to take for those of boards."""
    everything: bool = False
    """Tell of machines that are no Raspberry Pi and no board of the fleet too."""
    listen_s: float = 2.5
    """How long answers of multicast DNS are waited for; 0: nobody is asked."""
    port: int = 22
    key_file: str = ""


@dataclass(slots=True)
class _Seen:
    sightings: list[Sighting] = field(default_factory=list)

    def machines(self, boards: Sequence[Wanted]) -> tuple[Finding, ...]:
        return tuple(matched(one, boards) for one in machines_of(self.sightings))


def look(
    boards: Sequence[Wanted],
    recorded: Recorded,
    places: Places,
    *,
    limit_s: float,
    clock: Clock,
    cancel: threading.Event,
    tell: Callable[[str], None],
) -> tuple[Finding, ...]:
    """Look once. What was not asked when the time is over is returned as not asked.

    Raises:
        Cancelled: `cancel` was set.
        Misconfigured: a program is missing, or a lease file cannot be read.
    """
    ends = clock.monotonic() + limit_s
    seen = _Seen()
    tell("reading the neighbour table and DHCP leases")
    seen.sightings += read_leases(places.root, clock.now(), places.leases)
    seen.sightings += read_neighbours(cancel)
    if places.sweep is not None:

        def progress(done: int, of: int) -> None:
            tell(f"asked {done} of {of} addresses of {places.sweep}")

        seen.sightings += sweep(places.sweep, port=places.port, clock=clock, cancel=cancel, on_progress=progress)
    networks = own_networks(cancel)
    if networks and places.listen_s > 0:
        tell("asking by multicast DNS")
        seen.sightings += _named(seen, boards, places, networks, clock=clock, cancel=cancel)
    if networks or places.sweep is not None:
        seen.sightings += read_neighbours(cancel)
    own = {str(interface.ip) for _, interface in networks}
    chosen = [one for one in seen.machines(boards) if _is_of_interest(one, places) and one.address not in own]
    asked = Examiner(recorded, {board.name: board for board in boards}, places.port, places.key_file)
    return _examined(asked, chosen, max(_LEAST_S, ends - clock.monotonic()), cancel, tell)


def _named(
    seen: _Seen,
    boards: Sequence[Wanted],
    places: Places,
    networks: Sequence[tuple[str, IPv4Interface]],
    *,
    clock: Clock,
    cancel: threading.Event,
) -> tuple[Sighting, ...]:
    nameless = [one.address for one in machines_of(seen.sightings) if not one.hostname and _is_board(one, places)]
    questions = questions_for((board.hostname for board in boards), nameless)
    return ask(questions, networks, listen_s=places.listen_s, clock=clock, cancel=cancel)


def _is_board(one: Finding, places: Places) -> bool:
    return is_raspberry_pi(one.mac, places.prefixes)


def _is_of_interest(one: Finding, places: Places) -> bool:
    return bool(one.board) or places.everything or "sweep" in one.sources or _is_board(one, places)


def _examined(
    examiner: Examiner, found: list[Finding], limit_s: float, cancel: threading.Event, tell: Callable[[str], None]
) -> tuple[Finding, ...]:
    """Ask machines for their host keys, several at once."""
    if not found:
        return ()
    tell(f"asking {len(found)} machine{'s' if len(found) > 1 else ''} for the SSH host key")
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="discover")
    try:
        futures = [pool.submit(examiner.examine, one) for one in found]
        wait(futures, timeout=limit_s)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if cancel.is_set():
        raise Cancelled("interrupted while machines were asked for their host keys")
    return tuple(
        future.result() if future.done() and not future.cancelled() else replace(one, note="not asked in time")
        for one, future in zip(found, futures, strict=True)
    )
