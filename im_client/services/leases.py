"""How long infrastructures may live, and which have come to their end."""

import dataclasses
import math
from collections.abc import Sequence

from im_client.services.context import Context
from im_client.services.prepare import find
from im_client.state.store import InfrastructureRecord

__all__ = ["due", "set_lease"]


def due(ctx: Context) -> Sequence[InfrastructureRecord]:
    """Return the infrastructures whose lease has ended."""
    now = ctx.clock.now()
    return [
        record
        for record in ctx.store.infrastructures()
        if record.terms.expires_at is not None and record.terms.expires_at <= now
    ]


def set_lease(ctx: Context, infra: str, lease_s: float) -> InfrastructureRecord:
    """Let an infrastructure live so long from now on; infinite: for ever."""
    record = find(ctx, infra)
    now = ctx.clock.now()
    terms = dataclasses.replace(record.terms, expires_at=None if math.isinf(lease_s) else now + lease_s)
    ctx.store.set_terms(record.id, terms, now)
    return dataclasses.replace(record, terms=terms)
