"""Starting, stopping and restarting machines, and looking at them anew."""

import dataclasses
import threading
from collections.abc import Sequence
from typing import Final

from im_client.plan.model import Action, Phase, Plan, Reason, ReasonCode, Step
from im_client.services.apply import apply
from im_client.services.context import Context
from im_client.services.foretelling import refuse_impossible
from im_client.services.known import observe
from im_client.services.model import ApplyReport, InfrastructureView, Verb
from im_client.services.prepare import check_machines, find, prepare_present
from im_client.services.reading import show
from im_client.services.sites import Sites
from im_client.topology.model import OperationPhase
from infracore.errors import Several
from infracore.events import Listener

__all__ = ["power", "refresh"]

_ACTIONS: Final = {Verb.START: Action.START, Verb.STOP: Action.STOP, Verb.REBOOT: Action.REBOOT}


def power(
    ctx: Context,
    infra: str,
    verb: Verb,
    nodes: Sequence[str] = (),
    *,
    listener: Listener,
    cancel: threading.Event,
    wait_s: float = 0.0,
    scrub: tuple[str, ...] | None = None,
    has_hooks: bool = True,
) -> ApplyReport:
    """Start, stop or restart machines, the named ones or all, and wait until they are as asked.

    Before a machine stops its stop hooks run (Slurm: drain); after it has started it is configured again.
    Starting a running or stopping a stopped machine is no error. `scrub`: see `Prepared`.
    Without `has_hooks` no stop hooks run.

    Raises:
        InvalidUsage: a machine that is not there. Unsupported: one cannot do that.
        Locked: another command is changing the infrastructure.
    """
    prepared = prepare_present(ctx, infra, verb)
    names = check_machines(ctx, prepared.infrastructure, nodes) or [
        node.name for node in ctx.store.nodes(prepared.infrastructure.id)
    ]
    records = {node.name: node for node in ctx.store.nodes(prepared.infrastructure.id)}
    hooks = {
        group: tuple(o.id for o in prepared.topology.operations if o.phase is OperationPhase.STOP and o.group == group)
        for group in prepared.topology.groups
    }
    action = _ACTIONS[verb]
    steps = [
        Step(
            id=f"{action}:{name}",
            action=action,
            node=name,
            group=records[name].group,
            index=records[name].index,
            reason=Reason(ReasonCode.ASKED, "asked for"),
            operations=hooks.get(records[name].group, ()) if verb is Verb.STOP and has_hooks else (),
        )
        for name in names
    ]
    refuse_impossible(steps, records, Sites(ctx, prepared.infrastructure))
    if verb is Verb.START:
        steps += [s for s in prepared.plan.steps if s.action is Action.CONFIGURE and s.node in names]
    plan = Plan(infrastructure=prepared.plan.infrastructure, revision=prepared.plan.revision, steps=tuple(steps))
    prepared = dataclasses.replace(prepared, plan=plan, scrub=scrub)
    return apply(ctx, prepared, listener=listener, cancel=cancel, wait_s=wait_s)


def refresh(ctx: Context, infra: str, *, cancel: threading.Event, wait_s: float = 0.0) -> InfrastructureView:
    """Ask the sites for every machine and record what they say: phases, addresses, machines that are gone.

    Raises:
        Several: sites that could not be asked; what the others said is recorded.
    """
    record = find(ctx, infra)
    with ctx.locks.hold(record.id, Verb.REFRESH.value, wait_s=wait_s, clock=ctx.clock, cancel=cancel, name=record.name):
        nodes = ctx.store.nodes(record.id)
        observed = observe(record, nodes, None, Sites(ctx, record))
        for node in nodes:
            phase = observed.known.nodes[node.name].phase
            seen = dataclasses.replace(observed.records[node.name], phase=phase)
            if seen != node and phase is not Phase.UNKNOWN:
                ctx.store.put_node(dataclasses.replace(seen, updated_at=ctx.clock.now()))
        if observed.silent:
            raise Several(list(observed.silent.values()))
    return show(ctx, infra)
