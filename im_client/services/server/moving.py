"""Moving an infrastructure from one server to another: all that is recorded of it, as JSON. The machines stay.

What is exported holds keys and inputs in clear: only an owner may have it. An export of the original Infrastructure
Manager is not read: its VMs carry no mark by which a provider of ours could find them again.

What comes in may be written by anybody with an account. So its template is read anew as if it had been sent, and its
machines are those that the provider finds by the infrastructure's id and their marks, at the addresses that it says.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from im_client.plan.model import Phase
from im_client.providers.registry import names
from im_client.services.known import observe
from im_client.services.prepare import check_size, recorded_topology
from im_client.services.server.bodies import TEMPLATES
from im_client.services.server.callers import Caller
from im_client.services.server.house import House
from im_client.services.server.images import usable_images
from im_client.services.server.refusals import check_version
from im_client.services.server.strangers import refuse_where_run
from im_client.services.server.strict_json import decode_strictly
from im_client.services.sites import Sites
from im_client.state.codec import (
    decode_budget,
    decode_digests,
    decode_node_part,
    decode_source,
    decode_spec,
    decode_values,
    encode_node_part,
    encode_plain,
    encode_source,
    encode_values,
)
from im_client.state.server import Acceptance, OperationKind, OperationRecord, OperationState
from im_client.state.store import InfrastructureRecord, NodeRecord, Source, Terms
from im_client.topology.scale import scale
from infracore.errors import Conflict, InvalidUsage, Unauthorised
from infracore.ids import new_run_id
from infracore.secrets import Secret

__all__ = ["export_infrastructure", "import_infrastructure"]

_FORMAT: Final = "im-clues-infrastructure-1"
_LABEL: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z"
_Time = Annotated[float, msgspec.Meta(ge=0, le=253402300799)]
"""Seconds since the epoch, until the year 9999."""
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Token = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{20}\Z")]
_User = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")]
_Port = Annotated[int, msgspec.Meta(ge=1, lt=2**16)]
_PublicKey = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [\x21-\x7e]*)?\Z", max_length=16_384)]


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern=_LABEL)]
    group: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    index: _Count
    token: _Token
    provider: str
    phase: Phase
    spec: str
    created_at: _Time
    updated_at: _Time
    provider_id: str | None
    private_address: str | None
    public_address: str | None
    user: _User
    port: _Port
    host_key_public: _PublicKey | None
    hidden: str | None
    configured_digest: str | None
    operation_digests: str
    failure: str
    number: _Count


class _Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-zA-Z-]{1,64}\Z")]
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")]
    provider: str
    created_at: _Time
    source: str
    provider_settings: str
    outputs: str
    ssh_public_key: _PublicKey
    ssh_private_key: str
    nodes: tuple[_Node, ...]
    expires_at: _Time | None = None
    budget: str | None = None


def export_infrastructure(
    house: House, infra: str, *, forget: bool = False, if_version: int | None = None
) -> dict[str, Any]:
    """Return all that is recorded of an infrastructure. With `forget` nothing is then; its machines stay.

    Raises:
        Conflict: it is being changed. Outdated: the client saw another version.
    """
    with house.operations.guard(infra):
        check_version(house, infra, if_version)
        if house.operations.unfinished(infra):
            raise Conflict("the infrastructure is being changed", "export it when its operations have ended")
        record = house.ctx.store.infrastructure(infra)
        numbers = house.refreshed_numbers(infra)
        whole = _Whole(
            format=_FORMAT,
            id=record.id,
            name=record.name,
            provider=record.provider,
            created_at=record.created_at,
            source=encode_source(dataclasses.replace(record.source, endpoint=None)),  # good at this server only
            provider_settings=encode_values(record.provider_settings),
            outputs=encode_values(record.outputs),
            ssh_public_key=record.ssh_public_key,
            ssh_private_key=record.ssh_private_key.reveal(),
            nodes=tuple(_node(node, numbers[node.name]) for node in house.ctx.store.nodes(infra)),
            expires_at=record.terms.expires_at,
            budget=None if record.terms.budget is None else encode_plain(record.terms.budget),
        )
        made: dict[str, Any] = json.loads(msgspec.json.encode(whole))
        if forget:
            house.ctx.store.remove_infrastructure(infra)
        return made


def import_infrastructure(house: House, caller: Caller, text: str) -> str:
    """Record an infrastructure that was exported, alone or as the whole answer `{"data": ...}`; the caller owns it.

    Returns its id.

    Raises:
        InvalidUsage: the text is no export of ours. Conflict: this server has an infrastructure of this id or name.
        Unauthorised: it lives at a provider that callers of this server may not use.
        InvalidTemplate, Unsupported: its template would be refused also if it were sent.
    """
    ctx = house.ctx
    what, hint = "exported infrastructure", "GET .../data makes one"
    members = decode_strictly(text, dict[str, msgspec.Raw], what, hint)
    inner = bytes(members["data"]).decode() if members.keys() == {"data"} else text
    whole = decode_strictly(inner, _Whole, what, hint)
    try:
        if whole.format != _FORMAT:
            raise InvalidUsage(f"the format {whole.format[:60]!r} is not known here", "export it with this version")
        record = InfrastructureRecord(
            id=whole.id,
            name=whole.name,
            provider=whole.provider,
            created_at=whole.created_at,
            updated_at=ctx.clock.now(),
            revision=0,
            source=decode_source(whole.source),
            ssh_public_key=whole.ssh_public_key,
            ssh_private_key=Secret(whole.ssh_private_key),
            outputs=decode_values(whole.outputs),
            terms=Terms(whole.expires_at, None if whole.budget is None else decode_budget(whole.budget)),
        )
        nodes = [_record(whole.id, node) for node in whole.nodes]
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidUsage(
            f"this is no exported infrastructure: {str(error)[:200]}", "GET .../data makes one"
        ) from error
    offered = ctx.settings.server.providers or (ctx.settings.provider,)
    for site in dict.fromkeys((record.provider, *(node.provider for node in nodes))):
        if site not in offered or site not in (*names(), *ctx.settings.sites):
            raise Unauthorised(f"this server offers no provider {site[:40]!r}")
    if decode_values(whole.provider_settings):
        raise InvalidUsage("it has settings of its provider, which are not taken from strangers")
    _check_names(whole)
    record = dataclasses.replace(record, source=_read_anew(house, caller, record))
    nodes = _found(house, record, nodes)
    now = ctx.clock.now()
    operation = OperationRecord(
        id=new_run_id(now),
        infrastructure=record.id,
        kind=OperationKind.CREATE,
        account=caller.name,
        created_at=now,
        state=OperationState.DONE,
        ended_at=now,
        summary="imported",
    )
    ordered = [node.name for node in sorted(whole.nodes, key=lambda node: node.number)]
    house.records.accept(
        Acceptance(operation=operation, new=record, owner=caller.name, source=record.source, new_nodes=tuple(ordered)),
        now,
    )
    for node in nodes:
        ctx.store.put_node(node)
    return record.id


def _check_names(whole: _Whole) -> None:
    """Refuse what would be one machine twice."""
    for node in whole.nodes:
        if node.provider != whole.provider:
            raise InvalidUsage(f"{node.name} lives at the provider {node.provider[:40]!r}, the infrastructure does not")
    for said in ("name", "token", "number"):
        if len({getattr(node, said) for node in whole.nodes}) != len(whole.nodes):
            raise InvalidUsage(f"two of its machines have the same {said}")


def _read_anew(house: House, caller: Caller, record: InfrastructureRecord) -> Source:
    """Return what is wanted, from the template alone: what it imports is read as for everybody else.

    Raises:
        InvalidUsage, InvalidTemplate, Unsupported.
    """
    source = record.source
    if not source.template.startswith(TEMPLATES) or source.template not in source.files or source.add_ons:
        raise InvalidUsage("it was not made over the network: its template may name files of its computer")
    usable = usable_images(house, caller, source.images.values()).names
    alone = dataclasses.replace(
        source,
        files={source.template: source.files[source.template]},
        images={group: image for group, image in source.images.items() if image in usable},  # no check covers these
        endpoint=None,
    )
    topology, _ = recorded_topology(house.ctx, dataclasses.replace(record, source=alone))
    topology = scale(topology, source.counts)
    check_size(topology)
    refuse_where_run(house.ctx, record, topology, lambda wanted: usable_images(house, caller, wanted))
    return alone


def _found(house: House, record: InfrastructureRecord, nodes: Sequence[NodeRecord]) -> list[NodeRecord]:
    """Return the nodes with what the provider says of them; one that it does not find has no machine."""
    nowhere = [dataclasses.replace(n, provider_id=None, private_address=None, public_address=None) for n in nodes]
    return list(observe(record, nowhere, None, Sites(house.ctx, record)).records.values())


def _node(node: NodeRecord, number: int) -> _Node:
    return _Node(
        name=node.name,
        group=node.group,
        index=node.index,
        token=node.token,
        provider=node.provider,
        phase=node.phase,
        spec=encode_plain(node.spec),
        created_at=node.created_at,
        updated_at=node.updated_at,
        provider_id=node.provider_id,
        private_address=node.private_address,
        public_address=node.public_address,
        user=node.user,
        port=node.port,
        host_key_public=node.host_key_public,
        hidden=encode_node_part(node.host_key_private, node.outputs),
        configured_digest=node.configured_digest,
        operation_digests=encode_plain(node.operation_digests),
        failure=node.failure,
        number=number,
    )


def _record(infra: str, node: _Node) -> NodeRecord:
    key, outputs = (None, {}) if node.hidden is None else decode_node_part(node.hidden)
    return NodeRecord(
        infrastructure=infra,
        name=node.name,
        group=node.group,
        index=node.index,
        token=node.token,
        provider=node.provider,
        phase=node.phase,
        spec=decode_spec(node.spec),
        created_at=node.created_at,
        updated_at=node.updated_at,
        provider_id=node.provider_id,
        private_address=node.private_address,
        public_address=node.public_address,
        user=node.user,
        port=node.port,
        host_key_public=node.host_key_public,
        host_key_private=key,
        configured_digest=node.configured_digest,
        operation_digests=decode_digests(node.operation_digests),
        outputs=outputs,
        failure=node.failure,
    )
