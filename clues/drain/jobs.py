"""What emptying nodes of batch systems has in common: jobs are waited for, never ended. Pure."""

from collections.abc import Iterable, Sequence

from clues.drain.base import Evictions
from clues.model import Phase, Pod, PodRef, PodSpec
from clues.slurmapi.listing import ListedJob

__all__ = ["pods_of_jobs", "refused"]


def refused(pods: Sequence[PodRef]) -> Evictions:
    """Refuse to evict any of these."""
    return Evictions(refused={pod: f"job {pod.name} runs on it, and no job is ended" for pod in pods})


def pods_of_jobs(node: str, jobs: Iterable[ListedJob]) -> tuple[Pod, ...]:
    """Return jobs that have a node as `clues.drain.base.Drain.pods_on` shows them."""
    return tuple(
        Pod(
            namespace=item.job.partition,
            name=item.job.name or str(item.job.id),
            uid=str(item.job.id),
            spec=PodSpec(),
            labels={},
            node=node,
            phase=Phase.RUNNING,
        )
        for item in jobs
    )
