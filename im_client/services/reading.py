"""What is known, for those who look: listings, one infrastructure, outputs, logs, and how to log in."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from im_client.remote.access import Access
from im_client.services.context import Context
from im_client.services.known import access_of, observe
from im_client.services.model import InfrastructureView, LogView, SshTarget
from im_client.services.prepare import find
from im_client.services.sites import Sites
from im_client.state.store import InfrastructureRecord, NodeRecord, RunRecord
from im_client.topology.values import Value
from infracore.errors import Conflict, InvalidUsage, NotFound, Unsupported
from infracore.secrets import Secret

__all__ = ["access_of_all", "choose_node", "listing", "logs", "outputs", "runs", "show", "ssh_target"]


def listing(ctx: Context) -> tuple[InfrastructureView, ...]:
    """Return all infrastructures, newest first, as recorded; no provider is asked."""
    counts = ctx.store.node_counts()
    return tuple(
        InfrastructureView(
            record=record,
            counts=counts.get(record.id, {}),
            last_run=next(iter(ctx.store.runs(record.id)), None),
            busy_with=_busy(ctx, record),
        )
        for record in ctx.store.infrastructures()
    )


def show(ctx: Context, infra: str) -> InfrastructureView:
    """Return one infrastructure with its machines, as recorded (`im refresh` asks the provider)."""
    record = find(ctx, infra)
    return InfrastructureView(
        record=record,
        counts=ctx.store.node_counts().get(record.id, {}),
        nodes=tuple(ctx.store.nodes(record.id)),
        last_run=next(iter(ctx.store.runs(record.id)), None),
        busy_with=_busy(ctx, record),
    )


def outputs(ctx: Context, infra: str, *, reveal: bool = False) -> Mapping[str, Value]:
    """Return the outputs of the last run. Secrets come as `Secret` unless `reveal` is set."""
    found = find(ctx, infra).outputs
    return {name: _revealed(value) for name, value in found.items()} if reveal else found


def runs(ctx: Context, infra: str) -> tuple[RunRecord, ...]:
    """Return the runs of an infrastructure, newest first."""
    return tuple(ctx.store.runs(find(ctx, infra).id))


def logs(ctx: Context, infra: str, *, run: str | None = None) -> LogView:
    """Return a run's story and its full Ansible logs; without `run`, of the last one.

    Raises:
        NotFound: there is no such run.
    """
    record = find(ctx, infra)
    known = ctx.store.runs(record.id)
    chosen = next((r for r in known if run is None or r.id == run), None)
    if chosen is None:
        ids = ", ".join(r.id for r in known[:5])
        raise NotFound(
            f"{record.name} has no run {run!r}" if run else f"nothing was run on {record.name} yet",
            f"its last runs: {ids}" if ids else "",
        )
    lines = tuple(f"{event.kind}\t{event.node}\t{event.text}" for event in ctx.store.events(chosen.id))
    folder = Path(chosen.log_dir)
    found = sorted(folder.rglob("ansible.log"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    return LogView(run=chosen, lines=lines, ansible={str(path): path.read_text(errors="replace") for path in found})


def ssh_target(ctx: Context, infra: str, node: str | None, *, connect: bool = True) -> SshTarget:
    """Return how to log in to a machine: by its name, its group where that has one machine, or the first of all.

    Raises:
        InvalidUsage: no machine is called so. Conflict: it has no address (yet). Unsupported: it is to be connected
            to, and its provider makes none that can be.
    """
    record = find(ctx, infra)
    nodes = ctx.store.nodes(record.id)
    if not nodes:
        raise Conflict(f"{record.name} has no machines", f"run: im deploy, or im show {record.name}")
    chosen = choose_node(record, nodes, node)
    if connect and not Sites(ctx, record).at(chosen.provider).limits().reachable:
        raise Unsupported(f"machines of {chosen.provider!r} cannot be logged in to", "deploy on another provider")
    access = access_of_all(ctx, record, [chosen]).get(chosen.name)
    if access is None:
        raise Conflict(f"{chosen.name} of {record.name} has no address yet", f"look at: im refresh {record.name}")
    return SshTarget(node=chosen.name, access=access)


def access_of_all(ctx: Context, record: InfrastructureRecord, nodes: list[NodeRecord]) -> Mapping[str, Access]:
    """Ask the sites how to log in to these machines; those without an address are left out.

    Where this computer does not reach private addresses, the way to a machine that has no other leads through the
    first machine of its site that has a public one.
    """
    sites = Sites(ctx, record)
    limits = sites.limits(node.provider for node in nodes)
    hidden = {node.name for node in nodes if not limits[node.provider].direct and not node.public_address}
    wanted = {node.name for node in nodes}
    observed = observe(record, ctx.store.nodes(record.id) if hidden else nodes, None, sites)
    found = {
        name: access
        for name, node in observed.records.items()
        if (access := access_of(record, node, observed.instances.get(name))) is not None
    }
    gates = {
        node.provider: found[name]
        for name, node in reversed(tuple(observed.records.items()))
        if node.public_address and name in found
    }
    return {
        name: _through(access, gates.get(observed.records[name].provider)) if name in hidden else access
        for name, access in found.items()
        if name in wanted
    }


def _through(access: Access, gate: Access | None) -> Access:
    return access if gate is None or access.jump is not None else dataclasses.replace(access, jump=gate)


def choose_node(record: InfrastructureRecord, nodes: Sequence[NodeRecord], wanted: str | None) -> NodeRecord:
    if wanted is None:
        return nodes[0]
    for node in nodes:
        if wanted in {node.name, node.provider_id}:
            return node
    members = [node for node in nodes if node.group == wanted]
    if len(members) == 1:
        return members[0]
    names = ", ".join(node.name for node in members or nodes)
    if members:
        raise InvalidUsage(f"{wanted} of {record.name} has {len(members)} machines", f"say which: {names}")
    raise InvalidUsage(f"{record.name} has no machine {wanted!r}", f"its machines: {names}")


def _busy(ctx: Context, record: InfrastructureRecord) -> str:
    held = ctx.locks.holder(record.id)
    return f"im {held.verb}, process {held.pid}" if held is not None else ""


def _revealed(value: Value) -> Value:
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, tuple):
        return tuple(_revealed(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _revealed(item) for key, item in value.items()}
    return value
