"""What all drivers of individually powered machines share: many at once, each in order, within the time.

Turning a machine on that is on changes nothing, so the same token twice is no danger, also after a restart.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from clues.options import MachineOption, Pool
from clues.power.base import Limits, MachineReport, Order, PowerState, Receipt
from clues.power.common import gather, own
from infracore.deadline import Deadline
from infracore.errors import InfraError, Misconfigured, NotFound

__all__ = ["Fleet", "Individuals", "Seen"]

_T = TypeVar("_T")
_R = TypeVar("_R")
Seen = tuple[PowerState, str]
"""State, and a detail for people."""


class Fleet(ABC):
    """What drivers that ask their machines side by side have in common.

    `_turn_off`, `_look` and `_faults` block for one machine.
    """

    def __init__(self, name: str, limits: Limits, pools: Sequence[Pool]) -> None:
        self.name = name
        self.limits = limits
        self._pools = own(pools, name)
        self._closing = threading.Event()
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()
        self._threads = ThreadPoolExecutor(limits.parallel, thread_name_prefix=f"power-{name}")
        for pool in self._pools.values():
            if not pool.machines:
                raise Misconfigured(
                    f"pool {pool.name}: driver {name} turns single machines on, and `machines` is empty"
                )

    # what a driver says

    @abstractmethod
    def _turn_off(self, machine: MachineOption, deadline: Deadline) -> None: ...

    @abstractmethod
    def _look(self, machine: MachineOption, deadline: Deadline) -> Seen: ...

    def _faults(self) -> list[str]:
        return []

    def _each(self, things: Sequence[_T], call: Callable[[_T, Deadline], _R], what: Callable[[_T], str]) -> list[_R]:
        """Call for all at once; the time of the call is the same for all, also for those that wait for a thread."""
        if self._closing.is_set():
            raise Misconfigured(f"driver {self.name} is closed")
        futures = [
            self._threads.submit(call, thing, Deadline(what(thing), self.limits.call_s, self._closing))
            for thing in things
        ]
        done: list[_R] = []
        errors: list[InfraError] = []
        for future in futures:
            try:
                done.append(future.result())
            except InfraError as error:
                errors.append(error)
        if errors:
            raise gather(errors)
        return done

    # the protocol

    def off(self, pool: str, machines: Sequence[str], *, token: str) -> None:  # noqa: ARG002 (the contract)
        def one(name: str, deadline: Deadline) -> None:
            try:
                machine = self._known(pool, name)
            except NotFound:
                return  # taken out of the settings: not ours any more
            with self._alone(machine, deadline):
                self._turn_off(machine, deadline)

        self._each(machines, one, lambda name: f"turn off {name}")

    def list(self, pool: str) -> Sequence[MachineReport]:
        wrong: dict[str, InfraError] = {}

        def one(machine: MachineOption, deadline: Deadline) -> MachineReport:
            try:
                state, detail = self._look(machine, deadline)
            except InfraError as error:  # one machine that does not answer hides no other
                if isinstance(error, (Misconfigured, NotFound)):
                    wrong[machine.name] = error
                state, detail = PowerState.UNKNOWN, error.message
            facts = {"address": machine.address} if machine.address else {}
            return MachineReport(machine.name, pool, state, machine.node or machine.name, detail=detail, facts=facts)

        reports = self._each(self._pool(pool).machines, one, lambda machine: f"look at {machine.name}")
        if wrong and len(wrong) == len(reports):  # then it is not the machines
            raise gather(list(wrong.values()))
        return reports

    def check(self) -> Sequence[str]:
        try:
            return tuple(self._faults())
        except InfraError as error:
            return (error.message,)

    def close(self) -> None:
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)  # their programs are ended by `closing`

    # helpers of drivers

    def _wait_off(self, machine: MachineOption, deadline: Deadline, within_s: float, poll_s: float) -> bool:
        """Look again and again; return whether it went off. What cannot be told counts as not yet."""
        patience = Deadline(f"wait for {machine.name}", within_s, self._closing)
        while True:
            if self._look(machine, deadline)[0] is PowerState.OFF:
                return True
            try:
                patience.pause(poll_s)
                patience.left()
            except InfraError:
                deadline.left()
                return False

    def _pool(self, name: str) -> Pool:
        pool = self._pools.get(name)
        if pool is None:
            raise NotFound(f"driver {self.name} serves no pool {name!r}", "see `pools` in the settings")
        return pool

    def _known(self, pool: str, name: str) -> MachineOption:
        machine = next((m for m in self._pool(pool).machines if m.name == name), None)
        if machine is None:
            raise NotFound(f"pool {pool} has no machine {name!r}", "see `machines` of the pool in the settings")
        return machine

    @contextmanager
    def _alone(self, machine: MachineOption, deadline: Deadline) -> Iterator[None]:
        """On and off of one machine never overlap."""
        with self._locks_lock:
            lock = self._locks.setdefault(machine.name, threading.Lock())
        deadline.hold(lock)
        try:
            yield
        finally:
            lock.release()


class Individuals(Fleet):
    """A driver is this with `_turn_on`, `_turn_off`, `_look` and `_faults`, which block for one machine."""

    def on(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        def one(order: Order, deadline: Deadline) -> Receipt:
            machine = self._known(order.pool, order.machine.name if order.machine else "")
            with self._alone(machine, deadline):
                self._turn_on(machine, deadline)
            return Receipt(order.token, machine.name, machine.node or machine.name)

        return self._each(orders, one, lambda order: f"turn on {order.machine.name if order.machine else '?'}")

    @abstractmethod
    def _turn_on(self, machine: MachineOption, deadline: Deadline) -> None: ...
