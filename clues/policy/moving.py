"""Finding a place for pods that must leave their node."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clues.model import Pod
from clues.policy.simulation import Kind, Simulation

__all__ = ["Mover"]

_NEW: Final = 9
"""Rank of nodes that were added later: they come last."""
_STEPS: Final = 400_000
"""Node looks of the exhaustive search in one pass: about a fifth of a second."""


class Mover:
    """Places pods on nodes that stay, fullest first; what it placed stays in the simulation.

    `rank` says per node how readily it is used (lower first): nodes that stay anyhow before those that could go
    themselves. Where filling in order of size fails, a bounded exhaustive search is made; its bound is counted in steps
    of work, not in time, so that equal pictures have equal answers.
    """

    def __init__(self, simulation: Simulation, rank: NDArray[np.int64], *, steps: int = _STEPS) -> None:
        self._simulation = simulation
        self._steps = steps
        self.rank = rank
        self.stuck: Pod | None = None
        """The pod for which the last failed move found no place."""

    def move(self, pods: Sequence[Pod]) -> dict[str, str] | None:
        """Place all of them and return `namespace/name` -> node; None, and nothing is placed, where that fails."""
        ordered = sorted(pods, key=_size)
        chosen = self._fill(ordered)
        if chosen is None and len(ordered) > 1 and self._steps > 0:
            chosen = self._search(ordered)
        if chosen is None:
            return None
        names = self._simulation.names
        return {f"{pod.namespace}/{pod.name}": names[index] for pod, index in chosen}

    def _fill(self, pods: Sequence[Pod]) -> list[tuple[Pod, int]] | None:
        simulation = self._simulation
        start = simulation.mark()
        chosen: list[tuple[Pod, int]] = []
        for kind, members in simulation.kinds(pods).items():
            left = list(members)
            while left:
                if simulation.is_simple(kind):
                    room = simulation.room(kind)
                    places = self._preferred(room > 0)
                else:
                    room = None
                    places = self._preferred(simulation.mask(kind))[:1]
                if places.size == 0:
                    self.stuck = left[0]
                    simulation.undo(start)
                    return None
                for place in places.tolist():
                    count = 1 if room is None else min(len(left), int(room[place]))
                    simulation.place(kind, place, count)
                    chosen += [(pod, place) for pod in left[:count]]
                    del left[:count]
                    if not left:
                        break
        return chosen

    def _search(self, pods: Sequence[Pod]) -> list[tuple[Pod, int]] | None:
        simulation = self._simulation
        start = simulation.mark()
        kinds = [simulation.kind_of(pod) for pod in pods]
        cost = max(1, len(simulation.names))
        for kind in dict.fromkeys(kinds):  # one without any place settles it, unless it waits for another one
            self._steps -= cost
            if simulation.is_simple(kind) and not simulation.mask(kind).any():
                return None
        chosen: list[tuple[Pod, int]] = []
        trail: list[tuple[int, list[int]]] = []
        marks: list[int] = []
        while True:
            depth = len(chosen)
            if depth == len(pods):
                return chosen
            if len(trail) == depth:
                self._steps -= cost
                if self._steps <= 0:
                    simulation.undo(start)
                    return None
                trail.append((depth, self._options(kinds[depth])))
            options = trail[-1][1]
            if options:
                place = options.pop(0)
                marks.append(simulation.mark())
                simulation.place(kinds[depth], place, 1)
                chosen.append((pods[depth], place))
                continue
            trail.pop()
            if not trail:
                simulation.undo(start)
                return None
            simulation.undo(marks.pop())
            chosen.pop()

    def _options(self, kind: Kind) -> list[int]:
        return [int(place) for place in self._preferred(self._simulation.mask(kind))]

    def _preferred(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        found = np.flatnonzero(mask)
        if found.size < 2:
            return found.astype(np.int64)
        first = self._simulation.free_of("cpu")[found]
        known = self.rank.size
        rank = self.rank[found] if found[-1] < known else np.append(self.rank, _NEW)[np.minimum(found, known)]
        order = np.lexsort((first, rank))  # stable: by index at last
        return found[order].astype(np.int64)


def _size(pod: Pod) -> tuple[int, int, int, str, str]:
    asked = dict(pod.spec.requests)
    return -pod.spec.priority, -asked.get("cpu", 0), -asked.get("memory", 0), pod.namespace, pod.name
