"""A live batch system behind the site's own programs: the picture is made as Slurm's is, only who is asked differs."""

from clues.settings import CommandOptions
from clues.slurmapi.programs import Programs
from clues.sources.slurm import SlurmSource
from infracore.clock import Clock

__all__ = ["command_source", "programs_of"]


def programs_of(options: CommandOptions) -> Programs:
    """Return the programs of the settings."""
    return Programs(options.nodes, options.jobs, options.drain, options.resume, options.call_s)


def command_source(programs: Programs, options: CommandOptions, clock: Clock) -> SlurmSource:
    """Return a source that asks these programs; queues are made anew at every look, for they come from the nodes."""
    return SlurmSource(programs, clock, poll_s=options.poll_s, partitions_s=0.0, what="the batch system")
