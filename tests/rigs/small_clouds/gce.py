"""Of Google's login and Compute Engine v1: a token for a signed claim; zones, machine types, images, machines."""

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.rigs.small_clouds.server import TOKEN, Asked, SmallApi

__all__ = ["ACCOUNT", "Gce"]

ACCOUNT = "robot@physics.iam.gserviceaccount.com"
_OURS = "/compute/v1/projects/physics"


class Gce(SmallApi):
    """See `SmallApi`. `failing` is what the next machine's operation ends with, after its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.walls: dict[str, dict[str, Any]] = {}
        self.operations: list[dict[str, Any]] = []
        self.failing = ""
        self.logins = 0

    @property
    def pem(self) -> str:
        """The service account's private key."""
        kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(*kinds).decode()

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/o/oauth2/token":
            return self._login(asked.body["assertion"])
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(401, "authError", "Request had invalid authentication credentials.")
        if asked.path == "/compute/v1/projects/debian-cloud/global/images":
            return self._page(asked, _IMAGES)
        if not asked.path.startswith(_OURS):
            return self._page(asked, [])
        match asked.method, asked.path.removeprefix(f"{_OURS}/").split("/"):
            case "GET", ["zones"]:
                return self._page(asked, [{"name": "europe-west1-b"}, {"name": "us-east1-c"}])
            case "GET", ["regions", "europe-west1"]:
                return 200, {"quotas": [{"metric": "INSTANCES", "limit": 24.0, "usage": 0.0}]}
            case "GET", ["zones", _, "machineTypes"]:
                return self._page(asked, _TYPES)
            case "GET", ["zones", _, "operations"]:
                wanted = re.findall(r"instances/([a-z0-9-]+)", asked.query["filter"])
                return self._page(asked, [one for one in self.operations if one["target"] in wanted])
            case method, ["global", "firewalls", *rest]:
                return self._wall(method, rest, asked)
            case "GET", ["zones", _, "instances"]:
                return self._page(asked, [self._seen(one) for one in self.machines.values()])
            case "POST", ["zones", _, "instances"]:
                return self._make(asked.body)
            case _, ["zones", _, "instances", name, *_] if name not in self.machines:
                return _error(404, "notFound", f"The resource 'instances/{name}' was not found")
            case "GET", ["zones", _, "instances", name]:
                return 200, self._seen(self.machines[name])
            case "GET", ["zones", _, "instances", name, "serialPort"]:
                return 200, {"contents": f"{name} login: "}
            case "DELETE", ["zones", _, "instances", name]:
                del self.machines[name]
                return 200, self._operation("delete", name)
            case "POST", ["zones", _, "instances", name, ("start" | "stop" | "reset") as action]:
                self.machines[name]["status"] = {"stop": "TERMINATED"}.get(action, "RUNNING")
                return 200, self._operation(action, name)
        return _error(404, "notFound", "nothing is there")

    def _login(self, assertion: str) -> tuple[int, Any]:
        message, _, signature = assertion.rpartition(".")
        sealed = base64.urlsafe_b64decode(signature)
        self.key.public_key().verify(sealed, message.encode(), padding.PKCS1v15(), hashes.SHA256())
        claim = json.loads(base64.urlsafe_b64decode(message.partition(".")[2]))
        if claim["iss"] != ACCOUNT:
            return 400, {"error": "invalid_grant", "error_description": "Not a valid email."}
        self.logins += 1
        return 200, {"access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer"}

    def _page(self, asked: Asked, items: list[Any]) -> tuple[int, Any]:
        at = int(asked.query.get("pageToken", 0))
        more = {"nextPageToken": str(at + self.page)} if at + self.page < len(items) else {}
        return 200, {"items": items[at : at + self.page], **more}

    def _wall(self, method: str, rest: list[str], asked: Asked) -> tuple[int, Any]:
        if method == "GET":
            return self._page(asked, list(self.walls.values()))
        if method == "DELETE":
            gone = self.walls.pop(rest[0], None)
            return (200, self._operation("delete", rest[0])) if gone else _error(404, "notFound", "no firewall")
        if asked.body["name"] in self.walls:
            return _error(409, "alreadyExists", f"The resource {asked.body['name']} already exists")
        self.walls[asked.body["name"]] = asked.body
        return 200, self._operation("insert", asked.body["name"])

    def _make(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["name"]
        if name in self.machines:
            return _error(409, "alreadyExists", f"The resource 'instances/{name}' already exists")
        operation = self._operation("insert", name)
        if self.failing:
            failed = {"code": self.failing, "message": "The zone does not have enough resources available."}
            operation |= {"status": "DONE", "error": {"errors": [failed]}}
            return 200, {**operation, "status": "RUNNING", "error": {}}
        number = self.number()
        outer = [{"type": "ONE_TO_ONE_NAT", "natIP": f"203.0.113.{number}"}]
        cards = [{"networkIP": f"10.132.0.{number}", "accessConfigs": outer}]
        root = {"boot": True, "diskSizeGb": body["disks"][0]["initializeParams"]["diskSizeGb"]}
        born = datetime.now(UTC).isoformat(timespec="milliseconds")
        body["creationTimestamp"] = born
        self.machines[name] = {**body, "status": "PROVISIONING", "networkInterfaces": cards, "disks": [root]}
        return 200, operation

    def _operation(self, kind: str, target: str) -> dict[str, Any]:
        made = {"name": f"operation-{self.number()}", "operationType": kind, "target": target, "status": "RUNNING"}
        self.operations.append(made)
        return made

    def _seen(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["status"] == "PROVISIONING":
            one["status"] = "RUNNING"
        return one


def _error(status: int, reason: str, words: str) -> tuple[int, Any]:
    error = {"code": status, "message": words, "errors": [{"reason": reason, "message": words, "domain": "global"}]}
    return status, {"error": error}


def _type(name: str, cpus: int, memory: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "guestCpus": cpus, "memoryMb": memory, "architecture": "X86_64", **more}


def _image(name: str, family: str, **more: Any) -> dict[str, Any]:
    link = f"https://www.googleapis.com/compute/v1/projects/debian-cloud/global/images/{name}"
    base = {"name": name, "family": family, "selfLink": link, "status": "READY", "diskSizeGb": "10"}
    return {**base, "creationTimestamp": "2026-01-01T00:00:00.000-08:00", "architecture": "X86_64", **more}


_TYPES = [
    _type("e2-small", 2, 2048),
    _type("e2-standard-4", 4, 16384),
    _type(
        "a2-highgpu-1g",
        12,
        87040,
        accelerators=[{"guestAcceleratorType": "nvidia-tesla-a100", "guestAcceleratorCount": 1}],
    ),
    _type("c4a-standard-1", 1, 4096, architecture="ARM64"),
]
_IMAGES = [
    _image("debian-12-bookworm-v20260101", "debian-12"),
    _image("debian-12-bookworm-arm64-v20260101", "debian-12-arm64", architecture="ARM64"),
    _image("debian-12-bookworm-v20250101", "debian-12", deprecated={"state": "DEPRECATED"}),
]
