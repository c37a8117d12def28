"""Of CloudStack's API: zones, offerings, templates, networks, keys, machines; every request's signature is checked."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from tests.rigs.small_clouds.server import TOKEN, Asked, SmallApi

__all__ = ["API_KEY", "CloudStack"]

API_KEY = "an-api-key-that-nobody-shows"


class CloudStack(SmallApi):
    """See `SmallApi`. The secret key is `TOKEN`. What is asked for is a job, done at the next look."""

    page = 500  # what is asked for

    def __init__(self) -> None:
        super().__init__()
        self.limit = 20
        self.commands: list[str] = []

    def answer(self, asked: Asked) -> tuple[int, Any]:
        given = {**asked.query, **(asked.body or {})}
        command = str(given.get("command"))
        self.commands.append(command)
        if asked.path != "/client/api":
            return 404, None
        if given.get("signature") != _signature(given):
            return self._error(command, 401, "unable to verify user credentials and/or request signature")
        status, answer = self._done(command, given)
        return (status, {f"{command.lower()}response": answer}) if status == 200 else (status, answer)

    def _done(self, command: str, given: dict[str, Any]) -> tuple[int, Any]:
        match command:
            case "listZones":
                return self._list("zone", [{"id": "z-1", "name": "geneva"}])
            case "listServiceOfferings":
                return self._list("serviceoffering", _OFFERINGS)
            case "listTemplates":
                return self._list("template", _TEMPLATES)
            case "listNetworks":
                return self._list("network", [{"id": "n-1", "name": "inner"}])
            case "listResourceLimits":
                return self._list("resourcelimit", [{"resourcetype": "0", "max": self.limit}])
            case "listSSHKeyPairs":
                return self._list("sshkeypair", [{"name": name, "fingerprint": "f"} for name in self.keys])
            case "registerSSHKeyPair":
                if given["name"] in self.keys:
                    return self._error(command, 431, f"A key pair with name '{given['name']}' already exists.")
                self.keys[given["name"]] = {"publickey": given["publickey"]}
                return 200, {"keypair": {"name": given["name"]}}
            case "deleteSSHKeyPair":
                return 200, {"success": str(self.keys.pop(given["name"], None) is not None).lower()}
            case "deployVirtualMachine":
                return self._make(given)
            case "listVirtualMachines":
                found = [self._seen(one) for one in self.machines.values() if given.get("id", one["id"]) == one["id"]]
                return self._list("virtualmachine", found)
            case "startVirtualMachine" | "stopVirtualMachine" | "rebootVirtualMachine" | "destroyVirtualMachine":
                return self._act(command, given["id"])
        return self._error(command, 432, "The given command does not exist or it is not available for user")

    def _list(self, key: str, items: list[Any]) -> tuple[int, Any]:
        return 200, {"count": len(items), key: items} if items else {}

    def _error(self, command: str, status: int, words: str) -> tuple[int, Any]:
        return status, {f"{command.lower()}response": {"errorcode": status, "cserrorcode": 4350, "errortext": words}}

    def _make(self, given: dict[str, Any]) -> tuple[int, Any]:
        if len(self.machines) >= self.limit:
            return self._error("deployVirtualMachine", 535, "Maximum amount of resources of Type user_vm is reached")
        if any(one["name"] == given["name"] for one in self.machines.values()):
            return self._error("deployVirtualMachine", 431, "a vm with this name already exists")
        number = self.number()
        offering = next(one for one in _OFFERINGS if one["id"] == given["serviceofferingid"])
        self.machines[f"vm-{number}"] = {
            "id": f"vm-{number}",
            "name": given["name"],
            "displayname": given["displayname"],
            "state": "Starting",
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S%z"),
            "cpunumber": offering["cpunumber"],
            "memory": offering["memory"],
            "templateid": given["templateid"],
            "serviceofferingname": offering["name"],
            "nic": [{"ipaddress": f"10.1.1.{number}"}],
        }
        return 200, {"id": f"vm-{number}", "jobid": f"job-{number}"}

    def _seen(self, one: dict[str, Any]) -> dict[str, Any]:
        shown = dict(one)
        one["state"] = {"Starting": "Running", "Stopping": "Stopped"}.get(one["state"], one["state"])
        return shown

    def _act(self, command: str, number: str) -> tuple[int, Any]:
        one = self.machines.get(number)
        if one is None:
            return self._error(command, 431, f"Invalid parameter id value={number} due to incorrect long value")
        states = {"start": "Starting", "stop": "Stopping", "destroy": "Destroyed"}
        one["state"] = states.get(command.removesuffix("VirtualMachine"), one["state"])
        return 200, {"jobid": f"job-{self.number()}"}


def _signature(given: dict[str, Any]) -> str:
    """Sign as the programmer's guide says: sorted, quoted, in lower case, HMAC-SHA1."""
    parts = [f"{key}={quote(str(value), safe='*')}" for key, value in given.items() if key != "signature"]
    text = "&".join(sorted(part.lower() for part in parts))
    return base64.b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


_OFFERINGS = [
    {"id": "o-1", "name": "small", "cpunumber": 1, "memory": 1024},
    {"id": "o-2", "name": "large", "cpunumber": 4, "memory": 8192, "rootdisksize": 50},
    {"id": "o-3", "name": "custom", "iscustomized": True},
]
_TEMPLATES = [
    {"id": "t-1", "name": "Debian 12", "ostypename": "Debian GNU/Linux 12 (64-bit)", "size": 2**31, "isready": True},
    {"id": "t-2", "name": "web", "ostypename": "Ubuntu 24.04", "size": 2**31, "created": "2026-01-01T00:00:00+0000"},
]
