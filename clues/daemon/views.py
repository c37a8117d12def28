"""What people are shown, made of what a pass leaves behind, when somebody asks."""

from collections.abc import Mapping, Sequence

from clues.actions.state import NODE_WORDS
from clues.control import ActionView, NodeView, PoolView
from clues.decision import NodeVerdict
from clues.history import ActionRecord
from clues.history.tracker import requested
from clues.loop import View
from clues.options import Pool
from clues.snapshot import Machine, MachineState, NodeState

__all__ = ["action_view", "node_views", "pool_views"]

_WORDS: Mapping[MachineState, str] = {
    MachineState.OFF: "off",
    MachineState.BOOTING: "booting",
    MachineState.ON: "unready",
    MachineState.STOPPING: "stopping",
    MachineState.FAILED: "failed",
    MachineState.UNKNOWN: "unready",
}


def action_view(record: ActionRecord) -> ActionView:
    """Return an action as people see it."""
    return ActionView(
        id=record.token,
        kind=str(record.kind),
        pool=record.pool,
        target=record.node or record.machine,
        phase=str(record.phase),
        since=record.since,
        reason=record.reason,
        error=record.error,
    )


def node_views(view: View) -> Sequence[NodeView]:
    """Return every node, and every machine that is none, by name."""
    verdicts = {v.node: v for v in view.decision.nodes} if view.decision is not None else {}
    machines = {m.node or m.name: m for found in view.machines.values() for m in found}
    actions = {record.node or record.machine: record for record in view.actions}
    shown = [
        _of_node(name, state, machines.get(name), actions.get(name), verdicts.get(name))
        for name, state in view.snapshot.nodes.items()
    ]
    for name, machine in machines.items():
        if name in view.snapshot.nodes:
            continue
        action = actions.get(name)
        word = NODE_WORDS.get((action.kind, action.phase)) if action is not None else None
        state = word or ("booting" if machine.state is MachineState.ON else _WORDS[machine.state])
        shown.append(
            NodeView(
                name=name,
                pool=machine.pool,
                machine=machine.name,
                state=state,
                since=machine.since,
                held=machine.held,
                disabled=machine.disabled,
                failures=machine.failures,
                verdict=verdicts.get(name),
            )
        )
    return sorted(shown, key=lambda node: (node.pool == "", node.pool, node.name))


def _of_node(
    name: str,
    state: NodeState,
    machine: Machine | None,
    action: ActionRecord | None,
    verdict: NodeVerdict | None,
) -> NodeView:
    node = state.node
    word = NODE_WORDS.get((action.kind, action.phase)) if action is not None else None
    if not state.pool:
        shown, since = "unmanaged", node.created_at
    elif word and action is not None:
        shown, since = word, action.since
    elif node.ready:
        shown, since = "ready", node.ready_since or node.created_at
    elif machine is not None and machine.state is not MachineState.ON:
        shown, since = _WORDS[machine.state], machine.since
    else:
        shown, since = "unready", node.not_ready_since or node.created_at
    return NodeView(
        name=name,
        pool=state.pool,
        machine=machine.name if machine is not None else state.machine,
        state=shown,
        since=since,
        pods=len(state.pods),
        cpu_m=(requested(state, "cpu"), node.allocatable.get("cpu", 0)),
        memory_bytes=(requested(state, "memory"), node.allocatable.get("memory", 0)),
        held=machine is not None and machine.held,
        disabled=machine is not None and machine.disabled,
        failures=machine.failures if machine is not None else 0,
        verdict=verdict,
    )


def pool_views(view: View, pools: Sequence[Pool]) -> tuple[PoolView, ...]:
    """Return every pool with the numbers of its nodes and machines."""
    counts: dict[str, dict[str, int]] = {pool.name: {} for pool in pools}
    for name, _, word, _ in view.states.values():
        if name in counts:
            counts[name][word] = counts[name].get(word, 0) + 1
    found = []
    for pool in pools:
        count, rest = counts[pool.name], view.memory.rests.get(pool.name)
        resting = rest is not None and rest.until > view.now
        found.append(
            PoolView(
                name=pool.name,
                driver=pool.driver,
                on=sum(count.get(word, 0) for word in ("ready", "unready", "draining")),
                booting=count.get("booting", 0),
                off=sum(count.get(word, 0) for word in ("off", "stopping", "unknown")),
                failed=count.get("failed", 0),
                min=pool.min,
                max=pool.max,
                price=pool.price,
                resting_until=rest.until if resting and rest is not None else None,
                rest_reason=rest.reason if resting and rest is not None else "",
            )
        )
    return tuple(found)
