"""The provider itself: claiming, powering, looking, letting go. Nothing blocks longer than a login and a switch take.

What takes longer goes on at each look: `get` and `list_machines` see whether a board that is to lose its power is down,
and cut it then. A process that is killed meanwhile leaves a claim that the next look goes on with.
"""

import contextlib
import dataclasses
import hashlib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Instance, MachineRequest, Progress
from im_client.providers.hosts.choose import UNSUPPORTED, choose, refusal, unsupported_fields
from im_client.providers.hosts.reaching import addresses, command_as_root
from im_client.providers.hosts.reservations import Reservations, slot_of
from im_client.providers.quotas import Quota, Share
from im_client.providers.raspberry_pi.asks import board_refusal, in_our_words
from im_client.providers.raspberry_pi.boards import ClaimableBoard, read_boards, stamp_of
from im_client.providers.raspberry_pi.care import COMMAND_S, NO_SWITCH, NOT_NOW, Care, wanting
from im_client.providers.raspberry_pi.claims import Claim, is_at, is_of
from im_client.providers.raspberry_pi.examine import examine
from im_client.providers.raspberry_pi.halting import Answer, knock
from im_client.providers.raspberry_pi.settings import RaspberryPiSettings
from im_client.providers.registry import decode_settings
from im_client.remote.shell import open_shell
from infracore.clock import Clock, SystemClock
from infracore.errors import (
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    Transient,
    Unsupported,
)

__all__ = ["RaspberryPiProvider", "open_provider"]

_LOOKERS: Final = 16
_DISCHARGE_S: Final = 3.0
"""How long a board is without power, so that it really begins anew."""


def open_provider(settings: Mapping[str, Any]) -> "RaspberryPiProvider":
    """Open the provider with its section of the settings. Raises Misconfigured."""
    return RaspberryPiProvider(decode_settings("raspberry_pi", settings, RaspberryPiSettings))


class RaspberryPiProvider:
    """See `Provider` in `im_client.providers.base`, and the package."""

    name = "raspberry_pi"

    def __init__(self, settings: RaspberryPiSettings, clock: Clock | None = None) -> None:
        for field in ("inventory", "state_dir", "flash_dir", "ansible_inventory"):
            if not getattr(settings, field):
                raise Misconfigured(
                    f"the provider raspberry_pi has no {field}",
                    "im deploy --set inventory=FILE, or inventory in its settings; "
                    "see docs/howto/raspberry-pi-provider.md",
                )
        for field in ("boot_s", "settle_s", "halt_s", "connect_timeout_s"):
            value = getattr(settings, field)
            if not (math.isfinite(value) and value >= 0) or (field == "connect_timeout_s" and value == 0):
                raise Misconfigured(f"{field} of the provider raspberry_pi: {value} is no number of seconds")
        self._settings = settings
        self._clock: Clock = clock or SystemClock()
        self._inventory = Path(settings.inventory).expanduser()
        self._claims = Reservations(Path(settings.state_dir).expanduser(), Claim)
        self._care = Care(settings, self._claims, self._clock)
        self._read: tuple[object, tuple[ClaimableBoard, ...]] | None = None
        self._reading = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    def limits(self) -> Limits:
        """Nothing is changed in place; what needs a machine to be made is refused."""
        return Limits(provider=self.name, unsupported=UNSUPPORTED)

    def check(self) -> Sequence[Finding]:
        """Look at the inventory, and at each board: host key, SSH port, power."""
        return examine(self.boards, self._settings)

    def prepare(self, on_progress: Progress) -> None:
        """Nothing is shared by the boards; the inventory is read, so that what is wrong shows early."""
        on_progress(f"{len(self.boards())} boards")

    def quotas(self) -> Quota:
        """Count the boards, and what they have where the inventory tells their models."""
        self._let_go()
        boards, taken = self.boards(), self._taken()
        mine = [one.host for one in boards if one.board.name in taken]

        def share(field: str) -> Share:
            sizes = [getattr(one.host, field) for one in boards]
            if None in sizes:
                return Share()
            return Share(sum(getattr(host, field) for host in mine), sum(sizes))

        return Quota(cpus=share("cpus"), memory_bytes=share("mem_bytes"), machines=Share(len(mine), len(boards)))

    def foretell(self, machines: Mapping[str, Spec]) -> Sequence[str]:
        """Say which board each machine would get now, by name. See `providers/foretelling.py`."""
        boards, taken, notes = self.boards(), set(self._taken()), []
        silent = {
            one.board.name: NO_SWITCH
            for one in boards
            if one.power is None and knock(one.host.access, self._settings.connect_timeout_s) is not Answer.OPEN
        }
        for name, spec in machines.items():
            board = self._choose(name, spec, boards, taken, dict(silent))
            taken.add(board.board.name)
            how = f"whose power is switched by {board.power.kind}" if board.power else "whose power nobody can switch"
            notes.append(f"{name} gets the board {board.board.name}, {how}")
        return notes

    def refusal(self, provider_id: str, action: str) -> str:
        """Say why a machine cannot be started or stopped. See `providers/foretelling.py`."""
        claim = self._claims.by_id(provider_id)
        board = self._board_of(claim) if claim is not None else None
        if board is None or board.power is not None or action not in {"start", "stop"}:
            return ""
        return f"the board {board.board.name} has no power that could be switched (raspberry_pi_power of the inventory)"

    def create(self, request: MachineRequest) -> Instance:
        """Claim the board that fits best and switch it on. One that runs already lets the request's keys in at once."""
        wrong = unsupported_fields(request.spec)
        if wrong:
            raise Unsupported(f"boards cannot be given {', '.join(wrong)}", "leave it out of the template")
        boards = self.boards()
        self._let_go()
        refused: dict[str, str] = {}
        while True:
            board, claim = self._claim(request, boards, refused)
            try:
                with self._held(claim) as held:
                    claim = self._care.wake(board, held, request)
            except NOT_NOW as error:
                self._care.release(claim.token)
                refused[board.board.name] = error.message
                continue
            return self._instance(claim, board)

    def settle(self, provider_id: str, request: MachineRequest) -> Instance:
        """Let the request's keys in once the board answers with its host key. See `providers/settling.py`."""
        claim, board = self._found(provider_id)
        if board is not None and not claim.is_let_in and claim.wanted == "on":
            with self._held(claim) as held:
                if knock(board.host.access, self._settings.connect_timeout_s) is Answer.OPEN and not held.is_let_in:
                    claim = self._care.let_in(board, held, request)
        instance = self.get(provider_id)
        if instance.phase is Phase.RUNNING and not claim.is_let_in:
            return dataclasses.replace(instance, phase=Phase.PENDING)
        return instance

    def get(self, provider_id: str) -> Instance:
        """Look at the board; go on with its shutdown where there is one."""
        claim, board = self._found(provider_id)
        if board is None:
            return self._instance(claim, None)
        with self._held(claim) as held:
            gone_on = self._care.go_on(held, board)
        if gone_on is None:
            raise NotFound(f"no board is claimed as {provider_id}")
        instance = self._instance(gone_on, board)
        if instance.phase is Phase.RUNNING and not gone_on.has_answered:
            with self._held(claim) as held:
                self._care.put(msgspec.structs.replace(held, has_answered=True))
        return instance

    def list_machines(self, infrastructure: str | None = None) -> Sequence[Instance]:
        """List the claimed boards; go on with what is being shut down."""
        mine = [claim for claim in self._claims.all() if infrastructure in (None, claim.infrastructure)]

        def look(claim: Claim) -> Instance | None:
            try:
                return self.get(claim.provider_id)
            except NotFound:
                return None
            except InfraError as error:  # one board that cannot be asked hides no other
                return self._instance(claim, self._board_of(claim), error.message)

        with ThreadPoolExecutor(_LOOKERS, thread_name_prefix="raspberry-pi-look") as pool:
            return [machine for machine in pool.map(look, mine) if machine is not None]

    def start(self, provider_id: str) -> None:
        """Switch the board on. One that is going down goes down first: call it again then."""
        known, board = self._sure(provider_id)
        with self._held(known) as claim:
            if board.power is None:
                if knock(board.host.access, self._settings.connect_timeout_s) is not Answer.OPEN:
                    raise Unsupported(f"{board.board.name} does not answer, and nobody can switch its power")
                return
            if claim.is_waiting:
                return
            is_on = board.power.is_on()
            if claim.wanted == "on" and is_on:
                if not self._care.hangs(board, claim):
                    return
                board.power.switch(False)
                self._clock.wait(threading.Event(), _DISCHARGE_S)
            elif is_on and self._care.go_on(claim, board) is not None and board.power.is_on():
                raise Transient(f"{board.board.name} is still going down", "run it again")
            self._care.power_on(board, wanting(claim, "on", self._clock.now()))

    def stop(self, provider_id: str) -> None:
        """Ask the board to shut down; its power is cut by a later look, once it is down."""
        known, board = self._sure(provider_id)
        if board.power is None:
            raise Unsupported(self.refusal(provider_id, "stop"), "im destroy releases the board and leaves it on")
        with self._held(known) as claim:
            self._care.halt(claim, board)

    def reboot(self, provider_id: str) -> None:
        """Restart the board by a command over SSH."""
        known, board = self._sure(provider_id)
        command, stdin = command_as_root(board.host.access, "systemctl reboot || reboot")
        with open_shell(board.host.access, connect_timeout_s=self._settings.connect_timeout_s) as shell:
            shell.run(command, timeout_s=COMMAND_S, stdin=stdin)
        with self._held(known) as claim:
            self._care.put(msgspec.structs.replace(claim, since=self._clock.now()))

    def resize(self, provider_id: str, spec: Spec) -> None:
        """Nothing is changed: succeeds where the board is large enough already."""
        claim, board = self._sure(provider_id)
        why = refusal(board.host, in_our_words(spec)) or board_refusal(board, spec.board)
        if why:
            raise Unsupported(f"the board {claim.host} cannot be changed: {why}")

    def delete(self, provider_id: str) -> None:
        """Take our keys away and let go of the board: at once where nobody can switch its power, else once it is off.

        One that cannot be reached is let go of all the same: its key is removed when it is claimed next.

        Raises:
            Unauthorised, Conflict: it runs and does not let us in, so that it cannot be shut down. Power stays.
        """
        claim = self._claims.by_id(provider_id)
        if claim is None:
            return
        board = next((one for one in self.boards() if one.board.name == claim.host), None)
        if board is None:
            self._care.release(claim.token)
            return
        with contextlib.suppress(NotFound), self._held(claim) as held:
            self._care.let_go(held, board)

    def console(self, provider_id: str) -> str:
        """Boards have none that we could read."""
        self._found(provider_id)
        return ""

    def close(self) -> None:
        """Nothing is kept open."""

    def boards(self) -> tuple[ClaimableBoard, ...]:
        """Return the boards of the inventory, read anew when its files have changed."""
        with self._reading:
            stamp = stamp_of(self._inventory) if self._inventory.exists() else ()
            if self._read is None or self._read[0] != stamp:
                program = Path(self._settings.ansible_inventory)
                flash_dir = Path(self._settings.flash_dir).expanduser()
                self._read = stamp, read_boards(self._inventory, program=program, flash_dir=flash_dir)
            return self._read[1]

    # what the calls above are made of

    def _choose(
        self, name: str, spec: Spec, boards: Sequence[ClaimableBoard], taken: set[str], refused: dict[str, str]
    ) -> ClaimableBoard:
        for one in boards:
            why = board_refusal(one, spec.board)
            if why:
                refused.setdefault(one.board.name, why)
        host = choose(name, in_our_words(spec), [one.host for one in boards], taken, refused)
        found = next((one for one in boards if host is not None and one.host.name == host.name), None)
        if found is None:
            why = "; ".join(f"{one.board.name}: {refused[one.board.name]}" for one in boards)
            raise NoCapacity(f"no board is free for {name} ({why})", "release one, or add one to the inventory")
        return found

    def _let_go(self) -> None:
        """Go on with the boards that are to be free: nobody may have looked at them since they were deleted."""
        for claim in self._claims.all():
            board = self._board_of(claim) if claim.wanted == "free" else None
            if board is not None and is_of(claim, board):
                with contextlib.suppress(InfraError):
                    self.get(claim.provider_id)

    def _taken(self) -> frozenset[str]:
        boards, taken = self.boards(), set[str]()
        for claim in self._claims.all():
            mine = [one for one in boards if is_of(claim, one)]
            taken.update(one.board.name for one in mine or [one for one in boards if is_at(claim, one)])
        return frozenset(taken)

    def _claim(
        self, request: MachineRequest, boards: Sequence[ClaimableBoard], refused: dict[str, str]
    ) -> tuple[ClaimableBoard, Claim]:
        with self._claims.locked():
            found = self._claims.by_token(request.token)
            known = next((one for one in boards if found is not None and one.board.name == found.host), None)
            if found is not None and known is not None:
                return known, found
            board = self._choose(request.name, request.spec, boards, set(self._taken()), refused)
            access = board.host.access
            claim = Claim(
                host=board.board.name,
                token=request.token,
                infrastructure=request.infrastructure,
                name=request.name,
                address=access.address,
                port=access.port,
                user=access.user,
                host_key=access.host_key or "",
                since=self._clock.now(),
            )
            slot = slot_of(board.host)
            if slot in self._claims.taken_slots():  # another board had this address when it was claimed
                slot = hashlib.sha256(request.token.encode()).hexdigest()[:20]
            self._claims.put(slot, claim)
            return board, claim

    def _found(self, provider_id: str) -> tuple[Claim, ClaimableBoard | None]:
        claim = self._claims.by_id(provider_id)
        if claim is None:
            raise NotFound(f"no board is claimed as {provider_id}")
        return claim, self._board_of(claim)

    def _sure(self, provider_id: str) -> tuple[Claim, ClaimableBoard]:
        claim, board = self._found(provider_id)
        if board is None:
            raise NotFound(f"the board {claim.host} is not in {self._inventory} any more")
        return claim, board

    def _board_of(self, claim: Claim) -> ClaimableBoard | None:
        """Return the board of a claim, None where the inventory no longer has it."""
        try:
            boards = self.boards()
        except InfraError:
            return None
        return next((one for one in boards if one.board.name == claim.host), None)

    @contextlib.contextmanager
    def _held(self, claim: Claim) -> Iterator[Claim]:
        """Let one thread at a time do something about a claim, as it stands then. Raises NotFound: it does not."""
        with self._locks_lock:
            lock = self._locks.setdefault(claim.token, threading.Lock())
        with lock:
            held = self._claims.by_token(claim.token)
            if held is None:
                raise NotFound(f"no board is claimed as {claim.provider_id}")
            yield held

    def _instance(self, claim: Claim, board: ClaimableBoard | None, fault: str = "") -> Instance:
        """Return the machine as it is; with `fault` it could not be told how it is."""
        instance = Instance(
            provider_id=claim.provider_id,
            name=claim.name,
            token=claim.token,
            infrastructure=claim.infrastructure,
            phase=Phase.UNKNOWN,
            private_address=claim.address,
            fault=fault or f"the board {claim.host} is not in {self._inventory} any more",
        )
        if board is None:
            return instance
        host = board.host
        phase, said = (Phase.UNKNOWN, fault) if fault else self._care.phase(claim, board)
        private, public = addresses(host)
        sizes = (("num_cpus", host.cpus), ("mem_bytes", host.mem_bytes))
        return dataclasses.replace(
            instance,
            phase=phase,
            private_address=private,
            public_address=public,
            access=host.access if not host.fault else None,
            spec={name: size for name, size in sizes if size is not None},
            fault=said,
        )
