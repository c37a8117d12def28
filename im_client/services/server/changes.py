"""From what a caller asks to an accepted operation: read, checked, planned, recorded. Nothing is carried out here.

Each function returns once what is wanted is recorded; the answer to the client needs nothing more.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from im_client.services.elastic import asks_for_endpoint
from im_client.services.model import DeployRequest, Prepared, Verb
from im_client.services.prepare import prepare_changed, prepare_deploy, with_made_inputs
from im_client.services.server.bodies import TEMPLATES
from im_client.services.server.callers import Caller
from im_client.services.server.clouds import chosen_provider
from im_client.services.server.house import House
from im_client.services.server.lending import known_caller, of_caller
from im_client.services.server.merging import merge_templates
from im_client.services.server.operations import Ticket
from im_client.services.server.refusals import (
    check_asked,
    check_kept,
    check_only,
    check_scale,
    check_share,
    check_version,
    is_of_caller,
    made_by,
)
from im_client.state.server import Acceptance, OperationKind, OperationRecord, TokenRecord
from im_client.state.store import Endpoint, InfrastructureRecord, Source
from im_client.topology.values import Value
from infracore.errors import Conflict, InvalidUsage, NotFound
from infracore.ids import new_infrastructure_id, new_run_id

__all__ = [
    "Accepted",
    "Body",
    "Language",
    "create",
    "create_from",
    "destroy",
    "named_vms",
    "new_operation",
    "power",
    "prepare_new",
    "preview",
    "reconfigure",
    "remove",
    "scale",
    "update",
]

from enum import StrEnum


class Language(StrEnum):
    """The language of a template; the value is the ending of its name."""

    TOSCA = "yaml"
    RADL = "radl"
    RADL_JSON = "json"


@dataclass(frozen=True, slots=True)
class Body:
    """A template as a caller sent it; the rest counts for a new infrastructure only."""

    text: str
    language: Language = Language.TOSCA
    add_ons: tuple[str, ...] = ()
    """Texts of templates that are merged onto it."""
    inputs: Mapping[str, Value] = field(default_factory=dict)
    name: str | None = None
    """Begins the infrastructure's name, behind which comes a part of its id; None: the template's name."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change that is recorded and under way."""

    infrastructure: str
    ticket: Ticket
    new_vms: Sequence[int] = field(default=())
    """Numbers of the VMs that come by it."""
    version: int | None = None
    """The version of what is wanted since then, None where that is not known for sure."""


_POWER: Final = frozenset({OperationKind.START, OperationKind.STOP, OperationKind.REBOOT})


def preview(house: House, caller: Caller, body: Body) -> Prepared:
    """Plan a new infrastructure and record nothing.

    Raises:
        InvalidTemplate, Unsupported, InvalidUsage, Unauthorised: as `create`.
    """
    house = of_caller(house, caller)
    infra = new_infrastructure_id()
    return _prepare_sent(house, caller, body, infra, house.endpoints.offer(infra, None)[0])


def create(house: House, caller: Caller, body: Body) -> Accepted:
    """Make a new infrastructure, which the caller owns.

    Raises:
        InvalidTemplate: with all problems. Unsupported: it asks for what this server, or the provider, does not do.
        Unauthorised: no credential for a provider of this server.
    """
    house = of_caller(house, caller)
    infra = new_infrastructure_id()
    endpoint, token = house.endpoints.offer(infra, None)
    return create_from(house, caller, _prepare_sent(house, caller, body, infra, endpoint), token)


def create_from(house: House, caller: Caller, prepared: Prepared, token: TokenRecord | None) -> Accepted:
    """Record a new infrastructure that was planned. `token` is the one that goes with its endpoint.

    Raises:
        QuotaExceeded: the caller would have more machines than one account may.
    """
    infra = prepared.infrastructure.id
    names = made_by(prepared.plan)
    check_share(house, caller, infra, prepared)
    ticket = house.operations.submit(
        Acceptance(
            operation=new_operation(house, caller, infra, OperationKind.CREATE),
            new=prepared.infrastructure,
            owner=caller.name,
            source=prepared.source,
            new_nodes=names,
            token=token if prepared.source.endpoint is not None else None,
        ),
        dataclasses.replace(prepared, is_new=False),
    )
    numbers = house.records.vm_numbers(infra)
    version = house.records.source_version(infra)
    return Accepted(infra, ticket, [numbers[name] for name in names if name in numbers], version)


def update(
    house: House,
    caller: Caller,
    infra: str,
    body: Body,
    *,
    configure: bool = True,
    if_version: int | None = None,
    only_vm: str | None = None,
    scales_only: bool = False,
    replace: bool = False,
) -> Accepted:
    """Merge a template over the recorded one, and bring the infrastructure to what it says then.

    Where that changes nothing, all machines are configured again. `only_vm` refuses what would change another machine,
    `scales_only` what changes more than numbers of machines. Unless `replace`, machines that would be deleted and made
    anew, because they cannot be changed so, are a reason to refuse.

    Raises:
        InvalidTemplate, Unsupported, InvalidUsage: the new template, or what it makes of the old one.
        Conflict: somebody else was quicker; another machine than `only_vm` would change; one would be made anew.
    """
    house = of_caller(house, caller)
    with house.operations.guard(infra):
        record = house.ctx.store.infrastructure(infra)
        numbers = house.records.vm_numbers(infra)
        if only_vm is not None and body.language is not Language.TOSCA:
            wanted = _altered(house, record, body, only_vm)
            leaving: tuple[str, ...] = ()
        else:
            wanted, leaving = _changed(house, record, body, numbers)
        token = None
        if not scales_only:
            endpoint, token = house.endpoints.offer(infra, wanted.endpoint)
            wanted = dataclasses.replace(wanted, endpoint=endpoint)
        prepared = prepare_changed(house.ctx, infra, wanted, Verb.DEPLOY, remove=leaving, configure=configure)
        if scales_only:  # its text is not recorded, only the numbers that it leads to
            check_scale(house, record, prepared)
            counts = {name: group.count for name, group in prepared.topology.groups.items()}
            wanted = dataclasses.replace(record.source, counts={**record.source.counts, **counts})
            prepared = prepare_changed(house.ctx, infra, wanted, Verb.DEPLOY, remove=leaving, configure=configure)
        if not scales_only or is_of_caller(record):
            check_asked(house, caller, prepared, infra)
        if only_vm is not None:
            check_only(prepared.plan, only_vm)
        if not replace:
            check_kept(prepared.plan)
        waiting = house.operations.unfinished(infra)
        is_same = prepared.source == record.source
        if is_same and prepared.plan.is_empty and not waiting and only_vm is None and configure:
            return _simple(house, caller, infra, OperationKind.RECONFIGURE, (), if_version=if_version)
        names = made_by(prepared.plan)
        check_share(house, caller, infra, prepared)
        ticket = house.operations.submit(
            Acceptance(
                operation=new_operation(house, caller, infra, OperationKind.UPDATE, nodes=leaving, configure=configure),
                source=prepared.source,
                source_before=record.source,
                if_version=if_version,
                new_nodes=names,
                token=token if prepared.source.endpoint is not None else None,
            )
        )
        if record.source.endpoint is not None and prepared.source.endpoint is None:
            house.endpoints.withdraw(infra)
        after = house.records.vm_numbers(infra)
        version = house.records.source_version(infra)
    return Accepted(infra, ticket, [after[name] for name in names if name in after and name not in numbers], version)


def remove(
    house: House,
    caller: Caller,
    infra: str,
    vms: Sequence[int],
    *,
    configure: bool = True,
    if_version: int | None = None,
    replace: bool = False,
) -> Accepted:
    """Remove VMs. Those that are going already are passed over.

    Raises:
        NotFound: there is no such VM. InvalidUsage: the template wants the machine to be there.
        Conflict: one is not there yet; or, unless `replace`, another would be made anew.
    """
    house = of_caller(house, caller)
    with house.operations.guard(infra):
        record = house.ctx.store.infrastructure(infra)
        names = named_vms(house, infra, vms)
        going = {
            name
            for operation in house.operations.unfinished(infra)
            if operation.kind is OperationKind.REMOVE
            for name in operation.nodes
        }
        leaving = [name for name in names if name not in going]
        groups = {node.name: node.group for node in house.ctx.store.nodes(infra)}
        missing = [name for name in leaving if name not in groups]
        if missing:
            raise Conflict(f"{missing[0]} is only announced yet", "remove it when it is there, or cancel its operation")
        topology = prepare_changed(house.ctx, infra, record.source, Verb.SCALE, configure=False).topology
        counts = dict(record.source.counts)
        for name in leaving:
            group = groups[name]
            counts[group] = counts.get(group, topology.groups[group].count if group in topology.groups else 1) - 1
        counts = {group: count for group, count in counts.items() if group in topology.groups}
        source = dataclasses.replace(record.source, counts=counts)
        prepared = prepare_changed(house.ctx, infra, source, Verb.SCALE, remove=leaving, configure=configure)
        if is_of_caller(record):
            check_asked(house, caller, prepared, infra)
        if not replace:
            check_kept(prepared.plan)
        ticket = house.operations.submit(
            Acceptance(
                operation=new_operation(
                    house, caller, infra, OperationKind.REMOVE, nodes=tuple(leaving), configure=configure
                ),
                source=source,
                source_before=record.source,
                if_version=if_version,
            )
        )
        version = house.records.source_version(infra)
    return Accepted(infra, ticket, version=version)


def scale(
    house: House, caller: Caller, infra: str, counts: Mapping[str, int], *, if_version: int | None = None
) -> Accepted:
    """Bring groups to other numbers of machines; those that go are chosen as `im scale` does.

    Raises:
        InvalidUsage: a group that is not there, a number outside of its limits. Conflict: somebody else was quicker,
            or a machine that is there would be made anew.
    """
    house = of_caller(house, caller)
    with house.operations.guard(infra):
        record = house.ctx.store.infrastructure(infra)
        numbers = house.records.vm_numbers(infra)
        source = dataclasses.replace(record.source, counts={**record.source.counts, **counts})
        prepared = prepare_changed(house.ctx, infra, source, Verb.SCALE)
        if is_of_caller(record):
            check_asked(house, caller, prepared, infra)
        check_kept(prepared.plan)
        names = made_by(prepared.plan)
        check_share(house, caller, infra, prepared)
        ticket = house.operations.submit(
            Acceptance(
                operation=new_operation(house, caller, infra, OperationKind.UPDATE),
                source=source,
                source_before=record.source,
                if_version=if_version,
                new_nodes=names,
            )
        )
        after = house.records.vm_numbers(infra)
        version = house.records.source_version(infra)
    return Accepted(infra, ticket, [after[name] for name in names if name in after and name not in numbers], version)


def reconfigure(
    house: House,
    caller: Caller,
    infra: str,
    vms: Sequence[int],
    *,
    body: Body | None = None,
    if_version: int | None = None,
    replace: bool = False,
) -> Accepted:
    """Run the configuration again, of some VMs or of all; with a template it is merged in first, as by `update`.

    A cluster that scales itself gets what it asks with.

    Raises:
        NotFound: there is no such VM; nothing is changed then.
    """
    house = of_caller(house, caller)
    kind = OperationKind.RECONFIGURE
    names = named_vms(house, infra, vms)
    if body is not None:
        changed = update(house, caller, infra, body, if_version=if_version, replace=replace)
        if changed.ticket.record.kind is kind and not vms:
            return changed
        if_version = changed.version
    if not house.endpoints.are_given or not asks_for_endpoint(house.topology(infra)):
        return _simple(house, caller, infra, kind, names, if_version=if_version)
    with house.operations.guard(infra):
        before = house.ctx.store.infrastructure(infra).source
        endpoint, token = house.endpoints.offer(infra, before.endpoint)
        if endpoint == before.endpoint:
            return _simple(house, caller, infra, kind, names, if_version=if_version)
        ticket = house.operations.submit(
            Acceptance(
                operation=new_operation(house, caller, infra, kind, nodes=tuple(names)),
                source=dataclasses.replace(before, endpoint=endpoint),
                source_before=before,
                if_version=if_version,
                token=token,
            )
        )
        version = house.records.source_version(infra)
    return Accepted(infra, ticket, version=version)


def power(
    house: House,
    caller: Caller,
    infra: str,
    kind: OperationKind,
    vms: Sequence[int],
    *,
    if_version: int | None = None,
) -> Accepted:
    """Start, stop or restart VMs, some or all.

    Raises:
        NotFound: there is no such VM.
    """
    house = of_caller(house, caller)
    if kind not in _POWER:
        raise InvalidUsage(f"{kind} does not start or stop anything")
    return _simple(house, caller, infra, kind, named_vms(house, infra, vms), if_version=if_version)


def destroy(
    house: House, caller: Caller, infra: str, *, force: bool = False, if_version: int | None = None
) -> Accepted:
    """Remove an infrastructure with all its machines; what else goes on with it is cancelled first.

    `force` leaves the stop and delete hooks of its template out. Where it is being destroyed already, that goes on.

    Raises:
        Outdated: the client saw another version; nothing is cancelled then.
    """
    house = of_caller(house, caller)
    with house.operations.guard(infra):
        house.ctx.store.infrastructure(infra)
        check_version(house, infra, if_version)
        going = house.operations.destroying(infra)
        if going is not None and (going.record.skip_hooks or not force):
            return Accepted(infra, going)
        house.operations.cancel_all(infra)
        operation = new_operation(house, caller, infra, OperationKind.DESTROY, skip_hooks=force)
        ticket = house.operations.submit(Acceptance(operation=operation, if_version=if_version))
    return Accepted(infra, ticket)


def named_vms(house: House, infra: str, vms: Sequence[int]) -> list[str]:
    """Return the machines of VM numbers.

    Raises:
        NotFound: there is no such VM.
    """
    names = {number: name for name, number in house.refreshed_numbers(infra).items()}
    unknown = [vm for vm in vms if vm not in names]
    if unknown:
        raise NotFound(f"there is no VM {unknown[0]} in this infrastructure")
    return list(dict.fromkeys(names[vm] for vm in vms))


def _simple(
    house: House,
    caller: Caller,
    infra: str,
    kind: OperationKind,
    names: Sequence[str],
    *,
    if_version: int | None,
) -> Accepted:
    operation = new_operation(house, caller, infra, kind, nodes=tuple(names))
    ticket = house.operations.submit(Acceptance(operation=operation, if_version=if_version))
    return Accepted(infra, ticket, version=if_version)


def _prepare_sent(house: House, caller: Caller, body: Body, infra: str, endpoint: Endpoint | None) -> Prepared:
    location = f"{TEMPLATES}{infra}/template.{body.language}"
    more = {f"{TEMPLATES}{infra}/add-on-{number}.yaml": text for number, text in enumerate(body.add_ons, start=1)}
    files = {location: body.text, **more}
    source = Source(location, tuple(more), files=files, inputs=body.inputs, endpoint=endpoint)
    return prepare_new(house, caller, infra, source, body.name)


def prepare_new(house: House, caller: Caller, infra: str, source: Source, name: str | None) -> Prepared:
    """Plan a new infrastructure of what a caller may ask for. Raises as `create`."""
    caller = known_caller(house, caller)
    prepared = prepare_deploy(
        house.ctx,
        DeployRequest(
            template=source.template,
            add_ons=source.add_ons,
            name=name,
            provider=chosen_provider(house.ctx, caller),
            fresh=True,
        ),
        infrastructure_id=infra,
        source=source,
    )
    check_asked(house, caller, prepared)
    return prepared


def _changed(
    house: House, record: InfrastructureRecord, body: Body, numbers: Mapping[str, int]
) -> tuple[Source, tuple[str, ...]]:
    """Return what is wanted after a change, and the machines that it names to go."""
    from im_client.services.server.radl import merge_radl, more_of

    before = record.source
    location = before.template
    is_tosca = location.endswith((".yaml", ".yml"))
    if body.language is not Language.TOSCA:
        topology = house.topology(record.id)
        change = more_of(body.text, topology) if is_tosca else merge_radl(before.files[location], body.text, topology)
        text = before.files[location] if change.text is None else change.text
        more = {group: topology.groups[group].count + count for group, count in change.more.items()}
        return (
            dataclasses.replace(before, files={**before.files, location: text}, counts={**before.counts, **more}),
            (),
        )
    if not is_tosca:
        raise InvalidUsage("this infrastructure was made from RADL and is changed by RADL")
    merged = merge_templates(before.files[location], body.text, {number: name for name, number in numbers.items()})
    source = dataclasses.replace(
        before,
        files={**before.files, location: merged.text},
        counts={group: count for group, count in before.counts.items() if group not in merged.counts},
    )
    if "random(" in body.text:
        source = with_made_inputs(house.ctx, source)
    present: dict[str, int] = {}
    for node in house.ctx.store.nodes(record.id):
        present[node.group] = present.get(node.group, 0) + 1
    leaving: list[str] = []
    for group, listed in merged.removal.items():
        surplus = max(0, present.get(group, 0) - merged.counts.get(group, present.get(group, 0)))
        leaving += listed[:surplus]
    return source, tuple(leaving)


def _altered(house: House, record: InfrastructureRecord, body: Body, name: str) -> Source:
    """Return what is wanted when the features of one machine's system are others."""
    from im_client.services.server.radl import altered, altered_host

    before = record.source
    node = next((node for node in house.ctx.store.nodes(record.id) if node.name == name), None)
    if node is None:
        raise Conflict(f"{name} is only announced yet", "alter it when it is there")
    text = before.files[before.template]
    if before.template.endswith((".yaml", ".yml")):
        host = {"capabilities": {"host": {"properties": dict(altered_host(body.text))}}}
        change = {"topology_template": {"node_templates": {node.group: host}}}
        text = merge_templates(text, json.dumps(change), {}).text
    else:
        text = altered(text, body.text, node.group)
    return dataclasses.replace(before, files={**before.files, before.template: text})


def new_operation(
    house: House,
    caller: Caller,
    infra: str,
    kind: OperationKind,
    *,
    nodes: tuple[str, ...] = (),
    configure: bool = True,
    skip_hooks: bool = False,
) -> OperationRecord:
    """Return an operation that a caller asks for now; what they lend for it is kept until it has ended."""
    now = house.ctx.clock.now()
    ident = new_run_id(now)
    house.purse.put(ident, house.ctx, lambda operation: _is_over(house, operation))
    return OperationRecord(
        id=ident,
        infrastructure=infra,
        kind=kind,
        account=caller.name,
        created_at=now,
        nodes=nodes,
        configure=configure,
        skip_hooks=skip_hooks,
    )


def _is_over(house: House, operation: str) -> bool:
    """Return whether an operation has ended, or never began."""
    try:
        return house.operations.find(operation).state.is_end
    except NotFound:
        return True
