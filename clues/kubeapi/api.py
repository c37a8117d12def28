"""Requests to one API server: configuration and credentials by the `kubernetes` client, transport by urllib3.

The client is used for what is hard to get right (kubeconfig, contexts, exec plugins, tokens that rotate, the service
account inside a cluster) and imported late: it takes a second. Objects never pass through its models.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import msgspec
import urllib3

from clues.kubeapi.cut import Cut, CuttablePools
from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    InvalidUsage,
    Misconfigured,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
)

__all__ = ["Answer", "Api", "Connection", "Gone", "Stream", "connection_of"]

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
_AGENT: Final = "cluesd"
_MOST_SAID: Final = 500
_CHUNK: Final = 64 * 1024
_CREDENTIAL: Final = "credential:"
_KUBECONFIG_HINT: Final = "set kubernetes.kubeconfig (or KUBECONFIG) to a file that kubectl works with"


class Gone(InfraError):
    """HTTP 410: the resource version or the continue token is too old; a fresh list is needed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API server: its body as bytes, and its Date header ("" for none)."""

    status: int
    body: bytes
    date: str = ""

    def json(self) -> Any:
        """Decode the body. Raises Transient where it is no JSON (a proxy's page, a cut answer)."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Transient(f"the API server's answer is no JSON: {error}") from error


@dataclass(slots=True)
class Connection:
    """Where the server is and how to say who we are. Made by `connection_of`."""

    url: str
    tls: Mapping[str, Any]
    configuration: Any = None
    """Of the kubernetes client: asked for the token of each request, so that one that rotates is fresh."""
    refresh: Any = None
    """Loads the credentials anew (`tls` too) after a 401; None: they cannot be."""

    def headers(self) -> dict[str, str]:
        """Return the headers that say who we are.

        Raises:
            Unauthorised: a credential that no header can hold. It is not shown; http.client's own error would show it.
        """
        if self.configuration is None:
            return {}
        settings = self.configuration.auth_settings()  # asks for a fresh token where it rotates
        found = {
            item["key"]: item["value"] for item in settings.values() if item.get("in") == "header" and item.get("value")
        }
        for name, value in found.items():
            if not (isinstance(value, str) and value.isascii() and value.isprintable()):
                raise Unauthorised(
                    f"the credential for the header {name} holds a line end or another character that no header can",
                    "see the token of the kubeconfig: a block scalar (`token: |`) ends with a line end",
                )
        return found


def connection_of(kubeconfig: str, context: str, environ: Mapping[str, str]) -> Connection:
    """Find the API server: the file given, else KUBECONFIG, the service account of a pod, or ~/.kube/config.

    `credential:NAME` is a file of systemd's LoadCredential.

    Raises:
        Misconfigured: there is none, or the file is wrong; it says which.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    path = kubeconfig
    if path.startswith(_CREDENTIAL):
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise Misconfigured(
                f"kubernetes.kubeconfig is {path}, and there is no CREDENTIALS_DIRECTORY",
                "run cluesd by its systemd unit with LoadCredential, or name a file",
            )
        path = str(Path(folder) / path.removeprefix(_CREDENTIAL))
    path = path or environ.get("KUBECONFIG", "")
    in_pod = not path and "KUBERNETES_SERVICE_HOST" in environ
    default = Path(environ.get("HOME", "/root")) / ".kube" / "config"

    def load() -> None:
        heard = _Heard()
        logging.getLogger().addHandler(heard)
        try:
            if in_pod:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=path or str(default), context=context or None, client_configuration=configuration
                )
        finally:
            logging.getLogger().removeHandler(heard)
        if heard.said and not (configuration.api_key or configuration.cert_file):
            raise Unauthorised("; ".join(heard.said))

    if not in_pod and not path and not default.exists():
        raise Misconfigured(
            "there is no Kubernetes configuration",
            _KUBECONFIG_HINT,
        )
    # KUBECONFIG may name several files, and those that are missing are passed over
    if path and not any(Path(part).expanduser().exists() for part in path.split(os.pathsep) if part):
        raise Misconfigured(f"there is no kubeconfig {path}", _KUBECONFIG_HINT)
    try:
        load()
    except Exception as error:  # whatever the client and its exec plugins raise is a wrong configuration
        where = "the service account of this pod" if in_pod else path or default
        # a file of another shape makes the client say `'str' object does not support item assignment`
        said = "it has not the form of a kubeconfig" if isinstance(error, TypeError | AttributeError) else _said(error)
        raise Misconfigured(f"cannot use {where}: {said}", _KUBECONFIG_HINT) from error
    connection = Connection(configuration.host.rstrip("/"), _tls_of(configuration), configuration)

    def refresh() -> None:
        load()
        connection.tls = _tls_of(configuration)

    connection.refresh = refresh
    return connection


class _Heard(logging.Handler):
    """What the client says of an exec plugin that failed: by the root logger, and then it goes on as nobody."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.module == "kube_config":
            self.said.append(record.getMessage())


def _tls_of(configuration: Any) -> dict[str, Any]:
    tls: dict[str, Any] = {}
    if configuration.host.startswith("https"):
        tls["ca_certs"] = configuration.ssl_ca_cert
        tls["cert_reqs"] = "CERT_REQUIRED" if configuration.verify_ssl else "CERT_NONE"
        if configuration.cert_file:
            tls["cert_file"], tls["key_file"] = configuration.cert_file, configuration.key_file
        if configuration.tls_server_name:
            tls["server_hostname"] = configuration.tls_server_name
            tls["assert_hostname"] = configuration.tls_server_name
    return tls


Line: TypeAlias = tuple[bytes, int, int]
"""Text, and where in it a line begins and ends: the 4 kB of a pod are copied no more than they must."""


class Stream:
    """The lines of a watch as they come."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def lines(self, most_bytes: int) -> Iterator[list[Line]]:
        """Yield the whole lines of each piece that came, without their ends; a last line that was cut is dropped.

        Raises:
            Transient, TimedOut: the connection ended badly, or nothing came for the read time-out.
            Conflict: a line is longer than `most_bytes`.
        """
        rest: list[bytes] = []
        length = 0
        try:
            for chunk in self._answer.stream(_CHUNK, decode_content=True):
                end = chunk.find(b"\n")
                if end < 0:
                    rest.append(chunk)
                    length += len(chunk)
                    if length > most_bytes:
                        raise Conflict(f"the API server sent a line of more than {most_bytes} bytes")
                    continue
                first = b"".join((*rest, chunk[:end])) if length else chunk
                found = [(first, 0, length + end)]
                at = end + 1
                while (end := chunk.find(b"\n", at)) >= 0:
                    found.append((chunk, at, end))
                    at = end + 1
                rest, length = [chunk[at:]], len(chunk) - at
                yield found
        except urllib3.exceptions.ReadTimeoutError as error:
            raise TimedOut("nothing came from the API server within the time limit") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Transient(f"the watch was cut: {_said(error)}") from error


class Api:
    """Requests to the server of a connection. Safe under threads; each request has time limits on both sides."""

    def __init__(
        self, connection: Connection, *, connect_s: float = 5.0, request_s: float = 30.0, parallel: int = 32
    ) -> None:
        self._connection, self._request_s, self._connect_s = connection, request_s, connect_s
        self._parallel = parallel
        self._lock = threading.Lock()
        self._pools = CuttablePools()
        self._pool = self._new_pool()

    def call(self, method: str, path: str, body: object = None, content_type: str = JSON) -> Any:
        """Send a request and return the decoded answer (see `request` for the errors)."""
        return self.request(method, path, body, content_type).json()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = JSON,
        *,
        query: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        cut: Cut | None = None,
    ) -> Answer:
        """Send a request; blocks for `timeout_s` (the setting's, if None) at most, or until it is cut.

        Raises:
            NotFound (404), Conflict (409), Gone (410), Unauthorised (401, 403), Transient (429, 5xx, no connection),
            TimedOut, InvalidUsage (other refusals).
        """
        read_s = timeout_s or self._request_s
        with (
            self._pools.under(cut),
            self._sent(method, path, body=body, kind=content_type, query=query, read_s=read_s) as answer,
        ):
            try:
                content = answer.read(decode_content=True)
            except urllib3.exceptions.ReadTimeoutError as error:
                raise TimedOut(
                    f"{method} {path}: the answer did not come within {timeout_s or self._request_s:g} s"
                ) from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Transient(f"{method} {path}: {_said(error)}") from error
            return Answer(answer.status, content, answer.headers.get("date", ""))

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str], *, idle_s: float, cut: Cut | None = None) -> Iterator[Stream]:
        """Open a watch; `idle_s` is the longest silence (see `request` for the errors)."""
        with (
            self._pools.under(cut),
            self._sent("GET", path, body=None, kind=JSON, query=query, read_s=idle_s) as answer,
        ):
            yield Stream(answer)

    def close(self) -> None:
        """Let go of all connections."""
        self._pool.clear()

    @contextmanager
    def _sent(
        self, method: str, path: str, *, body: object, kind: str, query: Mapping[str, str] | None, read_s: float
    ) -> Iterator[Any]:
        target = f"{self._connection.url}{path}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else msgspec.json.encode(body)
        for attempt in (1, 2):
            headers = {"user-agent": _AGENT, "accept": JSON, "accept-encoding": "gzip", **self._connection.headers()}
            if data is not None:
                headers["content-type"] = kind
            timeout = urllib3.Timeout(connect=self._connect_s, read=read_s)
            pool = self._pool
            try:
                answer = pool.request(
                    method, target, body=data, headers=headers, timeout=timeout, preload_content=False, retries=False
                )
            except urllib3.exceptions.NewConnectionError as error:  # urllib3 has it among the time-outs
                raise Transient(f"{method} {path}: {self._connection.url} cannot be reached: {_said(error)}") from error
            except (urllib3.exceptions.ReadTimeoutError, urllib3.exceptions.ConnectTimeoutError) as error:
                raise TimedOut(f"{method} {path}: no answer of {self._connection.url} in time") from error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise Transient(f"{method} {path}: {self._connection.url} cannot be reached: {_said(error)}") from error
            if answer.status == 401 and attempt == 1:
                answer.close()  # its body is not read: the connection is of no more use
                if self._refreshed(headers, pool):
                    continue
                raise Unauthorised(f"{method} {path}: 401", "see that the credentials are still valid")
            break
        is_whole = False
        try:
            if answer.status >= 300:
                raise _refusal(method, path, answer)
            yield answer
            is_whole = method != "GET" or "watch" not in (query or {})
        finally:
            if is_whole:
                answer.release_conn()
            else:
                answer.close()

    def _refreshed(self, used: Mapping[str, str], pool: urllib3.PoolManager) -> bool:
        """Load the credentials anew, once for all threads that were refused with the same ones."""
        if self._connection.refresh is None:
            return False
        with self._lock:
            new_headers = any(used.get(name) != value for name, value in self._connection.headers().items())
            if new_headers or pool is not self._pool:
                return True  # another thread was first
            try:
                self._connection.refresh()
            except Exception as error:  # exec plugins fail in any way
                raise Unauthorised(f"the credentials cannot be loaded anew: {_said(error)}") from error
            if self._connection.tls.get("cert_file"):
                # open connections keep the certificate that they began with, also where its file has the same name
                self._pool = self._new_pool()
                pool.clear()
        return True

    def _new_pool(self) -> urllib3.PoolManager:
        # a proxy in the environment is for the registries, never for the API server: hence no proxy_from_environment
        return self._pools.new(num_pools=4, maxsize=self._parallel, block=False, **self._connection.tls)


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:_MOST_SAID] or type(error).__name__


class _Refusal(msgspec.Struct):
    """What is read of a Status object."""

    message: str = ""


def _refusal(method: str, path: str, answer: Any) -> InfraError:
    """Translate an answer other than success; the server's own sentence is kept."""
    try:
        said = msgspec.json.decode(answer.read(_CHUNK, decode_content=True), type=_Refusal).message[:_MOST_SAID]
    except (msgspec.MsgspecError, RecursionError, urllib3.exceptions.HTTPError, OSError):
        said = ""  # a proxy's page, a cut answer: the status is enough
    text = f"{method} {path}: {answer.status}{f': {said}' if said else ''}"
    status = answer.status
    if status in {401, 403}:
        return Unauthorised(text, "see kubernetes/rbac.yaml for the rights that cluesd needs")
    if status == 404:
        return NotFound(text)
    if status == 409:
        return Conflict(text)
    if status == 410:
        return Gone(text)
    if status == 429 or status >= 500:
        return Transient(text, retry_after_s=_retry_after(answer))
    if status in {400, 422}:
        return InvalidUsage(text)
    return CommandFailed(text)


def _retry_after(answer: Any) -> float | None:
    try:
        asked_s = float(answer.headers.get("retry-after", ""))
    except ValueError:  # none, or a date
        return None
    return min(asked_s, 60.0) if asked_s >= 0 else None  # a NaN is not
