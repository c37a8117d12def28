"""How much may go at once: pods under disruption budgets, nodes under the policy's budgets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from clues.model import Budget, Pod
from clues.options import Policy
from clues.policy.schedule import in_window
from clues.policy.selectors import selects

__all__ = ["EMPTY", "UNDERUSED", "NodeBudgets", "PodBudgets", "limit_of"]

EMPTY: Final = "empty"
UNDERUSED: Final = "underused"


class PodBudgets:
    """What the PodDisruptionBudgets still allow, shared by all removals that are simulated together."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._budgets: dict[str, list[int]] = {}
        self._given: list[Budget] = []
        self._left: list[int] = []
        for budget in budgets:
            if budget.selector is not None:
                self._budgets.setdefault(budget.namespace, []).append(len(self._given))
                self._given.append(budget)
                self._left.append(max(0, budget.allowed))

    def covers(self, pod: Pod) -> bool:
        """Return whether any budget looks at this pod."""
        return any(True for _ in self._of(pod))

    def lacking(self, pods: Iterable[Pod]) -> tuple[Pod, str] | None:
        """Return the first pod that cannot be evicted after those before it, and why; None where all can.

        No pod under several budgets ever can: the Eviction API answers 500, whatever each of them allows.
        """
        asked: dict[int, int] = {}
        for pod in pods:
            found = list(self._of(pod))
            if len(found) > 1:
                names = ", ".join(sorted(self._given[number].name for number in found))
                return pod, f"{len(found)} budgets match it ({names}), and the Eviction API refuses such pods"
            for number in found:
                asked[number] = asked.get(number, 0) + 1
                if asked[number] > self._left[number]:
                    return pod, f"budget {self._given[number].name} allows {self._left[number]} more disruptions"
        return None

    def take(self, pods: Iterable[Pod]) -> None:
        """Charge evictions; what is already overdrawn stays at nothing."""
        for pod in pods:
            for number in self._of(pod):
                self._left[number] = max(0, self._left[number] - 1)

    def _of(self, pod: Pod) -> Iterable[int]:
        for number in self._budgets.get(pod.namespace, ()):
            selector = self._given[number].selector
            if selector is not None and selects(selector, pod.labels):
                yield number


@dataclass(slots=True)
class _Room:
    pool: str
    reasons: tuple[str, ...]
    text: str
    limit: int
    going: set[str]
    is_lasting: bool
    """It holds at all times."""

    def counts(self, pool: str, reason: str) -> bool:
        """Return whether the budget is about removals from a pool for this reason."""
        return self.pool in {"", pool} and (not self.reasons or reason in self.reasons)


class NodeBudgets:
    """What the policy's budgets still allow.

    `members` are the registered nodes by pool; `going` are those among them that are being removed or are not ready:
    they are disrupted already (as Karpenter counts them), and each counts once.
    """

    def __init__(self, policy: Policy, now: float, members: Mapping[str, Iterable[str]], going: Iterable[str]) -> None:
        self._rooms: list[_Room] = []
        disrupted = frozenset(going)
        for budget in policy.budgets:
            if not in_window(budget.schedule, budget.duration_s, now):
                continue
            pools = [budget.pool] if budget.pool else list(members)
            nodes = {name for pool in pools for name in members.get(pool, ())}
            self._rooms.append(
                _Room(
                    budget.pool,
                    budget.reasons,
                    budget.nodes,
                    limit_of(budget.nodes, len(nodes)),
                    nodes & disrupted,
                    not budget.schedule,
                )
            )

    def refusal(self, node: str, pool: str, reason: str) -> str:
        """Say which budget forbids one more node to go for this reason; "" if none does."""
        return self.refusal_together([(node, pool)], reason)

    def refusal_together(self, leaving: Sequence[tuple[str, str]], reason: str) -> str:
        """Say which budget forbids these nodes, (name, pool), to go together; "" if none does."""
        for room in self._rooms:
            asked = {node for node, pool in leaving if room.counts(pool, reason)}
            if asked and len(room.going | asked) > room.limit:
                what = f"budget of pool {room.pool}" if room.pool else "budget of all pools"
                return f"{what}: {room.text} ({room.limit} nodes), {len(room.going - asked)} are disrupted already"
        return ""

    def never_allows(self, leaving: Sequence[tuple[str, str]], reason: str) -> bool:
        """Whether a budget that holds at all times forbids them to go together even where nothing else is disrupted."""
        return any(
            room.is_lasting and len({node for node, pool in leaving if room.counts(pool, reason)}) > room.limit
            for room in self._rooms
        )

    def take(self, node: str, pool: str, reason: str) -> None:
        """Charge a removal."""
        for room in self._rooms:
            if room.counts(pool, reason):
                room.going.add(node)


def limit_of(text: str, nodes: int) -> int:
    """Read `7` or `20%` (of `nodes`, rounded up); what is neither allows nothing."""
    share = text.endswith("%")
    digits = text[:-1] if share else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        return 0
    return -(-int(digits) * nodes // 100) if share else int(digits)
