"""The API server's half that speaks HTTP: requests, selectors, pages, watches."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.controlplane.small.controllers import delete_pod, evict
from tests.controlplane.small.store import PODS, Event, Refused, Store

_NAMESPACES = "/api/v1/namespaces"
_Matches = Callable[[Any], bool]


@dataclass(frozen=True)
class _Target:
    """What a path names."""

    resource: str
    namespace: str = ""
    name: str = ""
    sub: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


def _target(path: str) -> _Target:
    parts = [unquote(part) for part in path.strip("/").split("/")]
    root = 2 if parts[0] == "api" else 3
    base, rest = "/" + "/".join(parts[:root]), parts[root:]
    if not rest or parts[0] not in {"api", "apis"}:
        raise Refused(404, "NotFound", f"{path} not found")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return _Target(f"{base}/{rest[0]}", namespace, *rest[1:3])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "SmallServer"

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep still."""

    def _answer(self, act: Callable[[str, Mapping[str, str], Any], tuple[int, Any] | None]) -> None:
        """Read the request, do it, and say what came of it; None: it has been said."""
        where = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        try:
            if not self._is_known():
                raise Refused(401, "Unauthorized", "Unauthorized")
            said = act(where.path, dict(parse_qsl(where.query)), json.loads(body) if body else {})
        except Refused as error:
            status = {"kind": "Status", "code": error.status, "reason": error.reason, "message": str(error)}
            said = error.status, status
        if said is not None:
            self._say(*said)

    def _is_known(self) -> bool:
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return bool(self.connection.getpeercert()) or (kind == "Bearer" and token == self.server.token)

    def _say(self, status: int, body: Any) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    # what is asked

    def _get(self, path: str, query: Mapping[str, str], _body: Any) -> tuple[int, Any] | None:
        store = self.server.store
        if path in {"/readyz", "/healthz", "/livez"}:
            return 200, "ok"
        if path == "/version":
            return 200, {"gitVersion": "v0-small"}
        if path == "/metrics":
            labels = 'code="429",resource="pods",subresource="eviction"'
            return 200, f"apiserver_request_total{{{labels}}} {store.refused_evictions}\n"
        target = _target(path)
        if target.name:
            return 200, store.get(target.resource, target.key)
        matches = _selector(query.get("fieldSelector", ""))
        if query.get("watch") in {"true", "1"}:
            self._watch(target, query, matches)
            return None
        with store.together():
            items = [item for item in store.all(target.resource, target.namespace) if matches(item)]
            version = str(store.version)
        begin, most = int(query.get("continue", "0")), int(query.get("limit", "0")) or len(items)
        meta = {"resourceVersion": version}
        if begin + most < len(items):
            meta["continue"] = str(begin + most)
        return 200, {"kind": "List", "metadata": meta, "items": items[begin : begin + most]}

    def _post(self, path: str, _query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        target, store = _target(path), self.server.store
        if target.sub == "token":
            return 201, {"status": {"token": self.server.token}}
        if target.sub == "eviction":
            _check(store.get(PODS, target.key), body.get("deleteOptions"))
            evict(store, target.key)
            return 201, {"kind": "Status", "status": "Success"}
        return 201, store.create(target.resource, target.namespace, body)

    def _put(self, path: str, _query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        target = _target(path)

        def replace(item: Any) -> None:
            meta = item["metadata"]
            item.clear()
            item.update(body)
            item["metadata"] = meta | {key: value for key, value in body["metadata"].items() if key != "uid"}

        version = body.get("metadata", {}).get("resourceVersion", "")
        return 200, self.server.store.change(target.resource, target.key, replace, version=version)

    def _patch(self, path: str, _query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        target = _target(path)
        if self.headers.get("content-type") != "application/merge-patch+json":
            raise Refused(415, "UnsupportedMediaType", "only merge patches are understood here")
        if target.resource == PODS or target.resource == "/api/v1/nodes":
            body = {key: value for key, value in body.items() if (key == "status") is (target.sub == "status")} | {
                key: value for key, value in body.items() if key == "metadata"
            }
        version = body.get("metadata", {}).get("resourceVersion") or ""
        return 200, self.server.store.change(
            target.resource, target.key, lambda item: _merge(item, body), version=version
        )

    def _delete(self, path: str, _query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        target, store = _target(path), self.server.store
        with store.together():
            _check(store.get(target.resource, target.key), body)
            if target.resource == PODS:
                return 200, delete_pod(store, target.key, body.get("gracePeriodSeconds"))
            if target.resource == _NAMESPACES:
                for resource in store.namespaced():
                    for item in store.sound(resource):
                        if item["metadata"].get("namespace") == target.name:
                            key = target.name, item["metadata"]["name"]
                            delete_pod(store, key) if resource == PODS else store.remove(resource, key)
            return 200, store.remove(target.resource, target.key)

    def _watch(self, target: _Target, query: Mapping[str, str], matches: _Matches) -> None:
        server, store = self.server, self.server.store
        ends = time.monotonic() + float(query.get("timeoutSeconds", "60"))
        begins_with_list = query.get("sendInitialEvents") == "true"
        with store.together():
            at = store.version if begins_with_list else int(query.get("resourceVersion") or store.version)
            there = store.all(target.resource, target.namespace) if begins_with_list else []
            store.since(target.resource, at)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._chunk(*(_line("ADDED", item) for item in there if matches(item)))
        if begins_with_list:
            self._chunk(_bookmark(at, ends_list=True))
        while not server.down.is_set():
            with store.changed:
                while store.version == at and not server.down.is_set() and (left := ends - time.monotonic()) > 0:
                    store.changed.wait(left)
                try:
                    events = store.since(target.resource, at)
                except Refused as error:  # compacted meanwhile
                    self._chunk(_line("ERROR", {"kind": "Status", "code": 410, "message": str(error)}))
                    break
                at = store.version
            self._chunk(*(line for event in events if (line := _told(event, target.namespace, matches))))
            if time.monotonic() >= ends:
                self._chunk(_bookmark(at))
                break
        with suppress(OSError):
            self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, *lines: bytes) -> None:
        data = b"".join(lines)
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


class SmallServer(ThreadingHTTPServer):
    """On loopback over TLS; `close` cuts every connection, as a crash does."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, store: Store, port: int, context: ssl.SSLContext, token: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.store, self.token = store, token
        self.down = threading.Event()
        self._context = context
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="small API server", daemon=True)
        self._thread.start()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Leave the handshake to the connection's thread."""
        raw, address = super().get_request()
        wrapped = self._context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        with self._guard:
            self._open.add(wrapped)
        return wrapped, address

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what many tests are about."""

    def close(self) -> None:
        self.down.set()
        with self.store.changed:
            self.store.changed.notify_all()
        self.shutdown()
        self._thread.join()
        with self._guard:
            for one in self._open:
                with suppress(OSError):
                    socket.socket.shutdown(one, socket.SHUT_RDWR)
        self.server_close()


def _check(item: Any, options: Any) -> None:
    """Raise Refused (409) where the options mean another object of the name."""
    uid = ((options or {}).get("preconditions") or {}).get("uid")
    if uid and uid != item["metadata"]["uid"]:
        raise Refused(409, "Conflict", f"the UID in the precondition ({uid}) is not that of the object")


def _merge(item: Any, patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            item.pop(key, None)
        elif isinstance(value, dict):
            if not isinstance(item.get(key), dict):
                item[key] = {}
            _merge(item[key], value)
        else:
            item[key] = value


def _selector(text: str) -> _Matches:
    """Return what a field selector such as `spec.nodeName=,status.phase!=Failed` says of an object."""
    terms = []
    for term in filter(None, text.split(",")):
        path, _, value = term.partition("!=" if "!=" in term else "=")
        terms.append((path.split("."), value, "!=" in term))
    return lambda item: all((_field(item, path) == value) is not differs for path, value, differs in terms)


def _field(item: Any, path: list[str]) -> Any:
    for part in path:
        item = item.get(part, "") if isinstance(item, dict) else ""
    return item


def _told(event: Event, namespace: str, matches: _Matches) -> bytes:
    """Return what a watch says of an event; b"" where it is none of its objects."""
    some = event.after if event.after is not None else event.before
    if namespace and some["metadata"].get("namespace", "") != namespace:
        return b""
    was = event.before is not None and matches(event.before)
    is_one = event.after is not None and matches(event.after)
    if is_one:
        return _line("MODIFIED" if was else "ADDED", event.after)
    if not was:
        return b""
    meta = {**event.before["metadata"], "resourceVersion": str(event.version)}
    return _line("DELETED", {**event.before, "metadata": meta})


def _line(kind: str, item: Any) -> bytes:
    return json.dumps({"type": kind, "object": item}, separators=(",", ":")).encode() + b"\n"


def _bookmark(version: int, *, ends_list: bool = False) -> bytes:
    marks = {"annotations": {"k8s.io/initial-events-end": "true"}} if ends_list else {}
    return _line("BOOKMARK", {"metadata": {"resourceVersion": str(version), **marks}})
