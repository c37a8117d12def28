"""Timers: how long a node must have been removable, and how long nothing goes after a change."""

from dataclasses import dataclass

from clues.decision import Block, Memory
from clues.model import Node
from clues.options import Policy, Pool
from clues.policy.demand import ScaleOutResult
from clues.snapshot import Machine, MachineState

__all__ = ["Wait", "cooldown", "long_enough", "min_on", "own_rest", "since_of"]


@dataclass(frozen=True, slots=True)
class Wait:
    """A reason that ends by itself."""

    block: Block
    detail: str
    until: float | None = None


def cooldown(policy: Policy, memory: Memory, out: ScaleOutResult, now: float) -> Wait | None:
    """Return why nothing goes now: nodes were just ordered, or a removal just failed.

    An order of this very pass counts, where there is a delay at all. A time that lies in the future (the clock was set
    back) counts as now at most: it never stops scaling in for longer than the delay.
    """
    waits: list[Wait] = []
    delay = policy.delay_after_scale_up_s
    ups = [at for at in (memory.last_scale_up, out.memory.last_scale_up) if at is not None]
    if out.power_on:
        ups.append(now)
    if ups and now - min(max(ups), now) < delay:
        waits.append(Wait(Block.COOLDOWN, "nodes were ordered a short while ago", min(max(ups), now) + delay))
    failed = memory.last_failure
    if failed is not None and now - min(failed, now) < policy.delay_after_failure_s:
        until = min(failed, now) + policy.delay_after_failure_s
        waits.append(Wait(Block.COOLDOWN, "a removal failed a short while ago", until))
    return max(waits, key=lambda wait: wait.until or 0.0, default=None)


def own_rest(memory: Memory, name: str, now: float) -> Wait | None:
    """Return how long a node is left alone because its own removal failed: others have their turn."""
    rest = memory.removal_rests.get(name)
    if rest is None:
        return None
    until = min(rest.failed_at, now) + rest.rest_s
    if now >= until:
        return None
    return Wait(Block.COOLDOWN, f"its removal failed ({rest.reason}): it is left alone for {until - now:.0f} s", until)


def since_of(memory: Memory, name: str, now: float) -> float:
    """Return since when a node that is removable now has been so; a time in the future is none."""
    return min(memory.unneeded_since.get(name, now), now)


def long_enough(node: Node, pool: Pool, policy: Policy, since: float, now: float) -> Wait | None:
    """Return what is missing: `unneeded_s` for a ready node; `unready_s`, also since it became so, for another."""
    if node.ready:
        needed = policy.unneeded_s if pool.unneeded_s is None else pool.unneeded_s
        block, what = Block.NOT_UNNEEDED_LONG_ENOUGH, "removable"
    else:
        needed = policy.unready_s
        block, what = Block.NOT_UNREADY_LONG_ENOUGH, "not ready"
        if node.not_ready_since is not None:
            since = max(since, min(node.not_ready_since, now))
    if now - since >= needed:
        return None
    return Wait(block, f"{what} for {now - since:.0f} s of {needed:.0f} s", since + needed)


def min_on(node: Node, pool: Pool, machine: Machine | None, now: float) -> Wait | None:
    """Return how long the machine must stay on for its own sake."""
    if pool.min_on_s <= 0:
        return None
    if machine is not None and machine.state is MachineState.ON:
        on_since = machine.since
    else:
        on_since = node.created_at if node.ready_since is None else min(node.created_at, node.ready_since)
    until = min(on_since, now) + pool.min_on_s
    return Wait(Block.MIN_ON, f"on for less than {pool.min_on_s:.0f} s", until) if now < until else None
