"""Vultr. Of libcloud's driver: signing and pages. It knows no `tags`, only the single `tag` that they replace
(3.9.1), and its plans and machines lose what choosing and looking need; these are read here from the answers.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from im_client.plan.model import Phase
from im_client.providers.cloud.choose import system_of
from im_client.providers.cloud.model import CloudImage, ImageQuery, Server, Size
from im_client.providers.libcloud.cloud import open_cloud
from im_client.providers.libcloud.descriptor import Descriptor, Key, Keys, New, Power, Priced
from im_client.providers.libcloud.login import by_token
from im_client.providers.libcloud.marks import mark_of, read_tags, tags
from im_client.providers.libcloud.rest import AtPath
from im_client.providers.libcloud.units import GIB, MIB, seconds, tag_words

__all__ = ["VULTR", "open_provider"]

_LONGEST_TAG: Final = 120
_MACHINES: Final = "/v2/instances"
_ACTIONS: Final[Mapping[Power, str]] = {"start": "start", "stop": "halt", "reboot": "reboot"}
_HOURS: Final = 672.0
"""Vultr charges a month as so many hours at the most: four weeks."""
_NO_SYSTEM: Final = frozenset({"application", "backup", "iso", "snapshot", "windows"})


def _regions(driver: Any) -> Sequence[str]:
    return [str(one.id) for one in driver.list_locations()]


def _sizes(driver: Any, region: str) -> Sequence[Priced]:
    """List plans that there are in the region now, without shares of a GPU: their number is not told."""
    found = driver._paginated_request("/v2/plans", "plans")
    return [_size(one) for one in found if region in one["locations"] and not one.get("gpu_type")]


def _size(one: Mapping[str, Any]) -> Priced:
    size = Size(
        id=one["id"],
        name=one["id"],
        num_cpus=one["vcpu_count"],
        mem_bytes=one["ram"] * MIB,
        disk_bytes=one["disk"] * GIB,
        architecture="x86_64",
    )
    hourly = one.get("hourly_cost")
    return Priced(size, float(hourly) if hourly else float(one["monthly_cost"]) / _HOURS)


def _images(driver: Any, region: str, query: ImageQuery) -> Sequence[CloudImage]:
    del region, query
    found = driver._paginated_request("/v2/os", "os")
    return [_image(one) for one in found if one["family"] not in _NO_SYSTEM]


def _image(one: Mapping[str, Any]) -> CloudImage:
    distribution, version = system_of(one["name"])
    architecture = {"x64": "x86_64", "i386": "i386"}.get(one["arch"], "")
    return CloudImage(
        str(one["id"]), one["name"], distribution=distribution, version=version, architecture=architecture
    )


def _create(driver: Any, new: New) -> Server:
    order = new.order
    body = {
        "label": order.name,
        "hostname": order.name,
        "region": new.region,
        "plan": order.size.id,
        "os_id": int(order.image.id),
        "sshkey_id": [new.key_id],
        "user_data": base64.b64encode(order.user_data.encode()).decode(),
        "tags": [*tags(mark_of(order), _LONGEST_TAG), *tag_words(order.spec.tags)],
        "activation_email": False,
        "backups": "disabled",
    }
    return _server(driver.connection.request(_MACHINES, data=json.dumps(body), method="POST").object["instance"])


def _server(one: Mapping[str, Any]) -> Server:
    mark = read_tags(one.get("tags") or ())
    public, private = one.get("main_ip") or "", one.get("internal_ip") or ""
    return Server(
        id=one["id"],
        name=mark.name or one["label"],
        token=mark.token,
        infrastructure=mark.infrastructure,
        phase=_phase(one),
        private_addresses=(private,) if private else (),
        public_addresses=(public,) if public not in {"", "0.0.0.0"} else (),  # noqa: S104 - what a new machine shows
        user=mark.user,
        num_cpus=one.get("vcpu_count"),
        mem_bytes=int(one.get("ram") or 0) * MIB or None,
        disk_bytes=int(one.get("disk") or 0) * GIB or None,
        image=str(one.get("os_id") or ""),
        size=str(one.get("plan") or ""),
        created_at=seconds(one.get("date_created")) or None,
    )


def _phase(one: Mapping[str, Any]) -> Phase:
    match one["status"], one["power_status"]:
        case "active", "running":
            return Phase.PENDING if one.get("server_status") == "locked" else Phase.RUNNING
        case ("active", "stopped") if one.get("server_status") in {"ok", "installingbooting"}:
            return Phase.STOPPED
        case (("halted" | "suspended"), _):
            return Phase.STOPPED
        case _:
            return Phase.PENDING


_AT: Final = AtPath(_MACHINES, "instances", "instance", _server, _ACTIONS)


def _keys(driver: Any) -> Sequence[Key]:
    """libcloud's own list takes a fingerprint of each, and fails for all where one key is of no kind that it knows."""
    return [_key(one) for one in driver._paginated_request("/v2/ssh-keys", "ssh_keys")]


def _add_key(driver: Any, name: str, public_key: str) -> Key:
    body = json.dumps({"name": name, "ssh_key": public_key})
    return _key(driver.connection.request("/v2/ssh-keys", data=body, method="POST").object["ssh_key"])


def _key(one: Mapping[str, Any]) -> Key:
    return Key(one["id"], one["name"], one["ssh_key"])


def _forget_key(driver: Any, key_id: str) -> None:
    driver.connection.request(f"/v2/ssh-keys/{key_id}", method="DELETE")


VULTR: Final = Descriptor(
    kind="vultr",
    title="Vultr",
    driver="vultr:VultrNodeDriverV2",
    login=by_token,
    regions=_regions,
    sizes=_sizes,
    images=_images,
    create=_create,
    server=_AT.look,
    servers=_AT.every,
    act=_AT.act,
    delete=_AT.delete,
    unsupported=frozenset({"availability_zone", "disk_type", "num_gpus", "preemptible", "volumes"}),
    tags=r"[^,]{1,120}",
    keys=Keys(_keys, _add_key, _forget_key),
    has_private=False,
)

open_provider = partial(open_cloud, VULTR)
