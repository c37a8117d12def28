"""`im scp`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from im_client.cli.session import complete_infrastructure, is_infrastructure, opened, which
from infracore.cli.lazy import ExampleCommand
from infracore.errors import InvalidUsage

if TYPE_CHECKING:
    from im_client.remote.scp import Place

__all__ = ["Job", "command", "read_words"]


@click.command(
    "scp",
    cls=ExampleCommand,
    short_help="Copy files to a machine, or from one.",
    options_metavar="[OPTIONS]",
    examples=(
        ("im scp demo job.sh data.csv front:", "Two files into the home folder of the front-end."),
        ("im scp -r demo front:/home/results ./results", "A folder from there. One machine's kind needs no number."),
    ),
)
@click.argument(
    "words", nargs=-1, required=True, metavar="[INFRA] SOURCE... TARGET", shell_complete=complete_infrastructure
)
@click.option("-r", "--recursive", is_flag=True, help="Copy folders with all that is in them.")
def command(words: tuple[str, ...], recursive: bool) -> int:
    """Copy files to a machine, or from one: SOURCE or TARGET is MACHINE:PATH, the other is of this computer.

    The machine's host key is checked against the one that was put on it, as im ssh does. A word is a file of this
    computer unless a colon stands in it before any slash: ./a:b is one. INFRA may be left out where there is one.
    """
    from im_client.cli.login import copy_files
    from im_client.services.reading import ssh_target

    with opened() as ctx:
        job = read_words(words, lambda word: is_infrastructure(ctx, word))
        access = ssh_target(ctx, which(ctx, job.infra), job.machine).access
    return copy_files(access, job.sources, job.target, recursive=recursive)


@dataclass(frozen=True, slots=True)
class Job:
    """What is copied where."""

    infra: str | None
    """As it is named; None: the only one there is."""
    machine: str
    sources: "tuple[Place, ...]"
    target: "Place"


def read_words(words: tuple[str, ...], is_infra: Callable[[str], bool]) -> Job:
    """Tell the infrastructure from the files: with three words and more, the first may name it.

    Raises:
        InvalidUsage: files that are not all on one side, or of several machines; a word that could be both.
    """
    from im_client.remote.scp import read_place

    named = words[0] if len(words) > 2 and ":" not in words[0] and is_infra(words[0]) else None
    if named is not None and Path(named).exists():
        raise InvalidUsage(f"{named!r} is an infrastructure and a file", f"for the file write ./{named}")
    places = [read_place(word) for word in (words[1:] if named is not None else words)]
    if len(places) < 2:
        raise InvalidUsage("from where, and to where?", "example: im scp demo job.sh front:/root/")
    *sources, target = places
    machines = {place.machine for place in sources}
    if (target.machine is None) == (None in machines):
        raise InvalidUsage(
            "all files go from this computer to a machine, or from a machine to this computer",
            "example: im scp demo job.sh front:/root/",
        )
    if len(machines) > 1:
        raise InvalidUsage("files of several machines", "copy from one machine after another")
    return Job(named, target.machine or next(iter(machines)) or "", tuple(sources), target)
