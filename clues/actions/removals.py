"""Turning off: cordon, look again, drain, verify, then the point of no return; and the way back before it."""

from typing import Final

from clues.actions.drainer import empty, forgiving, verify
from clues.actions.engine import CLUSTER, SEE_OPEN_S
from clues.actions.orders import Orders
from clues.actions.state import Live, RemovalFailure
from clues.decision import Removal, RemovalKind
from clues.history import ActionKind, ActionRecord, Phase
from clues.power.base import PowerState
from clues.snapshot import MachineState, Snapshot
from infracore.errors import (
    Conflict,
    InfraError,
    TimedOut,
)
from infracore.ids import new_token

__all__ = ["Removals"]

_SEE_CORDON_S: Final = 30.0
"""How long the watch may take to show that a node is cordoned."""
_LOST: Final = frozenset({RemovalKind.UNREADY, RemovalKind.NEVER_READY})
"""Removals of nodes on which no kubelet answers: draining them never ends."""


class Removals(Orders):
    """The half of the runner that turns off."""

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
            self._call(live, CLUSTER, lambda: self._drain.cordon(record.node), self._cordoned)

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
            uid = state.node.uid
            if record.removal in _LOST:
                if state.node.ready:
                    self._send_back(live, "it became ready")
                else:  # nobody there ends its pods: they go with the Node object
                    self._move(live, Phase.VERIFYING, node_uid=uid)
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
                self._move(live, Phase.DRAINING, node_uid=uid)
                self._start_drain(live)
            else:
                self._move(live, Phase.VERIFYING, node_uid=uid)
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

        self._call(live, CLUSTER, call, self._drained, limit_s=options.drain_s + 120)

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

        self._call(live, CLUSTER, call, self._verified)

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
        node, uid, drain = live.record.node, live.record.node_uid, self._drain
        if self._keeps(live.record.pool):
            self._call(live, CLUSTER, lambda: drain.park(node), self._discarded)
        else:
            self._call(live, CLUSTER, lambda: drain.delete_node(node, uid), self._discarded)

    def _discarded(self, live: Live, _value: object) -> None:
        self._move(live, Phase.DONE, error="")

    # when it does not go on

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
            self._returned(live)

    def _return(self, live: Live) -> None:
        """Put the node into use again; until a picture shows it so, its machine counts as one that comes."""
        record = live.record
        node = record.node
        if self._book.get(record.pool, record.machine) is not None:
            self._book.change(record.pool, record.machine, order=record.token)
        self._call(live, CLUSTER, lambda: self._drain.uncordon(node), self._reopened)

    def _reopened(self, live: Live, _value: object) -> None:
        live.opened_until = self._mono() + SEE_OPEN_S

    def _await_return(self, live: Live, snapshot: Snapshot, mono: float) -> None:
        state = snapshot.nodes.get(live.record.node)
        lost = live.record.removal in _LOST
        if live.opened_until is None:
            self._return(live)
        elif (
            state is None or (not state.node.unschedulable and (state.node.ready or lost)) or mono >= live.opened_until
        ):
            self._returned(live)

    def _returned(self, live: Live) -> None:
        record = live.record
        machine = self._book.get(record.pool, record.machine)
        if machine is not None and machine.order == record.token:
            self._book.change(record.pool, record.machine, order="")
        why = live.why_return or record.error
        if live.failed:
            self.removal_failures.append(RemovalFailure(live.record.node, why))
        self._move(live, Phase.FAILED if live.failed else Phase.CANCELLED, error=why)
