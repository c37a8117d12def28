"""Replacing nodes by one cheaper one: what may be bought, and who can be replaced alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from clues.decision import Block, PowerOn
from clues.model import Pod
from clues.options import Pool
from clues.policy.moving import Mover
from clues.policy.simulation import Simulation
from clues.policy.sizes import Sizes
from clues.policy.standing import Field
from clues.policy.template import fresh_node
from clues.snapshot import Machine, MachineState

__all__ = ["Swap", "find_swap", "purchase"]


@dataclass(frozen=True, slots=True)
class Swap:
    """A node that could come instead, and where the pods would go."""

    add: PowerOn
    moves: dict[str, str]
    saves: float
    fresh: str
    """Name of the hypothetical node in `moves`."""


def find_swap(  # noqa: PLR0917
    field: Field,
    simulation: Simulation,
    mover: Mover,
    sizes: Sizes,
    bought: Sequence[PowerOn],
    pool: Pool,
    pods: Sequence[Pod],
) -> Swap | tuple[Block, str]:
    """Find the cheapest pool of which one node, with the room there is, takes a node's pods; else say why not.

    The node itself is out of the simulation. What is found stays placed, so that two replacements never count on the
    same room; the new node cannot be the destination of another node's pods. `bought` are the orders of replacements
    that were decided before in this pass.
    """
    dearer = ""
    for other in sorted(field.pools.values(), key=lambda item: (item.price, item.tier, item.name)):
        cheaper = other.price < pool.price
        add = purchase(field, sizes, bought, other, pods, "it replaces a dearer node") if cheaper else None
        if cheaper and add is None:
            continue
        start = simulation.mark()
        name = f"{other.name} (new {len(simulation.names)})"
        index = simulation.add_node(fresh_node(other, name))
        moves = mover.move(pods)
        if moves is None or add is None:
            simulation.undo(start)
            if moves is not None and not dearer:
                dearer = other.name
            continue
        simulation.close_node(index)
        return Swap(add, moves, round(pool.price - other.price, 9), name)
    if dearer:
        return Block.NOT_CHEAPER, f"a node of pool {dearer} would do, and is not cheaper"
    return Block.NO_PLACE, "its pods fit on no ready node that stays, and on no cheaper one"


def purchase(  # noqa: PLR0917
    field: Field, sizes: Sizes, bought: Sequence[PowerOn], pool: Pool, pods: Sequence[Pod], reason: str
) -> PowerOn | None:
    """Return the order for one node of the pool; None where limits, a rest or the want of a machine forbid it."""
    policy, now = field.policy, field.now
    coming: dict[str, int] = {}
    for order in (*field.out.power_on, *bought):
        coming[order.pool] = coming.get(order.pool, 0) + order.count
    if (
        not policy.scale_out
        or sizes.pools[pool.name] + coming.get(pool.name, 0) >= sizes.limits.get(pool.name, (0, pool.max))[1]
    ):
        return None
    if policy.max_nodes is not None and sum(sizes.pools.values()) + sum(coming.values()) >= policy.max_nodes:
        return None
    cores = sizes.cores_m + sum(
        field.pools[name].allocatable.get("cpu", 0) * count for name, count in coming.items() if name in field.pools
    )
    if policy.max_cores is not None and cores + pool.allocatable.get("cpu", 0) > policy.max_cores * 1000:
        return None
    if policy.max_memory_bytes is not None:
        held = sum(s.node.allocatable.get("memory", 0) for s in field.snapshot.nodes.values())
        held += sum(field.pools[n].allocatable.get("memory", 0) * c for n, c in coming.items() if n in field.pools)
        if held + pool.allocatable.get("memory", 0) > policy.max_memory_bytes:
            return None
    rest = field.out.memory.rests.get(pool.name) or field.memory.rests.get(pool.name)
    if rest is not None and rest.until > now:
        return None
    machines: tuple[str, ...] = ()
    if pool.powered:
        machine = _machine(field, bought, pool)
        if machine is None:
            return None
        machines = (machine.name,)
    refs = tuple(pod.ref for pod in pods[:50])
    return PowerOn(pool.name, 1, machines, refs, reason)


def _machine(field: Field, bought: Sequence[PowerOn], pool: Pool) -> Machine | None:
    taken = {name for order in (*field.out.power_on, *bought) if order.pool == pool.name for name in order.machines}
    usable = [
        machine
        for machine in field.snapshot.machines.get(pool.name, ())
        if machine.state is MachineState.OFF
        and not (machine.held or machine.disabled or machine.order or machine.name in taken)
        and (machine.last_off_at is None or field.now - machine.last_off_at >= pool.min_off_s)
    ]
    return min(usable, key=lambda m: (m.failures, m.power_ons, m.on_seconds, m.name), default=None)
