"""The daemon over its unix socket: the same methods as `clues.control.Control`, each one request."""

import http.client
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from clues.api.wire import END_OF_RECORDS, PREFIX, ChangeRequest, Fault, error_of
from clues.control import NodeView, Status
from clues.decision import Decision, PodVerdict
from infracore.errors import InfraError, Misconfigured, TimedOut, Unauthorised

__all__ = ["Client", "NotRunning"]

_MOST_ANSWER_BYTES: Final = 1 << 28
_MOST_LINE_BYTES: Final = 1 << 26
_MOST_PATH: Final = 107
"""Bytes of the path of a unix socket (unix(7))."""


class NotRunning(InfraError):
    """No daemon listens on the socket."""

    code = "not-running"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket; the standard library's connection knows TCP only."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        if len(os.fsencode(self._path)) > _MOST_PATH:
            raise Misconfigured(f"the path of the socket is longer than {_MOST_PATH} bytes: {self._path}")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """A `Control` at the other end of a socket.

    Every method raises `NotRunning`, `Unauthorised` (the user may not do this), `TimedOut` after `timeout_s`, and
    what the daemon itself raised. Safe under threads: a connection a request.
    """

    def __init__(self, path: Path, *, timeout_s: float = 10.0) -> None:
        self.path = path
        self.timeout_s = timeout_s

    def status(self) -> Status:
        """Return how the daemon and its pools are."""
        found: Status = self._get("status", Status)
        return found

    def nodes(self) -> Sequence[NodeView]:
        """Return all nodes, and machines that are none yet."""
        found: Sequence[NodeView] = self._get("nodes", tuple[NodeView, ...])
        return found

    def pods(self) -> Sequence[PodVerdict]:
        """Return the verdicts on all pending pods."""
        found: Sequence[PodVerdict] = self._get("pods", tuple[PodVerdict, ...])
        return found

    def why(self, name: str) -> Mapping[str, object]:
        """Explain a node, machine or pod."""
        found: Mapping[str, object] = self._get("why", dict[str, object], name=name)
        return found

    def last_decision(self) -> Decision | None:
        """Return what was decided last."""
        found: Decision | None = self._get("decision", Decision | None)
        return found

    def records(self, *, since: float, until: float) -> Sequence[Mapping[str, object]]:
        """Return what happened in a period."""
        return tuple(self.iter_records(since=since, until=until))

    def iter_records(self, *, since: float, until: float) -> Iterator[Mapping[str, object]]:
        """Yield what happened in a period, as it is read."""
        decode = msgspec.json.Decoder(dict[str, object]).decode
        with self._answer("GET", "records", {"since": repr(since), "until": repr(until)}) as answer:
            while (line := answer.readline(_MOST_LINE_BYTES)).rstrip() != END_OF_RECORDS:
                if not line:
                    raise InfraError(
                        f"the records that cluesd on {self.path} sends were cut off", "try a shorter period (--since)"
                    )
                record = self._decoded(line, decode)
                if "fault" in record and "type" not in record:
                    raise error_of(msgspec.convert(record["fault"], Fault))
                yield record

    def power_on(self, names: Sequence[str]) -> Sequence[str]:
        """Order machines by name, or `POOL=N` more nodes of a pool."""
        return self._change("power-on", names)

    def power_off(self, names: Sequence[str], *, force: bool = False) -> Sequence[str]:
        """Drain and power off nodes."""
        return self._change("power-off", names, force=force)

    def hold(self, names: Sequence[str], *, reason: str = "") -> Sequence[str]:
        """Keep machines as they are."""
        return self._change("hold", names, reason=reason)

    def release(self, names: Sequence[str]) -> Sequence[str]:
        """End a hold."""
        return self._change("release", names)

    def enable(self, names: Sequence[str]) -> Sequence[str]:
        """Bring machines back into use."""
        return self._change("enable", names)

    def disable(self, names: Sequence[str], *, reason: str = "") -> Sequence[str]:
        """Take machines out of use."""
        return self._change("disable", names, reason=reason)

    def reload(self) -> Sequence[str]:
        """Read the settings again."""
        return self._change("reload", ())

    # one request

    def _get(self, what: str, kind: Any, **query: str) -> Any:
        with self._answer("GET", what, query) as answer:
            return self._decoded(self._body(answer), msgspec.json.Decoder(kind).decode)

    def _change(self, what: str, names: Sequence[str], *, reason: str = "", force: bool = False) -> Sequence[str]:
        body = msgspec.json.encode(ChangeRequest(tuple(names), reason, force))
        with self._answer("POST", what, {}, body) as answer:
            said: tuple[str, ...] = self._decoded(self._body(answer), msgspec.json.Decoder(tuple[str, ...]).decode)
            return said

    @contextmanager
    def _answer(
        self, method: str, what: str, query: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _UnixConnection(self.path, self.timeout_s)
        try:
            # surrogateescape: a name given in another encoding than UTF-8 is asked for as it was typed
            words = "?" + urlencode(query, errors="surrogateescape") if query else ""
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, f"{PREFIX}{what}{words}", body, headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise error_of(self._decoded(self._body(answer), msgspec.json.Decoder(Fault).decode))
            yield answer
        except TimeoutError as error:
            raise TimedOut(
                f"cluesd did not answer within {self.timeout_s:g} s on {self.path}",
                "is it stuck? systemctl status cluesd; journalctl -u cluesd",
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(
                f"cluesd is not running: nothing listens on {self.path}",
                "start it: systemctl start cluesd (or: cluesd --config FILE); another socket: clues --socket PATH",
            ) from error
        except PermissionError as error:
            raise Unauthorised(f"{self.path} may not be used by this user", "run it as root") from error
        except (OSError, http.client.HTTPException) as error:
            raise InfraError(
                f"the conversation with cluesd on {self.path} broke off: {error or type(error).__name__}",
                "did it stop just now? systemctl status cluesd",
            ) from error
        finally:
            connection.close()

    def _body(self, answer: http.client.HTTPResponse) -> bytes:
        content = answer.read(_MOST_ANSWER_BYTES + 1)
        if len(content) > _MOST_ANSWER_BYTES:
            raise InfraError(f"cluesd on {self.path} answered more than {_MOST_ANSWER_BYTES >> 20} MiB")
        return content

    def _decoded(self, content: bytes, decode: Any) -> Any:
        try:
            return decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InfraError(
                f"what listens on {self.path} answered what this clues does not understand: {error}",
                "are clues and cluesd of one version? clues --version; cluesd --version",
            ) from error
