"""How long a pool rests after its failures."""

import msgspec

from clues.decision import Memory, PoolRest
from clues.options import BackOff

__all__ = ["failed", "is_resting"]


def failed(memory: Memory, pool: str, now: float, reason: str, backoff: BackOff) -> Memory:
    """Return the memory with a pool at rest that failed now, by cluster-autoscaler's rule.

    Only a failure after the end of the last rest doubles it; one within a rest begins one of the initial length.
    Failures of one moment are one failure: an order of several nodes fails as a whole. Without failures for
    `reset_s`, all is forgotten.
    """
    last = memory.rests.get(pool)
    if last is not None and now == last.failed_at:
        return memory
    seconds = backoff.initial_s
    if last is not None and last.until <= now <= last.failed_at + backoff.reset_s:
        seconds = min(last.rest_s * 2, backoff.max_s)
    return msgspec.structs.replace(memory, rests={**memory.rests, pool: PoolRest(now, seconds, now + seconds, reason)})


def is_resting(memory: Memory, pool: str, now: float) -> bool:
    """Return whether a pool may not be ordered from now."""
    rest = memory.rests.get(pool)
    return rest is not None and now < rest.until
