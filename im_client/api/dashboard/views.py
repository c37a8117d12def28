"""What pages show of an infrastructure: plain values, made from what the services say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from im_client.api.dashboard.picture import Drawing, draw
from im_client.services.server.house import House
from im_client.services.server.views import Picture, look
from im_client.state.server import OperationRecord, OperationState, Role
from im_client.topology.model import Topology
from infracore.errors import InfraError

__all__ = ["GroupRow", "Live", "Progress", "Row", "live_of", "rows_of"]

_SHOWN: Final = 100
_READY: Final = frozenset({"configured", "stopped", "unconfigured"})


@dataclass(frozen=True, slots=True)
class Row:
    """One infrastructure in the list."""

    id: str
    name: str
    state: str
    provider: str
    created_at: float
    machines: int
    states: Mapping[str, int]
    is_busy: bool


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Machines that are made alike, for the form that scales them."""

    name: str
    wanted: int
    present: int
    minimum: int
    maximum: int | None
    is_scalable: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an operation is."""

    operation: OperationRecord
    done: int
    total: int
    text: str


@dataclass(frozen=True, slots=True)
class Live:
    """What changes while somebody looks."""

    picture: Picture
    role: Role
    progress: Progress | None
    last: OperationRecord | None
    operations: Sequence[OperationRecord]
    groups: Sequence[GroupRow]
    drawing: Drawing | None
    page: int
    pages: int
    numbers: Sequence[int]
    """The VMs on this page."""

    @property
    def is_busy(self) -> bool:
        """Whether something goes on."""
        return self.progress is not None

    @property
    def is_to_mend(self) -> bool:
        """Whether the last change did not come to its good end."""
        return not self.is_busy and self.last is not None and self.last.state is not OperationState.DONE


def rows_of(house: House, infras: Sequence[str]) -> list[Row]:
    """Return the rows of infrastructures; what is gone meanwhile is left out."""
    found = []
    for infra in infras:
        try:
            picture = look(house, infra)
        except InfraError:
            continue
        record = picture.record
        states: dict[str, int] = {}
        for vm in picture.vms.values():
            states[vm.state] = states.get(vm.state, 0) + 1
        is_busy = bool(house.operations.unfinished(infra))
        found.append(
            Row(
                infra, record.name, picture.state, record.provider, record.created_at, len(picture.vms), states, is_busy
            )
        )
    return found


def live_of(house: House, infra: str, role: Role, page: int = 1) -> Live:
    """Return an infrastructure as it is now."""
    picture = look(house, infra)
    waiting = house.operations.unfinished(infra)
    operations = [house.operations.find(one.id) for one in house.records.operations(infra)[:12]]
    numbers = list(picture.vms)
    pages = max(1, -(-len(numbers) // _SHOWN))
    page = min(max(1, page), pages)
    try:
        topology: Topology | None = house.topology(infra)
    except InfraError:  # made by a version of the program that read more; what is recorded is shown all the same
        topology = None
    states: dict[str, list[str]] = {}
    for vm in picture.vms.values():
        if vm.node is not None:
            states.setdefault(vm.node.group, []).append(vm.state)
    return Live(
        picture=picture,
        role=role,
        progress=_progress(house, picture, waiting[0], len(waiting)) if waiting else None,
        last=next((one for one in operations if one.state.is_end), None),
        operations=operations,
        groups=_groups(topology, states),
        drawing=draw(topology, states) if topology is not None and topology.groups else None,
        page=page,
        pages=pages,
        numbers=numbers[(page - 1) * _SHOWN : page * _SHOWN],
    )


def _groups(topology: Topology | None, states: Mapping[str, Sequence[str]]) -> list[GroupRow]:
    if topology is None:
        return []
    return [
        GroupRow(group.name, group.count, len(states.get(group.name, ())), group.minimum, group.maximum, group.scalable)
        for group in topology.groups.values()
    ]


def _progress(house: House, picture: Picture, operation: OperationRecord, waiting: int) -> Progress:
    states = [vm.state for vm in picture.vms.values()]
    ready = _READY if _is_configured(house, picture) else _READY | {"running"}
    done = sum(state in ready for state in states)
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    behind = f"; {waiting - 1} more waiting" if waiting > 1 else ""
    begun = "waits" if operation.state is OperationState.QUEUED else "goes on"
    return Progress(operation, done, len(states), f"{operation.kind} {begun}: {counts or 'no machines yet'}{behind}")


def _is_configured(house: House, picture: Picture) -> bool:
    """Whether there is more to do with a machine that runs."""
    record = picture.record
    try:
        return house.ctx.provider(record.provider, record.provider_settings).limits().reachable
    except InfraError:  # its settings are wrong now; what is recorded is shown all the same
        return True
