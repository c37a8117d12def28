"""Asking slurmrestd for what squeue, sinfo and scontrol list. Every call blocks for at most the limit; any thread.

slurmrestd(8): its answers have the form of `squeue --json`. Which versions of the API it has stands in its own OpenAPI
document. A token (auth/jwt) goes by headers with the name of its user; a unix socket needs none (rest_auth/local).
"""

import base64
import binascii
import os
import pwd
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from clues.slurm_model import SlurmPartition
from clues.slurmapi.commands import Slurm
from clues.slurmapi.documents import error_in, read_job_document, read_node_document, read_partition_document
from clues.slurmapi.listing import Listing
from infracore.errors import InfraError, Misconfigured, Transient, Unauthorised
from infracore.http import Address, Answer, Http

__all__ = ["SlurmRest"]

_T = TypeVar("_T")
_MOST_BYTES: Final = 512 * 2**20
"""A job takes 3.5 kB (22.05): a hundred thousand of them."""
_MOST_TOKEN: Final = 64 * 1024
_PATH: Final = re.compile(r"/slurm/v([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})/(jobs|nodes|partitions)/?")
_NEEDED: Final = frozenset({"jobs", "nodes", "partitions"})
_DOCUMENTS: Final = ("/openapi/v3", "/openapi.json")
_HOW: Final = "scontrol token username=slurm lifespan=... > FILE, and name FILE as slurm.restd_token"


class _Paths(msgspec.Struct):
    paths: dict[str, msgspec.Raw] = {}


class _Claims(msgspec.Struct):
    sun: str = ""


class _Ended(threading.Event):
    """Set to end what runs: the requests that are out are broken off, and those of the commands."""

    def __init__(self, http: Http, commands: Slurm) -> None:
        super().__init__()
        self._http, self._commands = http, commands

    def set(self) -> None:
        super().set()
        self._http.close()
        self._commands.stopping.set()


class SlurmRest:
    """Satisfies `clues.sources.slurm.Batch`. Nothing is changed by it: nodes are drained and resumed by scontrol."""

    def __init__(
        self,
        address: Address,
        commands: Slurm,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        limit_s: float = 30.0,
    ) -> None:
        """Raises Misconfigured where the certificates cannot be read."""
        self._http = Http(address, ca_file=ca_file, most_bytes=_MOST_BYTES)
        self._commands = commands
        self._token_file = token_file
        self._limit_s = limit_s
        self._version = ""
        self.stopping: threading.Event = _Ended(self._http, commands)

    def jobs(self) -> Listing:
        """List the jobs that are pending or have nodes."""
        return self._read("jobs", read_job_document)

    def nodes(self) -> Listing:
        """List the nodes. FUTURE ones are in no document: they come into sight with their slurmd."""
        return self._read("nodes", read_node_document)

    def partitions(self) -> tuple[tuple[SlurmPartition, ...], tuple[str, ...]]:
        """List the partitions; by scontrol where the API does not say which give jobs whole nodes (v0.0.38)."""
        found, is_told = self._read("partitions", read_partition_document)
        if is_told:
            return found.partitions, found.problems
        try:
            return self._commands.partitions()
        except InfraError as error:
            said = f"slurmrestd {self._version} does not tell which partitions are EXCLUSIVE, and {error.message}"
            return found.partitions, (*found.problems, said)

    def version(self) -> str:
        """Return the newest version of the API that the server has, `v0.0.38`; asked once."""
        if not self._version:
            for path in _DOCUMENTS:
                answer = self._get(path)
                if answer.status != 404:
                    break
            self._version = self._newest(self._whole(answer, "its OpenAPI document").body)
        return self._version

    def _read(self, what: str, read: Callable[[bytes], _T]) -> _T:
        version = self.version()
        answer = self._get(f"/slurm/{version}/{what}")
        if answer.status == 404:
            self._version = ""  # it was updated meanwhile
        try:
            return read(self._whole(answer, what).body)
        except ValueError as error:
            raise Transient(f"slurmrestd at {self._http.address} ({version}): {what}: {error}") from error

    def _get(self, path: str) -> Answer:
        return self._http.send("GET", path, headers=self._headers(), limit_s=self._limit_s)

    def _whole(self, answer: Answer, what: str) -> Answer:
        if answer.status == 200:
            return answer
        said = error_in(answer.body) or answer.body[:200].decode(errors="replace").strip()
        text = f"slurmrestd at {self._http.address} answers HTTP {answer.status} to {what}: {said}"
        if answer.status in {401, 403} or "uthentication" in said:
            raise Unauthorised(text, _HOW)
        raise Transient(text, "is slurmctld running? scontrol ping")

    def _newest(self, body: bytes) -> str:
        try:
            paths = msgspec.json.decode(body, type=_Paths).paths
        except msgspec.MsgspecError as error:
            raise Misconfigured(f"{self._http.address} is no slurmrestd: {error}", "see slurm.restd") from error
        had: dict[tuple[int, int, int], set[str]] = {}
        for path in paths:
            if found := _PATH.fullmatch(path):
                had.setdefault((int(found[1]), int(found[2]), int(found[3])), set()).add(found[4])
        whole = [version for version, parts in had.items() if parts >= _NEEDED]
        if not whole:
            raise Misconfigured(
                f"slurmrestd at {self._http.address} has no API with jobs, nodes and partitions",
                "start it with -s openapi/slurmctld, or with -s openapi/v0.0.38 for Slurm 22.05",
            )
        return "v{}.{}.{}".format(*max(whole))

    def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        token = _token_of(self._token_file)
        return {"X-SLURM-USER-NAME": _user_of(token), "X-SLURM-USER-TOKEN": token}


def _token_of(path: Path) -> str:
    """Read a token, anew for each request: it ends, and another one is put there."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MOST_TOKEN).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"slurm.restd_token: {path} cannot be read: {error}", _HOW) from error
    if mode & 0o007:
        raise Misconfigured(f"slurm.restd_token: {path} is open to every user", f"run: chmod 600 {path}")
    text = text.removeprefix("SLURM_JWT=")  # as `scontrol token` prints it
    if not re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", text):
        raise Misconfigured(f"slurm.restd_token: {path} holds no token", _HOW)
    return text


def _user_of(token: str) -> str:
    """Return the user that a token is for (claim `sun`), else who we are; the server checks it."""
    part = token.split(".")[1]
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=_Claims)
    except (binascii.Error, ValueError):
        claims = _Claims()
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@$-]{0,255}", claims.sun):
        return claims.sun
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
