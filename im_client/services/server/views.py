"""What callers see of an infrastructure, as recorded."""

from collections.abc import Mapping
from dataclasses import dataclass

from im_client.services.reading import logs
from im_client.services.server.changes import Language
from im_client.services.server.house import House
from im_client.services.server.merging import with_counts
from im_client.services.server.words import state_of_all, state_of_vm
from im_client.state.server import OperationKind, OperationState
from im_client.state.store import InfrastructureRecord, NodeRecord
from infracore.errors import NotFound, Unsupported
from infracore.secrets import Secret, redact

__all__ = ["Picture", "Vm", "contmsg", "listed", "look", "tosca", "vm_contmsg"]


@dataclass(frozen=True, slots=True)
class Vm:
    """One VM; `node` is None while it is only announced."""

    number: int
    name: str
    state: str
    node: NodeRecord | None


@dataclass(frozen=True, slots=True)
class Picture:
    """One infrastructure with its VMs."""

    record: InfrastructureRecord
    vms: Mapping[int, Vm]
    state: str
    version: int


def look(house: House, infra: str) -> Picture:
    """Return an infrastructure as it is recorded; if that is old, the provider is asked in the background.

    Raises:
        NotFound: there is none.
    """
    house.refresher.look(infra)
    version = house.records.source_version(infra)  # first: an old one with a new picture does no harm
    record = house.ctx.store.infrastructure(infra)
    found = house.ctx.store.nodes(infra)
    nodes = {node.name: node for node in found}
    numbers = house.refreshed_numbers(infra, found)
    waiting = house.operations.unfinished(infra)
    vms = {}
    for name, number in numbers.items():
        node = nodes.get(name)
        vms[number] = Vm(number, name, state_of_vm(node, is_busy=bool(waiting)), node)
    last = next(iter(house.records.operations(infra)), None)
    state = state_of_all(
        [vm.state for vm in vms.values()],
        is_deleting=any(operation.kind is OperationKind.DESTROY for operation in waiting),
        has_failed=last is not None and last.state is OperationState.FAILED,
    )
    return Picture(record, vms, state, version)


def listed(house: House, mine: Mapping[str, object] | None) -> tuple[InfrastructureRecord, ...]:
    """Return the infrastructures that a caller sees, newest first."""
    return tuple(record for record in house.ctx.store.infrastructures() if mine is None or record.id in mine)


def contmsg(house: House, infra: str, *, header_only: bool = False) -> str:
    """Return the story of the last run: what happened, then Ansible's own log; secrets of the record are masked."""
    record = house.ctx.store.infrastructure(infra)
    try:
        found = logs(house.ctx, record.id)
    except NotFound:
        return ""
    lines = [" ".join(line.split("\t")).strip() for line in found.lines]
    text = "\n".join(lines) + ("\n" if lines else "")
    if not header_only:
        text += "".join(found.ansible.values())
    return redact(text, _secrets(record))


def vm_contmsg(house: House, infra: str, name: str) -> str:
    """Return what the last run tells of one machine."""
    record = house.ctx.store.infrastructure(infra)
    try:
        found = logs(house.ctx, record.id)
    except NotFound:
        return ""
    parts = [line.split("\t", 2) for line in found.lines]
    lines = [f"{kind} {text}".strip() for kind, node, text in parts if node == name]
    for whole in found.ansible.values():
        lines += [line for line in whole.splitlines() if f"[{name}]" in line]
    return redact("".join(f"{line}\n" for line in lines), _secrets(record))


def tosca(record: InfrastructureRecord) -> str:
    """Return the template, with the numbers of machines that are wanted now.

    Raises:
        Unsupported: the infrastructure was made from RADL.
    """
    source = record.source
    if not source.template.endswith((f".{Language.TOSCA}", ".yml")):
        raise Unsupported("this infrastructure was not made from TOSCA", "ask for its radl")
    return with_counts(source.files[source.template], source.counts)


def _secrets(record: InfrastructureRecord) -> list[Secret]:
    endpoint = record.source.endpoint
    given = () if endpoint is None else (endpoint.token,)
    found = (*record.source.inputs.values(), *record.outputs.values(), *given)
    return [value for value in found if isinstance(value, Secret)]
