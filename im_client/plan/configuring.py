"""Which operations run on which machines, and why."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from im_client.plan.digest import OperationDigest, OperationDigests
from im_client.plan.model import KnownNode, Phase, Reason, ReasonCode
from im_client.topology.facts import Facts, NodeFacts
from im_client.topology.model import Operation, OperationPhase, Topology
from im_client.topology.resolve import Reference, Resolver, describe, references
from im_client.topology.values import Scope

__all__ = ["Work", "World", "operations_of", "work"]


@dataclass(frozen=True, slots=True)
class World:
    """The machines as they will be when all but the configuring is done."""

    known: Mapping[str, KnownNode]
    present: Mapping[str, tuple[str, ...]]
    """Group -> names of its machines, by index."""
    silent: Collection[str]
    """Machines of which the provider could not be asked: they keep their facts and are left alone."""
    indices: Mapping[str, int]
    """Machine -> index."""
    fresh: Collection[str]
    """Machines that are made in this plan: nothing is known of them yet."""
    moving: Collection[str]
    """Machines that are started or changed in this plan: what is not known of them may come to be known."""
    shrunk: Collection[str]
    """Groups of which machines are deleted in this plan."""
    facts: Facts


@dataclass(slots=True)
class Work:
    """What runs on one machine, in the topology's order, and why."""

    operations: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    is_whole: bool = False
    """Whether every operation of the group runs, each without a reason of its own."""


def operations_of(topology: Topology, *phases: OperationPhase) -> dict[str, tuple[str, ...]]:
    """Return the ids of the operations of each group: phase after phase, each in the topology's order."""
    found: dict[str, list[str]] = {}
    for phase in phases:
        for operation in topology.operations:
            if operation.phase is phase:
                found.setdefault(operation.group, []).append(operation.id)
    return {group: tuple(ids) for group, ids in found.items()}


def work(topology: Topology, world: World, forced: Collection[str]) -> dict[str, Work]:
    """Say for every machine that must be configured what runs there.

    A machine of a group without operations has nothing to run; it is named only where an interrupted run left it
    unfinished. One that is new gets all operations of its group. On another only those run that never succeeded
    there, whose implementation or inputs differ from then, or whose inputs come from a machine or an operation of
    this plan: operations are idempotent and name what they depend on, so those between need not run again. An
    operation that runs again makes its outputs unknown, and so whoever reads them runs again too.
    """
    found: dict[str, Work] = {}
    busy = operations_of(topology, OperationPhase.CONFIGURE)
    for group, members in world.present.items():
        for name in members:
            if name in world.silent or (group not in busy and not _is_left_over(name, world)):
                continue
            begun = _whole(name, world, forced)
            if begun is not None:
                found[name] = Work(reasons=[begun], is_whole=begun.code is not ReasonCode.FAILED)
    stale: set[tuple[str, str, str]] = set()
    running: dict[str, set[str]] = {}
    facts = _facts_after(world)
    digests = OperationDigests(Resolver(facts, stale), facts)
    for operation in topology.operations:
        if operation.phase is not OperationPhase.CONFIGURE:
            continue
        names: list[str] = []
        for name in world.present.get(operation.group, ()):
            if name in world.silent:
                continue
            mine = found.get(name)
            if mine is None or not mine.is_whole:
                digest = digests.of(operation, name)
                reason = _reason(operation, name, digest, world=world, running=running, topology=topology)
                if reason is None:
                    continue
                mine = found.setdefault(name, Work())
                mine.reasons.append(reason)
            mine.operations.append(operation.id)
            names.append(name)
        running.setdefault(operation.component, set()).update(names)
        stale.update((name, operation.component, operation.operation) for name in names)
    return found


def _is_left_over(name: str, world: World) -> bool:
    """Say whether a machine without operations was never seen to its end, and no other step does that."""
    node = world.known.get(name)
    untouched = name not in world.fresh and name not in world.moving
    return untouched and node is not None and node.phase in {Phase.RUNNING, Phase.UNCONFIGURED}


def _whole(name: str, world: World, forced: Collection[str]) -> Reason | None:
    """Say why a machine is configured as a whole, or (code FAILED) goes on where its last try stopped."""
    if name in world.fresh:
        return Reason(ReasonCode.NEVER_CONFIGURED, "is made by this plan")
    if name in forced:
        return Reason(ReasonCode.ASKED, "asked for")
    node = world.known[name]
    if node.configured_digest is not None and node.phase is not Phase.UNCONFIGURED:
        return None
    if not node.operation_digests and not node.failure:
        return Reason(ReasonCode.NEVER_CONFIGURED, "was never configured")
    why = f": {node.failure.strip().splitlines()[0]}" if node.failure.strip() else ""
    return Reason(ReasonCode.FAILED, f"its last configuration did not end{why}")


def _reason(
    operation: Operation,
    name: str,
    digest: OperationDigest,
    *,
    world: World,
    running: Mapping[str, Collection[str]],
    topology: Topology,
) -> Reason | None:
    recorded = world.known[name].operation_digests.get(operation.id)
    if recorded is None:
        return Reason(ReasonCode.OPERATION_CHANGED, f"{operation.id} has not run here yet")
    for reference in digest.unknown:
        if _is_made(reference, name, world, running, topology):
            return Reason(ReasonCode.DEPENDS, f"{operation.id} depends on {describe(reference)}, which this plan makes")
    if digest.text == recorded:
        return None
    for reference in references(operation.inputs):
        if topology.components.get(reference.node, reference.node) in world.shrunk:
            return Reason(
                ReasonCode.DEPENDS, f"{operation.id} depends on {describe(reference)}, which this plan changes"
            )
    return Reason(ReasonCode.OPERATION_CHANGED, f"the implementation or the inputs of {operation.id} changed")


def _is_made(
    reference: Reference, own: str, world: World, running: Mapping[str, Collection[str]], topology: Topology
) -> bool:
    group = topology.components.get(reference.node, reference.node)
    members = world.present.get(group, ())
    asked = (own,) if reference.scope is Scope.OWN and own in members else members
    ran = running.get(reference.node, ())
    return any(name in ran or name in world.fresh or name in world.moving for name in asked)


def _facts_after(world: World) -> Facts:
    """Return the facts with the machines that stay, and blanks for those that this plan makes."""
    nodes: dict[str, NodeFacts] = {}
    for group, names in world.present.items():
        for name in names:
            before = world.facts.nodes.get(name)
            if before is None or name in world.fresh:
                before = NodeFacts(name=name, group=group, index=world.indices[name])
            nodes[name] = before
    return replace(world.facts, nodes=nodes)
