"""What `clues slurm` does: host lists, the file that Slurm gives to its ResumeProgram, one request for many nodes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from clues.hostlist import compress, expand
from infracore.cli.console import say
from infracore.cli.text import clean
from infracore.errors import Conflict, InfraError, InvalidUsage, NotFound
from infracore.exitcodes import ExitCode

__all__ = ["each", "jobs_of_resume_file", "names_of"]

_MOST_BYTES: Final = 64 << 20


class _Job(msgspec.Struct):
    """slurm.conf(5), SLURM_RESUME_FILE: a job and the nodes that are resumed for it."""

    job_id: int
    nodes_resume: str = ""
    nodes: str = ""
    """Its name up to Slurm 22.05."""


class _ResumeFile(msgspec.Struct):
    jobs: list[_Job] = []


def names_of(hosts: str) -> tuple[str, ...]:
    """Return the names of a host list. Raises InvalidUsage for what is none."""
    try:
        names = expand(hosts)
    except ValueError as error:
        raise InvalidUsage(str(error), "a host list reads like wn[1-4,06-08],gpu1") from error
    if not names:
        raise InvalidUsage("the host list is empty", "a host list reads like wn[1-4,06-08],gpu1")
    return names


def jobs_of_resume_file(path: Path) -> tuple[str, ...]:
    """Return `JOB (NODES)` for each job of the file; a file that cannot be read is told, and names none.

    Slurm removes the file shortly after it has run the program (ResumeProgram, slurm.conf(5)).
    """
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(_MOST_BYTES), type=_ResumeFile)
    except (OSError, msgspec.MsgspecError) as error:
        say(f"note: SLURM_RESUME_FILE is not used: {clean(str(error))}")
        return ()
    return tuple(f"{job.job_id} ({clean(job.nodes_resume or job.nodes)})" for job in found.jobs)


def each(names: Sequence[str], ask: Callable[[Sequence[str]], Sequence[str]], tell: Callable[[Any], None]) -> int:
    """Ask for all names at once; where one of them is refused, for each alone, so that one stops no other."""
    try:
        tell(ask(names))
    except (Conflict, NotFound):
        if len(names) == 1:
            raise
    else:
        return ExitCode.DONE
    refused: list[str] = []
    for name in names:
        try:
            tell(ask([name]))
        except InfraError as error:
            refused.append(name)
            say(f"{name}: {clean(error.message)}")
    if not refused:
        return ExitCode.DONE
    say(f"refused: {compress(refused)}")
    return ExitCode.FAILED if len(refused) == len(names) else ExitCode.PARTLY_DONE
