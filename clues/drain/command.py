"""Emptying nodes of another batch system by the site's own programs. See `clues.drain.base`; no job is ended here."""

from collections.abc import Sequence

from clues.drain.base import Evictions
from clues.drain.jobs import pods_of_jobs, refused
from clues.model import Pod, PodRef
from clues.slurm_model import SlurmNodeState
from clues.slurmapi.programs import Programs
from infracore.errors import NotFound

__all__ = ["CommandDrain"]


class CommandDrain:
    """Satisfies `clues.drain.base.Drain`."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self.keeps_names = bool(programs.resume_words)
        """Not every system's nodes show that they are drained, and what was drained before a restart is not known."""

    def cordon(self, node: str) -> None:
        """Keep jobs away. Raises NotFound where there is no such node."""
        self._programs.node(node)
        self._programs.drain(node, "cluesd is to power it off")

    def uncordon(self, node: str) -> None:
        """Let jobs come again."""
        self._programs.resume(node)

    def evict(self, pods: Sequence[PodRef], *, force: bool = False) -> Evictions:  # noqa: ARG002 (the contract)
        """Refuse: jobs end by themselves."""
        return refused(pods)

    def pods_on(self, node: str) -> Sequence[Pod]:
        """Return the jobs that have the node now."""
        return pods_of_jobs(node, self._programs.jobs_on(node).jobs)

    def is_empty(self, node: str) -> bool:
        """Whether no job has the node."""
        try:
            found = self._programs.node(node)
        except NotFound:
            return True
        return found.node.state is not SlurmNodeState.ALLOCATED and not self._programs.jobs_on(node).jobs

    def park(self, node: str) -> None:
        """Nothing is to be done: the node is drained, and off."""

    def delete_node(self, node: str, uid: str = "") -> None:
        """Nothing is to be done: the batch system keeps its list of nodes."""
