"""Jobs of a simulation: what they are to the scheduler, and where they run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from clues.model import Node, Owner, Pod, PodSpec
from clues.offline.specs import GPU
from clues.options import Pool
from clues.policy.simulation import Kind
from clues.sim.machines import SimMachine
from clues.sim.workload import Job

__all__ = ["JobMaker", "Place", "Work"]

_NOT_SAFE: Final = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
_NONE: Final[dict[str, str]] = {}


@dataclass(slots=True, eq=False)
class Work:
    """A job in the simulation."""

    job: Job
    pods: tuple[Pod, ...]
    kind: Kind
    cpu_m: int
    """Of a pod."""
    arrived_at: float
    started_at: float | None = None
    places: tuple[str, ...] = ()
    run: int = 0
    """Grows with every start, so that the end of an evicted run is told from that of a later one."""


@dataclass(slots=True, eq=False)
class Place:
    """A node that is there."""

    machine: SimMachine
    node: Node
    index: int
    pods: dict[str, tuple[Pod, Work]] = field(default_factory=dict)


class JobMaker:
    """Turns jobs into pods; equal specs are one object, since `decide` groups pods by it."""

    def __init__(self, pools: Sequence[Pool], kind_of: Callable[[Pod], Kind]) -> None:
        self._largest = max(pool.allocatable.get("cpu", 0) for pool in pools)
        self._kind_of = kind_of
        self._specs: dict[PodSpec, PodSpec] = {}

    def work(self, job: Job, now: float) -> Work:
        """Return a job that arrives now."""
        count, cpu_m, memory, gpus = job.tasks, job.cpu_m, job.memory_bytes, job.gpus
        if job.joinable:
            cores = max(1, self._largest // cpu_m)
            count = -(-job.tasks // cores)
            each = -(-job.tasks // count)
            cpu_m, memory = cpu_m * each, memory * each
        amounts = {"cpu": cpu_m, "memory": memory, GPU: gpus}
        requests = tuple(sorted((key, amount) for key, amount in amounts.items() if amount))
        spec = PodSpec(
            requests=requests, node_selector=job.selector, tolerations=job.tolerations, priority=job.priority
        )
        spec = self._specs.setdefault(spec, spec)  # equal ones are one object: `decide` groups pods by it
        shown = spec if count == 1 else msgspec.structs.replace(spec, gang=job.name, gang_size=count)
        notes = _NONE if job.evictable else _NOT_SAFE
        owner = Owner("Job", job.name, job.name)
        names = [job.name] if count == 1 else [f"{job.name}-{number}" for number in range(count)]
        pods = tuple(
            Pod(
                "default",
                pod,
                pod,
                shown,
                _NONE,
                owner=owner,
                created_at=now,
                unschedulable_since=now,
                annotations=notes,
            )
            for pod in names
        )
        plain = pods[0] if count == 1 else Pod("default", names[0], names[0], spec, _NONE, created_at=now)
        return Work(job, pods, self._kind_of(plain), cpu_m, now)
