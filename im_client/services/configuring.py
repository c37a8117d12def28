"""Operations of a topology -> plays, as many as can be known at once in each run of Ansible."""

import dataclasses
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from im_client.configure.model import Failure, Host, NodeResult, Play, PlayEvent
from im_client.configure.run import run as run_plays
from im_client.remote.access import Access
from im_client.services.artifacts import on_disk
from im_client.services.context import Context
from im_client.services.expressions import holds_expression
from im_client.services.known import facts_of
from im_client.state.store import InfrastructureRecord, NodeRecord, Source
from im_client.topology.facts import Facts
from im_client.topology.model import Operation, Topology
from im_client.topology.resolve import Resolver, Unresolved
from im_client.topology.values import Value
from infracore.events import Event, EventKind, Listener
from infracore.secrets import Secret, redact

__all__ = ["Configured", "Target", "configure"]


@dataclass(frozen=True, slots=True)
class Target:
    """A machine that can be logged in to."""

    record: NodeRecord
    access: Access


@dataclass(slots=True)
class Configured:
    """What became of one machine; grows while batches run."""

    record: NodeRecord
    ended: list[str] = field(default_factory=list)
    """Operations that succeeded, in order."""
    failure: Failure | None = None
    error: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing has failed so far."""
        return self.failure is None and not self.error


def configure(
    ctx: Context,
    infrastructure: InfrastructureRecord,
    topology: Topology,
    targets: Mapping[str, Target],
    wanted: Mapping[str, Sequence[str]],
    *,
    source: Source,
    run_dir: Path,
    listener: Listener,
    cancel: threading.Event,
    phase: str = "configure",
) -> tuple[Mapping[str, Configured], Facts]:
    """Run operations on machines, in the topology's order, in as few runs of Ansible as their inputs allow.

    `targets` are all machines of the infrastructure that can be reached; `wanted` says which operations run
    where. An operation whose inputs come from an earlier one's outputs waits for the next run. A machine on which
    something fails takes no further part; the others go on. Blocks until all is done or `cancel` is set.
    """
    states = {name: Configured(targets[name].record) for name in wanted}
    operations = {operation.id: operation for operation in topology.operations}
    stale = {(name, operations[op].component, operations[op].operation) for name, ops in wanted.items() for op in ops}
    pending = [o for o in topology.operations if any(o.id in ops for ops in wanted.values())]
    batch_number = 0
    while pending and not cancel.is_set():
        facts = _facts(infrastructure, topology, targets, states)
        batch, pending, blocked = _batch(
            pending,
            wanted,
            states,
            Resolver(facts, stale),
            targets,
            source=source,
            cache_dir=ctx.settings.cache_dir,
            trusts_values=ctx.trusts_values,
        )
        for name, why in blocked.items():
            states[name].error = why
            states[name].hint = "the operation that sets it failed, or sets no such output (fact im_outputs)"
        if not batch:
            continue
        batch_number += 1
        secrets = _secrets(batch, targets)
        result = run_plays(
            batch,
            _hosts(infrastructure, targets),
            settings=ctx.settings.ansible,
            run_dir=run_dir / f"{phase}-{batch_number}",
            cache_dir=ctx.settings.cache_dir,
            listener=lambda event: listener(_event(ctx, event, phase)),
            cancel=cancel,
            secrets=secrets,
        )
        for name, node in result.nodes.items():
            if name in states:
                _take(states[name], node, secrets, cancelled=result.cancelled)
        for play in batch:
            stale -= {(host, play.component, play.operation) for host in play.hosts}
    return states, _facts(infrastructure, topology, targets, states)


def _batch(
    pending: list[Operation],
    wanted: Mapping[str, Sequence[str]],
    states: Mapping[str, Configured],
    resolver: Resolver,
    targets: Mapping[str, Target],
    *,
    source: Source,
    cache_dir: Path,
    trusts_values: bool,
) -> tuple[list[Play], list[Operation], dict[str, str]]:
    """Take operations from the front while their inputs are known; say who can never go on when none is."""
    plays: list[Play] = []
    blocked: dict[str, str] = {}
    for place, operation in enumerate(pending):
        hosts = [
            name
            for name in sorted(wanted, key=lambda n: (targets[n].record.group, targets[n].record.index))
            if operation.id in wanted[name] and states[name].ok and name not in blocked
        ]
        inputs: dict[str, Mapping[str, Value]] = {}
        for host in hosts:
            try:
                inputs[host] = {name: resolver.resolve(value, host) for name, value in operation.inputs.items()}
            except Unresolved as missing:
                if plays:
                    return plays, pending[place:], blocked
                blocked[host] = f"{operation.id} on {host}: {missing}"
                continue
            if not trusts_values and holds_expression(inputs[host]):
                del inputs[host]  # a machine of the caller's set it as an output
                blocked[host] = f"{operation.id} on {host}: an input holds an expression in curly brackets"
        if inputs:
            plays.append(
                Play(
                    id=operation.id,
                    component=operation.component,
                    operation=operation.operation,
                    hosts=tuple(inputs),
                    implementation=on_disk(operation.implementation, source, cache_dir),
                    inputs=inputs,
                    requires=operation.requires,
                )
            )
    return plays, [], blocked


def _take(state: Configured, result: NodeResult, secrets: Sequence[Secret], *, cancelled: bool) -> None:
    state.ended.extend(result.ended)
    state.failure = state.failure or result.failure
    if not result.ok and state.ok:
        state.error = "it was interrupted" if cancelled else "Ansible ended before this machine was done"
        state.hint = "run the same command to go on"
    if result.outputs:
        outputs = {component: dict(by_operation) for component, by_operation in state.record.outputs.items()}
        for component, by_operation in result.outputs.items():
            hidden = {
                op: {name: _hidden(v, secrets) for name, v in values.items()} for op, values in by_operation.items()
            }
            outputs.setdefault(component, {}).update(hidden)
        state.record = dataclasses.replace(state.record, outputs=outputs)


def _hidden(value: Value, secrets: Sequence[Secret]) -> Value:
    """Make an output secret that holds a secret input: what a playbook derives of a password is one."""
    if isinstance(value, str):
        return Secret(value) if redact(value, tuple(secrets)) != value else value
    if isinstance(value, tuple):
        return tuple(_hidden(item, secrets) for item in value)
    if isinstance(value, Mapping):
        return {key: _hidden(item, secrets) for key, item in value.items()}
    return value


def _facts(
    infrastructure: InfrastructureRecord,
    topology: Topology,
    targets: Mapping[str, Target],
    states: Mapping[str, Configured],
) -> Facts:
    records = [states[name].record if name in states else target.record for name, target in targets.items()]
    return facts_of(infrastructure, records, topology)


def _hosts(infrastructure: InfrastructureRecord, targets: Mapping[str, Target]) -> list[Host]:
    return [
        Host(
            name=name,
            group=target.record.group,
            access=target.access,
            variables={
                "private_address": target.record.private_address,
                "public_address": target.record.public_address,
                **_im_variables(infrastructure, target.record),
            },
        )
        for name, target in targets.items()
    ]


def _im_variables(infrastructure: InfrastructureRecord, record: NodeRecord) -> dict[str, Value]:
    """Return what recipes written for the Infrastructure Manager read of a machine (its manual, RADL)."""
    addresses = [a for a in (record.private_address, record.public_address) if a]
    return {
        "IM_NODE_HOSTNAME": record.name,
        "IM_NODE_FQDN": record.name,
        "IM_NODE_NUM": record.index,
        "IM_NODE_PRIVATE_IP": record.private_address or record.public_address,
        **({"IM_NODE_PUBLIC_IP": record.public_address} if record.public_address else {}),
        **{f"IM_NODE_NET_{number}_IP": address for number, address in enumerate(addresses)},
        "IM_NODE_VMID": record.provider_id,
        "IM_INFRASTRUCTURE_ID": infrastructure.id,
    }


def _secrets(plays: Iterable[Play], targets: Mapping[str, Target]) -> list[Secret]:
    found: set[Secret] = set()
    for play in plays:
        for inputs in play.inputs.values():
            for value in inputs.values():
                _collect(value, found)
    for target in targets.values():
        found |= {s for s in (target.access.password, target.access.become_password) if s}
    return list(found)


def _collect(value: Value, found: set[Secret]) -> None:
    if isinstance(value, Secret):
        found.add(value)
    elif isinstance(value, tuple):
        for item in value:
            _collect(item, found)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found)


def _event(ctx: Context, event: PlayEvent, phase: str) -> Event:
    kind = EventKind.RETRY if event.kind == "retry" else EventKind.NOTE
    return Event(at=ctx.clock.now(), kind=kind, node=event.node, phase=phase, text=event.text)
