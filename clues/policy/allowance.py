"""What may still go in this pass: every limit on removals, and how much of it those that go have used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clues.decision import Block
from clues.model import Pod
from clues.options import Pool
from clues.policy.budgets import EMPTY, UNDERUSED, NodeBudgets, PodBudgets
from clues.policy.cooldown import Wait
from clues.policy.sizes import Sizes
from clues.policy.standing import Field
from clues.snapshot import MachineState, NodeState

__all__ = ["Allowance", "Candidate"]


@dataclass(slots=True)
class Candidate:
    """A node that nothing forbids to go before its pods are tried elsewhere."""

    name: str
    state: NodeState
    pool: Pool
    index: int
    """In the simulation."""
    occupied: bool
    wait: Wait | None
    """What only delays it."""
    since: float
    """Since when it has been removable, if it is."""
    disabled: bool
    """A person took its machine out of use."""

    @property
    def cpu_m(self) -> int:
        return self.state.node.allocatable.get("cpu", 0)


class Allowance:
    """See the module's docstring. What is under way is counted from the beginning, but for its drains and pods."""

    def __init__(self, field: Field) -> None:
        policy, nodes = field.policy, field.snapshot.nodes
        self._policy = policy
        self.pdbs = PodBudgets(field.snapshot.budgets)
        self.sizes = Sizes(field)
        members: dict[str, list[str]] = {name: [] for name in field.pools}
        disrupted = set(field.going)
        for name, state in nodes.items():
            if state.pool in members and name not in field.parked:
                members[state.pool].append(name)
                if not state.node.ready and name not in field.booting:
                    disrupted.add(name)
        self._budgets = NodeBudgets(policy, field.now, members, disrupted)
        self.going = [name for name in nodes if name in field.going and nodes[name].pool in field.pools]
        """Registered nodes whose removal is under way."""
        nameless = sum(
            1
            for machines in field.snapshot.machines.values()
            for machine in machines
            if machine.state is MachineState.STOPPING and (machine.node or machine.name) not in nodes
        )
        self._left = policy.max_parallel - len(self.going) - nameless
        self._drains = policy.max_drain

    def charge_drain(self, moving: Iterable[Pod]) -> None:
        """Count a drain that is under way."""
        self._drains -= 1
        self.pdbs.take(moving)

    def refusal(self, leaving: Sequence[Candidate]) -> Wait | None:
        """Return which limit forbids these nodes to go now, all of them together."""
        few = self.too_few(leaving)
        if few is not None:
            return few
        for reason, occupied in ((UNDERUSED, True), (EMPTY, False)):
            nodes = [(one.name, one.pool.name) for one in leaving if one.occupied is occupied]
            said = self._budgets.refusal_together(nodes, reason)
            if said:
                return Wait(Block.BUDGET, said)
        if self._left < len(leaving):
            return Wait(Block.PARALLELISM, f"{self._policy.max_parallel} removals at once (policy.max_parallel)")
        drains = sum(one.occupied for one in leaving)
        if drains and self._drains < drains:
            return Wait(Block.PARALLELISM, f"{self._policy.max_drain} drains at once (policy.max_drain)")
        return None

    def too_few(self, leaving: Sequence[Candidate]) -> Wait | None:
        """Return which minimum would not be left."""
        refused = self.sizes.refusal([(one.pool.name, one.cpu_m) for one in leaving])
        return None if refused is None else Wait(*refused)

    def could_ever_allow(self, leaving: Sequence[Candidate]) -> bool:
        """Whether nodes that are all occupied could go together once what is under way has ended."""
        policy, nodes = self._policy, [(one.name, one.pool.name) for one in leaving]
        return (
            len(leaving) <= min(policy.max_parallel, policy.max_drain)
            and self.sizes.refusal([(one.pool.name, one.cpu_m) for one in leaving]) is None
            and not self._budgets.never_allows(nodes, UNDERUSED)
        )

    def take(self, candidate: Candidate, moving: Sequence[Pod]) -> None:
        """Count a node as going, with the pods that are evicted."""
        self.pdbs.take(moving)
        self._budgets.take(candidate.name, candidate.pool.name, UNDERUSED if candidate.occupied else EMPTY)
        self.sizes.take(candidate.pool.name, candidate.cpu_m)
        self._left -= 1
        self._drains -= 1 if candidate.occupied else 0
