"""Asking a libvirt host through `virsh`, and what its messages mean."""

import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)
from infracore.process import run

__all__ = ["Virsh", "error_of", "xml_file"]

_KINDS: Final[tuple[tuple[str, type[InfraError], str], ...]] = (
    (
        r"authentication (failed|unavailable|cancelled)|Permission denied|access denied|Host key verification failed",
        Unauthorised,
        "a member of the group libvirt may use qemu:///system; over ssh, log in once by hand: ssh USER@HOST",
    ),
    (
        r"failed to connect.*(Connection refused|No such file)",
        Misconfigured,
        "start libvirtd: systemctl start libvirtd",
    ),
    (
        r"Could not resolve hostname|no connection driver|unable to connect to server.*invalid",
        Misconfigured,
        "see the setting `uri` of the provider libvirt",
    ),
    (
        r"failed to get (domain|vol|volume|pool|network)|[Nn]o (domain|storage \w+|network|DHCP \w+)\S* with matching"
        r"|(Domain|Network|Storage \w+) not found|couldn't locate a matching|volume .* not found|No such file",
        NotFound,
        "",
    ),
    (r"No space left|[Cc]annot allocate memory|not enough|Disk quota exceeded", NoCapacity, ""),
    (
        r"existing dhcp host entry|already (exists|in use|defined|active|running)|is in use|not running|is not active"
        r"|domain is (active|running)|already a domain",
        Conflict,
        "",
    ),
    (
        r"state change lock|Timed out during|[Kk]eepalive|Cannot (recv|read|write)|End of file while|socket is closed"
        r"|Connection (reset|refused|timed out|closed)|No route to host|is still being|asynchronous",
        Transient,
        "",
    ),
    (r"unsupported configuration|not supported|[Uu]nknown (cpu|machine)|does not support", Unsupported, ""),
)
"""libvirt's error codes are not shown by virsh; its English words have been stable for a decade. The first fits."""


def error_of(what: str, said: str) -> InfraError:
    """Tell from virsh's words what a failure means."""
    lines = [line.removeprefix("error:").strip() for line in said.splitlines() if line.strip()]
    text = "; ".join(lines)[-600:] or "no reason given"
    for pattern, kind, hint in _KINDS:
        if re.search(pattern, text, re.DOTALL):
            return kind(f"{what}: {text}", hint)
    return CommandFailed(f"{what}: {text}", "im doctor tells what the provider libvirt misses", stderr=said)


class Virsh:
    """One host. Each call is a process with a connection of its own: safe under threads."""

    def __init__(self, uri: str, request_s: float = 60.0) -> None:
        self.uri = uri
        self._request_s = request_s

    def __call__(self, command: str, *words: str | Path, timeout_s: float = 0.0) -> str:
        """Run one command and return what it prints. A word `--option=VALUE` cannot be taken for another option.

        Raises:
            InfraError: of the kind that `error_of` tells. TimedOut: no answer in time.
        """
        status, out, err = self._run((command, *map(str, words)), timeout_s)
        if status != 0:
            raise error_of(f"virsh {command} at {self.uri}", err or out)
        return out.strip()

    def each(self, commands: Sequence[Sequence[str]]) -> list[str]:
        """Run commands in one connection and return what each printed: "" for one that failed.

        Words are names that we made or the host told: none holds a quote or a semicolon.

        Raises:
            InfraError: the host cannot be asked at all.
        """
        if not commands:
            return []
        mark = f"=={secrets.token_hex(8)}=="
        script = f"echo {mark}; " + "; ".join(f"{' '.join(words)}; echo {mark}" for words in commands)
        _, out, err = self._run((script,), 0.0)
        parts = out.split(mark)
        if len(parts) != len(commands) + 2:
            raise error_of(f"virsh {commands[0][0]} at {self.uri}", err or out)
        return [part.strip() for part in parts[1:-1]]

    def _run(self, words: Sequence[str], timeout_s: float) -> tuple[int, str, str]:
        limit = timeout_s or self._request_s
        argv = ["virsh", "--quiet", "--connect", self.uri, *words]
        try:
            done = run(argv, timeout_s=limit, env={"LC_ALL": "C", "LIBVIRT_DEFAULT_URI": ""}, check=False)
        except TimedOut as error:
            raise TimedOut(f"{self.uri} does not answer within {limit:g} s", "is its libvirtd well?") from error
        except Misconfigured as error:
            raise Misconfigured("virsh is not installed", "apt-get install libvirt-clients") from error
        return done.status, done.stdout, done.stderr


@contextmanager
def xml_file(xml: str) -> Iterator[Path]:
    """Put XML where virsh reads it: in a file that only we can read, for a while."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml", encoding="utf-8") as file:
        file.write(xml)
        file.flush()
        yield Path(file.name)
