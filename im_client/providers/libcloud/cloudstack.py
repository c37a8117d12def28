"""Apache CloudStack. Of libcloud's driver: signing and sending. Its methods wait for jobs, up to ten minutes, and list
machines with four requests (3.9.1), so that machines are asked for here, by the API's own commands.
"""

import base64
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from libcloud.common.cloudstack import CloudStackConnection

from im_client.plan.model import Phase
from im_client.providers.cloud.choose import system_of
from im_client.providers.cloud.model import CloudImage, ImageQuery, Server, Size
from im_client.providers.libcloud.cloud import open_cloud
from im_client.providers.libcloud.descriptor import Descriptor, Key, Keys, Login, New, Power, Priced
from im_client.providers.libcloud.login import needed
from im_client.providers.libcloud.marks import mark_of, read_text, text
from im_client.providers.libcloud.settings import LibcloudSettings
from im_client.providers.libcloud.units import GIB, MIB, is_private, seconds
from im_client.providers.quotas import Share
from infracore.errors import Misconfigured, NotFound
from infracore.secrets import Secret

__all__ = ["CLOUDSTACK", "open_provider"]

_PATH: Final = "/client/api"
_PAGE: Final = 500
_MOST_PAGES: Final = 100
_PHASES: Final = {
    "Running": Phase.RUNNING,
    "Stopped": Phase.STOPPED,
    "Shutdown": Phase.STOPPED,
    "Error": Phase.FAILED,
    "Destroyed": Phase.GONE,
    "Expunging": Phase.GONE,
}
"""All else is on its way."""
_ACTIONS: Final[Mapping[Power, str]] = {
    "start": "startVirtualMachine",
    "stop": "stopVirtualMachine",
    "reboot": "rebootVirtualMachine",
}


class SignedBodies(CloudStackConnection):
    """Puts all of a POST into its body, signed: user data is too long for an address."""

    def add_default_params(self, params: dict[str, Any]) -> dict[str, Any]:
        return params if self.method == "POST" else self._defaults(params)

    def pre_connect_hook(
        self, params: dict[str, Any], headers: dict[str, str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        if self.method == "POST":
            return {}, {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return {**params, "signature": self._sign(params)}, headers

    def encode_data(self, data: dict[str, Any]) -> str:
        full = self._defaults(data)
        return urlencode({**full, "signature": self._sign(full)})

    def _defaults(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {**params, "apiKey": self.user_id, "response": "json"}

    def _sign(self, params: Mapping[str, Any]) -> bytes:
        signature: bytes = self._make_signature(params)  # type: ignore[no-untyped-call]
        return signature


def _login(fields: Mapping[str, Secret], settings: LibcloudSettings) -> Login:
    """Read `host`, `username` (the API key), `password` (the secret key) and perhaps `zone`."""
    address = settings.address or needed(fields, "CloudStack", "host").reveal()
    address = address if "://" in address else f"https://{address}"
    try:
        url = urlsplit(address)
        port = url.port
    except ValueError as error:
        raise Misconfigured("the host of CloudStack is no address", "write it as https://HOST[:PORT][/PATH]") from error
    if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None:
        raise Misconfigured("the host of CloudStack is no address", "write it as https://HOST[:PORT][/PATH]")
    zone = fields["zone"].reveal() if "zone" in fields else ""
    return Login(
        key=needed(fields, "CloudStack", "username"),
        secret=needed(fields, "CloudStack", "password"),
        address=f"{url.scheme}://{url.hostname}" + (f":{port}" if port else ""),
        options={"host": url.hostname, "path": url.path.rstrip("/") or _PATH},
        region=zone,
    )


def _ask(driver: Any, command: str, **params: object) -> Mapping[str, Any]:
    found: Mapping[str, Any] = driver._sync_request(command, params=params)
    return found


def _all(driver: Any, command: str, key: str, **params: object) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for page in range(1, _MOST_PAGES):
        some = _ask(driver, command, page=page, pagesize=_PAGE, **params).get(key) or []
        found += some
        if len(some) < _PAGE:
            break
    return found


def _regions(driver: Any) -> Sequence[str]:
    return [str(zone["name"]) for zone in _all(driver, "listZones", "zone")]


def _zone_id(driver: Any, region: str) -> str:
    for zone in _all(driver, "listZones", "zone"):
        if region in {zone["name"], zone["id"]}:
            return str(zone["id"])
    raise NotFound(f"CloudStack has no zone {region!r}", "look at `region`")


def _sizes(driver: Any, region: str) -> Sequence[Priced]:
    """List offerings of a fixed size. The disk is the template's, where the offering has none of its own."""
    del region
    found = _all(driver, "listServiceOfferings", "serviceoffering")
    return [
        Priced(
            Size(
                id=one["id"],
                name=one["name"],
                num_cpus=one["cpunumber"],
                mem_bytes=one["memory"] * MIB,
                disk_bytes=int(one.get("rootdisksize") or 0) * GIB,
            )
        )
        for one in found
        if not one.get("iscustomized") and one.get("cpunumber") and one.get("memory")
    ]


def _images(driver: Any, region: str, query: ImageQuery) -> Sequence[CloudImage]:
    del query
    zone = _zone_id(driver, region)
    found = _all(driver, "listTemplates", "template", templatefilter="executable", zoneid=zone)
    return [_image(one) for one in found if one.get("isready", True)]


def _image(one: Mapping[str, Any]) -> CloudImage:
    distribution, version = system_of(one["name"])
    if not distribution:
        distribution, version = system_of(str(one.get("ostypename") or ""))
    kind = "windows" if "windows" in str(one.get("ostypename") or "").lower() else "linux"
    made, size = seconds(str(one.get("created") or "")), int(one.get("size") or 0)
    return CloudImage(one["id"], one["name"], made, kind, distribution, version, min_disk_bytes=size)


def _create(driver: Any, new: New) -> Server:
    """One request. Its mark is in the name that is shown: tags can only be given afterwards."""
    order = new.order
    mark = mark_of(order)
    body = {
        "command": "deployVirtualMachine",
        "zoneid": _zone_id(driver, new.region),
        "templateid": order.image.id,
        "serviceofferingid": order.size.id,
        "name": new.name,
        "displayname": text(mark),
        "keypair": new.key_id,
        "userdata": base64.b64encode(order.user_data.encode()).decode(),
    }
    if new.network:
        body["networkids"] = _network_id(driver, new.network)
    if order.spec.disk_bytes and not order.size.disk_bytes:
        body["rootdisksize"] = str(-(-order.spec.disk_bytes // GIB))
    answer = driver.connection.request(driver.path, data=body, method="POST").object
    made = answer["deployvirtualmachineresponse"]["id"]
    return Server(made, order.name, order.token, order.infrastructure, Phase.PENDING, user=order.user)


def _network_id(driver: Any, network: str) -> str:
    for one in _all(driver, "listNetworks", "network"):
        if network in {one["id"], one["name"]}:
            return str(one["id"])
    raise NotFound(f"CloudStack has no network {network!r}", "look at `network`")


def _server(one: Mapping[str, Any]) -> Server:
    mark = read_text(str(one.get("displayname") or ""))
    cards = [str(card["ipaddress"]) for card in one.get("nic") or () if card.get("ipaddress")]
    public = [str(one["publicip"])] if one.get("publicip") else []
    phase = _PHASES.get(one["state"], Phase.PENDING)
    return Server(
        id=one["id"],
        name=mark.name or one["name"],
        token=mark.token,
        infrastructure=mark.infrastructure,
        phase=phase,
        private_addresses=tuple(card for card in cards if is_private(card)),
        public_addresses=(*public, *(card for card in cards if not is_private(card))),
        user=mark.user,
        num_cpus=one.get("cpunumber"),
        mem_bytes=int(one.get("memory") or 0) * MIB or None,
        image=str(one.get("templateid") or ""),
        size=str(one.get("serviceofferingname") or ""),
        created_at=seconds(one.get("created")) or None,
        fault="CloudStack could not start it: its events say why" if phase is Phase.FAILED else "",
    )


def _look(driver: Any, server_id: str, region: str) -> Server:
    del region
    found = _ask(driver, "listVirtualMachines", id=server_id).get("virtualmachine") or ()
    servers = [server for server in map(_server, found) if server.id == server_id]
    if not servers:
        raise NotFound(f"there is no machine {server_id}")
    return servers[0]


def _servers(driver: Any, region: str) -> Sequence[Server]:
    del region
    return [_server(one) for one in _all(driver, "listVirtualMachines", "virtualmachine")]


def _act(driver: Any, server_id: str, region: str, power: Power) -> None:
    del region
    _ask(driver, _ACTIONS[power], id=server_id)


def _delete(driver: Any, server_id: str, region: str) -> None:
    if _look(driver, server_id, region).phase is not Phase.GONE:
        _ask(driver, "destroyVirtualMachine", id=server_id)


def _keys(driver: Any) -> Sequence[Key]:
    return [Key(str(one["name"]), str(one["name"])) for one in _all(driver, "listSSHKeyPairs", "sshkeypair")]


def _add_key(driver: Any, name: str, public_key: str) -> Key:
    _ask(driver, "registerSSHKeyPair", name=name, publickey=public_key)
    return Key(name, name)


def _forget_key(driver: Any, key_id: str) -> None:
    _ask(driver, "deleteSSHKeyPair", name=key_id)


def _machines(driver: Any, region: str) -> Share:
    del region
    limits = _ask(driver, "listResourceLimits", resourcetype=0).get("resourcelimit") or ()
    most = min((int(one["max"]) for one in limits if int(one["max"]) >= 0), default=None)
    return Share(limit=most)


CLOUDSTACK: Final = Descriptor(
    kind="cloudstack",
    title="CloudStack",
    driver="cloudstack:CloudStackNodeDriver",
    login=_login,
    regions=_regions,
    sizes=_sizes,
    images=_images,
    create=_create,
    server=_look,
    servers=_servers,
    act=_act,
    delete=_delete,
    unsupported=frozenset({"availability_zone", "disk_type", "num_gpus", "ports", "preemptible", "tags", "volumes"}),
    connection=SignedBodies,
    keys=Keys(_keys, _add_key, _forget_key),
    machines=_machines,
)

open_provider = partial(open_cloud, CLOUDSTACK)
