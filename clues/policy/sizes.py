"""What is left of pools and cluster when nodes go."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from clues.decision import Block
from clues.policy.schedule import limits_at
from clues.policy.standing import Field
from clues.snapshot import MachineState

__all__ = ["Sizes"]


class Sizes:
    """Counts what stays; every removal is taken off it.

    A pool's size is its registered nodes that stay and its machines that boot; the cluster's cores are those of all
    registered nodes that stay, managed or not.
    """

    def __init__(self, field: Field) -> None:
        snapshot, out = field.snapshot, field.out
        self.limits: Mapping[str, tuple[int, int]] = out.limits or limits_at(
            list(field.pools.values()), field.policy, field.now
        )
        self.pools: dict[str, int] = dict.fromkeys(field.pools, 0)
        self.cores_m = 0
        self._least_m = field.policy.min_cores * 1000
        for name, state in snapshot.nodes.items():
            if name in field.going or name in field.parked or state.node.deleting:
                continue
            self.cores_m += state.node.allocatable.get("cpu", 0)
            if state.pool in self.pools:
                self.pools[state.pool] += 1
        given_up = {(removal.pool, removal.machine or removal.node) for removal in out.give_up}
        for pool, name in _booting(field):
            if pool in self.pools and (pool, name) not in given_up:
                self.pools[pool] += 1
        for removal in out.give_up:
            if removal.node in snapshot.nodes and removal.pool in self.pools and removal.node not in field.going:
                self.pools[removal.pool] -= 1

    def refusal(self, leaving: Sequence[tuple[str, int]]) -> tuple[Block, str] | None:
        """Return which minimum forbids these nodes, (pool, cpu in thousandths), to go together."""
        for pool, number in Counter(pool for pool, _ in leaving).items():
            least = self.limits.get(pool, (0, 0))[0]
            if self.pools[pool] - number < least:
                return Block.MIN_SIZE, f"pool {pool} has {self.pools[pool]} nodes, and at least {least} stay"
        if self._least_m > 0 and self.cores_m - sum(cpu_m for _, cpu_m in leaving) < self._least_m:
            return Block.MIN_RESOURCE, f"the cluster would fall below {self._least_m / 1000:g} cores"
        return None

    def take(self, pool: str, cpu_m: int) -> None:
        """Count a node of the pool as gone."""
        self.pools[pool] -= 1
        self.cores_m -= cpu_m


def _booting(field: Field) -> Iterable[tuple[str, str]]:
    for pool, machines in field.snapshot.machines.items():
        for machine in machines:
            if machine.state is MachineState.BOOTING and (machine.node or machine.name) not in field.snapshot.nodes:
                yield pool, machine.name
