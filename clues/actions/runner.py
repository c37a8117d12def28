"""The runner: every action a small state machine, moved on by pictures of the cluster and by outcomes of calls.

All methods belong to the loop's thread. A phase is stored before its call is made; the two that nothing takes back
(the order to a driver to turn on, and to turn off) only once the history has them on the disk. After a crash
`resume` goes on from the stored phase:

* ordered, and no answer known: the driver is asked by the token, then called again with the same token;
* a removal before its point of no return: the node goes back into use, and is decided about anew;
* beyond it: the driver is told again to turn the machine off, which succeeds where it is off.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from clues.actions.drainer import empty, forgiving, verify
from clues.actions.hooks import Hooks
from clues.actions.machines import MachineBook
from clues.actions.state import Live, PoolFailure, Turn
from clues.actions.workers import Outcome, Workers
from clues.decision import Decision, PowerOn, Removal, RemovalKind
from clues.drain.base import Drain
from clues.history import ActionKind, ActionRecord, History, Phase, Unwritable
from clues.options import Policy, Pool
from clues.power.base import MachineReport, Order, PowerDriver, PowerState, Receipt
from clues.settings import ActionOptions
from clues.snapshot import MachineState, NodeState, Snapshot
from infracore.clock import Clock
from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    TimedOut,
    Transient,
)
from infracore.ids import new_token
from infracore.retry import Backoff

__all__ = ["Runner"]

_SEE_CORDON_S: Final = 30.0
"""How long the watch may take to show that a node is cordoned."""
_UNSAVED_PAUSE_S: Final = 5.0
_LOST: Final = frozenset({RemovalKind.UNREADY, RemovalKind.NEVER_READY})
"""Removals of nodes on which no kubelet answers: draining them never ends."""
_BOOTING_PHASES: Final = frozenset({Phase.ORDERING, Phase.BOOTING, Phase.ADMITTING})


class Runner:
    """See the module's docstring.

    `post` hands a callable to the loop's thread. `turns`, `failures` and `removal_failures` gather what happened, for
    the loop to take.
    """

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
        self.removal_failures: list[str] = []
        self.driver_problems: dict[str, str] = {}
        self.problem = ""
        """Why nothing is ordered or turned off although it should; "" if nothing."""
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

    # what is under way

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

    # beginning

    def submit(self, decision: Decision) -> None:
        """Begin what was decided. What is under way already is left out."""
        for node in decision.cancel:
            self.cancel(node, "its room is needed again")
        fresh: list[Live] = []
        for order in decision.power_on:
            fresh += self._new_orders(order)
        for removal in decision.remove:
            fresh += self._new_removal(removal)
        for replacement in decision.replace:
            group = new_token()
            removals = [live for removal in replacement.remove for live in self._new_removal(removal, group=group)]
            if len(removals) == len(replacement.remove):
                fresh += removals
                for order in replacement.add:
                    fresh += self._new_orders(order, group=group)
        self._begin(fresh)

    def order(self, order: PowerOn) -> None:
        """Begin an order that a person asked for."""
        self._begin(self._new_orders(order, manual=True))

    def remove(self, removal: Removal, *, force: bool = False, disable: bool = False) -> bool:
        """Begin a removal that a person asked for; returns whether it is new."""
        fresh = self._new_removal(removal, force=force, manual=True, disable=disable)
        self._begin(fresh)
        return bool(fresh)

    def cancel(self, node: str, reason: str, *, manual: bool = False) -> bool:
        """Call a removal off, if it still can be; returns whether it is. A decision does not call off a person's."""
        live = self._removal_of(node)
        if live is None or not live.record.can_return or (live.record.manual and not manual):
            return False
        self._send_back(live, reason)
        return True

    def resume(self, now: float) -> None:
        """Go on with what the history has as under way; called once, and again whenever leadership is gained."""
        self.suspended = False
        self._lives.clear()
        for record in self._history.open_actions():
            live = Live(record)
            self._lives[record.token] = live
            passed = min(max(0.0, now - record.created_at), self._policy.max_provision_s)
            if record.kind is ActionKind.POWER_ON:
                live.ends_at = self._mono() + self._policy.max_provision_s - passed
                self._book_order(record)
                if record.phase is Phase.QUEUED:
                    self._move(live, Phase.CANCELLED, error="cluesd was restarted before the driver was told")
            elif record.phase is Phase.QUEUED:
                self._move(live, Phase.CANCELLED, error="cluesd was restarted before it began")
            elif record.can_return:
                live.cancel.set()
                self._move(live, Phase.RETURNING, error="cluesd was restarted: it is decided anew")
            elif record.phase in {Phase.STOPPING, Phase.GOING_OFF}:
                self._mark_stopping(record)
                live.ends_at = self._mono() + self._options.off_s

    def suspend(self) -> None:
        """Stop acting at once: another daemon may be the leader. Calls that are out are told to end."""
        self.suspended = True
        for live in self._lives.values():
            live.cancel.set()
            live.call += 1  # what comes back is dropped: `resume` reads the history
        self._lives.clear()

    # moving on

    def advance(self, snapshot: Snapshot) -> None:
        """Move on what can be, by this picture. Never blocks on a driver or on the API server."""
        self._workers.check()
        if self.suspended:
            return
        self._list_where_due()
        for surprise in self._book.surprises:
            self._tell(surprise.hook, surprise.pool, surprise.machine)
        self._book.surprises.clear()
        mono = self._mono()
        for live in [*self._lives.values()]:
            if live.unsaved:
                self._save(live)
            if not live.busy and mono >= live.not_before and live.record.is_open:
                self._step(live, snapshot, mono)
        self._start_orders()

    def _step(self, live: Live, snapshot: Snapshot, mono: float) -> None:
        record = live.record
        match record.phase:
            case Phase.ORDERING:
                self._find_order(live)
            case Phase.BOOTING:
                self._await_node(live, snapshot, mono)
            case Phase.ADMITTING:
                self._call(live, self._cluster, lambda: self._drain.uncordon(record.node), self._admitted)
            case Phase.GIVING_UP:
                self._turn_off(live, self._given_up)
            case Phase.QUEUED if record.kind is ActionKind.POWER_OFF:
                self._begin_removal(live)
            case Phase.CORDONING:
                self._call(live, self._cluster, lambda: self._drain.cordon(record.node), self._cordoned)
            case Phase.LOOKING:
                self._look(live, snapshot, mono)
            case Phase.DRAINING:
                self._start_drain(live)
            case Phase.VERIFYING:
                self._start_verify(live)
            case Phase.STOPPING:
                self._turn_off(live, self._stopped)
            case Phase.GOING_OFF:
                self._await_off(live, snapshot, mono)
            case Phase.DISCARDING:
                self._discard(live)
            case Phase.RETURNING:
                self._return(live)
            case _:
                pass

    # power on

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

    def _begin(self, fresh: list[Live]) -> None:
        for live in fresh:
            self._lives[live.record.token] = live
        self._start_orders()
        for live in fresh:
            record = live.record
            if record.phase is not Phase.QUEUED or record.token not in self._lives:
                continue
            if record.kind is ActionKind.POWER_ON:
                self._book_order(record)
            elif not record.group:
                self._begin_removal(live)
            if live.record.phase is Phase.QUEUED:
                self._save(live)  # what waits its turn is stored too, so that people see it

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
                live.not_before = mono + _UNSAVED_PAUSE_S
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
            driver.name, call, done, parallel=driver.limits.parallel, limit_s=self._limit(driver, len(orders))
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
        if state is not None and state.node.ready and not state.node.deleting:
            if state.node.unschedulable or self._keeps(record.pool):
                self._move(live, Phase.ADMITTING)
                self._step(live, snapshot, mono)
            else:
                self._admitted(live, None)
        elif live.ends_at is not None and mono >= live.ends_at:
            what = "never became ready" if state is not None else "never registered as a node"
            self._give_up(live, f"{record.machine or record.token} {what} within {self._policy.max_provision_s:g} s")

    def _unclaimed(self, record: ActionRecord, snapshot: Snapshot) -> NodeState | None:
        """Find the node of a machine whose node name nobody could tell: one of the pool that came after the order."""
        for state in snapshot.nodes.values():
            if (
                state.pool == record.pool
                and state.node.created_at >= record.created_at
                and not state.machine
                and self._book.of_node(state.node.name) is None
            ):
                return state
        return None

    def _admitted(self, live: Live, _value: object) -> None:
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

    # power off

    def _new_removal(
        self,
        removal: Removal,
        *,
        group: str = "",
        force: bool = False,
        manual: bool = False,
        disable: bool = False,
    ) -> list[Live]:
        now = self._clock.now()
        for live in self._lives.values():
            record = live.record
            same = (
                record.node == removal.node
                if removal.node and record.node
                else record.pool == removal.pool and bool(removal.machine) and record.machine == removal.machine
            )
            if not same:
                continue
            if record.kind is ActionKind.POWER_ON and record.phase is Phase.BOOTING and not live.busy:
                self._give_up(live, removal.reason or f"given up: {removal.kind}")
            return []
        machine = removal.machine
        if not machine and removal.node:
            found = self._book.of_node(removal.node)
            machine = found.name if found is not None and found.pool == removal.pool else removal.node
        return [
            Live(
                ActionRecord(
                    token=new_token(),
                    kind=ActionKind.POWER_OFF,
                    pool=removal.pool,
                    created_at=now,
                    since=now,
                    machine=machine,
                    node=removal.node,
                    reason=removal.reason or str(removal.kind),
                    removal=removal.kind,
                    evict=removal.evict,
                    group=group,
                    force=force,
                    manual=manual,
                    disable=disable,
                )
            )
        ]

    def _begin_removal(self, live: Live) -> None:
        record = live.record
        if record.group:
            waits_for = [
                other.record.phase
                for other in self._lives.values()
                if other.record.group == record.group and other.record.kind is ActionKind.POWER_ON
            ]
            if waits_for:
                return
            if live.failed:  # what was to replace it did not come
                self._move(live, Phase.CANCELLED, error=live.why_return)
                return
        if not record.node:
            self._stop(live)
        elif self._move(live, Phase.CORDONING, cordoned=True):
            self._call(live, self._cluster, lambda: self._drain.cordon(record.node), self._cordoned)

    def _cordoned(self, live: Live, _value: object) -> None:
        if live.why_return:
            self._send_back(live, live.why_return)
            return
        self._move(live, Phase.LOOKING)
        live.not_before = self._mono() + self._options.look_again_s
        live.ends_at = live.not_before + _SEE_CORDON_S

    def _look(self, live: Live, snapshot: Snapshot, mono: float) -> None:
        """Look again, by a picture that shows the node cordoned, before the first pod is touched."""
        record = live.record
        fresh = snapshot.complete and snapshot.stale_s <= self._policy.max_stale_s
        state = snapshot.nodes.get(record.node)
        if fresh and state is None:
            self._send_back(live, "its node is gone")
        elif fresh and state is not None and state.node.unschedulable:
            if record.removal in _LOST:
                if state.node.ready:
                    self._send_back(live, "it became ready")
                else:  # nobody there ends its pods: they go with the Node object
                    self._move(live, Phase.VERIFYING)
                    self._start_verify(live)
                return
            movable = [pod for pod in state.pods if not pod.stays_with_node]
            planned = {(ref.namespace, ref.name) for ref in record.evict}
            came = [
                pod
                for pod in movable
                if (pod.namespace, pod.name) not in planned and pod.spec.priority >= self._policy.expendable_below
            ]
            if came and not record.force:
                self._send_back(live, f"{came[0].ref} came to it meanwhile")
            elif movable:
                self._move(live, Phase.DRAINING)
                self._start_drain(live)
            else:
                self._move(live, Phase.VERIFYING)
                self._start_verify(live)
        elif live.ends_at is not None and mono >= live.ends_at:
            self._send_back(live, "no fresh picture of the cluster showed it cordoned", failed=True)

    def _start_drain(self, live: Live) -> None:
        record, options = live.record, self._options

        def call() -> int:
            return empty(
                self._drain,
                record.node,
                record.evict,
                expendable_below=self._policy.expendable_below,
                force=record.force,
                clock=self._clock,
                cancel=live.cancel,
                limit_s=options.drain_s,
                pause_s=options.evict_pause_s,
            )

        self._call(live, self._cluster, call, self._drained, limit_s=options.drain_s + 120)

    def _drained(self, live: Live, _value: object) -> None:
        if live.why_return:
            self._send_back(live, live.why_return)
            return
        self._move(live, Phase.VERIFYING)
        self._start_verify(live)

    def _start_verify(self, live: Live) -> None:
        record, hooks = live.record, self._hooks

        def call() -> None:
            if record.removal not in _LOST:
                verify(self._drain, record.node)
            asked = hooks.ask("pre_poweroff", [record.pool, record.machine])
            if asked:
                raise Conflict(f"forbidden by {asked}")

        self._call(live, self._cluster, call, self._verified)

    def _verified(self, live: Live, _value: object) -> None:
        if live.why_return:
            self._send_back(live, live.why_return)
        else:
            self._stop(live)

    def _stop(self, live: Live) -> None:
        """Pass the point of no return, once that is on the disk."""
        if self._move(live, Phase.STOPPING, intent=True):
            self._mark_stopping(live.record)
            live.ends_at = self._mono() + self._options.off_s
            self._turn_off(live, self._stopped)

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

    def _stopped(self, live: Live, _value: object) -> None:
        record = live.record
        self._tell("post_poweroff", record.pool, record.machine, "1")
        self._move(live, Phase.GOING_OFF, error="")
        live.ends_at = self._mono() + self._options.off_s
        self._reports.get(record.pool, {}).pop(record.machine, None)
        self._last_list.pop(record.pool, None)  # look soon

    def _await_off(self, live: Live, snapshot: Snapshot, mono: float) -> None:
        """Wait until driver or node shows that the machine is off."""
        record = live.record
        state = snapshot.nodes.get(record.node) if record.node else None
        reports = self._reports.get(record.pool)
        report = reports.get(record.machine) if reports is not None else None
        ready = state is not None and state.node.ready
        if reports is not None and self._last_list.get(record.pool, -1.0) >= 0:
            unknown = report is not None and report.state is PowerState.UNKNOWN
            if report is None or report.state is PowerState.OFF or (unknown and not ready):
                self._is_off(live)
                return
        if live.ends_at is not None and mono >= live.ends_at:
            if ready or (report is not None and report.state is PowerState.ON):
                error = TimedOut(f"{record.machine} is still on {self._options.off_s:g} s after it was told to go off")
                self._off_failed(live, error)
            else:
                self._is_off(live)

    def _is_off(self, live: Live) -> None:
        record = live.record
        if self._book.option(record.pool, record.machine) is None:
            self._book.forget(record.pool, record.machine)
        else:
            now = self._clock.now()
            self._book.change(record.pool, record.machine, state=MachineState.OFF, since=now, order="", failures=0)
        self._tell("poweredoff", record.pool, record.machine)
        if record.node:
            self._move(live, Phase.DISCARDING)
            self._discard(live)
        else:
            self._move(live, Phase.DONE)

    def _discard(self, live: Live) -> None:
        node = live.record.node
        tidy = self._drain.park if self._keeps(live.record.pool) else self._drain.delete_node
        self._call(live, self._cluster, lambda: tidy(node), self._discarded)

    def _discarded(self, live: Live, _value: object) -> None:
        self._move(live, Phase.DONE, error="")

    def _off_failed(self, live: Live, error: InfraError) -> None:
        """The machine could not be turned off: it counts as failed once, and serves on."""
        record = live.record
        if record.kind is ActionKind.POWER_ON:  # one that was given up and does not obey
            self._move(live, Phase.GIVING_UP, error=error.message)
            live.failures = 0
            live.not_before = self._mono() + self._options.retry_most_s
            return
        self._count_failure(record, MachineState.ON, error)
        self._tell("post_poweroff", record.pool, record.machine, "0")
        self._tell("onerr", record.pool, record.machine)
        self._send_back(live, error.message, failed=True)

    # going back

    def _send_back(self, live: Live, why: str, *, failed: bool = False) -> None:
        """Put the node into use again. A call that is out is told to end, and its outcome brings us here again."""
        live.why_return = live.why_return or why
        live.failed = live.failed or failed
        live.cancel.set()
        if live.busy:
            return
        if live.record.cordoned and live.record.node:
            self._move(live, Phase.RETURNING, error=live.why_return)
            self._return(live)
        else:
            self._returned(live, None)

    def _return(self, live: Live) -> None:
        node = live.record.node
        self._call(live, self._cluster, lambda: self._drain.uncordon(node), self._returned)

    def _returned(self, live: Live, _value: object) -> None:
        why = live.why_return or live.record.error
        if live.failed:
            self.removal_failures.append(f"{live.record.node or live.record.machine}: {why}")
        self._move(live, Phase.FAILED if live.failed else Phase.CANCELLED, error=why)

    # calls and their outcomes

    _cluster: Final = None
    """In place of a driver: a call that asks the API server."""

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
            if outcome.error is None:
                live.failures = 0
                done(live, outcome.value)
            else:
                self._call_failed(live, outcome.error)

        self._workers.submit(
            key,
            call,
            lambda outcome: self._post(lambda: finish(outcome)),
            parallel=driver.limits.parallel if driver is not None else 1_000_000,
            limit_s=limit_s,
        )

    def _call_failed(self, live: Live, error: InfraError) -> None:
        phase = live.record.phase
        if live.why_return and live.record.can_return:
            self._send_back(live, live.why_return)
        elif phase in {Phase.RETURNING, Phase.DISCARDING, Phase.ADMITTING}:
            # nothing else can be done with it: tried until the API server answers
            self._failed(live, error, None)
        elif phase in {Phase.GIVING_UP, Phase.STOPPING}:
            self._failed(live, error, self._off_failed)
        elif phase in {Phase.DRAINING, Phase.VERIFYING} or not forgiving(error):
            self._send_back(live, error.message, failed=True)
        else:
            self._failed(live, error, lambda one, why: self._send_back(one, why.message, failed=True))

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

    # drivers' lists

    def _list_where_due(self) -> None:
        mono = self._mono()
        waiting = {
            live.record.pool for live in self._lives.values() if live.record.phase in {Phase.BOOTING, Phase.GOING_OFF}
        }
        for name, pool in self._pools.items():
            driver = self._drivers.get(pool.driver)
            last = self._last_list.get(name)
            every = min(self._options.list_s, 5.0) if name in waiting else self._options.list_s
            if driver is None or name in self._listing or (last is not None and mono - last < every):
                continue
            self._listing.add(name)
            begun_busy = {live.record.machine for live in self._lives.values() if live.record.pool == name}

            def call(driver: PowerDriver = driver, name: str = name) -> Sequence[MachineReport]:
                return driver.list(name)

            def done(outcome: Outcome[Any], name: str = name, known: set[str] = begun_busy) -> None:
                self._post(lambda: self._has_listed(name, outcome, known))

            self._workers.submit(
                driver.name, call, done, parallel=driver.limits.parallel, limit_s=self._limit(driver, 1)
            )

    def _has_listed(self, pool: str, outcome: Outcome[Any], known: set[str]) -> None:
        self._listing.discard(pool)
        self._last_list[pool] = self._mono()
        if outcome.error is not None or outcome.value is None:
            said = outcome.error.message if outcome.error is not None else "it answered nothing"
            self.driver_problems[pool] = f"the driver of pool {pool} cannot list its machines: {said}"
            return
        self.driver_problems.pop(pool, None)
        reports = [report for report in outcome.value if isinstance(report, MachineReport)]
        self._reports[pool] = {report.machine: report for report in reports}
        self.listed.add(pool)
        by_token = {report.token: report for report in reports if report.token}
        busy = set()
        for live in self._lives.values():
            if live.record.pool != pool:
                continue
            busy.add(live.record.token)
            report = by_token.get(live.record.token)
            if report is not None and live.record.machine == "" and not live.busy:
                self._accepted(live, Receipt(report.token, report.machine, report.node))
        vanished = self._book.report(pool, reports, self._clock.now(), busy=busy)
        for live in [*self._lives.values()]:
            record = live.record
            lost = record.machine in vanished or (
                record.machine in self._reports[pool]
                and self._reports[pool][record.machine].state is PowerState.FAILED
                and record.machine in known
            )
            if record.pool == pool and record.phase is Phase.BOOTING and lost and not live.busy:
                self._give_up(live, f"the driver says that {record.machine} failed or is not there any more")

    # storing and telling

    def _move(self, live: Live, phase: Phase, *, intent: bool = False, **changes: Any) -> bool:
        """Bring an action into a phase; with `intent` only if that is on the disk, else it is stored once it can be."""
        record = msgspec.structs.replace(live.record, phase=phase, since=self._clock.now(), **changes)
        stored = self._store([record], intent=intent)
        if intent and not stored:
            live.not_before = self._mono() + _UNSAVED_PAUSE_S
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
