"""Carrying an accepted operation out, from what is recorded."""

import threading
from typing import Final

from im_client.services.context import Context
from im_client.services.model import ApplyReport, Prepared, Verb
from im_client.services.server.loading import Loader
from im_client.services.server.purse import Purse
from im_client.services.server.statistics import facts_of_infrastructure
from im_client.state.server import FormerRecord, OperationKind, OperationRecord, ServerStore
from im_client.state.store import RunState
from infracore.errors import Conflict, Locked, NotFound
from infracore.events import Listener

__all__ = ["Performer"]

_TRIES: Final = 5
"""Somebody else (a refresh, `im` on this computer) may change the record between plan and lock."""
_LOCK_WAIT_S: Final = 3600.0
_POWER: Final = {
    OperationKind.START: Verb.START,
    OperationKind.STOP: Verb.STOP,
    OperationKind.REBOOT: Verb.REBOOT,
}


class Performer:
    """Performs operations; see `im_client.services.server.operations.Perform`."""

    def __init__(self, ctx: Context, records: ServerStore, loader: Loader, purse: Purse) -> None:
        self._ctx = ctx
        self._purse = purse
        self._loader = loader
        self._records = records

    def __call__(
        self, operation: OperationRecord, prepared: Prepared | None, listener: Listener, cancel: threading.Event, /
    ) -> ApplyReport | None:
        """Carry one out, again where the record moved on between its plan and its lock."""
        self._loader.ready()
        with self._purse.open(operation, self._ctx) as ctx:
            for left in reversed(range(_TRIES)):
                try:
                    report = self._once(ctx, operation, prepared, listener, cancel)
                    break
                except Locked:
                    raise
                except Conflict:
                    prepared = None
                    if left == 0:
                        raise
        self._forget_what_never_came(operation.infrastructure)
        return report

    def _once(
        self,
        ctx: Context,
        operation: OperationRecord,
        prepared: Prepared | None,
        listener: Listener,
        cancel: threading.Event,
    ) -> ApplyReport | None:
        from im_client.services.apply import apply  # late: all that changes machines is loaded when one is changed
        from im_client.services.power import power
        from im_client.services.prepare import prepare_reconfigure, prepare_recorded
        from im_client.services.server.perform_snapshot import drop_images, take_snapshot

        infra = operation.infrastructure
        if operation.kind in _POWER:
            verb, nodes = _POWER[operation.kind], self._there(operation)
            return power(ctx, infra, verb, nodes, listener=listener, cancel=cancel, wait_s=_LOCK_WAIT_S)
        if operation.kind is OperationKind.DESTROY:
            report = self._destroy(ctx, operation, listener, cancel)
            if report is None or report.state is RunState.DONE:
                drop_images(ctx, self._records, infra)
            return report
        if operation.kind is OperationKind.SNAPSHOT:
            return take_snapshot(ctx, self._records, operation, listener=listener, cancel=cancel, wait_s=_LOCK_WAIT_S)
        if prepared is None and operation.kind is OperationKind.RECONFIGURE:
            prepared = prepare_reconfigure(ctx, infra, self._there(operation))
        elif prepared is None:
            prepared = prepare_recorded(
                ctx, infra, Verb.DEPLOY, remove=self._leaving(infra), configure=operation.configure
            )
        return apply(ctx, prepared, listener=listener, cancel=cancel, wait_s=_LOCK_WAIT_S)

    def _destroy(
        self, ctx: Context, operation: OperationRecord, listener: Listener, cancel: threading.Event
    ) -> ApplyReport | None:
        from im_client.services.apply import apply
        from im_client.services.prepare import prepare_destroy

        infra = operation.infrastructure
        try:
            facts = facts_of_infrastructure(ctx.store.infrastructure(infra), ctx.store.nodes(infra))
        except NotFound:  # destroyed by the operation before, or by this one just before the server was killed
            return None
        owner = next(iter(self._records.members(infra)), operation.account)
        prepared = prepare_destroy(ctx, infra, skip_hooks=operation.skip_hooks)
        report = apply(ctx, prepared, listener=listener, cancel=cancel, wait_s=_LOCK_WAIT_S)
        if report.state is RunState.DONE:
            self._records.add_former(FormerRecord(infra, owner, ctx.clock.now(), facts))
        return report

    def _there(self, operation: OperationRecord) -> list[str]:
        """Return the machines that are meant, without those that went meanwhile; empty: all are meant.

        Raises:
            NotFound: none of them is left, which must not be taken for all.
        """
        there = {node.name for node in self._ctx.store.nodes(operation.infrastructure)}
        left = [name for name in operation.nodes if name in there]
        if operation.nodes and not left:
            raise NotFound(f"{', '.join(operation.nodes)}: not there any more")
        return left

    def _leaving(self, infra: str) -> frozenset[str]:
        """Return the machines that were named to go, by this operation or by those behind it.

        The counts of all of them are recorded already: without the names behind it, this one would choose.
        """
        there = {node.name for node in self._ctx.store.nodes(infra)}
        kinds = {OperationKind.REMOVE, OperationKind.UPDATE}
        waiting = [o for o in self._records.unfinished() if o.infrastructure == infra and o.kind in kinds]
        return frozenset(name for one in waiting for name in one.nodes if name in there)

    def _forget_what_never_came(self, infra: str) -> None:
        """Take the numbers of machines that were announced and never begun, once nothing more is to come."""
        waiting = [o for o in self._records.unfinished() if o.infrastructure == infra]
        if len(waiting) <= 1:
            there = {node.name for node in self._ctx.store.nodes(infra)}
            gone = [name for name in self._records.vm_numbers(infra) if name not in there]
            if gone:
                self._records.forget_vms(infra, gone)
