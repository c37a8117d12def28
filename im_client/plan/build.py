"""The plan: from the desired topology and what is known to the steps between them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from im_client.plan.configuring import World, operations_of, work
from im_client.plan.diff import spec_changes
from im_client.plan.members import members
from im_client.plan.model import (
    Action,
    Change,
    Known,
    KnownNode,
    Limits,
    Phase,
    Plan,
    Reason,
    ReasonCode,
    Spec,
    Step,
)
from im_client.plan.order import creation_order, deleted_before
from im_client.plan.places import places_of
from im_client.plan.specs import is_shared, spec_of, title
from im_client.topology.model import Group, OperationPhase, Topology
from im_client.topology.naming import stems
from infracore.errors import InvalidUsage

__all__ = ["build"]

_CAN_RUN_HOOKS = frozenset({Phase.RUNNING, Phase.CONFIGURED, Phase.UNCONFIGURED})


def build(
    infrastructure: str,
    topology: Topology,
    known: Known,
    limits: Limits,
    *,
    destroy: bool = False,
    reconfigure: frozenset[str] | None = None,
    remove: frozenset[str] = frozenset(),
    sites: Mapping[str, Limits] | None = None,
    images: Mapping[str, Mapping[str, str]] | None = None,
) -> Plan:
    """Plan the way from what is known to what the topology asks for. Equal arguments give equal plans.

    First surplus machines are deleted (their STOP and DELETE hooks before that), then machines are made and
    changed, and last all configuring happens, so that a front-end that lists its workers runs once, with
    the final list. `reconfigure` names machines on which all operations run again; `remove` names machines that
    go whatever the count is. A machine recorded as DELETING has its hooks behind it: they do not run again.

    `limits` are those of the site where the infrastructure is, `sites` of all others that its machines are at or may
    be made at. `images` is group -> site -> golden image.

    Raises:
        InvalidUsage: `reconfigure` or `remove` names no machine, or the machines live at another provider.
        Unsupported: the provider cannot honour what the template asks for (`Several` where it is more than one).
    """
    _check_names(known, reconfigure or frozenset(), remove)
    draft = _Draft(topology, known, limits, sites or {}, images or {})
    if destroy:
        draft.delete(sorted(known.nodes.values(), key=_newest_first), ReasonCode.DESTROY, "everything is destroyed")
        return draft.finish(infrastructure)
    _check_provider(known, draft.sites)
    draft.places = places_of(topology, limits, draft.sites)
    draft.populate(remove)
    if any(site.reachable for site in draft.sites.values()):
        draft.configure(reconfigure or frozenset())
    return draft.finish(infrastructure)


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    topology: Topology
    known: Known
    limits: Limits
    sites: Mapping[str, Limits] = field(default_factory=dict)
    """Site -> what it can do; that of the infrastructure among them."""
    images: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Group -> the sites that can give its machines, in order; none where the template names none."""
    order: list[str] = field(default_factory=list)
    deletes: dict[str, list[Step]] = field(default_factory=dict)
    """Group -> steps, in the order in which they are read."""
    makes: dict[str, list[Step]] = field(default_factory=dict)
    configures: list[Step] = field(default_factory=list)
    present: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Group -> machines that stay or are made, by index."""
    silent: set[str] = field(default_factory=set)
    """Machines of which nothing could be learned now."""
    warnings: list[str] = field(default_factory=list)
    indices: dict[str, int] = field(default_factory=dict)
    hooks: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.order = creation_order(self.topology.groups)
        self.sites = {**self.sites, self.limits.provider: self.limits}
        self.hooks = operations_of(self.topology, OperationPhase.STOP, OperationPhase.DELETE)

    def _limits_of(self, node: KnownNode) -> Limits:
        return self.sites.get(node.provider, self.limits)

    def _hooks_of(self, node: KnownNode) -> tuple[str, ...]:
        can_run = node.phase in _CAN_RUN_HOOKS and self._limits_of(node).reachable
        return self.hooks.get(node.group, ()) if can_run else ()

    def _can_configure(self, group: str, name: str, fresh: Collection[str]) -> bool:
        """Say whether a machine can be logged in to, as far as it is known where it will be."""
        if name not in fresh and name in self.known.nodes:
            return self._limits_of(self.known.nodes[name]).reachable
        places = self.places.get(group) or (self.limits.provider,)
        return any(self.sites[site].reachable for site in places)

    def delete(self, nodes: Collection[KnownNode], code: ReasonCode, text: str) -> None:
        """Plan to delete machines, in this order."""
        for node in nodes:
            reason = Reason(code, text)
            if node.phase is Phase.DELETING and code is not ReasonCode.DESTROY:
                reason = Reason(ReasonCode.INTERRUPTED, "an earlier run began to delete it")
            hooks = self._hooks_of(node)
            step = Step(
                id=f"{Action.DELETE}:{node.name}",
                action=Action.DELETE,
                node=node.name,
                group=node.group,
                index=node.index,
                reason=reason,
                operations=hooks,
            )
            self.deletes.setdefault(node.group, []).append(step)

    def populate(self, remove: Collection[str]) -> None:
        """Delete what is too much, make what is missing, change what differs."""
        by_group: dict[str, list[KnownNode]] = {}
        for node in self.known.nodes.values():
            by_group.setdefault(node.group, []).append(node)
        for name, nodes in by_group.items():
            if name not in self.topology.groups:
                text = f"the template has no {name} any more"
                self.delete(sorted(nodes, key=_newest_first), ReasonCode.REMOVED, text)
        stem = stems(self.topology.groups)
        for name in self.order:
            group = self.topology.groups[name]
            found = members(group, stem[name], by_group.get(name, ()), remove, self.known.nodes)
            count = f"{name} is scaled in to {group.count}"
            for node in found.surplus:
                text = "asked for" if node.name in remove else count
                self.delete((node,), ReasonCode.SCALE_IN, text)
            shared = spec_of(group, self.topology, 0) if is_shared(group) else None
            steps: list[Step] = []
            for node in found.kept:
                step = self._kept(node, shared or spec_of(group, self.topology, node.index))
                if step is not None:
                    steps.append(step)
            scaled = bool(by_group.get(name))
            for index, node_name in found.missing:
                spec = shared or spec_of(group, self.topology, index)
                steps.append(self._placed(_create(group, index, node_name, spec, scaled=scaled)))
            everyone = sorted([(n.index, n.name) for n in found.kept] + list(found.missing))
            self.indices.update((n, i) for i, n in everyone)
            self.present[name] = tuple(n for _, n in everyone)
            self.makes[name] = sorted(steps, key=lambda s: s.index)

    def _placed(self, step: Step) -> Step:
        """Say where the machine of a step is made, and from which golden image."""
        places = self.places.get(step.group, ())
        images = self.images.get(step.group, {})
        there = {site: images[site] for site in places or (self.limits.provider,) if site in images}
        return replace(step, sites=places, images=there) if places or there else step

    def _kept(self, node: KnownNode, spec: Spec) -> Step | None:
        """Return what a machine that stays needs, or None."""
        if node.phase is Phase.UNKNOWN:
            self.silent.add(node.name)
            self.warnings.append(f"the provider could not be asked about {node.name}: it is left alone")
            return None
        limits = self._limits_of(node)
        changes = spec_changes(node.spec, spec, limits)
        forced = [c for c in changes if c.forces_replace]
        reason: Reason | None = None
        match node.phase:
            case Phase.GONE:
                action, reason = Action.CREATE, Reason(ReasonCode.GONE, "it no longer exists at the provider")
            case Phase.FAILED:
                action = Action.REPLACE if node.provider_id else Action.CREATE
                reason = Reason(ReasonCode.FAILED, f"it failed{_because(node.failure)}")
            case Phase.DELETING:
                action = Action.REPLACE
                reason = Reason(ReasonCode.INTERRUPTED, "an earlier run began to delete it")
            case Phase.CREATING if not changes:
                action = Action.CREATE
                reason = Reason(ReasonCode.INTERRUPTED, "an earlier run began to create it")
            case Phase.CREATING:
                action = Action.REPLACE
                what = ", ".join(title(c.property) for c in changes)
                reason = Reason(ReasonCode.CHANGED, f"it was begun with another {what}")
            case _ if forced:
                action = Action.REPLACE
                what = ", ".join(title(c.property) for c in forced)
                text = f"{what} cannot be changed on a machine of {limits.provider}"
                reason = Reason(ReasonCode.CHANGED, text)
            case _ if changes:
                action, reason = Action.UPDATE, Reason(ReasonCode.CHANGED, self._in_place_text(node, changes))
            case Phase.STOPPED:
                action, reason = Action.START, Reason(ReasonCode.STOPPED, "it is stopped")
            case Phase.PENDING:
                action, reason = Action.START, Reason(ReasonCode.INTERRUPTED, "it has not finished starting")
            case _:
                return None
        step = Step(
            id=f"{action}:{node.name}",
            action=action,
            node=node.name,
            group=node.group,
            index=node.index,
            reason=reason,
            spec=None if action is Action.START else spec,
            changes=changes,
            operations=self._hooks_of(node) if action is Action.REPLACE else (),
        )
        return self._placed(step) if action in {Action.CREATE, Action.REPLACE} else step

    def _in_place_text(self, node: KnownNode, changes: Collection[Change]) -> str:
        properties = {c.property for c in changes}
        if node.phase is Phase.STOPPED:
            return "changed in place, then started"
        if properties - self._limits_of(node).in_place:
            return "changed in place: the machine restarts"
        return "changed in place"

    def configure(self, forced: Collection[str]) -> None:
        """Plan the operations that must run."""
        made = [step for steps in self.makes.values() for step in steps]
        world = World(
            known=self.known.nodes,
            present=self.present,
            silent=self.silent,
            indices=self.indices,
            fresh=frozenset(s.node for s in made if s.action in {Action.CREATE, Action.REPLACE}),
            moving=frozenset(s.node for s in made if s.action in {Action.START, Action.UPDATE}),
            shrunk=frozenset(self.deletes),
            facts=replace(self.known.facts, components=self.topology.components, defaults=self.topology.attributes),
        )
        jobs = work(self.topology, world, forced)
        for group in self.order:
            for name in self.present.get(group, ()):
                job = jobs.get(name)
                if job is not None and self._can_configure(group, name, world.fresh):
                    self.configures.append(
                        Step(
                            id=f"{Action.CONFIGURE}:{name}",
                            action=Action.CONFIGURE,
                            node=name,
                            group=group,
                            index=self.indices[name],
                            reason=_most_telling(job.reasons),
                            operations=tuple(job.operations),
                        )
                    )

    def finish(self, infrastructure: str) -> Plan:
        """Put the steps in order. Steps that need the same share one tuple, which keeps a plan linear in size."""
        steps: list[Step] = []
        order = [g for g in self.deletes if g not in self.order] + self.order[::-1]
        for group in order:
            if group in self.deletes:
                earlier = deleted_before(group, self.topology.groups, self.order) if group in self.order else ()
                needs = tuple(s.id for other in earlier for s in self.deletes.get(other, ()))
                steps += [replace(step, needs=needs) for step in self.deletes[group]]
        deleted = tuple(step.id for step in steps)
        before: set[str] = set()
        for group in self.order:
            needed = [g for g in self.topology.groups[group].needs if g in before and self.makes.get(g)]
            needs = deleted + tuple(s.id for g in needed for s in self.makes[g]) if needed else deleted
            steps += [replace(step, needs=needs) for step in self.makes.get(group, ())]
            before.add(group)
        everything = tuple(step.id for step in steps)
        steps += [replace(step, needs=everything) for step in self.configures]
        busy = {step.node for step in steps}
        return Plan(
            infrastructure=infrastructure,
            revision=self.known.revision,
            steps=tuple(steps),
            unchanged=tuple(n for g in self.order for n in self.present.get(g, ()) if n not in busy),
            warnings=tuple(self.warnings),
        )


def _create(group: Group, index: int, name: str, spec: Spec, *, scaled: bool) -> Step:
    if scaled:
        reason = Reason(ReasonCode.SCALE_OUT, f"{group.name} is scaled out to {group.count}")
    else:
        reason = Reason(ReasonCode.NEW, f"the template asks for {group.count} of {group.name}")
    return Step(
        id=f"{Action.CREATE}:{name}",
        action=Action.CREATE,
        node=name,
        group=group.name,
        index=index,
        reason=reason,
        spec=spec,
    )


def _newest_first(node: KnownNode) -> tuple[str, int]:
    return node.group, -node.index


def _because(failure: str) -> str:
    return f": {failure.strip().splitlines()[0]}" if failure.strip() else ""


def _most_telling(reasons: Collection[Reason]) -> Reason:
    """Return the first reason and say how many there are beside it; a failed configuration is reason enough."""
    first, *others = reasons
    if first.code is ReasonCode.FAILED or not others:
        return first
    return replace(first, text=f"{first.text}; and {len(others)} more")


def _check_names(known: Known, reconfigure: Collection[str], remove: Collection[str]) -> None:
    unknown = sorted((set(reconfigure) | set(remove)) - known.nodes.keys())
    if unknown:
        there = ", ".join(known.nodes) or "none"
        raise InvalidUsage(f"there is no machine {', '.join(repr(n) for n in unknown)}", f"machines: {there}")


def _check_provider(known: Known, sites: Mapping[str, Limits]) -> None:
    others = sorted({n.provider for n in known.nodes.values() if n.provider not in sites})
    if others:
        raise InvalidUsage(
            f"this infrastructure has machines at {', '.join(others)} and cannot be planned for {', '.join(sites)}",
            "destroy it first, or deploy the template under another name",
        )
