"""What one look at Slurm shows. Pure values."""

import msgspec

from clues.slurm_model import SlurmJob, SlurmNode, SlurmPartition

__all__ = ["MARK", "ListedJob", "ListedNode", "Listing"]

MARK = "clues:"
"""How the reason of every drain of ours begins; a node drained for another reason is somebody else's."""


class ListedJob(msgspec.Struct, frozen=True):
    """A job that is pending or has nodes; finished ones are left out."""

    job: SlurmJob
    array: int = 0
    """Id of its array; 0: none."""
    at_once: int = 0
    """Tasks of the array that may run at once (`%4`); 0: no limit."""
    places: tuple[str, ...] = ()
    """Nodes that it has."""


class ListedNode(msgspec.Struct, frozen=True):
    node: SlurmNode
    state: str
    """As Slurm writes it, for people."""
    is_ready: bool = False
    """Jobs run or could run there, were it not for a drain."""
    is_closed: bool = False
    """No job is started there (drained, down, powered down)."""
    partitions: tuple[str, ...] = ()


class Listing(msgspec.Struct, frozen=True):
    """All of one kind, and what was set aside."""

    jobs: tuple[ListedJob, ...] = ()
    nodes: tuple[ListedNode, ...] = ()
    partitions: tuple[SlurmPartition, ...] = ()
    problems: tuple[str, ...] = ()
