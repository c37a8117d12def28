"""What is done about one claimed board: power on, keys in, keys out, shutdown, power off. Each is one short step."""

import contextlib
from typing import Final, Literal

import msgspec

from im_client.plan.model import Phase
from im_client.providers.base import MachineRequest
from im_client.providers.hosts.account import add_keys, remove_keys
from im_client.providers.hosts.reaching import command_as_root
from im_client.providers.hosts.reservations import Reservations, slot_of
from im_client.providers.raspberry_pi.boards import ClaimableBoard
from im_client.providers.raspberry_pi.claims import Claim
from im_client.providers.raspberry_pi.halting import Answer, after, by_steady_clock, knock
from im_client.providers.raspberry_pi.settings import STARTING, RaspberryPiSettings
from im_client.remote.shell import Shell, open_shell
from infracore.clock import Clock, boot_id
from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    Misconfigured,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
)

__all__ = ["COMMAND_S", "NOT_NOW", "NO_SWITCH", "Care", "wanting"]

COMMAND_S: Final = 15.0
NO_SWITCH: Final = "it does not answer, and nobody can switch its power"
NOT_NOW: Final = (Transient, TimedOut, Unauthorised, Conflict, CommandFailed, Misconfigured, NotFound)
"""What makes a board unfit for now: the next one is tried."""


class Care:
    """Keeps the claims as it goes. The caller lets one thread at a time do something about a claim."""

    def __init__(self, settings: RaspberryPiSettings, claims: Reservations[Claim], clock: Clock) -> None:
        self._settings = settings
        self._claims = claims
        self._clock = clock

    def wake(self, board: ClaimableBoard, claim: Claim, request: MachineRequest) -> Claim:
        """Switch the board on where it is off, and let the keys in where it answers already."""
        if claim.is_let_in or claim.wanted != "on":
            return claim
        if board.power is not None and not board.power.is_on():
            return self.power_on(board, claim)
        if knock(board.host.access, self._settings.connect_timeout_s) is Answer.OPEN:
            return self.let_in(board, claim, request)
        if board.power is None:
            raise Transient(NO_SWITCH)
        return claim

    def power_on(self, board: ClaimableBoard, claim: Claim) -> Claim:
        """Switch a board on, or let it wait while as many as may are starting; a later look goes on with it."""
        now, most = self._clock.now(), self._settings.starting
        if most is None:
            most = STARTING.get(board.power.kind, 0) if board.power is not None else 0
        with self._claims.locked():
            others = [one for one in self._claims.all() if one.token != claim.token]
            starting = sum(self._is_starting(one, now) for one in others)
            is_waiting = 0 < most <= starting
            claim = msgspec.structs.replace(claim, since=now, is_waiting=is_waiting, has_answered=False)
            self._claims.replace(claim)
        if board.power is not None and not is_waiting:
            board.power.switch(True)
        return claim

    def _is_starting(self, claim: Claim, now: float) -> bool:
        is_begun = claim.wanted == "on" and not claim.is_waiting and not claim.has_answered
        return is_begun and now - claim.since < self._settings.boot_s

    def let_in(self, board: ClaimableBoard, claim: Claim, request: MachineRequest) -> Claim:
        slot = slot_of(board.host)
        left = tuple(t for t in self._claims.left_tokens(slot) if t != request.token)
        with self.shell(board) as shell:
            if left:
                remove_keys(shell, left, timeout_s=COMMAND_S)
                with self._claims.locked():
                    self._claims.leave(slot, ())
            add_keys(shell, request.authorized_keys, request.token, timeout_s=COMMAND_S)
        return self.put(msgspec.structs.replace(claim, is_let_in=True))

    def take_keys(self, board: ClaimableBoard, claim: Claim) -> None:
        slot = slot_of(board.host)
        tokens: tuple[str, ...] = (*self._claims.left_tokens(slot), claim.token)
        passing = (Transient, TimedOut, CommandFailed) if board.power is not None else NOT_NOW
        with contextlib.suppress(*passing), self.shell(board) as shell:
            remove_keys(shell, tokens, timeout_s=COMMAND_S)
            tokens = ()
        with self._claims.locked():
            self._claims.leave(slot, tokens)

    def halt(self, claim: Claim, board: ClaimableBoard) -> None:
        """Begin a shutdown, or go on with it."""
        if claim.wanted == "on":
            claim = self.put(wanting(claim, "off", self._clock.now()))
        self.go_on(claim, board)

    def let_go(self, claim: Claim, board: ClaimableBoard) -> None:
        """Take our keys away and begin the shutdown, or go on with it."""
        if claim.wanted != "free":
            self.take_keys(board, claim)
            claim = self.put(wanting(claim, "free", self._clock.now()))
        self.go_on(claim, board)

    def go_on(self, claim: Claim, board: ClaimableBoard) -> Claim | None:
        """Do the next of a start that waits or of a shutdown; None: the board was let go of."""
        if claim.wanted == "on":
            return self.power_on(board, claim) if claim.is_waiting else claim
        if board.power is not None and board.power.is_on():
            answer = knock(board.host.access, self._settings.connect_timeout_s)
            now = self._clock.now()
            claim = by_steady_clock(claim, now, self._clock.monotonic(), boot_id())
            claim, may_go = after(claim, answer, now, self._settings)
            if may_go:
                board.power.switch(False)
            elif answer is Answer.OPEN and claim.asked_at is None:
                claim = self._ask(board, claim)
            if not may_go:
                return self.put(claim)
        if claim.wanted == "free":
            self.release(claim.token)
            return None
        return claim

    def _ask(self, board: ClaimableBoard, claim: Claim) -> Claim:
        """Ask a board to shut down; one that goes down already is asked in vain."""
        command, stdin = command_as_root(board.host.access, "systemctl poweroff || poweroff")
        try:
            with self.shell(board) as shell:
                shell.run(command, timeout_s=COMMAND_S, stdin=stdin)
        except (Transient, TimedOut):
            return claim
        return msgspec.structs.replace(claim, asked_at=self._clock.now())

    def shell(self, board: ClaimableBoard) -> contextlib.AbstractContextManager[Shell]:
        if board.host.fault:
            raise Misconfigured(board.host.fault)
        return open_shell(board.host.access, connect_timeout_s=self._settings.connect_timeout_s)

    def hangs(self, board: ClaimableBoard, claim: Claim) -> bool:
        """Whether a board with power has long been silent: somebody shut it down, and only power wakes it."""
        is_late = self._clock.now() - claim.since >= self._settings.boot_s
        return is_late and knock(board.host.access, self._settings.connect_timeout_s) is Answer.SILENT

    def put(self, claim: Claim) -> Claim:
        """Store a claim, where it was not let go of meanwhile."""
        with self._claims.locked():
            self._claims.replace(claim)
        return claim

    def release(self, token: str) -> None:
        with self._claims.locked():
            self._claims.remove(token)

    def phase(self, claim: Claim, board: ClaimableBoard) -> tuple[Phase, str]:
        is_off = False
        silence = f"{board.host.access.address}:{board.host.access.port} does not answer"
        if claim.wanted == "free":
            return Phase.DELETING, ""
        if claim.is_waiting:
            return Phase.PENDING, ""
        answer = knock(board.host.access, self._settings.connect_timeout_s)
        if answer is Answer.OPEN:
            return Phase.RUNNING, ""
        if board.power is not None:
            try:
                is_off = not board.power.is_on()
            except InfraError as error:
                return Phase.UNKNOWN, f"{silence}, and its power cannot be told: {error.message}"
        if is_off:
            return Phase.STOPPED, ""
        if claim.wanted == "off":
            return Phase.RUNNING, ""
        if self._clock.now() - claim.since < self._settings.boot_s:
            return Phase.PENDING, ""
        if claim.is_let_in:
            return Phase.UNKNOWN, silence
        return Phase.FAILED, f"{silence} {self._settings.boot_s:g} s after it was switched on"


def wanting(claim: Claim, wanted: Literal["on", "off", "free"], now: float) -> Claim:
    claim = msgspec.structs.replace(claim, asked_at=None, closed_since=None, silent_since=None, clocks={})
    return msgspec.structs.replace(claim, wanted=wanted, since=now, is_waiting=False)
