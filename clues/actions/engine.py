"""What every action needs: calls in workers and what comes of them, the history, the book of machines.

All methods of the runner belong to the loop's thread.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from clues.actions.drainer import forgiving
from clues.actions.hooks import Hooks
from clues.actions.machines import MachineBook
from clues.actions.state import Live, PoolFailure, RemovalFailure, Turn
from clues.actions.workers import Outcome, Workers
from clues.drain.base import Drain
from clues.history import ActionKind, ActionRecord, History, Phase, Unwritable
from clues.options import Policy, Pool
from clues.power.base import MachineReport, PowerDriver
from clues.settings import ActionOptions
from clues.snapshot import MachineState
from infracore.clock import Clock
from infracore.errors import (
    Cancelled,
    InfraError,
    Misconfigured,
)
from infracore.retry import Backoff

__all__ = ["CLUSTER", "SEE_OPEN_S", "UNSAVED_PAUSE_S", "Engine", "NotLeading"]

CLUSTER: Final = None
"""In place of a driver: a call that asks the API server."""
UNSAVED_PAUSE_S: Final = 5.0
SEE_OPEN_S: Final = 30.0
"""How long a picture may take to show that a node was put back into use."""


class NotLeading(Cancelled):
    """A call was not made because another daemon may lead. It is made again if this one still does."""


class Engine(ABC):
    """What is under way, and how it is moved on. `Orders`, `Removals` and `Runner` build on it, in this order."""

    def __init__(
        self,
        *,
        pools: Sequence[Pool],
        policy: Policy,
        options: ActionOptions,
        drivers: Mapping[str, PowerDriver],
        drain: Drain,
        hooks: Hooks,
        history: History,
        book: MachineBook,
        workers: Workers,
        clock: Clock,
        post: Callable[[Callable[[], None]], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._drain = drain
        self._history = history
        self._book = book
        self._workers = workers
        self._clock = clock
        self._post = post
        self._jitter = jitter
        self._lives: dict[str, Live] = {}
        self._last_list: dict[str, float] = {}
        self._listing: set[str] = set()
        self._reports: dict[str, dict[str, MachineReport]] = {}
        self.turns: list[Turn] = []
        self.failures: list[PoolFailure] = []
        self.removal_failures: list[RemovalFailure] = []
        self.driver_problems: dict[str, str] = {}
        self.problem = ""
        """Why nothing is ordered or turned off although it should; "" if nothing."""
        self.may_act: Callable[[], bool] = lambda: True
        """Asked again in the worker, right before something is done: an order may have waited for its turn."""
        self.suspended = False
        """Not the leader: nothing is begun and nothing goes on."""
        self.listed: set[str] = set()
        """Pools whose driver has listed its machines since the start."""
        self.configure(pools=pools, policy=policy, options=options, drivers=drivers, hooks=hooks)

    def configure(
        self,
        *,
        pools: Sequence[Pool],
        policy: Policy,
        options: ActionOptions,
        drivers: Mapping[str, PowerDriver],
        hooks: Hooks,
    ) -> None:
        """Take over settings; what is under way goes on with them."""
        self._pools = {pool.name: pool for pool in pools}
        self._policy = policy
        self._options = options
        self._drivers = drivers
        self._hooks = hooks
        self._retry = Backoff(attempts=options.attempts, first_s=options.retry_first_s, most_s=options.retry_most_s)

    def actions(self) -> tuple[ActionRecord, ...]:
        """Return all that is under way, oldest first."""
        return tuple(live.record for live in self._lives.values())

    def of_node(self, node: str) -> ActionRecord | None:
        """Return the removal that is under way for a node."""
        live = self._removal_of(node)
        return None if live is None else live.record

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._lives)

    @property
    def has_listed(self) -> bool:
        """Whether every driver has said once what is there, or that it cannot: before, nothing new is begun."""
        return all(
            name in self.listed or name in self.driver_problems
            for name, pool in self._pools.items()
            if pool.driver in self._drivers
        )

    def next_due(self) -> float | None:
        """Return the monotonic time at which something is to be looked at without any event; None: nothing is."""
        times = [t for live in self._lives.values() if not live.busy for t in (live.not_before, live.ends_at) if t]
        return min(times, default=None)

    @abstractmethod
    def _call_failed(self, live: Live, error: InfraError) -> None:
        """Go on after a phase's call failed."""

    @abstractmethod
    def _off_failed(self, live: Live, error: InfraError) -> None:
        """Go on after a machine could not be turned off."""

    # calls and their outcomes

    def _call(
        self,
        live: Live,
        driver: PowerDriver | None,
        call: Callable[[], Any],
        done: Callable[[Live, Any], None],
        *,
        limit_s: float | None = None,
    ) -> None:
        if live.busy or self.suspended:
            return
        live.busy, live.call = True, live.call + 1
        number = live.call
        key = "api-server" if driver is None else driver.name
        if limit_s is None:
            limit_s = 120.0 + self._longest_hook() if driver is None else self._limit(driver, 1)

        def finish(outcome: Outcome[Any]) -> None:
            if live.call != number or self.suspended:
                return
            live.busy = False
            if isinstance(outcome.error, NotLeading):
                live.not_before = self._mono() + UNSAVED_PAUSE_S
            elif outcome.error is None:
                live.failures = 0
                done(live, outcome.value)
            else:
                self._call_failed(live, outcome.error)

        self._workers.submit(
            key,
            self._only_leading(call),
            lambda outcome: self._post(lambda: finish(outcome)),
            parallel=driver.limits.parallel if driver is not None else 1_000_000,
            limit_s=limit_s,
        )

    def _only_leading(self, call: Callable[[], Any]) -> Callable[[], Any]:
        def guarded() -> Any:
            if self.suspended or not self.may_act():
                raise NotLeading("this daemon does not lead any more")
            return call()

        return guarded

    def _failed(self, live: Live, error: InfraError, give_up: Callable[[Live, InfraError], None] | None) -> None:
        """Try the phase's call again after a pause, or give up if that is of no use or was tried often enough."""
        live.failures += 1
        passing = forgiving(error)
        if give_up is not None and (not passing or live.failures >= self._retry.attempts):
            give_up(live, error)
            return
        pause = self._retry.pause_s(min(live.failures, 12), error) * (1.0 + self._jitter())
        live.not_before = self._mono() + pause
        self._put(live, msgspec.structs.replace(live.record, error=error.message))

    def _turn_off(self, live: Live, done: Callable[[Live, Any], None]) -> None:
        record = live.record
        driver = self._drivers.get(self._driver_name(record.pool))
        if driver is None:
            self._off_failed(live, Misconfigured(f"pool {record.pool} has no driver", "see `drivers` in the settings"))
            return
        target = record.machine

        def call() -> None:
            found = target
            if not found:  # given up before the driver had named it
                named = [r.machine for r in driver.list(record.pool) if r.token == record.token]
                found = named[0] if named else ""
            if found:
                driver.off(record.pool, [found], token=record.token)

        self._call(live, driver, call, done)

    # storing and telling

    def _move(self, live: Live, phase: Phase, *, intent: bool = False, **changes: Any) -> bool:
        """Bring an action into a phase; with `intent` only if that is on the disk, else it is stored once it can be."""
        record = msgspec.structs.replace(live.record, phase=phase, since=self._clock.now(), **changes)
        stored = self._store([record], intent=intent)
        if intent and not stored:
            live.not_before = self._mono() + UNSAVED_PAUSE_S
            return False
        live.unsaved = not stored
        live.failures = 0
        live.not_before = 0.0
        self._turned(live, record)
        if not record.is_open:
            self._end(live)
        return True

    def _end(self, live: Live) -> None:
        record = live.record
        if not live.unsaved:
            self._lives.pop(record.token, None)
        if record.kind is ActionKind.POWER_ON and record.group and record.phase is not Phase.DONE:
            for other in self._lives.values():
                if other.record.group == record.group and other.record.kind is ActionKind.POWER_OFF:
                    other.failed, other.why_return = True, f"what was to replace it did not come: {record.error}"

    def _turned(self, live: Live, record: ActionRecord) -> None:
        before = live.record.phase
        live.record = record
        self.turns.append(Turn(before, record))

    def _put(self, live: Live, record: ActionRecord) -> None:
        """Change an action without another phase."""
        live.record = record
        live.unsaved = not self._store([record])

    def _save(self, live: Live) -> None:
        live.unsaved = not self._store([live.record])
        if not live.unsaved and not live.record.is_open:
            self._lives.pop(live.record.token, None)

    def _store(self, records: Sequence[ActionRecord], *, intent: bool = False) -> bool:
        try:
            self._history.put_actions(records, intent=intent)
        except Unwritable as error:
            self.problem = f"{error.message}: nothing is ordered or turned off until it can be"
            return False
        self.problem = ""
        return True

    def _tell(self, hook: str, *words: str) -> None:
        if self._hooks.is_set(hook):
            hooks = self._hooks
            self._workers.submit("hooks", lambda: hooks.tell(hook, words), lambda _outcome: None, parallel=4)

    # small things

    def _mono(self) -> float:
        return self._clock.monotonic()

    def _removal_of(self, node: str) -> Live | None:
        for live in self._lives.values():
            if live.record.node == node and live.record.kind is ActionKind.POWER_OFF:
                return live
        return None

    def _driver_name(self, pool: str) -> str:
        found = self._pools.get(pool)
        return found.driver if found is not None else ""

    def _keeps(self, pool: str) -> bool:
        found = self._pools.get(pool)
        if found is None:
            return True
        return found.powered if found.keep_node_object is None else found.keep_node_object

    def _node_name(self, pool: str, machine: str) -> str:
        option = self._book.option(pool, machine)
        return (option.node or option.name) if option is not None else ""

    def _limit(self, driver: PowerDriver, orders: int) -> float:
        """When a call counts as hung: the driver ends it itself long before, unless it is broken."""
        return driver.limits.call_s * 1.5 + 10.0 + self._longest_hook() * (orders + 1)

    def _longest_hook(self) -> float:
        return 200.0 if any(self._hooks.is_set(name) for name in ("pre_poweron", "pre_poweroff", "request")) else 0.0

    def _book_order(self, record: ActionRecord) -> None:
        """Count a machine as coming; one that has no name yet goes by its token."""
        name = record.machine or record.token
        machine = self._book.get(record.pool, name)
        since = record.created_at
        if machine is None or machine.order != record.token:
            self._book.change(
                record.pool, name, state=MachineState.BOOTING, since=since, node=record.node, order=record.token
            )

    def _unbook(self, record: ActionRecord, state: MachineState | None) -> None:
        """Take back that a machine is coming."""
        if self._book.option(record.pool, record.machine) is None:
            self._book.forget(record.pool, record.machine or record.token)
        elif state is not None:
            self._book.change(record.pool, record.machine, state=state, since=self._clock.now(), order="")

    def _mark_stopping(self, record: ActionRecord) -> None:
        self._book.change(
            record.pool,
            record.machine,
            state=MachineState.STOPPING,
            since=self._clock.now(),
            node=record.node,
            order=record.token,
        )

    def _count_failure(self, record: ActionRecord, state: MachineState, error: InfraError) -> None:
        machine = self._book.get(record.pool, record.machine)
        if machine is not None:
            self._book.change(
                record.pool,
                record.machine,
                state=state,
                since=self._clock.now(),
                order="",
                failures=machine.failures + 1,
                reason=error.message,
            )
