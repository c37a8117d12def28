"""The runner: every action a small state machine, moved on by pictures of the cluster and by outcomes of calls.

All methods belong to the loop's thread. A phase is stored before its call is made; the two that nothing takes back
(the order to a driver to turn on, and to turn off) only once the history has them on the disk. After a crash
`resume` goes on from the stored phase:

* ordered, and no answer known: the driver is asked by the token, then called again with the same token;
* a removal before its point of no return: the node goes back into use, and is decided about anew;
* beyond it: the driver is told again to turn the machine off, which succeeds where it is off.
"""

from collections.abc import Sequence
from typing import Any

from clues.actions.engine import CLUSTER
from clues.actions.removals import Removals
from clues.actions.state import Live
from clues.actions.workers import Outcome
from clues.decision import Decision, PowerOn, Removal
from clues.history import ActionKind, Phase
from clues.power.base import MachineReport, PowerDriver, PowerState, Receipt
from clues.snapshot import Snapshot
from infracore.ids import new_token

__all__ = ["Runner"]


class Runner(Removals):
    """See the module's docstring.

    `post` hands a callable to the loop's thread. `turns`, `failures` and `removal_failures` gather what happened, for
    the loop to take.
    """

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
            orders = [live for order in replacement.add for live in self._new_orders(order, group=group)]
            whole = len(orders) == sum(order.count for order in replacement.add) > 0
            if whole and len(removals) == len(replacement.remove):  # else nothing of it: no node goes for nothing
                fresh += [*removals, *orders]
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

    def _step(self, live: Live, snapshot: Snapshot, mono: float) -> None:
        record = live.record
        match record.phase:
            case Phase.ORDERING:
                self._find_order(live)
            case Phase.BOOTING:
                self._await_node(live, snapshot, mono)
            case Phase.ADMITTING:
                self._await_open(live, snapshot, mono)
            case Phase.GIVING_UP:
                self._turn_off(live, self._given_up)
            case Phase.QUEUED if record.kind is ActionKind.POWER_OFF:
                self._begin_removal(live)
            case Phase.CORDONING:
                self._call(live, CLUSTER, lambda: self._drain.cordon(record.node), self._cordoned)
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
                self._await_return(live, snapshot, mono)
            case _:
                pass

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
            began = self._clock.now()
            begun_busy = {live.record.machine for live in self._lives.values() if live.record.pool == name}

            def call(driver: PowerDriver = driver, name: str = name) -> Sequence[MachineReport]:
                return driver.list(name)

            def done(
                outcome: Outcome[Any], name: str = name, known: set[str] = begun_busy, began: float = began
            ) -> None:
                self._post(lambda: self._has_listed(name, outcome, known, began))

            self._workers.submit(
                driver.name, call, done, parallel=driver.limits.parallel, limit_s=self._limit(driver, 1)
            )

    def _note_untold(self, pool: str, untold: Sequence[MachineReport]) -> None:
        """Tell of machines that may be on or off: they are taken as their nodes show them."""
        if not untold:
            self.driver_problems.pop(pool, None)
            return
        first = untold[0]
        others = f" and {len(untold) - 1} more" if len(untold) > 1 else ""
        why = f": {first.detail}" if first.detail else ""
        self.driver_problems[pool] = f"the driver of pool {pool} cannot tell whether {first.machine}{others} is on{why}"

    def _has_listed(self, pool: str, outcome: Outcome[Any], known: set[str], began: float) -> None:
        self._listing.discard(pool)
        self._last_list[pool] = self._mono()
        if outcome.error is not None or outcome.value is None:
            said = outcome.error.message if outcome.error is not None else "it answered nothing"
            self.driver_problems[pool] = f"the driver of pool {pool} cannot list its machines: {said}"
            return
        reports = [report for report in outcome.value if isinstance(report, MachineReport)]
        self._note_untold(pool, [report for report in reports if report.state is PowerState.UNKNOWN])
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
        vanished = self._book.report(pool, reports, self._clock.now(), busy=busy, asked_at=began)
        for live in [*self._lives.values()]:
            record = live.record
            lost = record.machine in vanished or (
                record.machine in self._reports[pool]
                and self._reports[pool][record.machine].state is PowerState.FAILED
                and record.machine in known
            )
            if record.pool == pool and record.phase is Phase.BOOTING and lost and not live.busy:
                self._give_up(live, f"the driver says that {record.machine} failed or is not there any more")
