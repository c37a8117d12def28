"""Dealing out pods that one spread constraint ties to each other, without asking every node for each pod.

Where nothing else looks at other nodes, a pod that is placed changes what is allowed per domain and the room of one
node. So in every domain only the first node with room is in question.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clues.policy.kinds import Kind
from clues.policy.simulation import Simulation
from clues.policy.topology import SpreadRule

__all__ = ["dealt_out"]


def dealt_out(
    simulation: Simulation, kind: Kind, count: int, rule: SpreadRule, order: NDArray[np.int64], *, evenly: bool
) -> dict[int, int]:
    """Return where up to `count` pods of a kind go whose only tie is this rule: index -> pods of them.

    Each goes onto the first node of `order` that takes it; with `evenly`, of those in the domains with fewest pods.
    Nothing is placed.
    """
    queues = _queues(simulation, kind, rule, order)
    counts = rule.counts()
    found: dict[int, int] = {}
    while count and queues:
        most = rule.most(counts.values())
        usable = [(counts[number] if evenly else 0, queue[-1][0], number) for number, queue in queues.items()]
        _, position, number = min((one for one in usable if counts[one[2]] <= most), default=(0, 0, -1))
        if number < 0:
            break
        index = int(order[position])
        found[index] = found.get(index, 0) + 1
        counts[number] += 1
        count -= 1
        if not _took(queues[number]):
            del queues[number]
    return found


def _queues(
    simulation: Simulation, kind: Kind, rule: SpreadRule, order: NDArray[np.int64]
) -> dict[int, list[list[int]]]:
    """Return per domain [position in `order`, pods that it takes] of its nodes; the first node stands last."""
    room = simulation.own_room(kind, order)
    at = np.flatnonzero(room)[::-1]
    numbers = rule.counter.synced()[order[at]]
    queues: dict[int, list[list[int]]] = {}
    for position, number, most in zip(at.tolist(), numbers.tolist(), room[at].tolist(), strict=True):
        if number >= 0:
            queues.setdefault(number, []).append([position, most])
    return queues


def _took(queue: list[list[int]]) -> Sequence[list[int]]:
    """Take a pod's room off the first node; return what is left of the queue."""
    queue[-1][1] -= 1
    if not queue[-1][1]:
        queue.pop()
    return queue
