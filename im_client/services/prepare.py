"""From what the user asks to a plan, changing nothing."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from im_client.plan.build import build
from im_client.plan.model import Action, Known, Phase, Plan
from im_client.remote.hostkeys import new_key_pair
from im_client.services.context import Context
from im_client.services.elastic import WATCHES_ONLY, asks_for_endpoint, settled, with_endpoint
from im_client.services.foresight import foresee
from im_client.services.golden import choose_images, require_images
from im_client.services.known import Observed, facts_of, observe
from im_client.services.model import DeployRequest, Prepared, Verb
from im_client.services.placing import with_clouds
from im_client.services.sites import Sites, site_names, with_places
from im_client.services.templates import StoredReader, absolute, settle
from im_client.services.terms import terms_of
from im_client.state.store import InfrastructureRecord, RunState, Source
from im_client.template.analysis import Analysis
from im_client.template.problems import InvalidTemplate, Level, Problem
from im_client.topology.model import GroupKind, OperationPhase, Topology
from im_client.topology.scale import scale
from im_client.topology.values import Value
from infracore.errors import InvalidUsage, NotFound, Unsupported
from infracore.ids import new_infrastructure_id

__all__ = [
    "check_machines",
    "check_name",
    "check_size",
    "find",
    "prepare_changed",
    "prepare_deploy",
    "prepare_destroy",
    "prepare_present",
    "prepare_reconfigure",
    "prepare_recorded",
    "prepare_scale",
    "recorded_topology",
]


MOST_MACHINES: Final = 10_000


def prepare_deploy(
    ctx: Context, request: DeployRequest, *, infrastructure_id: str | None = None, source: Source | None = None
) -> Prepared:
    """Plan the way from what is recorded and running to what a template asks for.

    An infrastructure of the same name is updated: inputs given before stay unless given anew, and so do counts
    set by `im scale`, until the template's own count of that group changes. `infrastructure_id` names the one to
    be made; `source` is used in place of the files (both by `im deploy PLANFILE`).

    Raises:
        InvalidTemplate: with all problems. InvalidUsage: another template has this name already.
    """
    template = absolute(request.template, ctx.cwd)
    add_ons = tuple(absolute(add_on, ctx.cwd) for add_on in request.add_ons)
    reader = StoredReader(source.files, ctx.reader()) if source else ctx.reader()
    analysis = ctx.analyse(template, reader, add_ons=add_ons, require_inputs=False)
    if request.name is not None:
        check_name(request.name)
    name = request.name or _slug(analysis.topology.name if analysis.topology else template.rsplit("/", 1)[-1])
    if request.fresh:
        name = f"{name}-{(infrastructure_id or new_infrastructure_id())[:8]}"
    record = _by_name(ctx, name)
    inputs: Mapping[str, Value] = request.inputs
    counts: Mapping[str, int] = {}
    images: Mapping[str, str] = {}
    endpoint = None
    if record is not None:
        if request.name is None and record.source.template != template:
            raise InvalidUsage(
                f"there is an infrastructure {name!r} already, deployed from {record.source.template}",
                f"to update it say --name {name}; to make another one say --name OTHER",
            )
        inputs = {**record.source.inputs, **inputs}
        counts, images, endpoint = record.source.counts, record.source.images, record.source.endpoint
    if source is not None:
        inputs, counts, images, endpoint = source.inputs, source.counts, source.images, source.endpoint
    inputs = settle(inputs, analysis.inputs)
    if inputs or analysis.inputs:
        analysis = ctx.analyse(template, reader, add_ons=add_ons, inputs=inputs)
    topology, warnings = _checked(analysis)
    if record is not None and source is None:
        counts = _counts_still_wanted(ctx, record, topology)
    images = {group: image for group, image in images.items() if group in topology.groups}
    wanted = Source(template, add_ons, files=analysis.files, inputs=inputs, counts=counts, images=images)
    wanted = settled(dataclasses.replace(wanted, endpoint=endpoint), topology)
    if record is None:
        record = _new_record(ctx, name, request, wanted, infrastructure_id)
        is_new = True
    else:
        is_new = False
        if request.provider and request.provider != record.provider:
            raise InvalidUsage(
                f"{name} lives on the provider {record.provider!r} and cannot move to {request.provider!r}",
                "deploy it under another name, then destroy this one",
            )
        if request.provider_settings:
            record = dataclasses.replace(
                record, provider_settings={**record.provider_settings, **request.provider_settings}
            )
    before = record.terms
    record = dataclasses.replace(record, terms=terms_of(before, request, ctx.clock.now()))
    prepared = _prepared(
        ctx,
        Verb.DEPLOY,
        record,
        scale(topology, counts),
        wanted,
        is_new=is_new,
        warnings=warnings,
        configure=request.configure,
        source_changed=not is_new and wanted != record.source,
        terms_changed=not is_new and record.terms != before,
    )
    return dataclasses.replace(prepared, lease_s=request.lease_s, budget=request.budget)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of an infrastructure. Raises InvalidUsage."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise InvalidUsage(
            f"{name!r} is no name for an infrastructure",
            "a letter or digit, then up to 62 letters, digits, dots, dashes or underscores",
        )


def prepare_scale(
    ctx: Context,
    infra: str,
    counts: Mapping[str, int],
    remove: Sequence[str] = (),
    *,
    skip_hooks: bool = False,
    images: Mapping[str, str] | None = None,
) -> Prepared:
    """Plan other numbers of machines. `remove` names machines that go first; without a count each lowers its group.

    `images` is group -> golden image that its new machines start from, from now on ("": none).

    Raises:
        InvalidUsage: a group or machine that is not there, a count outside of its limits.
        NotFound, Unsupported: no site of a group has the image, or can have any.
    """
    record = find(ctx, infra)
    topology, warnings = recorded_topology(ctx, record)
    nodes = {node.name: node for node in ctx.store.nodes(record.id)}
    wanted = dict(counts)
    present = scale(topology, record.source.counts)
    for name in remove:
        if name not in nodes:
            raise InvalidUsage(f"{record.name} has no machine {name!r}", f"its machines: {', '.join(nodes) or 'none'}")
        group = nodes[name].group
        if group not in counts:
            wanted[group] = wanted.get(group, present.groups[group].count) - 1
    source = dataclasses.replace(
        record.source,
        counts={**record.source.counts, **wanted},
        images={**record.source.images, **(images or {})},
    )
    require_images(Sites(ctx, record), topology, images or {})
    return _prepared(
        ctx,
        Verb.SCALE,
        record,
        scale(topology, source.counts),
        source,
        warnings=warnings,
        source_changed=source != record.source,
        remove=frozenset(remove),
        skip_hooks=skip_hooks,
    )


def prepare_recorded(
    ctx: Context, infra: str, verb: Verb, *, remove: Collection[str] = (), configure: bool = True
) -> Prepared:
    """Plan the way to what is recorded as wanted. `remove` names machines that go first where some must go."""
    record = find(ctx, infra)
    topology, warnings = recorded_topology(ctx, record)
    return _prepared(
        ctx,
        verb,
        record,
        scale(topology, record.source.counts),
        record.source,
        warnings=warnings,
        configure=configure,
        remove=frozenset(remove),
    )


def prepare_changed(
    ctx: Context, infra: str, source: Source, verb: Verb, *, remove: Collection[str] = (), configure: bool = True
) -> Prepared:
    """Plan the way to another source than the recorded one, which applying it records.

    Raises:
        InvalidTemplate: with all problems.
    """
    record = find(ctx, infra)
    topology, warnings = recorded_topology(ctx, dataclasses.replace(record, source=source))
    source = settled(source, topology)
    return _prepared(
        ctx,
        verb,
        record,
        scale(topology, source.counts),
        source,
        warnings=warnings,
        configure=configure,
        source_changed=source != record.source,
        remove=frozenset(remove),
    )


def with_made_inputs(ctx: Context, source: Source) -> Source:
    """Return a source with values for its `random(N)` inputs that have none yet."""
    reader = StoredReader(source.files, ctx.reader())
    analysis = ctx.analyse(source.template, reader, add_ons=source.add_ons, require_inputs=False)
    return dataclasses.replace(source, inputs=settle(source.inputs, analysis.inputs))


def prepare_reconfigure(ctx: Context, infra: str, nodes: Sequence[str] = ()) -> Prepared:
    """Plan to run all operations again, on the named machines or on all.

    Raises:
        InvalidUsage: a machine that is not there.
    """
    record = find(ctx, infra)
    topology, warnings = recorded_topology(ctx, record)
    present = [node.name for node in ctx.store.nodes(record.id)]
    return _prepared(
        ctx,
        Verb.RECONFIGURE,
        record,
        scale(topology, record.source.counts),
        record.source,
        warnings=warnings,
        reconfigure=frozenset(check_machines(ctx, record, nodes) or present),
    )


def prepare_present(ctx: Context, infra: str, verb: Verb) -> Prepared:
    """Plan nothing but what is recorded already, for commands that bring their own steps."""
    record = find(ctx, infra)
    topology, warnings = recorded_topology(ctx, record)
    return _prepared(ctx, verb, record, scale(topology, record.source.counts), record.source, warnings=warnings)


def check_machines(ctx: Context, record: InfrastructureRecord, names: Sequence[str]) -> list[str]:
    """Return the names of machines; a group stands for all of its own.

    Raises:
        InvalidUsage: one of them is neither.
    """
    nodes = ctx.store.nodes(record.id)
    found: list[str] = []
    for name in names:
        mine = [node.name for node in nodes if name in {node.name, node.group}]
        if not mine:
            there = ", ".join(node.name for node in nodes) or "none"
            raise InvalidUsage(f"{record.name} has no machine {name!r}", f"its machines: {there}")
        found += [node for node in mine if node not in found]
    return found


def prepare_destroy(ctx: Context, infra: str, *, skip_hooks: bool = False) -> Prepared:
    """Plan to remove all machines of an infrastructure, then what is recorded of it."""
    record = find(ctx, infra)
    try:
        topology, warnings = recorded_topology(ctx, record)
    except InvalidTemplate as error:
        if not skip_hooks:
            error.hint = "its hooks cannot run: destroy it with --skip-hooks"
            raise
        topology, warnings = Topology(name=record.name), ()
    return _prepared(
        ctx, Verb.DESTROY, record, topology, record.source, warnings=warnings, destroy=True, skip_hooks=skip_hooks
    )


def find(ctx: Context, infra: str) -> InfrastructureRecord:
    """Return the infrastructure with this name or id. Raises NotFound with the names that there are."""
    try:
        return ctx.store.infrastructure(infra)
    except NotFound as error:
        names = ", ".join(record.name for record in ctx.store.infrastructures())
        raise NotFound(
            error.message, f"there are: {names}" if names else "there are none: im deploy makes one"
        ) from error


def recorded_topology(ctx: Context, record: InfrastructureRecord) -> tuple[Topology, tuple[Problem, ...]]:
    """Lower the recorded template again, with its own counts, and return its warnings beside it."""
    source = record.source
    analysis = ctx.analyse(
        source.template, StoredReader(source.files, ctx.reader()), add_ons=source.add_ons, inputs=source.inputs
    )
    return _checked(analysis)


def check_size(topology: Topology) -> None:
    """Refuse a topology of more machines than one infrastructure may have.

    Raises:
        InvalidUsage: it has more than `MOST_MACHINES`.
    """
    machines = sum(group.count for group in topology.groups.values())
    if machines > MOST_MACHINES:
        raise InvalidUsage(f"{machines} machines are more than the {MOST_MACHINES} that one infrastructure may have")


def _prepared(
    ctx: Context,
    verb: Verb,
    record: InfrastructureRecord,
    topology: Topology,
    source: Source,
    *,
    is_new: bool = False,
    warnings: tuple[Problem, ...] = (),
    configure: bool = True,
    source_changed: bool = False,
    terms_changed: bool = False,
    destroy: bool = False,
    skip_hooks: bool = False,
    reconfigure: frozenset[str] | None = None,
    remove: frozenset[str] = frozenset(),
) -> Prepared:
    if verb in {Verb.DEPLOY, Verb.SCALE}:
        topology = with_places(topology, ctx, record.provider)
    topology = with_endpoint(topology, record.id, source.endpoint)
    nodes = () if is_new else ctx.store.nodes(record.id)
    sites = Sites(ctx, record)
    topology = topology if destroy else with_clouds(topology, sites)
    limits = sites.limits(site_names(topology, nodes))
    is_reachable = any(site.reachable for site in limits.values())
    notes: list[str] = []
    if is_new:
        observed = Observed(known=Known(facts=facts_of(record, (), topology)), records={})
    else:
        observed = observe(record, nodes, topology, sites)
        notes += _interrupted(ctx, record)
        notes += [
            f"{s.site} has {s.instance.name} ({s.instance.provider_id}), which is not recorded" for s in observed.strays
        ]
        notes += [f"{site} cannot be asked: {error.message}" for site, error in observed.silent.items()]
    check_size(topology)
    images, missing = ({}, ()) if destroy else choose_images(sites, topology, source.images)
    notes += missing
    plan = build(
        record.id,
        topology,
        observed.known,
        limits[record.provider],
        destroy=destroy,
        reconfigure=reconfigure,
        remove=remove,
        sites=limits,
        images=images,
    )
    foreseen = foresee(plan, topology, sites, observed, limits)
    plan = foreseen.plan
    notes += foreseen.notes
    if verb in {Verb.RECONFIGURE, Verb.START, Verb.STOP, Verb.REBOOT}:
        plan = _only(plan, {Action.CONFIGURE})
    if not configure or not is_reachable:
        plan = _only(plan, set(Action) - {Action.CONFIGURE})
        if not is_reachable and topology.operations and not destroy:
            notes.append(f"machines of {record.provider!r} cannot be logged in to: nothing is configured")
    if configure and not destroy and asks_for_endpoint(topology):
        notes.append(WATCHES_ONLY)
    notes += _hookless(plan, topology, observed) if not skip_hooks else []
    return Prepared(
        verb=verb,
        infrastructure=record,
        is_new=is_new,
        plan=plan,
        topology=topology,
        source=source,
        warnings=warnings,
        notes=tuple(notes),
        configure=configure and is_reachable,
        source_changed=source_changed,
        terms_changed=terms_changed,
        skip_hooks=skip_hooks or not is_reachable,
        forecast=foreseen.forecast,
    )


def _only(plan: Plan, actions: Collection[Action]) -> Plan:
    return dataclasses.replace(plan, steps=tuple(step for step in plan.steps if step.action in actions))


def _hookless(plan: Plan, topology: Topology, observed: Observed) -> list[str]:
    """Say of which machines the stop and delete hooks cannot run."""
    hooked = {o.group for o in topology.operations if o.phase is not OperationPhase.CONFIGURE}
    phases = {name: node.phase for name, node in observed.known.nodes.items()}
    return [
        f"the stop and delete hooks of {step.node} do not run: it is "
        f"{'not configured' if phases[step.node] is Phase.RUNNING else phases[step.node]}"
        for step in plan.steps
        if step.action in {Action.DELETE, Action.REPLACE} and not step.operations and step.group in hooked
    ]


def _interrupted(ctx: Context, record: InfrastructureRecord) -> list[str]:
    runs = ctx.store.runs(record.id)
    if runs and runs[0].state is RunState.RUNNING and ctx.locks.holder(record.id) is None:
        return [f"the last run (im {runs[0].verb}) was interrupted; this plan goes on from what it left"]
    return []


def _counts_still_wanted(ctx: Context, record: InfrastructureRecord, now: Topology) -> Mapping[str, int]:
    """Return the counts of `im scale` for groups whose own count in the template is what it was then."""
    if not record.source.counts:
        return {}
    try:
        before, _ = recorded_topology(ctx, record)
    except InvalidTemplate:
        return {}
    return {
        group: count
        for group, count in record.source.counts.items()
        if group in now.groups and group in before.groups and now.groups[group].count == before.groups[group].count
    }


def _checked(analysis: Analysis) -> tuple[Topology, tuple[Problem, ...]]:
    warnings = tuple(problem for problem in analysis.problems if problem.level is Level.WARNING)
    if analysis.topology is None or len(warnings) != len(analysis.problems):
        raise InvalidTemplate(analysis.problems)
    for group in analysis.topology.groups.values():
        if group.kind is not GroupKind.MACHINE and group.count:
            raise Unsupported(
                f"{group.name} is a {group.kind}, not a machine: this release makes machines only",
                "deploy it with an Infrastructure Manager that has a site for it",
            )
    return analysis.topology, warnings


def _by_name(ctx: Context, name: str) -> InfrastructureRecord | None:
    return next((record for record in ctx.store.infrastructures() if record.name == name), None)


def _new_record(
    ctx: Context, name: str, request: DeployRequest, source: Source, infrastructure_id: str | None
) -> InfrastructureRecord:
    public, private = new_key_pair()
    now = ctx.clock.now()
    return InfrastructureRecord(
        id=infrastructure_id or new_infrastructure_id(),
        name=name,
        provider=request.provider or ctx.settings.provider,
        created_at=now,
        updated_at=now,
        revision=0,
        source=source,
        ssh_public_key=public,
        ssh_private_key=private,
        provider_settings=dict(request.provider_settings),
    )


def _slug(text: str) -> str:
    """Make a name that is easily typed from a template's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "infrastructure"
