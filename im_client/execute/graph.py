"""What waits for what: hands out tasks when those before them have ended. Not safe under threads by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from im_client.execute.task import Task

__all__ = ["Graph"]


@dataclass(slots=True, eq=False)
class _Gate:
    """All that wait for the same set of tasks. One gate a set keeps 1,000 waiting for 1,000 at 2,000 edges."""

    pending: int
    strict: bool
    waiting: list[int] = field(default_factory=list)
    because: str = ""
    """The first task that failed, where that matters."""


class Graph:
    """The tasks of one run.

    Raises:
        ValueError: two tasks of one id, an unknown id, or a circle. That is a mistake in a program.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._closed = [0] * len(tasks)
        """Task -> gates before it that are not open yet."""
        self._because = [""] * len(tasks)
        self._gates: dict[str, list[_Gate]] = {task.id: [] for task in tasks}
        if len(self._gates) != len(tasks):
            raise ValueError("two tasks have the same id")
        known: dict[tuple[int, bool], _Gate] = {}
        for number, task in enumerate(tasks):
            for ids, strict in ((task.needs, True), (task.after, False)):
                if ids:
                    gate = known.get((id(ids), strict))
                    if gate is None:
                        gate = known[id(ids), strict] = self._gate(task, ids, strict=strict)
                    gate.waiting.append(number)
                    self._closed[number] += 1
        self._refuse_circles()

    def _gate(self, task: Task, ids: tuple[str, ...], *, strict: bool) -> _Gate:
        gate = _Gate(len(ids), strict)
        for before in ids:
            if before not in self._gates:
                raise ValueError(f"task {task.id!r} waits for {before!r}, which does not exist")
            self._gates[before].append(gate)
        return gate

    def _refuse_circles(self) -> None:
        closed = list(self._closed)
        pending: dict[int, int] = {}
        ready = self.first()
        seen = 0
        while ready:
            seen += 1
            for gate in self._gates[self._tasks[ready.pop()].id]:
                left = pending[id(gate)] = pending.get(id(gate), gate.pending) - 1
                if left == 0:
                    for number in gate.waiting:
                        closed[number] -= 1
                        if closed[number] == 0:
                            ready.append(number)
        if seen != len(self._tasks):
            left_over = sorted(t.id for t, count in zip(self._tasks, closed, strict=True) if count)
            raise ValueError(f"tasks wait for each other in a circle, among them {', '.join(left_over[:5])}")

    def first(self) -> list[int]:
        """Return the numbers of the tasks that wait for nothing."""
        return [number for number, count in enumerate(self._closed) if count == 0]

    def end(self, number: int, because: str = "") -> list[tuple[int, str]]:
        """Note that a task has ended; return those that may go on now, each with the id of what it lacks, or "".

        `because` is the task that failed: this one or the one that it was skipped for; "" if it succeeded.
        """
        freed: list[tuple[int, str]] = []
        for gate in self._gates[self._tasks[number].id]:
            gate.pending -= 1
            if gate.strict and because:
                gate.because = gate.because or because
            if gate.pending == 0:
                for waiting in gate.waiting:
                    self._closed[waiting] -= 1
                    self._because[waiting] = self._because[waiting] or gate.because
                    if self._closed[waiting] == 0:
                        freed.append((waiting, self._because[waiting]))
        return freed
