"""Running Slurm's commands. Every call blocks for at most the time limit and may be made from any thread."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from clues.slurm_model import SlurmPartition
from clues.slurmapi.documents import read_job_document, read_node_document
from clues.slurmapi.listing import ListedNode, Listing
from clues.slurmapi.text import (
    EXCLUDED_FORMAT,
    JOB_FIELDS,
    JOB_FORMAT,
    read_jobs,
    read_nodes,
    read_partitions,
    read_wide_jobs,
)
from infracore.errors import CommandFailed, Misconfigured, NotFound, Transient, Unauthorised
from infracore.process import run

__all__ = ["Reading", "Slurm"]

_GONE: Final = ("Invalid node name", "not found")
_NOBODY: Final = ("Unable to contact slurm controller", "Connection refused", "Socket timed out", "Zero Bytes were")
_FORBIDDEN: Final = ("Access/permission denied", "Invalid user id", "Authentication")
_FEW_JOBS: Final = 500
"""Beyond so many, squeue's JSON costs too much: 0.24 ms of CPU a job, its columns a tenth of that (22.05, 2026)."""
_HINT_JSON: Final = "slurm.read: text does without JSON"


class Reading:
    """In which form Slurm is read (setting `slurm.read`)."""

    AUTO: Final = "auto"
    """Jobs as JSON where squeue has it and there are few; nodes as text, for JSON leaves out FUTURE nodes."""
    JSON: Final = "json"
    TEXT: Final = "text"


@dataclass(eq=False, slots=True)
class Slurm:
    """The commands of one cluster. `folder` is where they are; "": on the PATH."""

    folder: str = ""
    config: str = ""
    """Path of slurm.conf; "": as the commands find it."""
    reading: str = Reading.AUTO
    limit_s: float = 30.0
    stopping: threading.Event = field(default_factory=threading.Event)
    _has_json: bool | None = None
    _has_fields: bool | None = None
    _count: int = 0

    def jobs(self) -> Listing:
        """List the jobs that are pending or have nodes."""
        found = self._list_jobs()
        self._count = len(found.jobs)
        return found

    def _list_jobs(self) -> Listing:
        many = self._count > _FEW_JOBS and self.reading == Reading.AUTO
        if self.reading != Reading.TEXT and self._has_json is not False and not many:
            try:
                body = self._run("squeue", "--json").encode()
                found = read_job_document(body)
            except CommandFailed as error:
                if self.reading == Reading.JSON or not _lacks_json(error):
                    raise
                self._has_json = False
            except ValueError as error:
                if self.reading == Reading.JSON:
                    raise Transient(f"squeue --json cannot be read: {error}", _HINT_JSON) from error
                self._has_json = False
            else:
                self._has_json = True
                return found
        if self._has_fields is not False:
            try:
                excluded = self._run("squeue", "-h", "-a", "-t", "PENDING", "-o", EXCLUDED_FORMAT)
                found = read_wide_jobs(self._run("squeue", "-h", "-a", "-O", JOB_FIELDS), excluded)
            except CommandFailed:
                self._has_fields = False
            else:
                # one that knows no separators prints columns of 20 letters: nothing of it can be read
                self._has_fields = bool(found.jobs) or not found.problems
                if self._has_fields:
                    return found
        return read_jobs(self._run("squeue", "-h", "-a", "-o", JOB_FORMAT))

    def nodes(self) -> Listing:
        """List the nodes."""
        if self.reading == Reading.JSON:
            try:
                return read_node_document(self._run("sinfo", "--json").encode())
            except ValueError as error:
                raise Transient(f"sinfo --json cannot be read: {error}", _HINT_JSON) from error
        return read_nodes(self._run("scontrol", "-F", "-d", "-o", "show", "node"))

    def node(self, name: str) -> ListedNode:
        """Look at one node. Raises NotFound where Slurm does not know it."""
        found = read_nodes(self._run("scontrol", "-F", "-d", "-o", "show", "node", _word(name)))
        for node in found.nodes:
            if node.node.name == name:
                return node
        raise NotFound(f"Slurm has no node {name!r}", *found.problems[:1])

    def jobs_on(self, node: str) -> Listing:
        """List the jobs that have a node, or are still ending there."""
        return read_jobs(self._run("squeue", "-h", "-a", "-w", _word(node), "-o", JOB_FORMAT))

    def partitions(self) -> tuple[tuple[SlurmPartition, ...], tuple[str, ...]]:
        """List the partitions, and say what was set aside."""
        found = read_partitions(self._run("scontrol", "-a", "-o", "show", "partition"))
        return found.partitions, found.problems

    def update(self, node: str, **changes: str) -> None:
        """Run `scontrol update NodeName=...`. Needs the rights of an operator."""
        words = [f"{key}={value}" for key, value in changes.items()]
        self._run("scontrol", "update", f"NodeName={_word(node)}", *words)

    def ping(self) -> str:
        """Return what `scontrol ping` says of the controllers."""
        return self._run("scontrol", "ping").strip()

    def _run(self, program: str, *words: str) -> str:
        argv: Sequence[str] = [f"{self.folder.rstrip('/')}/{program}" if self.folder else program, *words]
        env: Mapping[str, str] = {
            "SLURM_TIME_FORMAT": "%s",
            "SLURM_BITSTR_LEN": "0",  # array tasks in full
            "LC_ALL": "C.UTF-8",
            **({"SLURM_CONF": self.config} if self.config else {}),
        }
        try:
            return run(argv, timeout_s=self.limit_s, env=env, cancel=self.stopping).stdout
        except Misconfigured as error:
            raise Misconfigured(
                f"Slurm's program {argv[0]!r} is not installed",
                "install slurm-client, or say where it is: slurm.folder",
            ) from error
        except CommandFailed as error:
            said = error.stderr or error.message
            if any(word in said for word in _GONE):
                raise NotFound(error.message) from error
            if any(word in said for word in _FORBIDDEN):
                raise Unauthorised(error.message, "cluesd must be root, SlurmUser or an operator (sacctmgr)") from error
            if any(word in said for word in _NOBODY):
                raise Transient(error.message, "is slurmctld running? scontrol ping") from error
            raise


def _lacks_json(error: CommandFailed) -> bool:
    """Whether the command has no JSON: an option it does not know, or a plugin that is not installed."""
    said = (error.stderr or error.message).lower()
    return any(word in said for word in ("unrecognized option", "serializer", "plugin", "json", "invalid option"))


def _word(name: str) -> str:
    """Refuse what is no name: a comma, a bracket or ALL would change others."""
    bare = name.replace("-", "").replace("_", "").replace(".", "")
    if not (bare.isascii() and bare.isalnum()) or name.upper() == "ALL":
        raise NotFound(f"{name[:60]!r} is no name of a Slurm node")
    return name
