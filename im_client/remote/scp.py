"""The command line of the system's scp for one machine, safe against names that look like something else."""

from collections.abc import Sequence
from dataclasses import dataclass

from im_client.remote.access import Access
from im_client.remote.options import Files, destination, ssh_options
from infracore.errors import InvalidUsage

__all__ = ["Place", "read_place", "scp_argv"]


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder: on a machine, or on this computer where `machine` is None."""

    machine: str | None
    path: str


def read_place(word: str) -> Place:
    """Read `MACHINE:PATH` or the path of a local file, as scp(1) tells them apart: a colon before any slash.

    Raises:
        InvalidUsage: no machine stands before the colon, or the word is empty.
    """
    if not word or "\0" in word:
        raise InvalidUsage("an empty word is no file" if not word else f"{word!r} is no name of a file")
    machine, colon, path = word.partition(":")
    if not colon or "/" in machine:
        return Place(None, word)
    if not machine:
        raise InvalidUsage(f"which machine? {word!r}", f"MACHINE:PATH, or ./{word} for a file of this computer")
    return Place(machine, path)


def scp_argv(
    access: Access, files: Files, sources: Sequence[Place], target: Place, *, recursive: bool = False
) -> tuple[str, ...]:
    """Return the scp command; every place with a machine is on the one that `access` logs in to.

    Local paths never begin with a hyphen nor look like `host:path`, and no word behind `--` is an option. What
    stands behind the machine's colon is scp's to read: wildcards in a source are the machine's files.
    """
    options = ssh_options(access, files, batch=False)
    words = [_word(access, place) for place in (*sources, target)]
    return ("scp", "-p", *(("-r",) if recursive else ()), *options, "--", *words)


def _word(access: Access, place: Place) -> str:
    if place.machine is None:
        return place.path if place.path.startswith("/") else f"./{place.path}"
    user, _, address = destination(access).rpartition("@")
    return f"{user}@[{address}]:{place.path}" if ":" in address else f"{user}@{address}:{place.path}"
