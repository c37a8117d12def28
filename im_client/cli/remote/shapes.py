"""The JSON of commands for a server: the members of the local ones, null where a server does not say."""

from collections.abc import Mapping
from typing import Any

from im_client.cli.shapes import time_shape
from im_client.services.remote.model import Infrastructure, Machine

__all__ = ["infrastructure_shape", "operation_shape"]


def infrastructure_shape(seen: Infrastructure, *, with_nodes: bool) -> dict[str, Any]:
    """Return one infrastructure, for `im list` without its machines and for `im show` with them."""
    shape: dict[str, Any] = {
        "id": seen.id,
        "name": seen.name,
        "state": seen.state,
        "machines": {phase.value: count for phase, count in seen.counts.items()},
    }
    if with_nodes:
        shape["nodes"] = [_node_shape(machine) for machine in seen.machines]
    return shape


def _node_shape(machine: Machine) -> dict[str, Any]:
    vm = machine.vm
    return {
        "id": machine.id,
        "name": machine.name,
        "group": machine.group,
        "phase": machine.phase.value,
        "provider": (vm.cloud if vm else "") or None,
        "provider_id": (vm.instance_id if vm else "") or None,
        "private_address": (vm.private_address if vm else "") or None,
        "public_address": (vm.public_address if vm else "") or None,
        "user": (vm.user if vm else "") or None,
        "port": vm.port if vm else None,
        "spec": {"num_cpus": vm.num_cpus if vm else None, "mem_bytes": vm.mem_bytes if vm else None},
    }


def operation_shape(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return one change, as `im logs --list` shows runs."""
    return {
        "id": one.get("id"),
        "verb": one.get("kind"),
        "state": one.get("state"),
        "started_at": _time(one.get("started_at")),
        "ended_at": _time(one.get("ended_at")),
        "summary": one.get("error") or one.get("summary") or "",
    }


def _time(value: object) -> str | None:
    return time_shape(value) if isinstance(value, float | int) and 0 <= value < 2**40 else None
