"""What can be ordered, what is coming, and what will never come."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from clues.decision import Memory, Removal, RemovalKind
from clues.model import Node
from clues.options import Policy, Pool
from clues.policy.backoff import failed, is_resting
from clues.policy.health import unhealthy_pools
from clues.policy.schedule import limits_at
from clues.policy.template import fresh_node
from clues.snapshot import Machine, MachineState, Snapshot

__all__ = ["Coming", "Supply", "slot_of", "supply_of"]


_PARKED: Final = "clues.im-clues/parked"
_PASSING: Final = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/network-unavailable",
        "node.cloudprovider.kubernetes.io/uninitialized",
        _PARKED,
    }
)
"""Taints of Kubernetes and ours that go away by themselves after a node has started."""


@dataclass(frozen=True, slots=True)
class Coming:
    """A machine that was ordered and is no ready node yet."""

    slot: str
    """`pool/machine`."""
    pool: str
    node: Node
    """As it will be."""
    registered: str
    """Its node's name, if it has registered."""


@dataclass(slots=True)
class Supply:
    """What there is and may be ordered, per pool and in all."""

    coming: list[Coming] = field(default_factory=list)
    give_up: list[Removal] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    room: dict[str, int] = field(default_factory=dict)
    """Pool -> nodes that may be ordered from it now."""
    closed: dict[str, str] = field(default_factory=dict)
    """Pool -> why nothing may be: `resting`, `unhealthy` or `limit`."""
    machines: dict[str, list[Machine]] = field(default_factory=dict)
    """Powered pool -> the machines that may be turned on, best first."""
    nodes_left: int | None = None
    cores_left_m: int | None = None
    memory_left: int | None = None
    booting_left: int | None = None
    driver_left: dict[str, int] = field(default_factory=dict)
    """Driver -> machines that may begin to boot now; not there: as many as may be ordered."""
    memory: Memory = Memory()  # noqa: RUF009 (immutable)


def slot_of(snapshot: Snapshot) -> dict[str, str]:
    """Return the slots of the registered nodes of pools: node -> `pool/machine`."""
    machines = {
        machine.node: machine.name for listed in snapshot.machines.values() for machine in listed if machine.node
    }
    return {
        name: f"{state.pool}/{state.machine or machines.get(name, name)}"
        for name, state in snapshot.nodes.items()
        if state.pool
    }


def supply_of(snapshot: Snapshot, pools: Sequence[Pool], policy: Policy, memory: Memory) -> Supply:
    """Sort out machines and limits."""
    now = snapshot.now
    supply = Supply(limits=limits_at(pools, policy, now))
    given_up: dict[str, float] = {}
    for pool in pools:
        for machine in snapshot.machines.get(pool.name, ()):
            if machine.state is not MachineState.BOOTING:
                continue
            state = snapshot.nodes.get(machine.node) if machine.node else None
            if state is not None and state.node.ready:
                continue  # see _settling
            slot = f"{pool.name}/{machine.name}"
            if now - machine.since > policy.max_provision_s:
                supply.give_up.append(_given_up(pool, machine, state is not None, now))
                if slot not in memory.given_up:
                    reason = f"{machine.name} did not become a ready node"
                    memory = failed(memory, pool.name, now, reason, policy.backoff)
                given_up[slot] = memory.given_up.get(slot, now)
                continue
            if state is None:
                node = fresh_node(pool, machine.node or f"{pool.name}/{machine.name}")
            else:
                node = msgspec.structs.replace(state.node, ready=True, unschedulable=False, taints=pool.taints)
            supply.coming.append(Coming(slot, pool.name, node, machine.node if state is not None else ""))
    supply.coming += _settling(snapshot, pools, policy, memory)
    supply.memory = msgspec.structs.replace(memory, given_up=given_up)
    _count(supply, snapshot, pools, policy)
    return supply


def _settling(snapshot: Snapshot, pools: Sequence[Pool], policy: Policy, memory: Memory) -> list[Coming]:
    """Return nodes that are ready but still carry what goes away by itself after a start.

    The API server taints a node as not ready when it registers, and the controller takes that back some moments after
    the kubelet has said Ready; startup taints go when their daemons have run; a parked node is still cordoned.
    """
    by_name = {pool.name: pool for pool in pools}
    found: list[Coming] = []
    slots: dict[str, str] = {}
    for name, state in snapshot.nodes.items():
        pool, node = by_name.get(state.pool), state.node
        if pool is None or not node.ready or node.deleting or name in memory.removing:
            continue
        if not node.taints or snapshot.now - (node.ready_since or snapshot.now) > policy.max_provision_s:
            continue
        startup = {(taint.key, taint.effect) for taint in pool.startup_taints}
        stay = tuple(
            taint for taint in node.taints if taint.key not in _PASSING and (taint.key, taint.effect) not in startup
        )
        if len(stay) == len(node.taints):
            continue
        was_parked = any(taint.key == _PARKED for taint in node.taints)
        if was_parked:
            stay = tuple(taint for taint in stay if taint.key != "node.kubernetes.io/unschedulable")
        settled = msgspec.structs.replace(node, taints=stay, unschedulable=node.unschedulable and not was_parked)
        slots = slots or slot_of(snapshot)
        found.append(Coming(slots[name], pool.name, settled, name))
    return found


def _given_up(pool: Pool, machine: Machine, registered: bool, now: float) -> Removal:
    waited = f"{now - machine.since:.0f} s after it was ordered"
    if registered:
        return Removal(
            machine.node, pool.name, machine.name, RemovalKind.NEVER_READY, reason=f"its node is not ready {waited}"
        )
    return Removal("", pool.name, machine.name, RemovalKind.NEVER_REGISTERED, reason=f"it has not registered {waited}")


def _count(supply: Supply, snapshot: Snapshot, pools: Sequence[Pool], policy: Policy) -> None:
    now = snapshot.now
    gone = {removal.node for removal in supply.give_up if removal.node}
    parked = {
        machine.node or machine.name
        for listed in snapshot.machines.values()
        for machine in listed
        if machine.state in {MachineState.OFF, MachineState.FAILED}
    }
    standing = {
        name: state
        for name, state in snapshot.nodes.items()
        if name not in gone and not (name in parked and not state.node.ready)
    }
    by_pool: dict[str, int] = {}
    for state in standing.values():
        by_pool[state.pool] = by_pool.get(state.pool, 0) + 1
    unregistered = [item for item in supply.coming if not item.registered]
    sick = unhealthy_pools(snapshot, policy, [item.registered for item in supply.coming if item.registered])
    for pool in pools:
        size = by_pool.get(pool.name, 0) + sum(item.pool == pool.name for item in unregistered)
        supply.sizes[pool.name] = size
        room = max(0, supply.limits[pool.name][1] - size)
        if pool.powered:
            supply.machines[pool.name] = _ready_to_wake(snapshot, pool, now)
            room = min(room, len(supply.machines[pool.name]))
        if room == 0:
            supply.closed[pool.name] = "limit"
        if is_resting(supply.memory, pool.name, now):
            room, supply.closed[pool.name] = 0, "resting"
        elif pool.name in sick:
            room, supply.closed[pool.name] = 0, "unhealthy"
        supply.room[pool.name] = room
    if policy.max_nodes is not None:
        supply.nodes_left = max(0, policy.max_nodes - len(standing) - len(unregistered))
    amounts = [state.node.allocatable for state in standing.values()]
    amounts += [item.node.allocatable for item in unregistered]
    if policy.max_cores is not None:
        used = sum(amount.get("cpu", 0) for amount in amounts)
        supply.cores_left_m = max(0, round(policy.max_cores * 1000) - used)
    if policy.max_memory_bytes is not None:
        used = sum(amount.get("memory", 0) for amount in amounts)
        supply.memory_left = max(0, policy.max_memory_bytes - used)
    if policy.max_booting is not None:
        supply.booting_left = max(0, policy.max_booting - len(supply.coming))
    driver_of = {pool.name: pool.driver for pool in pools}
    coming = Counter(driver_of[item.pool] for item in supply.coming)
    for pool in pools:
        if pool.max_booting is not None:
            left = max(0, pool.max_booting - coming[pool.driver])
            supply.driver_left[pool.driver] = min(left, supply.driver_left.get(pool.driver, left))


def _ready_to_wake(snapshot: Snapshot, pool: Pool, now: float) -> list[Machine]:
    """Return the machines that may be turned on: fewest failures first, then least worn, then by name."""
    found = [
        machine
        for machine in snapshot.machines.get(pool.name, ())
        if machine.state is MachineState.OFF
        and not machine.held
        and not machine.disabled
        and not (machine.last_off_at is not None and now - machine.last_off_at < pool.min_off_s)
    ]
    return sorted(found, key=lambda item: (item.failures, item.power_ons, item.on_seconds, item.name))
