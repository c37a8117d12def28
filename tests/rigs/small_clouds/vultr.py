"""Of Vultr's API v2: regions, plans, systems, keys, instances and what is done to them."""

from datetime import UTC, datetime
from typing import Any

from tests.rigs.small_clouds.server import TOKEN, Asked, SmallApi

__all__ = ["Vultr"]


class Vultr(SmallApi):
    """See `SmallApi`. Keys and machines are listed cursor by cursor."""

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == "/v2/regions":  # told to anybody
            return self._page(asked, "regions", [_region("fra"), _region("ewr")])
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid API token.", "status": 401}
        match asked.method, asked.path.removeprefix("/v2/").split("/"):
            case "GET", ["plans"]:
                return self._page(asked, "plans", _PLANS)
            case "GET", ["os"]:
                return self._page(asked, "os", _SYSTEMS)
            case "GET", ["ssh-keys"]:
                return self._page(asked, "ssh_keys", list(self.keys.values()))
            case "POST", ["ssh-keys"]:
                number = f"key-{self.number()}"
                self.keys[number] = {"id": number, "date_created": "2026-01-01T00:00:00+00:00", **asked.body}
                return 201, {"ssh_key": self.keys[number]}
            case "DELETE", ["ssh-keys", number]:
                return (204, None) if self.keys.pop(number, None) else (404, {"error": "Invalid key.", "status": 404})
            case "GET", ["instances"]:
                return self._page(asked, "instances", [self._seen(one) for one in self.machines.values()])
            case "POST", ["instances"]:
                return 202, {"instance": self._make(asked.body)}
            case _, ["instances", number, *_] if number not in self.machines:
                return 404, {"error": "Invalid instance.", "status": 404}
            case "GET", ["instances", number]:
                return 200, {"instance": self._seen(self.machines[number])}
            case "DELETE", ["instances", number]:
                del self.machines[number]
                return 204, None
            case "POST", ["instances", number, ("start" | "halt" | "reboot") as action]:
                power = {"halt": "stopped"}.get(action, "running")
                self.machines[number]["power_status"] = power
                return 204, None
        return 404, {"error": "Not found.", "status": 404}

    def _page(self, asked: Asked, key: str, items: list[Any]) -> tuple[int, Any]:
        at = int(asked.query.get("cursor", 0))
        more = str(at + self.page) if at + self.page < len(items) else ""
        links = {"total": len(items), "links": {"next": more, "prev": ""}}
        return 200, {key: items[at : at + self.page], "meta": links}

    def _make(self, body: dict[str, Any]) -> dict[str, Any]:
        number = self.number()
        plan = next(one for one in _PLANS if one["id"] == body["plan"])
        self.machines[f"vm-{number}"] = made = {
            "id": f"vm-{number}",
            "label": body["label"],
            "date_created": datetime.now(UTC).isoformat(timespec="seconds"),
            "os_id": body["os_id"],
            "region": body["region"],
            "plan": body["plan"],
            "vcpu_count": plan["vcpu_count"],
            "ram": plan["ram"],
            "disk": plan["disk"],
            "main_ip": "0.0.0.0",
            "internal_ip": "",
            "status": "pending",
            "power_status": "stopped",
            "server_status": "none",
            "tags": body["tags"],
        }
        return dict(made)

    def _seen(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["status"] == "pending":
            address = f"203.0.113.{one['id'].removeprefix('vm-')}"
            one |= {"status": "active", "power_status": "running", "server_status": "ok", "main_ip": address}
        return one


def _region(name: str) -> dict[str, Any]:
    return {"id": name, "city": name, "country": "DE", "continent": "Europe", "options": []}


def _plan(name: str, vcpus: int, ram: int, disk: int, monthly: float, **more: Any) -> dict[str, Any]:
    base = {"id": name, "vcpu_count": vcpus, "ram": ram, "disk": disk, "disk_count": 1, "bandwidth": 1024}
    return {**base, "monthly_cost": monthly, "type": "vc2", "locations": ["fra"], **more}


def _system(number: int, name: str, family: str, arch: str = "x64") -> dict[str, Any]:
    return {"id": number, "name": name, "family": family, "arch": arch}


_PLANS = [
    _plan("vc2-1c-1gb", 1, 1024, 25, 6.72),
    _plan("vc2-2c-4gb", 2, 4096, 80, 20, hourly_cost=0.03),
    _plan("vcg-a16-2c-8g", 2, 8192, 50, 43, gpu_type="NVIDIA_A16"),
    _plan("vc2-1c-0.5gb", 1, 512, 10, 3.5, locations=["ewr"]),
]
_SYSTEMS = [
    _system(159, "Custom", "iso"),
    _system(2136, "Debian 12 x64 (bookworm)", "debian"),
    _system(2284, "Ubuntu 24.04 LTS x64", "ubuntu"),
]
