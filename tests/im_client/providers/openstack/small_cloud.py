"""An OpenStack of a few hundred lines on a loopback socket, for what a real one does not do when asked: faults.

It keeps what it is given and answers in the services' forms; it judges nothing. Every request is recorded.
"""

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["PASSWORD", "PROJECT", "Fault", "SmallCloud", "small_cloud"]

PASSWORD = "a-password-that-nobody-shows"
PROJECT = "1" * 32
_Query = dict[str, list[str]]
_COLLECTIONS = {
    "networks": "network",
    "subnets": "subnet",
    "routers": "router",
    "ports": "port",
    "floatingips": "floatingip",
    "security-groups": "security_group",
    "security-group-rules": "security_group_rule",
}


@dataclass
class Fault:
    """What happens to requests in place of an answer, or after it has been acted on."""

    on: str
    """Expression that the whole of `METHOD /path` matches."""
    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    after: int = 0
    """How many requests that match pass before."""
    hangs: bool = False
    """Nothing comes back until the cloud is closed."""
    cut: bool = False
    """It is acted on; half an answer comes back."""


class SmallCloud:
    """Its state, and what it was asked."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.asked: list[str] = []
        self.bodies: list[tuple[str, Any]] = []
        self.faults: list[Fault] = []
        self.tokens: set[str] = set()
        self.logins = 0
        self.has_volumes = True
        self.elsewhere = ""
        """Address that the catalog has for Nova in place of its own."""
        self.closing = threading.Event()
        self.url = ""
        self.things: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in _COLLECTIONS}
        self.servers: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.snapshots: set[str] = set()
        """Of volumes."""
        self.keypairs: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.flavors = [flavor("m1.small", 1, 2048, 20), flavor("m1.large", 4, 8192, 80), flavor("c1.bare", 2, 4096, 0)]
        self.image("debian-12", os_distro="debian", os_version="12")
        outside = self.network("public", external=True, cidr="203.0.113.0/24")
        self.router(outside, self.network("private", cidr="10.9.0.0/24"))

    # filling

    def network(self, name: str, *, external: bool = False, cidr: str = "", **more: Any) -> str:
        made = self._keep("networks", {"name": name, "router:external": external, "admin_state_up": True, **more})
        if cidr:
            self._keep("subnets", {"name": name, "network_id": made, "cidr": cidr, "ip_version": 4})
        return made

    def router(self, outside: str, *networks: str) -> str:
        router = self._keep("routers", {"name": "router", "external_gateway_info": {"network_id": outside}})
        for network in networks:
            port = {"network_id": network, "device_id": router, "device_owner": "network:router_interface"}
            self._keep("ports", port)
        return router

    def image(self, name: str, **more: Any) -> str:
        made = str(uuid.uuid4())
        base = {"id": made, "name": name, "status": "active", "min_disk": 1, "min_ram": 0, "size": 1000}
        self.images[made] = {**base, "created_at": "2026-01-01T00:00:00Z", "owner": PROJECT, **more}
        return made

    def expire(self) -> None:
        """Let every token run out."""
        with self.lock:
            self.tokens.clear()

    def count(self, pattern: str) -> int:
        """Say how often requests that match have come."""
        return sum(1 for asked in self.asked if re.fullmatch(pattern, asked))

    def left(self) -> dict[str, int]:
        """Count what is there beside what was there at the start."""
        with self.lock:
            found = {name: len(items) for name, items in self.things.items()}
            return {**found, "servers": len(self.servers), "keypairs": len(self.keypairs), "groups": len(self.groups)}

    def _keep(self, kind: str, thing: dict[str, Any]) -> str:
        made = str(uuid.uuid4())
        self.things[kind][made] = {"id": made, "project_id": PROJECT, "description": "", **thing}
        return made

    # answering

    def answer(self, method: str, path: str, query: _Query, body: Any) -> tuple[int, Any]:
        service, _, rest = path.lstrip("/").partition("/")
        parts = rest.split("/")[1:]
        with self.lock:
            if service == "volume":
                parts = parts[1:]
            if not parts or parts == [""]:
                return 200, {"version": self._version(service)}
            return {"compute": self._compute, "network": self._network, "image": self._image, "volume": self._volume}[
                service
            ](method, parts, query, body)

    def _version(self, service: str) -> dict[str, Any]:
        name = {"compute": "v2.1", "network": "v2.0", "image": "v2", "volume": "v3"}[service]
        href = f"{self.url}/{service}/{name}{f'/{PROJECT}' if service == 'volume' else ''}/"
        micro = {"version": "2.90", "min_version": "2.1"} if service == "compute" else {}
        return {"id": name, "status": "CURRENT", "links": [{"rel": "self", "href": href}], **micro}

    def login(self) -> tuple[str, dict[str, Any]]:
        token = uuid.uuid4().hex
        with self.lock:
            self.tokens.add(token)
            self.logins += 1
        places = {"compute": "compute/v2.1", "network": "network/v2.0", "image": "image/v2"}
        if self.has_volumes:
            places["block-storage"] = f"volume/v3/{PROJECT}"
        region = {"interface": "public", "region": "One", "region_id": "One"}
        where = {"compute": self.elsewhere} if self.elsewhere else {}
        catalog = [
            {
                "type": kind,
                "name": kind,
                "endpoints": [{**region, "url": where.get(kind, f"{self.url}/{path}"), "id": path}],
            }
            for kind, path in places.items()
        ]
        answer = {
            "catalog": catalog,
            "project": {"id": PROJECT, "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "user": {"id": "u", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "methods": ["password"],
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2099-01-01T00:00:00.000000Z",
        }
        return token, {"token": answer}

    def _network(self, method: str, parts: list[str], query: _Query, body: Any) -> tuple[int, Any]:
        kind, one = parts[0], _COLLECTIONS.get(parts[0], "")
        items = self.things[kind]
        key = kind.replace("-", "_")
        if method == "GET" and len(parts) == 1:
            found = [item for item in items.values() if all(str(item.get(k)) in v for k, v in query.items())]
            if kind == "security-groups":
                rules = self.things["security-group-rules"].values()
                found = [
                    {**group, "security_group_rules": [r for r in rules if r["security_group_id"] == group["id"]]}
                    for group in found
                ]
            return 200, {key: found}
        if method == "POST" and key in body:
            return 201, {key: [items[self._keep(kind, new)] for new in body[key]]}
        if method == "POST":
            made = items[self._keep(kind, body[one])]
            if kind == "floatingips":
                made["floating_ip_address"] = f"203.0.113.{len(items)}"
            return 201, {one: made}
        if len(parts) == 3 and parts[2] == "add_router_interface":
            subnet = self.things["subnets"][body["subnet_id"]]
            owner = {"device_id": parts[1], "device_owner": "network:router_interface"}
            ip = {"subnet_id": subnet["id"]}
            self._keep("ports", {"network_id": subnet["network_id"], "fixed_ips": [ip], **owner})
            return 200, {}
        if len(parts) == 3 and parts[2] == "remove_router_interface":
            del self.things["ports"][body["port_id"]]
            return 200, {}
        if parts[1] not in items:
            return 404, {"NeutronError": {"type": "NotFound", "message": f"{parts[1]} is not there"}}
        if method == "PUT":
            items[parts[1]] |= body[one]
            return 200, {one: items[parts[1]]}
        if kind == "networks":
            for subnet in [s for s, v in self.things["subnets"].items() if v["network_id"] == parts[1]]:
                del self.things["subnets"][subnet]
        if kind == "security-groups":
            rules = self.things["security-group-rules"]
            for rule in [r for r, v in rules.items() if v["security_group_id"] == parts[1]]:
                del rules[rule]
        del items[parts[1]]
        return 204, None

    def _image(self, method: str, parts: list[str], query: _Query, body: Any) -> tuple[int, Any]:
        wanted = {k: v for k, v in query.items() if k in {"name", "status", "owner", "image_type"}}
        operator, colon, name = wanted.get("name", [""])[0].partition(":")
        if colon and operator != "eq":
            return 400, {"message": f"Unable to filter by unknown operator '{operator}'."}
        if colon:
            wanted["name"] = [name]
        if len(parts) == 1:
            found = [one for one in self.images.values() if all(str(one.get(k)) in v for k, v in wanted.items())]
            limit = min(int(query.get("limit", ["25"])[0]), 2)  # pages of two, whatever is asked for
            ids = [one["id"] for one in found]
            start = ids.index(query["marker"][0]) + 1 if "marker" in query else 0
            page = found[start : start + limit]
            return 200, {"images": page, **({"next": "/v2/images?more"} if start + limit < len(found) else {})}
        if parts[1] not in self.images:
            return 404, {"message": "No image found"}
        if method == "DELETE":
            del self.images[parts[1]]
            return 204, None
        return 200, self.images[parts[1]]

    def _volume(self, method: str, parts: list[str], query: _Query, body: Any) -> tuple[int, Any]:
        if parts == ["limits"]:
            return 200, {"limits": {"absolute": {"totalGigabytesUsed": 30, "maxTotalVolumeGigabytes": -1}}}
        if method == "DELETE" and parts[0] == "snapshots" and parts[1] in self.snapshots:
            self.snapshots.remove(parts[1])
            return 202, None
        return 404, {"itemNotFound": {"code": 404, "message": "not there"}}

    def _compute(self, method: str, parts: list[str], query: _Query, body: Any) -> tuple[int, Any]:
        match [method, *parts]:
            case ["GET", "flavors", "detail"]:
                return 200, {"flavors": self.flavors}
            case ["GET", "limits"]:
                used = {"totalInstancesUsed": len(self.servers), "maxTotalInstances": 10, "maxTotalCores": -1}
                return 200, {"limits": {"absolute": {**used, "totalRAMUsed": 2048, "maxTotalRAMSize": 4096}}}
            case ["POST", "servers"]:
                return 202, {"server": {"id": self._boot(body["server"])["id"], "adminPass": "secret"}}
            case ["GET", "servers", "detail"]:
                tags = set(query.get("tags", ()))
                found = [one for one in self.servers.values() if tags <= set(one["tags"])]
                return 200, {"servers": found}
            case ["GET" | "POST" | "DELETE", "servers", which, *_] if which not in self.servers:
                return 404, {"itemNotFound": {"code": 404, "message": f"Instance {which} could not be found."}}
            case ["GET", "servers", which]:
                return 200, {"server": self.servers[which]}
            case ["DELETE", "servers", which]:
                del self.servers[which]
                self.things["ports"] = {k: v for k, v in self.things["ports"].items() if v["device_id"] != which}
                return 204, None
            case ["POST", "servers", which, "action"]:
                return self._act(self.servers[which], *next(iter(body.items())))
            case ["GET", "os-keypairs"]:
                return 200, {"keypairs": [{"keypair": one} for one in self.keypairs.values()]}
            case ["POST", "os-keypairs"]:
                name = body["keypair"]["name"]
                if name in self.keypairs:
                    return 409, {"conflictingRequest": {"code": 409, "message": f"Key pair '{name}' already exists."}}
                self.keypairs[name] = body["keypair"]
                return 201, body
            case ["DELETE", "os-keypairs", name]:
                return (204, None) if self.keypairs.pop(name, None) else (404, {"itemNotFound": {"message": "no"}})
            case ["GET", "os-server-groups"]:
                return 200, {"server_groups": list(self.groups.values())}
            case ["POST", "os-server-groups"]:
                made = {"id": str(uuid.uuid4()), **body["server_group"]}
                self.groups[made["id"]] = made
                return 200, {"server_group": made}
            case ["DELETE", "os-server-groups", which]:
                return (204, None) if self.groups.pop(which, None) else (404, {"itemNotFound": {"message": "no"}})
        return 404, {"itemNotFound": {"code": 404, "message": "there is nothing here"}}

    def _boot(self, new: dict[str, Any]) -> dict[str, Any]:
        made = str(uuid.uuid4())
        size = next(one for one in self.flavors if one["id"] == new["flavorRef"])
        cards = [
            (card["uuid"], card.get("fixed_ip", f"10.9.0.{len(self.things['ports']) + 2}")) for card in new["networks"]
        ]
        for network, address in cards:
            self._keep("ports", {"network_id": network, "device_id": made, "fixed_ips": [{"ip_address": address}]})
        self.servers[made] = {
            **new,
            "id": made,
            "status": "ACTIVE",
            "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "addresses": {
                self.things["networks"][network]["name"]: [{"addr": address, "OS-EXT-IPS:type": "fixed"}]
                for network, address in cards
            },
            "flavor": {"original_name": size["name"], **{key: size[key] for key in ("vcpus", "ram", "disk")}},
            "OS-EXT-STS:task_state": None,
        }
        return self.servers[made]

    def _act(self, server: dict[str, Any], name: str, how: Any) -> tuple[int, Any]:
        after = {"os-stop": ("ACTIVE", "SHUTOFF"), "os-start": ("SHUTOFF", "ACTIVE"), "resize": ("*", "VERIFY_RESIZE")}
        if name == "createImage":
            return 202, {"image_id": self.image(how["name"], image_type="snapshot", **how["metadata"])}
        if name == "os-getConsoleOutput":
            return 200, {"output": "login: "}
        if name == "confirmResize":
            server["status"] = "ACTIVE"
            return 204, None
        if name not in after:
            return 400, {"badRequest": {"code": 400, "message": f"There is no such action: {name}"}}
        before, then = after[name]
        if server["status"] != before and before != "*":
            words = f"Cannot '{name}' instance while it is in vm_state {server['status']}"
            return 409, {"conflictingRequest": {"code": 409, "message": words}}
        server["status"] = then
        if name == "resize":
            size = next(one for one in self.flavors if one["id"] == how["flavorRef"])
            server["flavor"] = {"original_name": size["name"], **{key: size[key] for key in ("vcpus", "ram", "disk")}}
        return 202, None

    def fault(self, asked: str) -> Fault | None:
        """Return the fault of a request, once for each time that it is to happen."""
        with self.lock:
            for one in self.faults:
                if one.times > 0 and re.fullmatch(one.on, asked):
                    if one.after > 0:
                        one.after -= 1
                        continue
                    one.times -= 1
                    return one
        return None


def flavor(name: str, vcpus: int, ram: int, disk: int, **specs: str) -> dict[str, Any]:
    """Return a flavor as Nova lists it."""
    size = {"vcpus": vcpus, "ram": ram, "disk": disk, "extra_specs": specs}
    return {"id": f"id-of-{name}", "name": name, "OS-FLV-DISABLED:disabled": False, **size}


class _Handler(BaseHTTPRequestHandler):
    cloud: SmallCloud
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer

    def _do(self) -> None:
        cloud = self.cloud
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        asked = f"{self.command} {url.path}"
        with cloud.lock:
            cloud.asked.append(asked)
            cloud.bodies.append((asked, body))
        fault = cloud.fault(asked)
        if fault is not None and fault.hangs:
            cloud.closing.wait(60)
            return
        if fault is not None and not fault.cut:
            self._send(fault.status, fault.body, fault.headers)
            return
        if url.path.startswith("/identity"):
            self._identity(url.path, body)
            return
        if self.headers.get("X-Auth-Token") not in cloud.tokens:
            self._send(401, {"error": {"code": 401, "message": "The request you have made requires authentication."}})
            return
        status, answer = cloud.answer(self.command, url.path.rstrip("/"), parse_qs(url.query), body)
        self._send(status, answer, cut=fault is not None)

    def _identity(self, path: str, body: Any) -> None:
        if path != "/identity/v3/auth/tokens":
            self._send(404, {"error": {"code": 404, "message": "Not Found"}})
            return
        user = body["auth"]["identity"].get("password", {}).get("user", {})
        if user.get("password") != PASSWORD:
            self._send(401, {"error": {"code": 401, "message": "The request you have made requires authentication."}})
            return
        token, answer = self.cloud.login()
        self._send(201, answer, {"X-Subject-Token": token})

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
        content = b"" if answer is None else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _do

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def small_cloud() -> Iterator[SmallCloud]:
    """Run one on a port of its own."""
    cloud = SmallCloud()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cloud": cloud}))
    server.daemon_threads = True
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="small-cloud")
    thread.start()
    try:
        yield cloud
    finally:
        cloud.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
