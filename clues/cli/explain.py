"""`clues why` in words: for a pod, pool by pool, the first rule that refuses it; for a node, why it stays or goes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from clues.control import ActionView, NodeView
from clues.decision import Block, Decision, PodVerdict, Refusal, Removal
from clues.history import Recording
from clues.history.pod_answer import NO_POD_HINT, pod_answer
from infracore.cli.tables import counted
from infracore.cli.text import clean
from infracore.errors import NotFound
from infracore.units import format_bytes, format_duration

__all__ = ["explained", "recorded_answer"]

_BLOCKS: Final[Mapping[Block, str]] = {
    Block.NOT_MANAGED: "it belongs to no pool",
    Block.SCALE_DOWN_DISABLED: "an annotation on it says that it is not to be removed",
    Block.UTILIZATION: "its pods ask for more of it than policy.utilization_threshold",
    Block.NEEDED: "pending pods will run on it",
    Block.NO_PLACE: "its pods fit on no other node",
    Block.MIN_SIZE: "the pool has its `min` of nodes",
    Block.MIN_RESOURCE: "all nodes together would have fewer than policy.min_cores",
    Block.NOT_UNNEEDED_LONG_ENOUGH: "it has not been unneeded for long enough (unneeded_s)",
    Block.NOT_UNREADY_LONG_ENOUGH: "it has not been unready for long enough (policy.unready_s)",
    Block.UNREADY_DISABLED: "it is not ready, and policy.remove_unready is off",
    Block.COOLDOWN: "nodes were ordered, or a removal failed (this node's own, or another's), a short while ago",
    Block.BEING_DELETED: "it is on its way out already",
    Block.BOOTING: "it was ordered and is still coming",
    Block.BUDGET: "a disruption budget of the policy is used up",
    Block.PARALLELISM: "as many nodes as policy.max_parallel or max_drain allow are going already",
    Block.CLUSTER_UNHEALTHY: "too many nodes are unready: the cluster is left as it is",
    Block.POD_NOT_SAFE: "an annotation on one of its pods says that it is not to be evicted",
    Block.POD_UNREPLICATED: "one of its pods has nobody who would make it anew",
    Block.POD_LOCAL_STORAGE: "one of its pods would lose local storage",
    Block.POD_KUBE_SYSTEM: "one of its pods belongs to kube-system and has no disruption budget",
    Block.PDB: "a PodDisruptionBudget allows no eviction now",
    Block.NOT_CHEAPER: "what would replace it is not cheaper",
    Block.EXCLUDED: "it is excluded",
    Block.STALE: "the picture of the cluster is incomplete or too old",
    Block.HELD: "somebody holds it (clues release)",
    Block.MIN_ON: "it has not been on for long enough (min_on_s)",
    Block.SCHEDULE: "a schedule of the policy forbids it now",
    Block.HEADROOM: "it is kept free as headroom",
    Block.SCALE_IN_OFF: "policy.scale_in is off",
}

_CHANGES: Final[Mapping[str, str]] = {
    "NodeResourcesFit": "a pod that asks for less, or a pool with larger nodes (`allocatable`)",
    "NodeAffinity": "the pod's nodeSelector or node affinity, or the pool's `labels`",
    "TaintToleration": "a toleration in the pod, or a pool without the taint",
    "NodeName": "the pod asks for one node by name: remove spec.nodeName",
    "NodePorts": "another host port, or one pod a node",
    "NodeUnschedulable": "uncordon the node: kubectl uncordon NODE",
    "PodTopologySpread": "a larger maxSkew or whenUnsatisfiable: ScheduleAnyway, or nodes in further zones",
    "InterPodAffinity": "the pod's (or another pod's) affinity or anti-affinity terms",
    "VolumeBinding": "the claim, its storage class, or a pool in the volume's place",
    "VolumeZone": "a pool in the zone of the pod's volume",
    "VolumeRestrictions": "the volume is held by another pod: one of them has to go",
    "NodeVolumeLimits": "fewer volumes a node",
    "DynamicResources": "a pool whose nodes have the device that the pod claims",
    "limit": "a larger `max` of the pool, or policy.max_nodes, max_cores, max_memory_bytes",
    "resting": "the pool rests after failures: remove their cause (clues status), or wait for the end of the rest",
    "unhealthy": "the pool's nodes: it grows again when enough are ready (policy.ok_unready, max_unready_percent)",
    "excluded": "the pool is not used for this",
}

_OUTCOMES: Final[Mapping[str, str]] = {
    "fits": "a node has room: the scheduler will bind it",
    "ordered": "a node was ordered for it now",
    "upcoming": "a node that was ordered before will take it",
    "unschedulable": "no node of any pool could take it: nothing is ordered",
    "resting": "the pools that could take it rest after failures",
    "limit": "the pools that could take it are at their limit, or too many of their nodes are not ready",
    "ignored": "it does not count as demand",
    "waiting": "one node is tried first, for it asks for what cannot be foreseen",
}


def explained(answer: Mapping[str, Any], *, now: float) -> list[str]:
    """Return the lines for an answer of `Control.why` (or `recorded_answer`)."""
    details = answer.get("details")
    details = details if isinstance(details, Mapping) else {}
    lines = [clean(f"{answer.get('kind', '')} {answer.get('name', '')}: {answer.get('summary', '')}".strip(" :"))]
    if answer.get("kind") in ("pod", "job"):  # a tuple: an answer of another version may hold anything
        verdict = _read(details.get("verdict"), PodVerdict)
        return lines + (_pod_lines(verdict) if verdict is not None else [])
    view = _read(details.get("view"), NodeView)
    action, removal = _read(details.get("action"), ActionView), _read(details.get("removal"), Removal)
    return lines + (_node_lines(view, now) if view is not None else []) + _going_lines(action, removal, now)


def _read(value: Any, kind: Any) -> Any:
    """Return the value as one of a kind; None where it is none: an older or newer daemon answers."""
    if value is None:
        return None
    try:
        return msgspec.convert(msgspec.to_builtins(value), kind)
    except msgspec.ValidationError:
        return None


# pods


def _pod_lines(verdict: PodVerdict) -> list[str]:
    meaning = _OUTCOMES.get(verdict.outcome, "")
    lines = [f"  outcome: {clean(verdict.outcome)}" + (f": {meaning}" if meaning else "")]
    if verdict.place:
        lines.append(f"  where: {clean(verdict.place)}")
    if verdict.reason:
        lines.append(f"  reason: {clean(verdict.reason)}")
    if len(verdict.pods) > 1:
        lines.append(f"  alike: {counted(len(verdict.pods) - 1, 'other pod')} in the same case")
    if verdict.refusals:
        lines += ["", "  first rule that refuses it, by pool or node:", *_refusal_lines(verdict.refusals)]
        rules = dict.fromkeys(refusal.rule for refusal in verdict.refusals)
        changes = [f"    {clean(rule)}: {_CHANGES[rule]}" for rule in rules if rule in _CHANGES]
        if changes:
            lines += ["", "  what would have to change:", *changes]
    return lines


def _refusal_lines(refusals: Sequence[Refusal]) -> list[str]:
    places, rules = (
        [clean(text) for text in column] for column in zip(*((r.where, r.rule) for r in refusals), strict=True)
    )
    wide, wider = max(map(len, places)), max(map(len, rules))
    return [
        f"    {place:<{wide}}  {rule:<{wider}}  {clean(refusal.detail)}".rstrip()
        for place, rule, refusal in zip(places, rules, refusals, strict=True)
    ]


# nodes


def _node_lines(view: NodeView, now: float) -> list[str]:
    since = format_duration(max(0.0, now - view.since))
    lines = [f"  state: {clean(view.state)} for {since}" + (f", pool {clean(view.pool)}" if view.pool else ", no pool")]
    if view.machine and view.machine != view.name:
        lines.append(f"  machine: {clean(view.machine)}")
    if view.cpu_m[1] or view.memory_bytes[1]:
        cpu = f"cpu {view.cpu_m[0] / 1000:g} of {view.cpu_m[1] / 1000:g}"
        memory = f"memory {format_bytes(view.memory_bytes[0])} of {format_bytes(view.memory_bytes[1])}"
        lines.append(f"  asked for: {cpu}, {memory}, by {counted(view.pods, 'pod')}")
    if view.held:
        lines.append("  held: it is turned neither on nor off by decision (clues release)")
    if view.disabled:
        lines.append("  disabled: it is not ordered (clues enable)")
    if view.failures:
        lines.append(f"  failures: {counted(view.failures, 'power action')} in a row failed")
    verdict = view.verdict
    if verdict is None:
        return lines
    if verdict.block is None:
        return [*lines, "  goes: " + (clean(verdict.detail) or "it may be removed")]
    lines.append(f"  stays: {verdict.block.value}: {_BLOCKS[verdict.block]}")
    if verdict.detail:
        lines.append(f"    {clean(verdict.detail)}")
    if verdict.removable_at is not None:
        lines.append(f"  until: {_moment(verdict.removable_at, now)}, if nothing else keeps it then")
    return lines


def _moment(at: float, now: float) -> str:
    clock = datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
    return f"{clock}, in {format_duration(at - now)}" if at > now else f"{clock} (over)"


def _going_lines(action: ActionView | None, removal: Removal | None, now: float) -> list[str]:
    lines = []
    if removal is not None:
        lines.append(f"  removal: {removal.kind.value}" + (f": {clean(removal.reason)}" if removal.reason else ""))
        for ref in removal.evict[:20]:
            place = removal.moves.get(f"{ref.namespace}/{ref.name}", "")
            lines.append(f"    evicts {clean(str(ref))}" + (f", there is room on {clean(place)}" if place else ""))
        if len(removal.evict) > 20:
            lines.append(f"    and {counted(len(removal.evict) - 20, 'other pod')}")
    if action is not None:
        lines.append(
            f"  now: {clean(action.kind)}, {clean(action.phase)} for {format_duration(max(0.0, now - action.since))}"
        )
        lines += [f"    {clean(text)}" for text in (action.reason, action.error) if text]
    return lines


# from a recording


def recorded_answer(recording: Recording, name: str) -> Mapping[str, Any]:
    """Answer as the daemon would have after a recorded decision.

    Raises:
        NotFound: no node, machine or pod of the recording has the name.
    """
    decision, snapshot = recording.decision, recording.snapshot
    if name in snapshot.nodes:
        return _recorded_node(recording, name)
    for machines in snapshot.machines.values():
        for machine in machines:
            if name in {machine.name, f"{machine.pool}/{machine.name}"}:
                if machine.node in snapshot.nodes:
                    return _recorded_node(recording, machine.node)
                view = NodeView(
                    machine.name, machine.pool, machine.name, machine.state.value, machine.since, held=machine.held
                )
                return _answer_of_node(view, decision)
    said = "pending, and the decision says nothing of it"
    answer = pod_answer(snapshot, decision, name, undecided=said)
    if answer is None:
        running = sum(len(state.pods) for state in snapshot.nodes.values())
        held = f"{counted(len(snapshot.pending), 'pending pod')} and {counted(running, 'running pod')}"
        raise NotFound(
            f"the recording has neither a node, nor a machine, nor a pod {name!r}",
            f"it has {counted(len(snapshot.nodes), 'node')}, {held}; {NO_POD_HINT}",
        )
    return answer


def _recorded_node(recording: Recording, name: str) -> Mapping[str, Any]:
    state = recording.snapshot.nodes[name]
    node = state.node
    known = recording.snapshot.machines.get(state.pool, ())
    machine = next((m for m in known if m.name == state.machine or m.node == name), None)
    asked: dict[str, int] = {}
    for pod in state.pods:
        for resource, amount in pod.spec.requests:
            asked[resource] = asked.get(resource, 0) + amount
    view = NodeView(
        name,
        state.pool,
        state.machine or (machine.name if machine is not None else ""),
        "unmanaged" if not state.pool else "ready" if node.ready else "unready",
        (node.ready_since if node.ready else node.not_ready_since) or node.created_at,
        len(state.pods),
        (asked.get("cpu", 0), node.allocatable.get("cpu", 0)),
        (asked.get("memory", 0), node.allocatable.get("memory", 0)),
        machine is not None and machine.held,
        machine is not None and machine.disabled,
        machine.failures if machine is not None else 0,
        next((verdict for verdict in recording.decision.nodes if verdict.node == name), None),
    )
    return _answer_of_node(view, recording.decision)


def _answer_of_node(view: NodeView, decision: Decision) -> Mapping[str, Any]:
    removals = [*decision.remove, *(removal for one in decision.replace for removal in one.remove)]
    removal = next((r for r in removals if r.node == view.name or (r.machine and r.machine == view.machine)), None)
    goes = removal is not None or (view.verdict is not None and view.verdict.block is None)
    word = "it goes" if goes else "it stays" if view.verdict is not None else f"it is {view.state}"
    return {
        "kind": "node",
        "name": view.name,
        "summary": word,
        "details": {"view": view, "removal": removal, "action": None},
    }
