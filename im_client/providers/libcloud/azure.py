"""Microsoft Azure. Of libcloud's driver: its arguments, and sending. Its methods wait, ask three requests a machine,
know no user data (3.9.1: `b64encode` of a text, and bytes that JSON does not take) and make cards, addresses and
machines one after the other, so that all is asked for here, by the API's own requests.

Every infrastructure has a resource group, which goes last and takes with it what may be left. A machine is one request:
card, address and disks are in it, and go with it. Azure's PUT makes nothing twice.
"""

import base64
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from im_client.plan.model import Phase
from im_client.providers.cloud.base import MARK, NAME_MARK, TOKEN_MARK, USER_MARK
from im_client.providers.cloud.model import Rule, Server, Size
from im_client.providers.libcloud.azure_images import images, reference_of
from im_client.providers.libcloud.azure_login import LateLogin, login
from im_client.providers.libcloud.cloud import open_cloud
from im_client.providers.libcloud.descriptor import Descriptor, New, Power, Priced
from im_client.providers.libcloud.errors import refusal_of_words
from im_client.providers.libcloud.marks import named_for, owner_of
from im_client.providers.libcloud.units import GIB, seconds
from im_client.providers.quotas import Share
from im_client.providers.things import Thing
from infracore.errors import Conflict, Misconfigured, NoCapacity, NotFound, QuotaExceeded

__all__ = ["AZURE", "open_provider"]

_MACHINES: Final = "Microsoft.Compute/virtualMachines"
_NETWORK: Final = "Microsoft.Network"
_VERSIONS: Final[Mapping[str, str]] = {"Microsoft.Compute": "2021-11-01", "Microsoft.Network": "2021-02-01"}
_SKUS: Final = "2021-07-01"
_GROUPS: Final = "2021-04-01"
_MOST_PAGES: Final = 100
_SPACE: Final = "10.79.0.0/16"
_ACTIONS: Final[Mapping[Power, str]] = {"start": "start", "stop": "deallocate", "reboot": "restart"}
_POWERS: Final = {"running": Phase.RUNNING, "stopped": Phase.STOPPED, "deallocated": Phase.STOPPED}
"""All else is on its way."""
_ENDS: Final = {"Failed": Phase.FAILED, "Deleting": Phase.DELETING}


# paths and pages


def _ask(driver: Any, path: str, method: str = "GET", data: object = None, *, version: str = "", **params: str) -> Any:
    """Send one request below the subscription; the version is that of the path's part of the API."""
    kind = path.rpartition("/providers/")[2].partition("/")[0]
    params["api-version"] = version or _VERSIONS.get(kind, _GROUPS)
    params = {("$" + key if key in {"expand", "filter"} else key): value for key, value in params.items()}
    return driver.connection.request(
        f"/subscriptions/{driver.subscription_id}{path}", params=params, data=data, method=method
    ).object


def _all(driver: Any, path: str, **params: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for _ in range(_MOST_PAGES):
        answer = _ask(driver, path, **params)
        found += answer["value"]
        if not answer.get("nextLink"):
            break
        params |= {key: value for key, value in parse_qsl(urlsplit(answer["nextLink"]).query) if key == "$skiptoken"}
    return found


def _group(infrastructure: str) -> str:
    return named_for(infrastructure, "group")


def _in(group: str, kind: str, name: str = "") -> str:
    return f"/resourceGroups/{group}/providers/{kind}" + (f"/{name}" if name else "")


def _path(server_id: str) -> str:
    """Return a machine's path. Its id is the infrastructure, as it is written in names, and its name."""
    owner, _, name = server_id.rpartition("__")
    if not owner or not name:
        raise NotFound(f"there is no machine {server_id}")
    return _in(f"im-clues-group-{owner}", _MACHINES, name)


def _id_of(one: Mapping[str, Any]) -> str:
    """Return a machine's id; its own name where it is in no group of ours. Azure writes names of groups as it likes."""
    group = str(one["id"]).split("/")[4].lower()
    return f"{group.removeprefix('im-clues-group-')}__{one['name']}"


# what there is


def _regions(driver: Any) -> Sequence[str]:
    return [str(one["name"]) for one in _all(driver, "/locations", version="2022-12-01")]


def _sizes(driver: Any, region: str) -> Sequence[Priced]:
    found = _all(driver, "/providers/Microsoft.Compute/skus", version=_SKUS, filter=f"location eq '{region}'")
    return [Priced(_size(one)) for one in found if one["resourceType"] == "virtualMachines"]


def _size(one: Mapping[str, Any]) -> Size:
    told = {str(can["name"]): str(can["value"]) for can in one.get("capabilities") or ()}
    closed = any(limit.get("type") == "Location" for limit in one.get("restrictions") or ())
    return Size(
        id=one["name"],
        name=one["name"],
        num_cpus=int(told["vCPUsAvailable"] if "vCPUsAvailable" in told else told["vCPUs"]),
        mem_bytes=int(float(told["MemoryGB"]) * GIB),
        num_gpus=int(told.get("GPUs", "0")),
        architecture="arm64" if told.get("CpuArchitectureType") == "Arm64" else "x86_64",
        is_available=not closed and "V2" in told.get("HyperVGenerations", ""),
    )


# machines


def _create(driver: Any, new: New) -> Server:
    """One request, which may be repeated."""
    order = new.order
    marks = {MARK: order.infrastructure, TOKEN_MARK: order.token, NAME_MARK: order.name, USER_MARK: order.user}
    disk: dict[str, Any] = {"createOption": "FromImage", "deleteOption": "Delete"}
    if order.spec.disk_bytes:
        disk["diskSizeGB"] = -(-max(order.spec.disk_bytes, order.image.min_disk_bytes) // GIB)
    disk["managedDisk"] = {"storageAccountType": order.spec.disk_type or "StandardSSD_LRS"}
    keys = [{"path": f"/home/{order.user}/.ssh/authorized_keys", "keyData": order.public_key}]
    group = _group(order.infrastructure)
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": order.size.id},
        "storageProfile": {"imageReference": reference_of(order.image.id), "osDisk": disk},
        "osProfile": {
            "computerName": order.name,
            "adminUsername": order.user,
            "customData": base64.b64encode(order.user_data.encode()).decode(),
            "linuxConfiguration": {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}},
        },
        "networkProfile": {
            "networkApiVersion": "2020-11-01",
            "networkInterfaceConfigurations": [_card(driver, new, group)],
        },
    }
    if order.spec.preemptible:
        properties |= {"priority": "Spot", "evictionPolicy": "Deallocate", "billingProfile": {"maxPrice": -1}}
    body = {"location": new.region, "tags": {**order.spec.tags, **marks}, "properties": properties}
    made = _ask(driver, _in(group, _MACHINES, new.name), "PUT", body)
    return Server(_id_of(made), order.name, order.token, order.infrastructure, Phase.PENDING, user=order.user)


def _card(driver: Any, new: New, group: str) -> dict[str, Any]:
    """Return card and address of a new machine. They bear its name, so that what it has is found in a list of all."""
    whole = f"/subscriptions/{driver.subscription_id}"
    subnet = _subnet(new.network) if new.network else f"{_in(group, _NETWORK, 'virtualNetworks/inner')}/subnets/inner"
    wall = _in(group, _NETWORK, f"networkSecurityGroups/{new.wall}")
    address = {
        "name": new.name,
        "sku": {"name": "Standard"},
        "properties": {"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
    }
    inner = {"primary": True, "subnet": {"id": f"{whole}{subnet}"}, "publicIPAddressConfiguration": address}
    outer = {
        "primary": True,
        "deleteOption": "Delete",
        "networkSecurityGroup": {"id": f"{whole}{wall}"},
        "ipConfigurations": [{"name": "inner", "properties": inner}],
    }
    return {"name": new.name, "properties": outer}


def _subnet(network: str) -> str:
    parts = network.split("/")
    if len(parts) != 3 or not all(parts):
        raise Misconfigured(f"Azure has no network {network!r}", "write `network` as GROUP/NETWORK/SUBNET")
    return f"{_in(parts[0], _NETWORK, f'virtualNetworks/{parts[1]}')}/subnets/{parts[2]}"


def _server(one: Mapping[str, Any], power: str, cards: Sequence[Mapping[str, Any]], outer: Mapping[str, str]) -> Server:
    tags, properties = one.get("tags") or {}, one["properties"]
    places = [place["properties"] for card in cards for place in card["properties"].get("ipConfigurations") or ()]
    public = [outer.get(str((place.get("publicIPAddress") or {}).get("id")).lower(), "") for place in places]
    profile, disk = properties["storageProfile"], properties["storageProfile"].get("osDisk") or {}
    image: Mapping[str, str] = profile.get("imageReference") or {}
    fault = _fault(properties)
    refusal = refusal_of_words(fault, "") if fault else None
    return Server(
        id=_id_of(one),
        name=str(tags.get(NAME_MARK) or one["name"]),
        token=str(tags.get(TOKEN_MARK) or ""),
        infrastructure=str(tags.get(MARK) or ""),
        phase=_ENDS.get(properties.get("provisioningState", ""), _POWERS.get(power, Phase.PENDING)),
        private_addresses=tuple(place["privateIPAddress"] for place in places if place.get("privateIPAddress")),
        public_addresses=tuple(filter(None, public)),
        user=str(tags.get(USER_MARK) or ""),
        disk_bytes=int(disk.get("diskSizeGB") or 0) * GIB or None,
        image=str(image.get("id") or ":".join(filter(None, map(image.get, ("publisher", "offer", "sku", "version"))))),
        size=properties["hardwareProfile"]["vmSize"],
        created_at=seconds(properties.get("timeCreated")) or None,
        fault=fault,
        has_no_room=isinstance(refusal, NoCapacity | QuotaExceeded),
    )


def _fault(properties: Mapping[str, Any]) -> str:
    if properties.get("provisioningState") != "Failed":
        return ""
    told = (properties.get("instanceView") or {}).get("statuses") or ()
    words = [f"{one.get('code', '')}: {one['message']}"[:300] for one in told if one.get("message")]
    return "; ".join(words) or "Azure could not make it: its activity log says why"


def _power(one: Mapping[str, Any]) -> str:
    told = (one["properties"].get("instanceView") or {}).get("statuses") or ()
    codes = [str(status.get("code", "")) for status in told]
    return next((code.removeprefix("PowerState/") for code in codes if code.startswith("PowerState/")), "")


def _look(driver: Any, server_id: str, region: str) -> Server:
    """Look at one machine, its card and its address: three requests."""
    del region
    path = _path(server_id)
    one = _ask(driver, path, expand="instanceView")
    group = path.split("/")[2]
    cards = [card for card in _all(driver, _in(group, _NETWORK, "networkInterfaces")) if _is_of(card, one)]
    outer = _addresses(_all(driver, _in(group, _NETWORK, "publicIPAddresses"))) if cards else {}
    return _server(one, _power(one), cards, outer)


def _servers(driver: Any, region: str) -> Sequence[Server]:
    """List all machines: four requests, however many there are."""
    found = [one for one in _all(driver, f"/providers/{_MACHINES}") if one["location"] == region]
    if not found:
        return []
    powers = {str(one["id"]).lower(): _power(one) for one in _all(driver, f"/providers/{_MACHINES}", statusOnly="true")}
    cards = _all(driver, f"/providers/{_NETWORK}/networkInterfaces")
    outer = _addresses(_all(driver, f"/providers/{_NETWORK}/publicIPAddresses"))
    return [
        _server(one, powers.get(str(one["id"]).lower(), ""), [card for card in cards if _is_of(card, one)], outer)
        for one in found
    ]


def _is_of(card: Mapping[str, Any], machine: Mapping[str, Any]) -> bool:
    owner = card["properties"].get("virtualMachine") or {}
    return str(owner.get("id")).lower() == str(machine["id"]).lower()


def _addresses(found: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    return {str(one["id"]).lower(): str(one["properties"].get("ipAddress") or "") for one in found}


def _act(driver: Any, server_id: str, region: str, power: Power) -> None:
    del region
    _ask(driver, f"{_path(server_id)}/{_ACTIONS[power]}", "POST")


def _delete(driver: Any, server_id: str, region: str) -> None:
    del region
    _ask(driver, _path(server_id), "DELETE")


# what machines share


def _firewall(driver: Any, infrastructure: str, name: str, rules: Sequence[Rule], network: str) -> None:
    """Make the infrastructure's group, its network where none is set, and the ports that are open. Repeating is safe.

    Azure lets the machines of a network reach each other without a rule.
    """
    where, group = driver.default_location.id, _group(infrastructure)
    tags = {MARK: infrastructure}
    _ask(driver, f"/resourceGroups/{group}", "PUT", {"location": where, "tags": tags}, version=_GROUPS)
    walls = [_rule(number, rule) for number, rule in enumerate(rules)]
    body = {"location": where, "tags": tags, "properties": {"securityRules": walls}}
    _ask(driver, _in(group, _NETWORK, f"networkSecurityGroups/{name}"), "PUT", body)
    if not network:
        parts = [{"name": "inner", "properties": {"addressPrefix": _SPACE}}]
        inner = {"addressSpace": {"addressPrefixes": [_SPACE]}, "subnets": parts}
        path = _in(group, _NETWORK, "virtualNetworks/inner")
        _ask(driver, path, "PUT", {"location": where, "tags": tags, "properties": inner})


def _rule(number: int, rule: Rule) -> dict[str, Any]:
    ports = f"{rule.first}-{rule.last}" if rule.first != rule.last else str(rule.first)
    told = {
        "access": "Allow",
        "direction": "Inbound",
        "priority": 100 + number,
        "protocol": rule.protocol.capitalize(),
        "sourceAddressPrefix": "*" if rule.remote_cidr in {"0.0.0.0/0", "::/0"} else rule.remote_cidr,
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "*" if rule.protocol == "icmp" else ports,
    }
    return {"name": f"rule-{number}", "properties": told}


def _things(driver: Any) -> Sequence[Thing]:
    names = [str(one["name"]) for one in _all(driver, "/resourcegroups", version=_GROUPS)]
    return [Thing(name, "resource group", name, owner) for name in names if (owner := owner_of(name))]


def _remove(driver: Any, thing: Thing) -> None:
    """Delete a group with all that is in it; that takes a minute or two, so that it is asked for until it is gone.

    Raises:
        Conflict: it is being deleted. NotFound: it is gone.
    """
    path = f"/resourceGroups/{thing.id}"
    state = str((_ask(driver, path, version=_GROUPS).get("properties") or {}).get("provisioningState", ""))
    if state != "Deleting":
        _ask(driver, path, "DELETE", version=_GROUPS)
    raise Conflict(f"the resource group {thing.name} is being deleted")


def _machines(driver: Any, region: str) -> Share:
    for one in _all(driver, f"/providers/Microsoft.Compute/locations/{region}/usages"):
        if one["name"]["value"] == "virtualMachines":
            return Share(limit=int(one["limit"]))
    return Share()


AZURE: Final = Descriptor(
    kind="azure",
    title="Azure",
    driver="azure_arm:AzureNodeDriver",
    login=login,
    regions=_regions,
    sizes=_sizes,
    images=images,
    create=_create,
    server=_look,
    servers=_servers,
    act=_act,
    delete=_delete,
    unsupported=frozenset({"availability_zone", "volumes"}),
    connection=LateLogin,
    tags=r"[^<>%&\\?/]{1,512}",
    firewall=_firewall,
    things=_things,
    remove=_remove,
    machines=_machines,
)

open_provider = partial(open_cloud, AZURE)
