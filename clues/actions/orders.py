"""Turning on: order, receipt, node, ready, uncordoned; or given up, turned off, and the pool at rest."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clues.actions.drainer import forgiving
from clues.actions.engine import CLUSTER, SEE_OPEN_S, UNSAVED_PAUSE_S, Engine, NotLeading
from clues.actions.state import Live, PoolFailure
from clues.actions.workers import Outcome
from clues.decision import PowerOn
from clues.history import ActionKind, ActionRecord, Phase
from clues.power.base import Order, PowerDriver, PowerState, Receipt
from clues.snapshot import MachineState, NodeState, Snapshot
from infracore.errors import (
    CommandFailed,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    TimedOut,
    Transient,
)
from infracore.ids import new_token

__all__ = ["Orders"]

_BOOTING_PHASES: Final = frozenset({Phase.ORDERING, Phase.BOOTING, Phase.ADMITTING})


class Orders(Engine):
    """The half of the runner that turns on."""

    def _new_orders(self, order: PowerOn, *, group: str = "", manual: bool = False) -> list[Live]:
        now = self._clock.now()
        names: Sequence[str] = order.machines if order.machines else [""] * order.count
        busy = {(live.record.pool, live.record.machine) for live in self._lives.values()}
        return [
            Live(
                ActionRecord(
                    token=new_token(),
                    kind=ActionKind.POWER_ON,
                    pool=order.pool,
                    created_at=now,
                    since=now,
                    machine=name,
                    node=self._node_name(order.pool, name),
                    reason=order.reason,
                    pods=order.pods[:50],
                    group=group,
                    manual=manual,
                )
            )
            for name in names
            if not name or (order.pool, name) not in busy
        ]

    def _start_orders(self) -> None:
        """Hand to the drivers what waits, as far as they let so many machines boot at once."""
        waiting: dict[str, list[Live]] = defaultdict(list)
        booting: dict[str, int] = defaultdict(int)
        mono = self._mono()
        for live in self._lives.values():
            if live.record.kind is not ActionKind.POWER_ON:
                continue
            if live.record.phase in _BOOTING_PHASES:
                booting[self._driver_name(live.record.pool)] += 1
            elif live.record.phase is Phase.QUEUED and not live.busy and mono >= live.not_before:
                waiting[live.record.pool].append(live)
        for pool, lives in waiting.items():
            name = self._driver_name(pool)
            driver = self._drivers.get(name)
            if driver is None:
                for live in lives:
                    self._order_failed(live, Misconfigured(f"pool {pool} has no driver {name!r}", "see `drivers`"))
                continue
            most = driver.limits.booting
            room = len(lives) if most is None else max(0, most - booting[name])
            if lives[:room]:
                booting[name] += len(lives[:room])
                self._order(pool, driver, lives[:room])

    def _order(self, pool: str, driver: PowerDriver, lives: list[Live]) -> None:
        """Store the intents, then hand the orders over: one call for all, or one each for individuals."""
        now, mono = self._clock.now(), self._mono()
        records = [
            msgspec.structs.replace(live.record, phase=Phase.ORDERING, since=now)
            if live.record.phase is not Phase.ORDERING
            else live.record
            for live in lives
        ]
        if not self._store(records, intent=True):
            for live in lives:
                if live.record.phase is Phase.QUEUED:
                    self._drop(live)
                live.not_before = mono + UNSAVED_PAUSE_S
            return
        for live, record in zip(lives, records, strict=True):
            self._turned(live, record)
            live.busy, live.call = True, live.call + 1
            live.ends_at = live.ends_at or mono + self._policy.max_provision_s
            self._book_order(record)
        individual = self._pools[pool].powered
        for group in [[live] for live in lives] if individual else [lives]:  # one that hangs holds up no other
            self._hand_over(pool, driver, group)

    def _hand_over(self, pool: str, driver: PowerDriver, lives: list[Live]) -> None:
        orders = []
        for live in lives:
            option = self._book.option(pool, live.record.machine) if live.record.machine else None
            orders.append(Order(live.record.token, pool, option))
        hooks = self._hooks
        calls = [live.call for live in lives]

        def call() -> tuple[Sequence[Receipt], InfraError | None, bool]:
            asked = hooks.ask("request", [pool, str(len(orders))])
            for order in orders:
                if not asked:
                    asked = hooks.ask("pre_poweron", [pool, order.machine.name if order.machine else order.token])
            if asked:
                return (), NoCapacity(f"forbidden by {asked}"), True
            try:
                return driver.on(orders), None, False
            except NoCapacity as error:
                # some may have been accepted: what the driver lists under our tokens is there
                return self._found(driver, pool, orders), error, True

        def done(outcome: Outcome[Any]) -> None:
            self._post(lambda: self._ordered(pool, lives, calls, outcome))

        self._workers.submit(
            driver.name,
            self._only_leading(call),
            done,
            parallel=driver.limits.parallel,
            limit_s=self._limit(driver, len(orders)),
        )

    def _drop(self, live: Live) -> None:
        """Forget an order that never was one, with what was to be replaced by it."""
        self._unbook(live.record, MachineState.OFF)
        group = live.record.group
        gone = [o for o in self._lives.values() if o is live or (group and o.record.group == group)]
        for other in gone:
            self._lives.pop(other.record.token, None)

    @staticmethod
    def _found(driver: PowerDriver, pool: str, orders: Sequence[Order]) -> Sequence[Receipt]:
        wanted = {order.token for order in orders}
        try:
            return [
                Receipt(report.token, report.machine, report.node)
                for report in driver.list(pool)
                if report.token in wanted and report.state is not PowerState.OFF
            ]
        except InfraError:
            return []  # the next list finds them, as machines that nobody ordered

    def _ordered(self, pool: str, lives: list[Live], calls: list[int], outcome: Outcome[Any]) -> None:
        receipts, error, final = outcome.value if outcome.value is not None else ((), outcome.error, False)
        said = {receipt.token: receipt for receipt in receipts if isinstance(receipt, Receipt)}
        taken = {receipt.machine for receipt in said.values()}
        for live, call in zip(lives, calls, strict=True):
            if live.call != call or self.suspended:
                continue
            live.busy = False
            if isinstance(error, NotLeading):
                live.not_before = self._mono() + UNSAVED_PAUSE_S
                continue
            receipt = said.get(live.record.token)
            option = self._book.option(pool, live.record.machine) if live.record.machine else None
            if receipt is not None and receipt.machine and (option is None or receipt.machine == option.name):
                self._accepted(live, receipt)
            elif final or (error is not None and not forgiving(error)):
                self._order_failed(live, error or NoCapacity(f"pool {pool}: the driver refused"))
            else:
                self._failed(
                    live,
                    error
                    or Transient(
                        f"the driver of pool {pool} accepted the order {live.record.token} and gave no receipt for it"
                        f"{f' (but for {sorted(taken)[:3]})' if taken else ''}"
                    ),
                    self._order_failed,
                )
        self._start_orders()

    def _accepted(self, live: Live, receipt: Receipt) -> None:
        record = live.record
        if record.machine != receipt.machine:
            self._unbook(record, None)
        node = receipt.node or self._node_name(record.pool, receipt.machine) or record.node
        record = msgspec.structs.replace(record, machine=receipt.machine, node=node)
        self._book_order(record)
        self._move(live, Phase.BOOTING, machine=receipt.machine, node=node, error="")
        self._tell("post_poweron", record.pool, receipt.machine, "1")

    def _find_order(self, live: Live) -> None:
        """Ask the driver again with the same token: it knows whether it has accepted the order."""
        driver = self._drivers.get(self._driver_name(live.record.pool))
        if driver is None:
            self._order_failed(live, Misconfigured(f"pool {live.record.pool} has no driver any more"))
            return
        if live.ends_at is not None and self._mono() >= live.ends_at:
            record = live.record

            def call() -> Sequence[Receipt]:
                return self._found(driver, record.pool, [Order(record.token, record.pool)])

            def done(_live: Live, found: Sequence[Receipt]) -> None:
                if found:
                    self._accepted(live, found[0])
                else:
                    self._order_failed(live, TimedOut("the order is too old to be given again"))

            self._call(live, driver, call, done)
            return
        self._order(live.record.pool, driver, [live])

    def _order_failed(self, live: Live, error: InfraError) -> None:
        """An order that came to nothing: the pool rests, the next one may serve at once."""
        record = live.record
        individual = self._book.option(record.pool, record.machine) is not None
        if individual and isinstance(error, CommandFailed | TimedOut | Transient | NotFound):
            self._count_failure(record, MachineState.FAILED, error)  # another machine of the pool may do
        else:
            self.failures.append(PoolFailure(record.pool, error.message, error))
            self._unbook(record, MachineState.OFF)
        self._move(live, Phase.FAILED, error=error.message)
        self._tell("post_poweron", record.pool, record.machine or record.token, "0")
        self._tell("offerr", record.pool, record.machine or record.token)

    def _await_node(self, live: Live, snapshot: Snapshot, mono: float) -> None:
        record = live.record
        machine = self._book.get(record.pool, record.machine)
        if machine is not None and machine.node and machine.node != record.node:
            record = msgspec.structs.replace(record, node=machine.node)
            self._put(live, record)
        state = snapshot.nodes.get(record.node) if record.node else self._unclaimed(record, snapshot)
        if state is not None and not record.node:
            record = msgspec.structs.replace(record, node=state.node.name)
            self._put(live, record)
            self._book.change(record.pool, record.machine, node=record.node)
        now = self._clock.now()
        ready = state is not None and self._book.is_ready(record.pool, record.machine, state, now)
        if state is not None and ready and not state.node.deleting:
            if state.node.unschedulable or self._keeps(record.pool) or self._drain.keeps_names:
                self._move(live, Phase.ADMITTING)
                self._admit(live)
            else:
                self._admitted(live)
        elif live.ends_at is not None and mono >= live.ends_at:
            what = "never became ready" if state is not None else "never registered as a node"
            self._give_up(live, f"{record.machine or record.token} {what} within {self._policy.max_provision_s:g} s")

    def _unclaimed(self, record: ActionRecord, snapshot: Snapshot) -> NodeState | None:
        """Find the node of a machine whose node name nobody could tell: one of the pool that came after the order."""
        for state in snapshot.nodes.values():
            if (
                state.pool == record.pool
                and state.node.created_at >= record.created_at
                and self._book.of_node(state.node.name) is None
            ):
                return state
        return None

    def _admit(self, live: Live) -> None:
        """Let pods onto the node: it was cordoned and marked when it was parked."""
        node = live.record.node
        self._call(live, CLUSTER, lambda: self._drain.uncordon(node), self._opened)

    def _opened(self, live: Live, _value: object) -> None:
        live.opened_until = self._mono() + SEE_OPEN_S

    def _await_open(self, live: Live, snapshot: Snapshot, mono: float) -> None:
        """Let the machine count as coming until the picture has its node in use: it would be ordered twice."""
        state = snapshot.nodes.get(live.record.node)
        seen = state is not None and state.node.ready and not state.node.unschedulable
        if live.opened_until is None:
            self._admit(live)
        elif seen or mono >= live.opened_until:  # somebody else's cordon stays
            self._admitted(live)

    def _admitted(self, live: Live) -> None:
        record = live.record
        machine = self._book.get(record.pool, record.machine)
        ons = machine.power_ons if machine is not None else 0
        self._book.change(
            record.pool,
            record.machine,
            state=MachineState.ON,
            since=self._clock.now(),
            node=record.node,
            order="",
            failures=0,
            power_ons=ons + 1,
            reason="",
        )
        self._move(live, Phase.DONE, error="")
        self._tell("poweredon", record.pool, record.machine)

    def _give_up(self, live: Live, why: str) -> None:
        record = live.record
        if self._book.option(record.pool, record.machine) is None:
            self.failures.append(PoolFailure(record.pool, why, TimedOut(why), record.machine))
        if record.machine:
            self._mark_stopping(record)  # it is not counted as coming any more: another may be ordered
        else:
            self._unbook(record, None)
        self._move(live, Phase.GIVING_UP, error=why)
        live.ends_at = None
        self._turn_off(live, self._given_up)

    def _given_up(self, live: Live, _value: object) -> None:
        record = live.record
        error = TimedOut(record.error or "it never became a ready node")
        self._count_failure(record, MachineState.FAILED, error)
        if record.machine and self._book.option(record.pool, record.machine) is None:
            self._book.forget(record.pool, record.machine)
        self._move(live, Phase.FAILED)
        self._tell("offerr", record.pool, record.machine)
