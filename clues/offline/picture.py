"""From objects to a snapshot, through the cache that a live cluster fills."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from clues.offline.specs import Object
from clues.options import Pool
from clues.snapshot import Machine, MachineState, NodeState, Snapshot
from clues.sources.wire import Cluster

__all__ = ["feed", "machines_of_nodes", "picture"]

_PARKED: Final = "clues.im-clues/parked"
"""The mark that `clues.drain` puts on the Node of a machine that was turned off."""


def feed(cluster: Cluster, objects: Iterable[Object], event: str = "ADDED") -> None:
    """Hand objects to a cache as an API server would send them: JSON bytes, one by one."""
    for item in objects:
        try:
            raw = msgspec.json.encode(item)
        except UnicodeEncodeError:  # half a surrogate pair: the cache will set the object aside and name it
            raw = json.dumps(item).encode()
        cluster.apply(str(item.get("kind")), event, raw)


def picture(
    cluster: Cluster, now: float, pools: Sequence[Pool], machines: Mapping[str, tuple[Machine, ...]] | None = None
) -> Snapshot:
    """Return the cache's picture; without `machines`, those that the nodes show."""
    if machines is None:
        seen = cluster.snapshot(now, pools=pools, machines={})
        machines = machines_of_nodes(seen, pools)
    return cluster.snapshot(now, pools=pools, machines=machines)


def machines_of_nodes(snapshot: Snapshot, pools: Sequence[Pool]) -> dict[str, tuple[Machine, ...]]:
    """Return the machines that a dump shows: nodes are machines that are on, individuals without a node are off."""
    made: dict[str, dict[str, Machine]] = {pool.name: {} for pool in pools}
    names = {(pool.name, option.node or option.name): option.name for pool in pools for option in pool.machines}
    for name, state in snapshot.nodes.items():
        if state.pool in made:
            machine = names.get((state.pool, name), name)
            made[state.pool][machine] = _machine(state, machine)
    for pool in pools:
        for option in pool.machines:
            if option.name not in made[pool.name]:
                node = option.node or option.name
                made[pool.name][option.name] = Machine(option.name, pool.name, MachineState.OFF, 0.0, node=node)
    return {name: tuple(found.values()) for name, found in made.items()}


def _machine(state: NodeState, machine: str) -> Machine:
    node = state.node
    if _PARKED in node.annotations:
        return Machine(machine, state.pool, MachineState.OFF, node.created_at, node=node.name)
    booting = not node.ready and node.ready_since is None and node.not_ready_since is None
    return Machine(
        name=machine,
        pool=state.pool,
        state=MachineState.BOOTING if booting else MachineState.ON,
        since=node.created_at,
        node=node.name,
    )
