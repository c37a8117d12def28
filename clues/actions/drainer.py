"""Emptying a node: evictions in order, again where a budget refused, until it is empty, too late or called off."""

import threading
from collections.abc import Sequence

from clues.drain.base import Drain
from clues.model import Pod, PodRef
from infracore.clock import Clock
from infracore.errors import Cancelled, Conflict, InfraError, TimedOut, Transient

__all__ = ["empty", "forgiving", "verify"]

_QUICK_S = 1.0
"""Pause while pods are going by themselves and no budget refused."""


def empty(
    drain: Drain,
    node: str,
    pods: Sequence[PodRef],
    *,
    expendable_below: int,
    force: bool,
    clock: Clock,
    cancel: threading.Event,
    limit_s: float,
    pause_s: float,
) -> int:
    """Evict the pods of a node until it is empty, and return how many evictions were accepted. Blocks.

    `pods` gives the order. Another pod on the node ends it, unless its priority is below `expendable_below` or
    `force` is set: the node was chosen without it.

    Raises:
        Cancelled: `cancel` was set. TimedOut: it is not empty after `limit_s`, with what is left and why.
        Conflict: a pod came that nobody counted on. Others: what the API server says and no pause mends.
    """
    ends_at = clock.monotonic() + limit_s
    order = {(ref.namespace, ref.name): number for number, ref in enumerate(pods)}
    asked: set[PodRef] = set()
    why = ""
    while True:
        if cancel.is_set():
            raise Cancelled(f"draining {node} was called off")
        left: list[Pod] = []
        pause = pause_s
        try:
            left = [pod for pod in drain.pods_on(node) if not pod.stays_with_node]
            if not left:
                return len(asked)
            came = [
                pod
                for pod in left
                if (pod.namespace, pod.name) not in order and pod.spec.priority >= expendable_below and not force
            ]
            if came:
                raise Conflict(f"{came[0].ref} came to {node} while it was being drained")
            left.sort(key=lambda pod: order.get((pod.namespace, pod.name), len(order)))
            going = [pod.ref for pod in left if not pod.deleting and pod.ref not in asked]
            if going:
                answer = drain.evict(going, force=force)
                asked.update(answer.accepted)
                why = "; ".join(sorted(set(answer.refused.values())))
                pause = pause_s if answer.refused else min(pause_s, _QUICK_S)
            else:
                pause = min(pause_s, _QUICK_S)
        except (Transient, TimedOut) as error:
            why = error.message
        if clock.monotonic() >= ends_at:
            names = ", ".join(str(pod.ref) for pod in left[:3])
            said = f"{node} is not empty after {limit_s:g} s: {len(left)} pods are left ({names})"
            raise TimedOut(f"{said}: {why}" if why else said)
        if clock.wait(cancel, pause):
            raise Cancelled(f"draining {node} was called off")


def verify(drain: Drain, node: str) -> None:
    """Look at the node itself, not at a cache, right before it is turned off.

    Raises:
        Conflict: there are pods again.
    """
    if not drain.is_empty(node):
        raise Conflict(f"there are pods on {node} again")


def forgiving(error: InfraError) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(error, Transient | TimedOut | Conflict)
