"""Linode (Akamai). Of libcloud's driver: signing and pages, regions and sizes, making a machine.

Its list of machines fails for all where one has a status that it does not know (3.9.1: `LINODE_STATES[...]`), and its
images do not say which of them read user data; both are read here from the answers.
"""

import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from libcloud.common.linode import LinodeConnectionV4
from libcloud.compute.base import NodeLocation, NodeSize

from im_client.plan.model import Phase
from im_client.providers.cloud.choose import system_of
from im_client.providers.cloud.model import CloudImage, ImageQuery, Server, Size
from im_client.providers.libcloud.cloud import open_cloud
from im_client.providers.libcloud.descriptor import Descriptor, New, Power, Priced
from im_client.providers.libcloud.login import by_token
from im_client.providers.libcloud.marks import mark_of, read_tags, tags
from im_client.providers.libcloud.rest import AtPath
from im_client.providers.libcloud.units import MIB, is_private, seconds, tag_words

__all__ = ["LINODE", "open_provider"]

_LONGEST_TAG: Final = 50
_MACHINES: Final = "/v4/linode/instances"
_PHASES: Final = {"running": Phase.RUNNING, "offline": Phase.STOPPED, "stopped": Phase.STOPPED, "deleting": Phase.GONE}
"""All else is on its way."""
_ACTIONS: Final[Mapping[Power, str]] = {"start": "boot", "stop": "shutdown", "reboot": "reboot"}


class LongPages(LinodeConnectionV4):
    """500 entries a page, the most that there may be, not libcloud's 25."""

    def add_default_params(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**params, "page_size": 500}


def _regions(driver: Any) -> Sequence[str]:
    return [str(one.id) for one in driver.list_locations()]


def _sizes(driver: Any, region: str) -> Sequence[Priced]:
    del region
    return [_size(one) for one in driver.list_sizes()]


def _size(one: Any) -> Priced:
    size = Size(
        id=one.id,
        name=one.id,
        num_cpus=one.extra["vcpus"],
        mem_bytes=one.ram * MIB,
        disk_bytes=one.disk * MIB,
        num_gpus=one.extra["gpus"] or 0,
        gpu_vendor="nvidia" if one.extra["gpus"] else "",
        architecture="x86_64",
    )
    return Priced(size, float(one.price))


def _images(driver: Any, region: str, query: ImageQuery) -> Sequence[CloudImage]:
    """List images that read user data, and those that a name asks for; not those of Kubernetes nodes."""
    del region
    found = []
    for one in driver._paginated_request("/v4/images", "data"):
        reads = "cloud-init" in (one.get("capabilities") or ())
        if "-kube-" in one["id"] or one.get("status", "available") != "available":
            continue
        if reads or (query.name and not one["is_public"]):
            distribution, version = system_of(str(one["label"]))
            made = seconds(one.get("created"))
            smallest = int(one.get("size") or 0) * MIB
            found.append(
                CloudImage(one["id"], one["label"], made, "linux", distribution, version, "x86_64", "", smallest)
            )
    return found


def _create(driver: Any, new: New) -> Server:
    """One request, and a look. Linode wants a password of root; nobody is told the one it gets."""
    order = new.order
    node = driver.create_node(
        NodeLocation(new.region, new.region, "", driver),
        new.name,
        NodeSize(order.size.id, order.size.name, 0, 0, 0, 0, driver),
        SimpleNamespace(id=order.image.id),
        root_pass=f"{secrets.token_urlsafe(32)}aA1-",
        ex_authorized_keys=[order.public_key],
        ex_tags=[*tags(mark_of(order), _LONGEST_TAG), *tag_words(order.spec.tags)],
        ex_private_ip=True,
        ex_userdata=order.user_data,
    )
    return _AT.look(driver, str(node.id), new.region)


def _server(one: Mapping[str, Any]) -> Server:
    mark = read_tags(one["tags"])
    specs = one.get("specs") or {}
    addresses = one.get("ipv4") or ()
    return Server(
        id=str(one["id"]),
        name=mark.name or str(one["label"]),
        token=mark.token,
        infrastructure=mark.infrastructure,
        phase=_PHASES.get(one["status"], Phase.PENDING),
        private_addresses=tuple(address for address in addresses if is_private(address)),
        public_addresses=tuple(address for address in addresses if not is_private(address)),
        user=mark.user,
        num_cpus=specs.get("vcpus"),
        mem_bytes=int(specs.get("memory") or 0) * MIB or None,
        disk_bytes=int(specs.get("disk") or 0) * MIB or None,
        image=str(one.get("image") or ""),
        size=str(one.get("type") or ""),
        created_at=seconds(one.get("created")) or None,
    )


_AT: Final = AtPath(_MACHINES, "data", "", _server, _ACTIONS)


LINODE: Final = Descriptor(
    kind="linode",
    title="Linode",
    driver="linode:LinodeNodeDriverV4",
    login=by_token,
    regions=_regions,
    sizes=_sizes,
    images=_images,
    create=_create,
    server=_AT.look,
    servers=_AT.every,
    act=_AT.act,
    delete=_AT.delete,
    unsupported=frozenset({"availability_zone", "disk_type", "preemptible", "volumes"}),
    connection=LongPages,
    tags=r"[^,]{3,50}",
)

open_provider = partial(open_cloud, LINODE)
