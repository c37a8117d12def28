"""How long infrastructures may live, and which have come to their end."""

import dataclasses
import math
import threading
from collections.abc import Sequence

from im_client.services.context import Context
from im_client.services.model import ApplyReport
from im_client.services.prepare import find, prepare_destroy
from im_client.state.store import InfrastructureRecord, RunState
from infracore.errors import NotFound
from infracore.events import Listener

__all__ = ["due", "end", "set_lease"]


def due(ctx: Context) -> Sequence[InfrastructureRecord]:
    """Return the infrastructures whose lease has ended."""
    return [ctx.store.infrastructure(infra) for infra in ctx.store.expired(ctx.clock.now())]


def end(ctx: Context, infra: str, *, listener: Listener, cancel: threading.Event) -> str:
    """Destroy an infrastructure whose lease has ended; return why it is still there, "" where it is gone.

    Its lease is looked at again: somebody may have made it longer.

    Raises:
        Locked: it is being changed. InfraError: as destroying does.
    """
    from im_client.services.apply import apply  # late: whoever only looks needs none of it

    try:
        record = ctx.store.infrastructure(infra)
    except NotFound:
        return ""
    if record.terms.expires_at is None or record.terms.expires_at > ctx.clock.now():
        return "it may live longer by now"
    report = apply(ctx, prepare_destroy(ctx, infra), listener=listener, cancel=cancel)
    return "" if report.state is RunState.DONE else _left(report)


def _left(report: ApplyReport) -> str:
    bad = [node for node in report.nodes if not node.ok]
    return "; ".join(f"{node.name}: {node.error}" for node in bad) or f"destroying it was {report.state.value}"


def set_lease(ctx: Context, infra: str, lease_s: float) -> InfrastructureRecord:
    """Let an infrastructure live so long from now on; infinite: for ever."""
    record = find(ctx, infra)
    now = ctx.clock.now()
    terms = dataclasses.replace(record.terms, expires_at=None if math.isinf(lease_s) else now + lease_s)
    ctx.store.set_terms(record.id, terms, now)
    return dataclasses.replace(record, terms=terms)
