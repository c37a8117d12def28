"""The site's own programs for another batch system. Every call blocks for at most the time limit; from any thread."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from clues.slurm_model import SlurmPartition
from clues.slurmapi.lines import partitions_of, read_job_lines, read_node_lines
from clues.slurmapi.listing import ListedNode, Listing
from infracore.errors import Misconfigured, NotFound
from infracore.process import run

__all__ = ["Programs"]


@dataclass(eq=False, slots=True)
class Programs:
    """What `command` in the settings names; `closed` are nodes that this process drained.

    Nothing is lost with it: after a restart a removal that can return is taken back, and a machine that is off, going
    off or coming is what the daemon has stored, whatever its node says (`clues.sources.slurm`).
    """

    node_words: Sequence[str]
    job_words: Sequence[str]
    drain_words: Sequence[str] = ()
    resume_words: Sequence[str] = ()
    limit_s: float = 30.0
    stopping: threading.Event = field(default_factory=threading.Event)
    closed: set[str] = field(default_factory=set)
    _last: Listing = field(default_factory=Listing)

    def nodes(self) -> Listing:
        """List the nodes."""
        found = read_node_lines(self._run(self.node_words))
        nodes = tuple(_closed(item) if item.node.name in self.closed else item for item in found.nodes)
        self._last = Listing(jobs=self._last.jobs, nodes=nodes)
        return Listing(nodes=nodes, problems=found.problems)

    def jobs(self) -> Listing:
        """List the jobs that are pending or run."""
        found = read_job_lines(self._run(self.job_words))
        self._last = Listing(jobs=found.jobs, nodes=self._last.nodes)
        return found

    def partitions(self) -> tuple[tuple[SlurmPartition, ...], tuple[str, ...]]:
        """Return the queues of the nodes and jobs that were listed last."""
        return partitions_of(self._last.nodes, self._last.jobs), ()

    def node(self, name: str) -> ListedNode:
        """Look at one node. Raises NotFound where the program does not name it."""
        for item in read_node_lines(self._run(self.node_words)).nodes:
            if item.node.name == name:
                return item
        raise NotFound(f"{self.node_words[0]} names no node {name!r}")

    def jobs_on(self, node: str) -> Listing:
        """List the jobs that have a node."""
        found = read_job_lines(self._run(self.job_words))
        return Listing(jobs=tuple(item for item in found.jobs if node in item.places), problems=found.problems)

    def drain(self, node: str, reason: str) -> None:
        """Keep jobs away from a node. Without a program it is only remembered: the node is looked at again anyway."""
        if self.drain_words:
            self._run([word.replace("{node}", node).replace("{reason}", reason) for word in self.drain_words])
        self.closed.add(node)

    def resume(self, node: str) -> None:
        """Let jobs onto a node again."""
        if self.resume_words:
            self._run([word.replace("{node}", node).replace("{reason}", "") for word in self.resume_words])
        self.closed.discard(node)

    def _run(self, words: Sequence[str]) -> str:
        try:
            return run(words, timeout_s=self.limit_s, cancel=self.stopping).stdout
        except Misconfigured as error:
            raise Misconfigured(f"the program {words[0]!r} is not there", "see `command` in the settings") from error


def _closed(item: ListedNode) -> ListedNode:
    """Return a node that we drained: a job that comes may still have it, where a drain of somebody else's keeps it."""
    return msgspec.structs.replace(item, node=msgspec.structs.replace(item.node, kept=""), is_closed=True)
