"""`clues slurm`: the programs that Slurm's own power saving runs."""

import os
from pathlib import Path

import click

from clues.cli.session import client, tell
from infracore.cli.console import print_json, print_text, say
from infracore.cli.lazy import ExampleCommand, ExampleGroup
from infracore.cli.options import json_option

__all__ = ["command"]

_hosts = click.argument("hosts", metavar="HOSTLIST")


@click.group(
    "slurm",
    cls=ExampleGroup,
    short_help="Serve Slurm's own power saving; read its lists.",
    examples=(
        ("clues slurm resume 'wn[1-4]'", "As ResumeProgram: turn these nodes on."),
        ("clues slurm suspend 'wn[1-4]'", "As SuspendProgram: turn them off."),
    ),
)
def command() -> None:
    """Serve Slurm's own power saving, and read its host lists.

    With `slurm.power_saving: true` Slurm decides, and calls these from ResumeProgram and SuspendProgram in slurm.conf.
    """


@command.command(
    "resume",
    cls=ExampleCommand,
    short_help="Turn nodes on.",
    examples=(
        ("clues slurm resume 'wn[1-4]'", "What ResumeProgram runs."),
        ("clues --config /etc/clues/clues.yaml slurm resume wn7", "Of a daemon with other settings."),
    ),
)
@_hosts
@json_option
def resume(hosts: str, as_json: bool) -> int:
    """Order the machines of nodes. Which jobs they are for is read from SLURM_RESUME_FILE, where Slurm sets it."""
    from clues.cli.slurm_programs import each, jobs_of_resume_file, names_of

    names = names_of(hosts)
    file = os.environ.get("SLURM_RESUME_FILE", "")
    jobs = jobs_of_resume_file(Path(file)) if file else ()
    status = each(names, lambda some: client().power_on(some), lambda said: tell(said, as_json=as_json))
    if jobs:
        say(f"for the jobs {', '.join(jobs)}")
    return status


@command.command(
    "suspend",
    cls=ExampleCommand,
    short_help="Turn nodes off.",
    examples=(
        ("clues slurm suspend 'wn[1-4]'", "What SuspendProgram runs."),
        ("clues slurm suspend wn7", "One node."),
    ),
)
@_hosts
@json_option
def suspend(hosts: str, as_json: bool) -> int:
    """Turn the machines of nodes off, each only once no job has it any more."""
    from clues.cli.slurm_programs import each, names_of

    return each(names_of(hosts), lambda some: client().power_off(some), lambda said: tell(said, as_json=as_json))


@command.command(
    "hosts",
    cls=ExampleCommand,
    short_help="Print the names of a host list.",
    examples=(
        ("clues slurm hosts 'wn[1-4,06-08]'", "One name a line."),
        ("clues slurm hosts 'rack[1-2]n[01-16]'", "Several brackets: every combination."),
    ),
)
@_hosts
@json_option
def hosts_command(hosts: str, as_json: bool) -> None:
    """Print the names that a host list stands for, one a line."""
    from clues.cli.slurm_programs import names_of

    names = names_of(hosts)
    if as_json:
        print_json(list(names))
    else:
        print_text("\n".join(names))
