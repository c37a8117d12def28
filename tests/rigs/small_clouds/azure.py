"""Of Azure's login and Resource Manager: a token for a secret; groups with networks, walls, machines, cards, addresses.

Names of groups come back in capitals, as Azure may write them, and a group takes two looks to be gone.
"""

from datetime import UTC, datetime
from typing import Any

from tests.rigs.small_clouds.server import TOKEN, Asked, SmallApi

__all__ = ["CLIENT", "SUBSCRIPTION", "TENANT", "Azure"]

SUBSCRIPTION = "1b2c3d4e-0000-4000-8000-000000000001"
TENANT = "physics.onmicrosoft.example"
CLIENT = "5f6a7b8c-0000-4000-8000-000000000002"
_BEARER = "a-token-of-an-hour"


class Azure(SmallApi):
    """See `SmallApi`. `failing` is what the next machine comes to, after its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, dict[str, Any]] = {}
        self.walls: dict[str, dict[str, Any]] = {}
        self.nets: dict[str, dict[str, Any]] = {}
        self.failing = ""
        self.logins = 0
        self.limit = 25

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path == f"/{TENANT}/oauth2/v2.0/token":
            return self._login(asked.body)
        if asked.headers.get("authorization") != f"Bearer {_BEARER}":
            return _error(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if "api-version" not in asked.query:
            return _error(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        root = f"/subscriptions/{SUBSCRIPTION}/"
        if not asked.path.startswith(root):
            return _error(404, "SubscriptionNotFound", "The subscription could not be found.")
        match asked.method, asked.path.removeprefix(root).split("/"):
            case "GET", ["locations"]:
                return self._page(asked, [{"name": "westeurope"}, {"name": "eastus"}])
            case "GET", ["providers", "Microsoft.Compute", "skus"]:
                assert asked.query["$filter"] == "location eq 'westeurope'"
                return self._page(asked, _SKUS)
            case "GET", ["providers", "Microsoft.Compute", "images"]:
                return self._page(asked, [])
            case "GET", ["providers", "Microsoft.Compute", "locations", _, "usages"]:
                return self._page(asked, [{"name": {"value": "virtualMachines"}, "limit": self.limit}])
            case "GET", ["providers", _, "locations", _, "publishers", publisher, _, _, _, offer, _, sku, "versions"]:
                found = _VERSIONS.get(f"{publisher}:{offer}:{sku}")
                return (200, [{"name": one} for one in found]) if found else _error(404, "NotFound", "no artifact")
            case "GET", ["resourcegroups"]:
                return self._page(asked, [_named(name, one) for name, one in self.groups.items()])
            case method, ["resourceGroups", name]:
                return self._group(method, name, asked.body)
            case _, ["resourceGroups", name, *_] if name not in self.groups:
                return _error(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
            case method, ["resourceGroups", group, "providers", "Microsoft.Compute", "virtualMachines", *rest]:
                return self._machine(method, group, rest, asked)
            case "PUT", ["resourceGroups", group, "providers", "Microsoft.Network", kind, name]:
                kept = self.walls if kind == "networkSecurityGroups" else self.nets
                kept[f"{group}/{name}"] = asked.body
                return 201, asked.body
            case "GET", ["resourceGroups", group, "providers", "Microsoft.Network", kind]:
                return self._page(asked, self._network(kind, f"{group}/"))
            case "GET", ["providers", "Microsoft.Network", kind]:
                return self._page(asked, self._network(kind, ""))
            case "GET", ["providers", "Microsoft.Compute", "virtualMachines"]:
                seen = [self._seen(key, "statusOnly" in asked.query) for key in self.machines]
                return self._page(asked, seen)
        return _error(404, "NotFound", f"nothing at {asked.path}")

    def _login(self, body: dict[str, str]) -> tuple[int, Any]:
        self.logins += 1
        if body["client_id"] != CLIENT:
            return 400, {"error": "unauthorized_client", "error_description": "AADSTS700016: no such application"}
        if body["client_secret"] != TOKEN:
            return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret"}
        return 200, {"access_token": _BEARER, "expires_in": 3599, "token_type": "Bearer"}

    def _page(self, asked: Asked, items: list[Any]) -> tuple[int, Any]:
        at = int(asked.query.get("$skiptoken", 0))
        link = f"{self.url}{asked.path}?api-version={asked.query['api-version']}&%24skiptoken={at + self.page}"
        more = {"nextLink": link} if at + self.page < len(items) else {}
        return 200, {"value": items[at : at + self.page], **more}

    def _group(self, method: str, name: str, body: Any) -> tuple[int, Any]:
        if method == "PUT":
            self.groups[name] = {"provisioningState": "Succeeded", **self.groups.get(name, {}), **body}
            return 201, _named(name, self.groups[name])
        if name not in self.groups:
            return _error(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        if method == "DELETE":
            self.groups[name]["provisioningState"] = "Deleting"
            return 202, None
        told = _named(name, self.groups[name])
        if self.groups[name]["provisioningState"] == "Deleting":
            for kept in (self.groups, self.walls, self.nets, self.machines):
                for key in [key for key in kept if key.split("/")[0] == name]:
                    del kept[key]
        return 200, told

    def _machine(self, method: str, group: str, rest: list[str], asked: Asked) -> tuple[int, Any]:
        key = f"{group}/{rest[0]}"
        if method == "PUT":
            return self._make(key, asked.body)
        if key not in self.machines:
            return _error(404, "ResourceNotFound", f"The Resource '{key}' was not found.")
        if method == "DELETE":
            del self.machines[key]
            return 202, None
        if method == "POST":
            self.machines[key]["power"] = {"deallocate": "deallocated"}.get(rest[1], "running")
            return 202, None
        return 200, self._seen(key, "$expand" in asked.query)

    def _make(self, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        if key in self.machines:
            return 200, self._shown(key)
        if len(self.machines) >= self.limit:
            words = "Operation results in exceeding approved Total Regional Cores quota."
            return _error(409, "OperationNotAllowed", words)
        card = body["properties"]["networkProfile"]["networkInterfaceConfigurations"][0]
        wall = card["properties"]["networkSecurityGroup"]["id"].rpartition("/")[2]
        if f"{key.partition('/')[0]}/{wall}" not in self.walls:
            return _error(404, "ResourceNotFound", f"The Resource '{wall}' was not found.")
        born = datetime.now(UTC).isoformat(timespec="milliseconds")
        made = {**body["properties"], "timeCreated": born, "provisioningState": "Creating"}
        self.machines[key] = {**body, "properties": made, "number": self.number(), "power": "starting"}
        self.machines[key]["fails"] = self.failing
        return 201, self._shown(key)

    def _shown(self, key: str, *, is_whole: bool = False) -> dict[str, Any]:
        one = self.machines[key]
        properties = {name: value for name, value in one["properties"].items() if name != "osProfile"}
        statuses = [{"code": f"PowerState/{one['power']}"}]
        if one["fails"] and properties["provisioningState"] == "Failed":
            statuses = [{"code": "ProvisioningState/failed/AllocationFailed", "message": one["fails"]}]
        view = {"instanceView": {"statuses": statuses}} if is_whole else {}
        told = {name: one[name] for name in ("location", "tags")}
        return {**told, "id": _id(key), "name": key.split("/")[1], "properties": {**properties, **view}}

    def _seen(self, key: str, is_whole: bool) -> dict[str, Any]:
        one = self.machines[key]
        if one["properties"]["provisioningState"] == "Creating":
            one["properties"]["provisioningState"] = "Failed" if one["fails"] else "Succeeded"
            one["power"] = "running"
        return self._shown(key, is_whole=is_whole)

    def _network(self, kind: str, start: str) -> list[dict[str, Any]]:
        found = []
        for key, one in self.machines.items():
            if not key.startswith(start):
                continue
            address = _id(key, "Microsoft.Network/publicIPAddresses")
            if kind == "publicIPAddresses":
                found.append({"id": address, "properties": {"ipAddress": f"203.0.113.{one['number']}"}})
            elif kind == "networkInterfaces":
                place = {"privateIPAddress": f"10.79.0.{one['number']}", "publicIPAddress": {"id": address}}
                properties = {"virtualMachine": {"id": _id(key)}, "ipConfigurations": [{"properties": place}]}
                found.append({"id": "card", "properties": properties})
        return found


def _id(key: str, kind: str = "Microsoft.Compute/virtualMachines") -> str:
    group, name = key.split("/")
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group.upper()}/providers/{kind}/{name}"


def _named(name: str, one: dict[str, Any]) -> dict[str, Any]:
    state = {"provisioningState": one["provisioningState"]}
    return {"name": name, "location": one["location"], "tags": one["tags"], "properties": state}


def _error(status: int, code: str, words: str) -> tuple[int, Any]:
    return status, {"error": {"code": code, "message": words}}


def _sku(name: str, cpus: int, memory: float, *, closed: bool = False, **more: str) -> dict[str, Any]:
    told = {"vCPUs": str(cpus), "MemoryGB": str(memory), "HyperVGenerations": "V1,V2", **more}
    limits = [{"type": "Location", "reasonCode": "NotAvailableForSubscription"}] if closed else []
    capabilities = [{"name": key, "value": value} for key, value in told.items()]
    return {"resourceType": "virtualMachines", "name": name, "capabilities": capabilities, "restrictions": limits}


_SKUS = [
    {"resourceType": "disks", "name": "StandardSSD_LRS"},
    _sku("Standard_A1_v2", 1, 0.75, closed=True),
    _sku("Standard_A0", 1, 0.5, HyperVGenerations="V1"),
    _sku("Standard_B1s", 1, 1),
    _sku("Standard_D4s_v5", 4, 16),
    _sku("Standard_D2ps_v5", 2, 8, CpuArchitectureType="Arm64"),
    _sku("Standard_NC24ads_A100_v4", 24, 220, GPUs="1"),
]
_VERSIONS = {
    "Debian:debian-12:12-gen2": ["0.20260102.2000", "0.20250910.2231"],
    "Debian:debian-11:11-gen2": ["0.20250101.1613"],
    "Canonical:ubuntu-24_04-lts:server": ["24.04.202601010"],
}
