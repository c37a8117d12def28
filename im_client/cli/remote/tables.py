"""What is there at a server, as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from im_client.cli.remote.shapes import operation_shape
from im_client.cli.tables import phase_style, phases_text
from im_client.services.remote.model import Infrastructure, Machine
from infracore.cli.tables import bare_table, cell, counted
from infracore.units import format_bytes

__all__ = ["infrastructure_table", "operations_table", "show_view"]


def infrastructure_table(found: Sequence[Infrastructure]) -> Table:
    """Return one line an infrastructure."""
    table = bare_table("NAME", "STATE", "MACHINES", "ID")
    for one in found:
        table.add_row(cell(one.name, "bold"), cell(one.state), phases_text(one.counts), cell(one.id, "dim"))
    return table


def show_view(seen: Infrastructure, address: str) -> RenderableType:
    """Return one infrastructure and its machines."""
    head = bare_table()
    for key, value in (("name", seen.name), ("id", seen.id), ("server", address), ("state", seen.state)):
        head.add_row(Text(key, "bold"), cell(value))
    if not seen.machines:
        return Group(head, Text(""), Text("no machines"))
    table = bare_table("MACHINE", "VM", "STATE", "ADDRESS", "PUBLIC", "SIZE", "AT THE CLOUD")
    for machine in seen.machines:
        table.add_row(*_cells(machine))
    return Group(head, Text(""), table)


def _cells(machine: Machine) -> tuple[Text, ...]:
    vm = machine.vm
    size = []
    if vm is not None and vm.num_cpus:
        size.append(counted(vm.num_cpus, "CPU"))
    if vm is not None and vm.mem_bytes:
        size.append(f"{format_bytes(vm.mem_bytes)} memory")
    return (
        cell(machine.name, "bold"),
        cell(machine.id),
        Text(machine.phase.value, phase_style(machine.phase)),
        cell(vm.private_address if vm else ""),
        cell(vm.public_address if vm else ""),
        cell(", ".join(size)),
        cell(" ".join(filter(None, (vm.cloud, vm.instance_id))) if vm else "", "dim"),
    )


def operations_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return one line a change, the newest first."""
    table = bare_table("RUN", "COMMAND", "STATE", "STARTED", "SUMMARY")
    for one in found:
        shape = operation_shape(one)
        words = [str(shape[key] or "") for key in ("id", "verb", "state", "started_at", "summary")]
        table.add_row(*(cell(word) for word in words))
    return table
