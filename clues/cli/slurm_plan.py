"""What cluesd would do with a live Slurm, from one look at it."""

from collections.abc import Mapping

from clues.decide import decide
from clues.decision import Decision, Memory
from clues.settings import Settings
from clues.snapshot import Machine, MachineState
from clues.sources.slurm import Batch, SlurmSource
from infracore.clock import Clock
from infracore.errors import Transient

__all__ = ["plan_slurm"]


def plan_slurm(settings: Settings, batch: Batch, clock: Clock) -> Decision:
    """Look once and decide. Machines count as on where their nodes serve, else as off: no driver is asked.

    Raises:
        Transient: the batch system cannot be asked.
    """
    source = SlurmSource(batch, clock, poll_s=settings.slurm.poll_s, partitions_s=settings.slurm.partitions_s)
    source.take_pools(settings.pools)
    source.look()
    now = clock.now()
    shown = source.snapshot(now, {})
    if not shown.complete:
        raise Transient("; ".join(shown.problems) or "nothing was answered", "run: clues doctor")
    ready = {name for name, state in shown.nodes.items() if state.node.ready}
    machines = _machines(settings, ready, {name: state.pool for name, state in shown.nodes.items()}, now)
    return decide(source.snapshot(now, machines), settings.pools, settings.policy, Memory())


def _machines(
    settings: Settings, ready: set[str], pools: Mapping[str, str], now: float
) -> dict[str, tuple[Machine, ...]]:
    found: dict[str, tuple[Machine, ...]] = {}
    for pool in settings.pools:
        if pool.powered:
            found[pool.name] = tuple(
                Machine(
                    option.name,
                    pool.name,
                    MachineState.ON if (option.node or option.name) in ready else MachineState.OFF,
                    now - pool.min_on_s,
                    option.node or option.name,
                )
                for option in pool.machines
            )
        else:
            found[pool.name] = tuple(
                Machine(name, pool.name, MachineState.ON, now - pool.min_on_s, name)
                for name, of in pools.items()
                if of == pool.name and name in ready
            )
    return found
