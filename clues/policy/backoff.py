"""How long a pool rests after its failures, and a node whose removal failed."""

import msgspec

from clues.decision import Memory, PoolRest
from clues.options import BackOff

__all__ = ["failed", "failed_lately", "is_resting", "removal_failed"]


def failed(memory: Memory, pool: str, now: float, reason: str, backoff: BackOff) -> Memory:
    """Return the memory with a pool at rest that failed now, by cluster-autoscaler's rule.

    Only a failure after the end of the last rest doubles it; one within a rest begins one of the initial length.
    Failures of one moment are one failure: an order of several nodes fails as a whole. Without failures for
    `reset_s`, all is forgotten.
    """
    rests = {**memory.rests, pool: _rest(memory.rests.get(pool), now, reason, backoff)}
    return msgspec.structs.replace(memory, rests=rests)


def removal_failed(memory: Memory, node: str, now: float, reason: str, backoff: BackOff) -> Memory:
    """Return the memory with a node at rest whose removal failed now, by that rule; what is long over is dropped."""
    rests = {name: rest for name, rest in memory.removal_rests.items() if now <= rest.failed_at + backoff.reset_s}
    rests[node] = _rest(rests.get(node), now, reason, backoff)
    return msgspec.structs.replace(memory, removal_rests=rests)


def failed_lately(memory: Memory, node: str, now: float, backoff: BackOff) -> bool:
    """Return whether the removal of a node failed, and that is not forgotten yet."""
    rest = memory.removal_rests.get(node)
    return rest is not None and now <= rest.failed_at + backoff.reset_s


def _rest(last: PoolRest | None, now: float, reason: str, backoff: BackOff) -> PoolRest:
    if last is not None and now == last.failed_at:
        return last
    seconds = backoff.initial_s
    if last is not None and last.until <= now <= last.failed_at + backoff.reset_s:
        seconds = min(last.rest_s * 2, backoff.max_s)
    return PoolRest(now, seconds, now + seconds, reason)


def is_resting(memory: Memory, pool: str, now: float) -> bool:
    """Return whether a pool may not be ordered from now."""
    rest = memory.rests.get(pool)
    return rest is not None and now < rest.until
