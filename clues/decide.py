"""The decision: from one picture, the settings and what is remembered to all that is to be done, with reasons. Pure."""

from collections.abc import Callable, Sequence

import msgspec

from clues.decision import Decision, Memory, PowerOn
from clues.options import Policy, Pool
from clues.policy.idle import scale_in
from clues.policy.scale_out import scale_out
from clues.policy.slurm_machines import decide_on_slurm
from clues.snapshot import Snapshot

__all__ = ["decide"]


def decide(
    snapshot: Snapshot,
    pools: Sequence[Pool],
    policy: Policy,
    memory: Memory,
    early: Callable[[tuple[PowerOn, ...]], None] | None = None,
) -> Decision:
    """Decide what is turned on and off now.

    The same arguments give the same decision; nothing is read but them. Scaling out comes first, and scaling in sees
    the pending pods on their places: a node that they need stays. A picture of a Slurm cluster is decided about by its
    jobs. What is to be turned on is told to `early` as soon as
    that is known: pods wait for it, and what goes can take its time.
    """
    if snapshot.slurm is not None:
        return decide_on_slurm(snapshot, snapshot.slurm, pools, policy, memory)
    out, simulation = scale_out(snapshot, pools, policy, memory)
    if early is not None and out.power_on:
        early(out.power_on)
    result = scale_in(snapshot, pools, policy, memory, simulation, out)
    return Decision(
        at=snapshot.now,
        power_on=out.power_on,
        remove=(*out.give_up, *result.removals),
        replace=result.replacements,
        cancel=result.cancel,
        pods=out.pods,
        nodes=result.nodes,
        memory=msgspec.structs.replace(out.memory, unneeded_since=result.unneeded_since),
        notes=(*out.notes, *result.notes),
    )
