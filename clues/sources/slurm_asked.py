"""Who of a Slurm is asked for jobs and nodes by the settings: its commands, or slurmrestd."""

from pathlib import Path

from clues.settings import SlurmOptions
from clues.slurmapi.commands import Slurm
from clues.sources.slurm import Batch

__all__ = ["commands_of", "slurm_of"]


def commands_of(options: SlurmOptions) -> Slurm:
    """Return Slurm's commands, which make all changes."""
    return Slurm(options.folder, options.config, options.read, options.call_s)


def slurm_of(options: SlurmOptions) -> Batch:
    """Return what lists jobs, nodes and partitions; nothing is connected to yet. Raises Misconfigured."""
    commands = commands_of(options)
    if not options.restd:
        return commands
    from clues.slurmapi.rest import SlurmRest
    from infracore.http import parse_address_or_socket

    return SlurmRest(
        parse_address_or_socket(options.restd, "slurm.restd"),
        commands,
        token_file=Path(options.restd_token) if options.restd_token else None,
        ca_file=Path(options.restd_ca_file) if options.restd_ca_file else None,
        limit_s=options.call_s,
    )
