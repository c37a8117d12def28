"""Of Linode's API v4: regions, types, images, instances and what is done to them."""

from datetime import UTC, datetime
from typing import Any

from tests.rigs.small_clouds.server import TOKEN, Asked, SmallApi

__all__ = ["Linode"]


class Linode(SmallApi):
    """See `SmallApi`."""

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/v4/regions":  # told to anybody
            return self._page(asked, [_region("eu-central"), _region("us-east")])
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"errors": [{"reason": "Invalid Token"}]}
        match asked.method, asked.path.removeprefix("/v4/").split("/"):
            case "GET", ["linode", "types"]:
                return self._page(asked, _TYPES)
            case "GET", ["images"]:
                return self._page(asked, _IMAGES)
            case "GET", ["linode", "instances"]:
                return self._page(asked, [self._seen(one) for one in self.machines.values()])
            case "POST", ["linode", "instances"]:
                return self._make(asked.body)
            case _, ["linode", "instances", number, *_] if number not in self.machines:
                return 404, {"errors": [{"reason": "Not found"}]}
            case "GET", ["linode", "instances", number]:
                return 200, self._seen(self.machines[number])
            case "DELETE", ["linode", "instances", number]:
                del self.machines[number]
                return 200, {}
            case "POST", ["linode", "instances", number, ("boot" | "shutdown" | "reboot") as action]:
                return self._act(self.machines[number], action)
        return 404, {"errors": [{"reason": "Not found"}]}

    def _page(self, asked: Asked, items: list[Any]) -> tuple[int, Any]:
        at = int(asked.query.get("page", 1))
        shown = items[(at - 1) * self.page : at * self.page]
        return 200, {"data": shown, "page": at, "pages": max(1, -(-len(items) // self.page)), "results": len(items)}

    def _make(self, body: dict[str, Any]) -> tuple[int, Any]:
        if any(one["label"] == body["label"] for one in self.machines.values()):
            return 400, {"errors": [{"reason": "Label must be unique among your linodes", "field": "label"}]}
        if any(not 3 <= len(tag) <= 50 for tag in body["tags"]):
            return 400, {"errors": [{"reason": "Length must be 3-50 characters", "field": "tags"}]}
        number = self.number()
        kind = next(one for one in _TYPES if one["id"] == body["type"])
        self.machines[str(number)] = made = {
            "id": number,
            "label": body["label"],
            "status": "provisioning",
            "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
            "region": body["region"],
            "type": body["type"],
            "image": body["image"],
            "ipv4": [f"203.0.113.{number}", f"192.168.1.{number}"],
            "ipv6": None,
            "hypervisor": "kvm",
            "specs": {"vcpus": kind["vcpus"], "memory": kind["memory"], "disk": kind["disk"]},
            "alerts": {},
            "backups": {},
            "watchdog_enabled": True,
            "tags": body["tags"],
        }
        return 200, made

    def _seen(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["status"] == "provisioning":
            one["status"] = "running"
            return {**one, "status": "provisioning"}
        return one

    def _act(self, one: dict[str, Any], action: str) -> tuple[int, Any]:
        if (action, one["status"]) in {("boot", "running"), ("shutdown", "offline")}:
            return 400, {"errors": [{"reason": "It is so already."}]}
        one["status"] = {"boot": "running", "shutdown": "offline"}.get(action, one["status"])
        return 200, {}


def _region(name: str) -> dict[str, Any]:
    return {"id": name, "country": "de", "status": "ok", "capabilities": ["Linodes", "Metadata"], "resolvers": {}}


def _type(name: str, vcpus: int, memory: int, disk: int, hourly: float, gpus: int = 0) -> dict[str, Any]:
    base = {"id": name, "label": name.upper(), "vcpus": vcpus, "memory": memory, "disk": disk, "gpus": gpus}
    price = {"hourly": hourly, "monthly": hourly * 672}
    return {
        **base,
        "price": price,
        "class": "standard",
        "addons": {},
        "successor": None,
        "transfer": 1,
        "network_out": 1,
    }


def _image(name: str, label: str, *capabilities: str, public: bool = True) -> dict[str, Any]:
    base = {"id": name, "label": label, "capabilities": list(capabilities), "is_public": public, "status": "available"}
    return {
        **base,
        "created": "2026-01-01T00:00:00",
        "size": 1500,
        "type": "manual",
    }


_TYPES = [
    _type("g6-nanode-1", 1, 1024, 25600, 0.0075),
    _type("g6-standard-2", 2, 4096, 81920, 0.036),
    _type("g1-gpu-rtx6000-1", 8, 32768, 655360, 1.5, 1),
]
_IMAGES = [
    _image("linode/debian12", "Debian 12", "cloud-init"),
    _image("linode/debian11", "Debian 11"),
    _image("linode/debian12-kube-v1.31.0", "Kubernetes 1.31 on Debian 12", "cloud-init"),
    _image("linode/ubuntu24.04", "Ubuntu 24.04 LTS", "cloud-init"),
    _image("private/7", "mine", public=False),
]
