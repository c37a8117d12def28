"""What deploying or scaling would do to an infrastructure of another server, found by comparing. Pure.

It is an approximation, and says so: numbers of machines, their CPUs and memory are compared with what the server
shows; whatever else differs in the template is for the server to carry out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from im_client.plan.model import Action, Change, Plan, Reason, ReasonCode, Step
from im_client.plan.specs import spec_of
from im_client.services.model import Verb
from im_client.services.remote.model import Infrastructure, Kind, Machine, Named, RemotePlan
from im_client.services.remote.template import Composed
from im_client.topology.model import Group, GroupKind, Topology
from im_client.topology.naming import node_name, stems
from im_client.topology.scale import free_indices
from infracore.errors import InvalidUsage
from infracore.units import format_bytes

__all__ = ["plan_deploy", "plan_destroy", "plan_scale"]

_NAMES: Final = "the server gives new machines other names than these"
_COMPARED: Final = "compared here with what the server shows; the server decides what more it does"


def plan_deploy(
    address: str, kind: Kind, composed: Composed, seen: Infrastructure | None, *, same: bool = False
) -> RemotePlan:
    """Plan a deployment: of a new infrastructure, or of one that is there. `same`: the server has this template."""
    topology = composed.topology
    wanted = {group.name: group.count for group in topology.groups.values() if group.kind is GroupKind.MACHINE}
    named = Named(seen.id if seen else "", seen.name if seen else composed.name, address)
    if seen is None:
        steps = [step for group, count in wanted.items() for step in _new(topology, group, count, (), is_new=True)]
        return RemotePlan(
            Verb.DEPLOY,
            named,
            Plan("", 0, tuple(steps)),
            is_new=True,
            warnings=composed.warnings,
            notes=_names(kind, steps),
            body=composed.body,
            wanted=wanted,
        )
    steps, removals = _numbers(topology, wanted, seen.machines, ())
    gone = {machine.id for machine in removals}
    staying = [machine for machine in seen.machines if machine.id not in gone and machine.group in wanted]
    notes = [_COMPARED]
    left = sorted({machine.group for machine in seen.machines if machine.group and machine.group not in wanted})
    if left:
        notes.append(f"{', '.join(left)}: no longer in the template; a server keeps such machines")
    changed = False
    for machine in staying:
        changes = _changes(topology.groups[machine.group], topology, machine)
        changed = changed or bool(changes)
        if changes and kind is Kind.OURS:
            reason = Reason(ReasonCode.CHANGED, "the template says another size than the machine has")
            steps.append(_step(Action.UPDATE, machine, reason, changes))
    if changed and kind is Kind.ORIGINAL:
        notes.append(f"the {kind} changes no CPUs and no memory of machines that are there")
    body = None if same or composed.is_radl else composed.body
    if body is not None:
        reason = Reason(ReasonCode.OPERATION_CHANGED, "the server has another template")
        steps += [_step(Action.CONFIGURE, machine, reason) for machine in staying]
    unchanged = tuple(machine.name for machine in staying if not any(step.node == machine.name for step in steps))
    return RemotePlan(
        Verb.DEPLOY,
        named,
        Plan(seen.id, 0, tuple(steps), unchanged),
        warnings=composed.warnings,
        notes=(*notes, *_names(kind, steps)),
        body=body,
        wanted=wanted,
        removals=tuple(machine.id for machine in removals),
        etag=seen.etag,
    )


def plan_scale(
    address: str,
    kind: Kind,
    seen: Infrastructure,
    counts: Mapping[str, int],
    *,
    remove: Sequence[Machine],
    systems: Iterable[str],
) -> RemotePlan:
    """Plan other numbers of machines. `remove` go first; without a count each lowers that of its group.

    Raises:
        InvalidUsage: a group that the server does not know (`systems` are all).
    """
    known = tuple(systems)
    for group in counts:
        if group not in known:
            raise InvalidUsage(f"{seen.name} has no machines {group!r}", f"it has: {', '.join(known) or 'none'}")
    wanted = dict(counts)
    for machine in remove:
        if machine.group not in counts:
            there = sum(one.group == machine.group for one in seen.machines)
            wanted[machine.group] = wanted.get(machine.group, there) - 1
    steps, removals = _numbers(None, wanted, seen.machines, tuple(machine.id for machine in remove))
    gone = {machine.id for machine in removals}
    return RemotePlan(
        Verb.SCALE,
        Named(seen.id, seen.name, address),
        Plan(seen.id, 0, tuple(steps), tuple(m.name for m in seen.machines if m.id not in gone)),
        notes=_names(kind, steps),
        wanted=wanted,
        removals=tuple(machine.id for machine in removals),
        etag=seen.etag,
    )


def plan_destroy(address: str, seen: Infrastructure, *, skip_hooks: bool) -> RemotePlan:
    """Plan the end of an infrastructure."""
    reason = Reason(ReasonCode.DESTROY, "the infrastructure is destroyed")
    steps = tuple(_step(Action.DELETE, machine, reason) for machine in seen.machines)
    return RemotePlan(
        Verb.DESTROY, Named(seen.id, seen.name, address), Plan(seen.id, 0, steps), etag=seen.etag, skip_hooks=skip_hooks
    )


def _names(kind: Kind, steps: Iterable[Step]) -> tuple[str, ...]:
    """Say whose the names of new machines are, where they are not those that the plan shows."""
    return (_NAMES,) if kind is Kind.ORIGINAL and any(step.action is Action.CREATE for step in steps) else ()


def _numbers(
    topology: Topology | None, wanted: Mapping[str, int], machines: Sequence[Machine], first: Sequence[str]
) -> tuple[list[Step], list[Machine]]:
    """Return the steps to other numbers, and the machines that go: those of `first`, then the newest."""
    steps: list[Step] = []
    removals: list[Machine] = []
    for group, count in wanted.items():
        members = [machine for machine in machines if machine.group == group]
        if count > len(members):
            steps += _new(topology, group, count - len(members), [m.name for m in members], is_new=False)
        newest = sorted(members, key=lambda machine: machine.number, reverse=True)
        order = sorted(newest, key=lambda machine: machine.id not in first)
        going = order[: max(0, len(members) - count)]
        asked = Reason(ReasonCode.SCALE_IN, "it was named")
        fewer = Reason(ReasonCode.SCALE_IN, f"{count} of {group} {'is' if count == 1 else 'are'} wanted: the newest go")
        steps += [_step(Action.DELETE, machine, asked if machine.id in first else fewer) for machine in going]
        removals += going
    return steps, removals


def _new(topology: Topology | None, group: str, count: int, taken: Sequence[str], *, is_new: bool) -> list[Step]:
    """Return the machines that come. Their names are those that ours would give; the server has the last word."""
    stem = stems(topology.groups if topology is not None else [group])[group]
    used = [int(name.removeprefix(f"{stem}-")) for name in taken if name.removeprefix(f"{stem}-").isdecimal()]
    reason = (
        Reason(ReasonCode.NEW, "it is new") if is_new else Reason(ReasonCode.SCALE_OUT, f"more of {group} are wanted")
    )
    found = []
    for index in free_indices(used, count):
        name = node_name(stem, index)
        spec = spec_of(topology.groups[group], topology, index) if topology is not None else None
        found.append(Step(f"create:{name}", Action.CREATE, name, group, index, reason, spec))
    return found


def _step(action: Action, machine: Machine, reason: Reason, changes: tuple[Change, ...] = ()) -> Step:
    return Step(f"{action}:{machine.name}", action, machine.name, machine.group, 0, reason, changes=changes)


def _changes(group: Group, topology: Topology, machine: Machine) -> tuple[Change, ...]:
    spec = spec_of(group, topology, 1)
    vm = machine.vm
    found = []
    if vm is not None and spec.num_cpus and vm.num_cpus and spec.num_cpus != vm.num_cpus:
        found.append(Change("num_cpus", str(vm.num_cpus), str(spec.num_cpus)))
    if vm is not None and spec.mem_bytes and vm.mem_bytes and not _near(spec.mem_bytes, vm.mem_bytes):
        found.append(Change("mem_bytes", format_bytes(vm.mem_bytes), format_bytes(spec.mem_bytes)))
    return tuple(found)


def _near(one: int, other: int) -> bool:
    """Whether two sizes are the same but for RADL's units: 512m are 512,000,000 bytes there and 512 MiB elsewhere."""
    return abs(one - other) <= 0.08 * max(one, other)
