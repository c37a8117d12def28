"""How long a pool rests after its failures."""

import msgspec

from clues.decision import Memory, PoolRest
from clues.options import BackOff

__all__ = ["failed", "is_resting"]


def failed(memory: Memory, pool: str, now: float, reason: str, backoff: BackOff) -> Memory:
    """Return the memory with a pool at rest that failed now. Failures within a rest are one failure."""
    last = memory.rests.get(pool)
    if last is not None and now < last.until:
        return memory
    again = last is not None and now - last.failed_at <= backoff.reset_s
    seconds = min(last.rest_s * 2, backoff.max_s) if last is not None and again else backoff.initial_s
    return msgspec.structs.replace(memory, rests={**memory.rests, pool: PoolRest(now, seconds, now + seconds, reason)})


def is_resting(memory: Memory, pool: str, now: float) -> bool:
    """Return whether a pool may not be ordered from now."""
    rest = memory.rests.get(pool)
    return rest is not None and now < rest.until
