"""What is said of pending pods while a decision is made."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clues.decision import PodVerdict, Refusal
from clues.model import Pod, PodRef
from clues.policy.pack import Group

__all__ = ["Trial", "Verdicts"]


@dataclass(slots=True)
class Verdicts:
    """What is said of pending pods, and who was not helped."""

    found: list[PodVerdict] = field(default_factory=list)
    unhelped: list[PodRef] = field(default_factory=list)
    leaving: dict[str, int] = field(default_factory=dict)
    """Pool -> pods of nodes that are being deleted among those for which it is ordered."""
    with_leaving: bool = False

    def add(
        self, pods: Sequence[Pod], outcome: str, place: str = "", refusals: Sequence[Refusal] = (), reason: str = ""
    ) -> None:
        """Say one thing of several pods."""
        if self.with_leaving:  # they are not pending yet: nothing is said of them but what is ordered
            leaving = tuple(pod.ref for pod in pods if pod.node)
            pods = [pod for pod in pods if not pod.node]
            if leaving and outcome == "ordered":
                self.leaving[place] = self.leaving.get(place, 0) + len(leaving)
                self.found.append(PodVerdict(leaving, outcome, place, (), f"its node is being deleted: {reason}"))
        if pods:
            refs = tuple([PodRef(pod.namespace, pod.name, pod.uid) for pod in pods])
            self.found.append(PodVerdict(refs, outcome, place, tuple(refusals), reason))
            if outcome in {"unschedulable", "resting", "limit", "waiting"}:
                self.unhelped += refs


@dataclass(frozen=True, slots=True)
class Trial:
    """One node that is ordered for pods beyond simulation, to look what comes of it."""

    group: Group
    key: str
    at: float
    """When it was ordered."""
    pool: str
    """"" where that was in an earlier pass: it is waited for."""

    @property
    def why(self) -> str:
        """The reason of the order."""
        return f"{', '.join(self.group.kind.spec.beyond)} cannot be answered for a node that is not there: one is tried"
