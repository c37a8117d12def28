"""Google Compute Engine. Of libcloud's driver: login and sending. Its methods wait for operations, three minutes at the
most, and its constructor lists zones (3.9.1), so that all is asked for here, by the API's own requests.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from im_client.plan.model import Phase
from im_client.providers.cloud.choose import system_of
from im_client.providers.cloud.model import CloudImage, ImageQuery, Rule, Server, Size
from im_client.providers.libcloud.cloud import open_cloud
from im_client.providers.libcloud.descriptor import Descriptor, New, Power, Priced
from im_client.providers.libcloud.errors import refusal_of_words
from im_client.providers.libcloud.gce_disks import disks
from im_client.providers.libcloud.gce_login import LateLogin, login
from im_client.providers.libcloud.marks import OURS, Mark, mark_of, read_text, text
from im_client.providers.libcloud.units import GIB, MIB, is_private, seconds
from im_client.providers.quotas import Share
from im_client.providers.things import Thing
from infracore.errors import Conflict, NotFound

__all__ = ["GCE", "open_provider"]

_PAGE: Final = 500
_MOST_PAGES: Final = 100
_MARK_KEY: Final = "im-clues-mark"
_PHASES: Final = {"RUNNING": Phase.RUNNING, "TERMINATED": Phase.STOPPED, "SUSPENDED": Phase.STOPPED}
"""All else is on its way; what is deleted is no longer listed."""
_ACTIONS: Final[Mapping[Power, str]] = {"start": "start", "stop": "stop", "reboot": "reset"}
_PROJECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "debian": ("debian-cloud",),
    "ubuntu": ("ubuntu-os-cloud",),
    "rocky": ("rocky-linux-cloud",),
    "centos": ("centos-cloud",),
    "rhel": ("rhel-cloud",),
    "fedora": ("fedora-cloud",),
}
"""Distribution -> the projects whose public images are of it (the documentation's list of operating system images)."""


def _items(driver: Any, path: str, **params: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    more: dict[str, str] = {}
    for _ in range(_MOST_PAGES):
        answer = driver.connection.request(path, params={"maxResults": str(_PAGE), **params, **more}).object
        found += answer.get("items") or ()
        if not answer.get("nextPageToken"):
            break
        more = {"pageToken": answer["nextPageToken"]}
    return found


def _regions(driver: Any) -> Sequence[str]:
    return [str(zone["name"]) for zone in _items(driver, "/zones")]


def _sizes(driver: Any, region: str) -> Sequence[Priced]:
    return [Priced(_size(one)) for one in _items(driver, f"/zones/{region}/machineTypes") if not one.get("deprecated")]


def _size(one: Mapping[str, Any]) -> Size:
    gpus = one.get("accelerators") or [{}]
    model = str(gpus[0].get("guestAcceleratorType") or "")
    return Size(
        id=one["name"],
        name=one["name"],
        num_cpus=one["guestCpus"],
        mem_bytes=one["memoryMb"] * MIB,
        num_gpus=int(gpus[0].get("guestAcceleratorCount") or 0),
        gpu_vendor=model.partition("-")[0],
        gpu_model=model,
        architecture={"ARM64": "arm64"}.get(str(one.get("architecture")), "x86_64"),
    )


def _images(driver: Any, region: str, query: ImageQuery) -> Sequence[CloudImage]:
    """List the project's own images where a name asks for them, and the public ones of the distribution."""
    del region
    found = _items(driver, "/global/images") if query.name else []
    public = _PROJECTS.get(query.distribution) or tuple(one for some in _PROJECTS.values() for one in some)
    for project in public:
        # libcloud takes the path of a whole address as it is
        found += _items(driver, f"https://compute/compute/v1/projects/{project}/global/images")
    return [_image(one) for one in found if not one.get("deprecated") and one.get("status", "READY") == "READY"]


def _image(one: Mapping[str, Any]) -> CloudImage:
    distribution, version = system_of(str(one.get("family") or one["name"]))
    if distribution == "ubuntu" and len(version) == 4 and version.isdecimal():
        version = f"{version[:2]}.{version[2:]}"
    link = "projects/" + str(one["selfLink"]).partition("/projects/")[2]
    return CloudImage(
        id=link,
        name=one["name"],
        created_at=seconds(one.get("creationTimestamp")),
        distribution=distribution,
        version=version,
        architecture={"ARM64": "arm64"}.get(str(one.get("architecture")), "x86_64"),
        min_disk_bytes=int(one.get("diskSizeGb") or 0) * GIB,
    )


def _create(driver: Any, new: New) -> Server:
    """One request. Its name is made of the token: asked for twice, it is there once."""
    order, zone = new.order, f"zones/{new.region}"
    metadata = {
        _MARK_KEY: text(mark_of(order)),
        "ssh-keys": f"{order.user}:{order.public_key}",
        "user-data": order.user_data,
    }
    spot = {"provisioningModel": "SPOT", "instanceTerminationAction": "STOP", "automaticRestart": False}
    body: dict[str, Any] = {
        "name": new.name,
        "machineType": f"{zone}/machineTypes/{order.size.id}",
        "disks": disks(order, new.name, zone),
        "networkInterfaces": [{"network": _network(new.network), "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}],
        "metadata": {"items": [{"key": key, "value": value} for key, value in metadata.items()]},
        "labels": {OURS: "machine", **order.spec.tags},
        "tags": {"items": [new.wall, _inside(order.infrastructure)]},
    }
    if order.spec.preemptible:
        body["scheduling"] = {**spot, "onHostMaintenance": "TERMINATE"}
    elif order.size.num_gpus:
        body["scheduling"] = {"onHostMaintenance": "TERMINATE"}
    _check(driver.connection.request(f"/{zone}/instances", data=body, method="POST").object, new.name)
    return Server(new.name, order.name, order.token, order.infrastructure, Phase.PENDING, user=order.user)


def _check(operation: Mapping[str, Any], name: str) -> None:
    """Raise what an operation failed with, where it has ended already."""
    errors = (operation.get("error") or {}).get("errors") or ()
    if errors:
        words = "; ".join(f"{one.get('code', '')}: {one.get('message', '')}"[:300] for one in errors)
        said = f"{name} was not made: {words}"
        raise refusal_of_words(words, said) or NotFound(said)


def _network(name: str) -> str:
    return f"global/networks/{name or 'default'}"


def _inside(infrastructure: str) -> str:
    """Return the network tag of an infrastructure's machines."""
    return f"{OURS}-in-{hashlib.sha256(infrastructure.encode()).hexdigest()[:12]}"


def _server(one: Mapping[str, Any]) -> Server:
    items = {item["key"]: item.get("value", "") for item in (one.get("metadata") or {}).get("items") or ()}
    mark = read_text(str(items.get(_MARK_KEY) or ""))
    cards = one.get("networkInterfaces") or ()
    outer = [config.get("natIP") for card in cards for config in card.get("accessConfigs") or ()]
    inner = [str(card["networkIP"]) for card in cards if card.get("networkIP")]
    boot: Mapping[str, Any] = next((disk for disk in one.get("disks") or () if disk.get("boot")), {})
    return Server(
        id=one["name"],
        name=mark.name or one["name"],
        token=mark.token,
        infrastructure=mark.infrastructure,
        phase=_PHASES.get(one["status"], Phase.PENDING),
        private_addresses=tuple(address for address in inner if is_private(address)),
        public_addresses=tuple(str(address) for address in outer if address),
        user=mark.user,
        disk_bytes=int(boot.get("diskSizeGb") or 0) * GIB or None,
        size=str(one.get("machineType") or "").rpartition("/")[2],
        created_at=seconds(one.get("creationTimestamp")) or None,
    )


def _look(driver: Any, server_id: str, region: str) -> Server:
    """Look at one machine; where it is not there, at the operation that was to make it."""
    try:
        return _server(driver.connection.request(f"/zones/{region}/instances/{server_id}").object)
    except NotFound as absent:
        operations = _items(driver, f"/zones/{region}/operations", filter=f'targetLink eq ".*/instances/{server_id}"')
        if any(one.get("operationType") == "delete" for one in operations):
            raise
        for one in operations:
            if one.get("operationType") == "insert" and one.get("status") != "DONE":
                return Server(server_id, server_id, "", "", Phase.PENDING)
            errors = (one.get("error") or {}).get("errors") or ()
            if errors:
                words = "; ".join(f"{error.get('code', '')}: {error.get('message', '')}"[:300] for error in errors)
                raise NotFound(f"{server_id} was not made: {words}") from absent
        raise


def _servers(driver: Any, region: str) -> Sequence[Server]:
    found = _items(driver, f"/zones/{region}/instances", filter=f"labels.{OURS}=machine")
    return [_server(one) for one in found]


def _act(driver: Any, server_id: str, region: str, power: Power) -> None:
    driver.connection.request(f"/zones/{region}/instances/{server_id}/{_ACTIONS[power]}", method="POST")


def _delete(driver: Any, server_id: str, region: str) -> None:
    driver.connection.request(f"/zones/{region}/instances/{server_id}", method="DELETE")


def _console(driver: Any, server_id: str, region: str) -> str:
    answer = driver.connection.request(f"/zones/{region}/instances/{server_id}/serialPort").object
    return str(answer.get("contents") or "")


def _firewall(driver: Any, infrastructure: str, name: str, rules: Sequence[Rule], network: str) -> None:
    """One rule of Google's for each range of addresses, and one among the infrastructure's machines."""
    by_range: dict[str, list[Rule]] = {}
    for rule in rules:
        by_range.setdefault(rule.remote_cidr, []).append(rule)
    inside = _inside(infrastructure)
    walls: list[dict[str, Any]] = [
        {"name": inside, "sourceTags": [inside], "targetTags": [inside], "allowed": [{"IPProtocol": "all"}]}
    ]
    for number, cidr in enumerate(sorted(by_range)):
        allowed = [_allowed(rule) for rule in by_range[cidr]]
        walls.append({"name": f"{name}-{number}", "sourceRanges": [cidr], "targetTags": [name], "allowed": allowed})
    described = text(Mark(infrastructure))
    for wall in walls:
        body = {**wall, "network": _network(network), "direction": "INGRESS", "description": described}
        try:
            driver.connection.request("/global/firewalls", data=body, method="POST")
        except Conflict:  # it is there; its name is made of what it says
            continue


def _allowed(rule: Rule) -> dict[str, Any]:
    if rule.protocol == "icmp":
        return {"IPProtocol": "58" if ":" in rule.remote_cidr else "icmp"}
    ports = f"{rule.first}-{rule.last}" if rule.first != rule.last else str(rule.first)
    return {"IPProtocol": rule.protocol, "ports": [ports]}


def _things(driver: Any) -> Sequence[Thing]:
    found = []
    for one in _items(driver, "/global/firewalls"):
        owner = read_text(str(one.get("description") or "")).infrastructure
        if owner and str(one["name"]).startswith(f"{OURS}-"):
            found.append(Thing(one["name"], "firewall", one["name"], owner))
    return found


def _remove(driver: Any, thing: Thing) -> None:
    driver.connection.request(f"/global/firewalls/{thing.id}", method="DELETE")


def _machines(driver: Any, region: str) -> Share:
    area = driver.connection.request(f"/regions/{region.rpartition('-')[0]}").object
    found = {one["metric"]: one for one in area.get("quotas") or ()}.get("INSTANCES")
    return Share(limit=int(found["limit"])) if found is not None else Share()


GCE: Final = Descriptor(
    kind="gce",
    title="GCE",
    driver="gce:GCENodeDriver",
    login=login,
    regions=_regions,
    sizes=_sizes,
    images=_images,
    create=_create,
    server=_look,
    servers=_servers,
    act=_act,
    delete=_delete,
    unsupported=frozenset({"availability_zone"}),
    connection=LateLogin,
    tags=r"[a-z][a-z0-9_-]{0,62}(:[a-z0-9_-]{0,63})?",
    firewall=_firewall,
    things=_things,
    remove=_remove,
    machines=_machines,
    console=_console,
)

open_provider = partial(open_cloud, GCE)
