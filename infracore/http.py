"""HTTP requests that end: in time whatever the server does, with an answer of bounded size, and never elsewhere.

One connection a request. Redirects are not followed: what was meant for one server, credentials first, goes to no
other. A socket's own time limit counts anew with each byte; here a thread shuts the connection when the time is over.
"""

import http.client
import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from infracore.errors import Cancelled, InfraError, Misconfigured, TimedOut, Transient
from infracore.units import format_bytes

__all__ = ["Address", "Answer", "Http", "Unheard", "parse_address", "parse_address_or_socket"]

CONNECT_S: Final = 20.0
MOST_BYTES: Final = 32 * 2**20
_PIECE: Final = 64 * 1024
_LONGEST_LINE: Final = 2**20
_MOST_PATH: Final = 107
"""Bytes of the path of a unix socket (unix(7))."""


class Unheard(Transient):
    """The request never reached the server: nothing was done."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is. `base` is the path in front of all others, without a slash at its end."""

    is_tls: bool
    host: str
    port: int
    base: str = ""
    socket: str = ""
    """Path of a unix socket that is connected to instead."""

    @property
    def is_loopback(self) -> bool:
        """Whether what is sent there stays on this computer."""
        if self.socket:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        if self.socket:
            return f"unix:{self.socket}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}{self.base}"


def parse_address(url: str, what: str) -> Address:
    """Read the address of a server; `what` begins the message.

    Raises:
        Misconfigured: it is no http(s) address, or holds a password or a query.
    """
    hint = "example: https://im.example.org:8800"
    if not re.fullmatch(r"https?://[\x21-\x7e]+", url):
        raise Misconfigured(f"{what}: {_shown(url)!r} is no http(s) address", hint)
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else 443 if parts.scheme == "https" else 80
    except ValueError as error:
        raise Misconfigured(f"{what}: {_shown(url)!r} is no http(s) address: {error}", hint) from error
    if parts.username is not None or parts.password is not None:
        raise Misconfigured(f"{what}: an address holds no user and no password", "credentials have a file of their own")
    if not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise Misconfigured(f"{what}: {_shown(url)!r} is no address of a server", hint)
    return Address(parts.scheme == "https", parts.hostname, port, parts.path.rstrip("/"))


def parse_address_or_socket(text: str, what: str) -> Address:
    """Read the address of a server, or `unix:/PATH` of its socket. Raises Misconfigured as `parse_address`."""
    if not text.startswith("unix:"):
        return parse_address(text, what)
    path = text.removeprefix("unix:")
    if not path.startswith("/") or len(os.fsencode(path)) > _MOST_PATH or not path.isprintable():
        raise Misconfigured(f"{what}: {text[:200]!r} is no path of a socket", "example: unix:/run/slurmrestd/rest.sock")
    return Address(is_tls=False, host="localhost", port=80, socket=path)


def _shown(url: str) -> str:
    """Return an address without what may be a password."""
    return re.sub(r"//[^/@]*@", "//***@", url)[:200]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered. Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(eq=False, slots=True)
class _Call:
    """A request on its way."""

    seconds: float
    sock: socket.socket | None = None
    why: str = ""
    """Why it was broken off: `late` or `closed`."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def took(self, sock: socket.socket) -> None:
        """Note the socket; one that comes too late is shut at once."""
        with self.lock:
            self.sock = sock
            if self.why:
                _shut(sock)

    def break_off(self, why: str) -> None:
        """Shut the connection; who reads from it gets an error."""
        with self.lock:
            self.why = self.why or why
            if self.sock is not None:
                _shut(self.sock)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # TLS's own is not for other threads


class Http:
    """Talks to one server. Safe under threads."""

    def __init__(
        self, address: Address, *, ca_file: Path | None = None, verify: bool = True, most_bytes: int = MOST_BYTES
    ) -> None:
        """Raises Misconfigured where the file of certificates cannot be read."""
        self.address = address
        self._most = most_bytes
        self._tls: ssl.SSLContext | None = None
        self._ca_file, self._verify = ca_file, verify
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()
        self._closed = False
        if address.is_tls:
            self._tls = self._context()

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except OSError as error:  # SSLError among them: a file without a certificate
            raise Misconfigured(
                f"cannot use the certificates in {self._ca_file}: {error.strerror or error}", "a file of PEM"
            ) from error
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def send(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None, limit_s: float
    ) -> Answer:
        """Send a request and return the answer, whatever its status; blocks for `limit_s` seconds at most.

        Raises:
            Unheard: the server cannot be reached. TimedOut: no whole answer in time. Transient: it broke off, or
            answered what is no HTTP. Misconfigured: its certificate is not trusted; the answer is too large; it
            redirects. Cancelled: `close` was called.
        """
        with self._exchange(method, path, headers, body, limit_s) as answer:
            parts: list[bytes] = []
            size = 0
            while piece := answer.read1(_PIECE):
                parts.append(piece)
                size += len(piece)
                if size > self._most:
                    raise Misconfigured(f"{self.address} answers {method} with more than {format_bytes(self._most)}")
            if answer.length:
                raise Transient(f"{self.address} broke off its answer to {method}")
            return Answer(answer.status, _headers(answer), b"".join(parts))

    def lines(self, path: str, *, headers: Mapping[str, str], limit_s: float) -> Iterator[bytes]:
        """Yield the lines of an answer of status 200 as they come, until it ends; `limit_s` is for all of it.

        Raises:
            As `send`; Transient also for any other status.
        """
        with self._exchange("GET", path, headers, None, limit_s) as answer:
            if answer.status != 200:
                raise Transient(f"{self.address} answered HTTP {answer.status} to a stream")
            while line := answer.readline(_LONGEST_LINE):
                if len(line) >= _LONGEST_LINE:
                    raise Misconfigured(f"{self.address} sends a line of more than {_LONGEST_LINE >> 10} KiB")
                yield line.rstrip(b"\r\n")

    def close(self) -> None:
        """Break off what is under way, and refuse what comes."""
        with self._lock:
            self._closed = True
            calls = tuple(self._calls)
        for call in calls:
            call.break_off("closed")

    @contextmanager
    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, limit_s: float
    ) -> Iterator[http.client.HTTPResponse]:
        call = _Call(limit_s)
        with self._lock:
            if self._closed:
                raise Cancelled(f"the connection to {self.address} was closed")
            self._calls.add(call)
        late = threading.Timer(limit_s, call.break_off, ("late",))
        late.name, late.daemon = "http-deadline", True
        late.start()
        connection = http.client.HTTPConnection(self.address.host, self.address.port)
        try:
            connection.sock = self._connect(call)
            with self._told(call, method):
                said = {"Host": self._host(), "User-Agent": "im-clues", "Connection": "close", **headers}
                connection.request(method, f"{self.address.base}{path}", body, said)
                answer = connection.getresponse()
                if 300 <= answer.status < 400:
                    raise self._redirects(answer)
                yield answer
        finally:
            late.cancel()
            connection.close()
            if call.sock is not None:
                call.sock.close()
            with self._lock:
                self._calls.discard(call)

    def _redirects(self, answer: http.client.HTTPResponse) -> InfraError:
        to = _shown(answer.headers.get("location", ""))
        return Misconfigured(
            f"{self.address} redirects to {to or 'nowhere'}, and credentials are not sent on",
            "give the address where the server really is",
        )

    def _host(self) -> str:
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        usual = 443 if self.address.is_tls else 80
        return host if self.address.port == usual else f"{host}:{self.address.port}"

    def _connect(self, call: _Call) -> socket.socket:
        try:
            plain = self._plain(min(CONNECT_S, call.seconds))
        except (OSError, UnicodeError) as error:
            raise Unheard(
                f"{self.address} does not answer: {getattr(error, 'strerror', None) or error}", "check address and port"
            ) from error
        call.took(plain)
        plain.settimeout(call.seconds)
        if self._tls is None:
            return plain
        try:
            wrapped = self._tls.wrap_socket(plain, server_hostname=self.address.host, do_handshake_on_connect=False)
            call.took(wrapped)
            wrapped.do_handshake()
        except ssl.SSLCertVerificationError as error:
            raise Misconfigured(
                f"the certificate of {self.address} is not trusted: {error.verify_message}",
                "a file of its authority is given by ca_file",
            ) from error
        except (OSError, ValueError) as error:
            if call.why or isinstance(error, TimeoutError):
                raise self._broken(call, "TLS") from error
            reason = getattr(error, "reason", None) or error
            raise Misconfigured(f"{self.address} does not speak TLS as it should: {reason}", "is it http?") from error
        return wrapped

    def _plain(self, limit_s: float) -> socket.socket:
        if not self.address.socket:
            return socket.create_connection((self.address.host, self.address.port), limit_s)
        plain = socket.socket(socket.AF_UNIX)
        try:
            plain.settimeout(limit_s)
            plain.connect(self.address.socket)
        except OSError:
            plain.close()
            raise
        return plain

    def _broken(self, call: _Call, what: str) -> InfraError:
        if call.why == "closed":
            return Cancelled(f"the connection to {self.address} was closed")
        return TimedOut(f"{self.address} did not answer {what} within {call.seconds:g} s")

    @contextmanager
    def _told(self, call: _Call, method: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise self._broken(call, method) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            if call.why:
                raise self._broken(call, method) from error
            is_none = isinstance(error, _NO_HTTP) and not isinstance(error, http.client.RemoteDisconnected)
            what = "answers what is no HTTP" if is_none else f"broke off ({type(error).__name__})"
            raise Transient(f"{self.address} {what}, asked to {method}") from error
        if call.why:  # shut between two pieces: the end of the answer is not its own
            raise self._broken(call, method)


_NO_HTTP: Final = (http.client.BadStatusLine, http.client.LineTooLong, http.client.UnknownProtocol, ValueError)


def _headers(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.getheaders()}
