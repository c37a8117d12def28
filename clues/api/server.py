"""The daemon's two doors: the unix socket for `clues`, the TCP port for metrics, health and the status page."""

import contextlib
import math
import os
import socket
import socketserver
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from clues.api.http import Handler, LimitedServer
from clues.api.page import status_page
from clues.api.peer import Rights, peer_of
from clues.api.wire import CHANGES, END_OF_RECORDS, PREFIX, READS, ChangeRequest, fault_of, status_of
from clues.control import Control
from infracore.errors import Conflict, InfraError, InvalidUsage, Misconfigured, NotFound, Unauthorised

__all__ = ["Servers", "health", "start_servers"]

_log: Final = structlog.get_logger()
_MOST_PATH: Final = 107
"""Bytes of a unix socket's name (unix(7), sun_path)."""
_STUCK_S: Final = 60.0
_PAGE_RECORDS_S: Final = 3600.0


class Servers:
    """The open doors. `close` shuts them within a second; may be repeated."""

    def __init__(self, poll_s: float) -> None:
        self._poll_s = poll_s
        self._parts: list[tuple[LimitedServer, threading.Thread]] = []
        self._files: list[Path] = []
        self.port: int | None = None
        """Of the TCP door, as bound; None where there is none."""

    def serve(self, server: LimitedServer, name: str) -> None:
        """Serve in a thread of its own."""
        thread = threading.Thread(target=server.serve_forever, args=(self._poll_s,), name=name, daemon=True)
        self._parts.append((server, thread))
        thread.start()

    def close(self) -> None:
        """Stop serving and remove the socket."""
        parts, self._parts = self._parts, []
        for server, thread in parts:
            server.close_all()
            thread.join(2.0)
        files, self._files = self._files, []
        for path in files:
            with suppress(OSError):
                path.unlink()


def start_servers(
    control: Control,
    *,
    socket_path: Path,
    listen: str = "",
    registry: CollectorRegistry | None = None,
    group: str = "",
    stuck_s: float = _STUCK_S,
    poll_s: float = 0.2,
) -> Servers:
    """Open the unix socket, and with `listen` (`127.0.0.1:9808`, `[::1]:9808`; "": none) the TCP port.

    `poll_s` is the longest time that `close` takes.

    Raises:
        Misconfigured: an address or a group that cannot be. Conflict: another daemon listens already.
    """
    rights = Rights.of_group(group)
    servers = Servers(poll_s)
    with contextlib.ExitStack() as taken, _listening(socket_path):
        taken.callback(servers.close)
        unix = _UnixServer(_free_path(socket_path), _control_handler(control, rights))
        servers._files.append(socket_path)
        # Everybody may ask; who may change something is looked up for each connection.
        socket_path.chmod(0o666)
        servers.serve(unix, "clues-socket")
        if listen:
            tcp = _tcp_server(listen, _public_handler(control, registry, stuck_s))
            servers.port = int(tcp.server_address[1])
            servers.serve(tcp, "clues-http")
        taken.pop_all()
    return servers


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {path}: {error}", "daemon.socket must lie in a folder that cluesd owns"
        ) from error


# the unix socket


class _UnixServer(LimitedServer):
    address_family = socket.AF_UNIX
    allow_reuse_address = False

    def __init__(self, path: Path, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(str(path), handler)


def _free_path(path: Path) -> Path:
    """Make room for the socket: its folder is made, what a killed daemon left there is removed."""
    if len(os.fsencode(path)) > _MOST_PATH:
        raise Misconfigured(f"daemon.socket is longer than {_MOST_PATH} bytes: {path}", "choose a shorter path")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return path
    if not is_socket:
        raise Misconfigured(f"daemon.socket is a file that is no socket: {path}", "remove it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return path
    raise Conflict(f"another cluesd listens on {path}", "stop it first: systemctl stop cluesd")


def _control_handler(control: Control, rights: Rights) -> type[Handler]:
    changes = _changes(control)

    class ControlHandler(Handler):
        """Answers `clues`."""

        def do_GET(self) -> None:  # noqa: N802 - the name that the library calls
            self._guarded(self._read)

        def do_POST(self) -> None:  # noqa: N802
            self._guarded(self._change)

        def _guarded(self, work: Callable[[], None]) -> None:
            try:
                work()
            except InfraError as error:
                self._fail(error)
            except (BrokenPipeError, ConnectionError, TimeoutError):
                self.close_connection = True
            except Exception as error:  # noqa: BLE001 - one request never ends the daemon
                _log.error("request failed", path=self.path[:200], error=repr(error), exc_info=error)
                self._fail(InfraError(f"cluesd has a defect: {type(error).__name__}: {error}", "see its log"))

        def _fail(self, error: InfraError) -> None:
            with suppress(OSError):
                self.answer(status_of(error), msgspec.json.encode(fault_of(error)))

        def _read(self) -> None:
            path, query = self.split_path()
            what = _what(path, READS)
            if what == "records":
                self.answer_lines(_record_lines(control, *_period(query)))
            else:
                self.answer(200, msgspec.json.encode(_reads(control, what, query)))

        def _change(self) -> None:
            path, _ = self.split_path()
            what = _what(path, CHANGES)
            peer = peer_of(self.connection)
            if not rights.may_change(peer):
                raise Unauthorised(
                    f"{peer} may look, but not change anything ({what})",
                    "root and members of the group daemon.socket_group may: use sudo, or join the group",
                )
            try:
                asked = msgspec.json.decode(self.read_body(), type=ChangeRequest)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InvalidUsage(f"the request is not understood: {error}") from error
            said = tuple(changes[what](asked))
            _log.info(
                "asked", what=what, names=list(asked.names)[:50], by=str(peer), reason=asked.reason, said=said[:50]
            )
            self.answer(200, msgspec.json.encode(said))

    return ControlHandler


def _what(path: str, known: frozenset[str]) -> str:
    what = path.removeprefix(PREFIX)
    if not path.startswith(PREFIX) or what not in known:
        raise NotFound(f"there is no {path[:200]!r} here", "are clues and cluesd of one version?")
    return what


def _reads(control: Control, what: str, query: Mapping[str, str]) -> object:
    if what == "why":
        return control.why(query.get("name", ""))
    return {
        "status": control.status,
        "nodes": control.nodes,
        "pods": control.pods,
        "decision": control.last_decision,
    }[what]()


def _changes(control: Control) -> Mapping[str, Callable[[ChangeRequest], Sequence[str]]]:
    return {
        "power-on": lambda asked: control.power_on(asked.names),
        "power-off": lambda asked: control.power_off(asked.names, force=asked.force),
        "hold": lambda asked: control.hold(asked.names, reason=asked.reason),
        "release": lambda asked: control.release(asked.names),
        "enable": lambda asked: control.enable(asked.names),
        "disable": lambda asked: control.disable(asked.names, reason=asked.reason),
        "reload": lambda _: control.reload(),
    }


def _period(query: Mapping[str, str]) -> tuple[float, float]:
    try:
        since, until = float(query["since"]), float(query["until"])
    except (KeyError, ValueError) as error:
        raise InvalidUsage("records need since and until, in seconds since the epoch") from error
    if not (math.isfinite(since) and math.isfinite(until) and since <= until):
        raise InvalidUsage("since must be before until")
    return since, until


def _record_lines(control: Control, since: float, until: float) -> Iterator[bytes]:
    # The answer has begun when an error comes: it goes as a last line, which the client raises.
    try:
        for record in control.records(since=since, until=until):
            yield msgspec.json.encode(record) + b"\n"
        yield END_OF_RECORDS + b"\n"
    except InfraError as error:
        yield msgspec.json.encode({"fault": fault_of(error)}) + b"\n"


# the TCP port


class _Tcp6Server(LimitedServer):
    address_family = socket.AF_INET6


def _tcp_server(listen: str, handler: type[Handler]) -> LimitedServer:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise Misconfigured(f"daemon.metrics_listen is not ADDRESS:PORT: {listen!r}", "such as 127.0.0.1:9808")
    bare = host.removeprefix("[").removesuffix("]")
    kind = _Tcp6Server if ":" in bare else LimitedServer
    try:
        return kind((bare, int(port)), handler)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {listen}: {error}", "daemon.metrics_listen: another port, or an address of this computer"
        ) from error


_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_TEXT: Final = "text/plain; charset=utf-8"


def _public_handler(control: Control, registry: CollectorRegistry | None, stuck_s: float) -> type[Handler]:
    class PublicHandler(Handler):
        """Answers Prometheus, probes and browsers; changes nothing."""

        def do_GET(self) -> None:  # noqa: N802 - the name that the library calls
            try:
                self._answer()
            except (BrokenPipeError, ConnectionError, TimeoutError):
                self.close_connection = True
            except Exception as error:  # noqa: BLE001 - one request never ends the daemon
                _log.error("request failed", path=self.path[:200], error=repr(error), exc_info=error)
                with suppress(OSError):
                    self.answer(500, b"cluesd has a defect; see its log\n", _TEXT)

        do_HEAD = do_GET  # noqa: N815

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/healthz":
                well, said = health(control, stuck_s)
                self.answer(200 if well else 503, f"{said}\n".encode(), _TEXT)
            elif path == "/metrics" and registry is not None:
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self.answer(200, encode(registry), kind)
            elif path == "/":
                now = control.status().now
                records = control.records(since=now - _PAGE_RECORDS_S, until=now + 1)
                page = status_page(control.status(), control.nodes(), control.pods(), records)
                self.answer(200, page.encode("utf-8", "replace"), "text/html; charset=utf-8", _PAGE_HEADERS)
            else:
                self.answer(404, b"there are /, /metrics and /healthz\n", _TEXT)

    return PublicHandler


def health(control: Control, stuck_s: float = _STUCK_S) -> tuple[bool, str]:
    """Return whether the daemon makes progress, and what is said of it.

    A daemon that waits for the lease need not decide: it is well as long as it answers.
    """
    try:
        status = control.status()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not well
        return False, f"cluesd does not answer: {type(error).__name__}: {error}"
    if not status.leader:
        return True, f"ok: {status.holder or 'another daemon'} decides"
    age = status.now - (status.started_at if status.last_pass_at is None else status.last_pass_at)
    if age > stuck_s:
        return False, f"no pass for {age:.0f} s"
    return True, f"ok: last pass {age:.1f} s ago" if status.last_pass_at is not None else "ok: starting"
