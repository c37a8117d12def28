"""DigitalOcean. Of libcloud's driver: signing, pages, droplets. Its sizes and images lose what choosing needs."""

from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from im_client.plan.model import Phase
from im_client.providers.cloud.choose import system_of
from im_client.providers.cloud.model import CloudImage, ImageQuery, Server, Size
from im_client.providers.libcloud.cloud import open_cloud
from im_client.providers.libcloud.descriptor import Descriptor, Key, Keys, New, Power, Priced
from im_client.providers.libcloud.login import by_token
from im_client.providers.libcloud.marks import OURS, mark_of, read_tags, tags
from im_client.providers.libcloud.units import GIB, MIB, seconds, tag_words
from im_client.providers.quotas import Share
from im_client.providers.things import Thing
from infracore.errors import NotFound

__all__ = ["DIGITALOCEAN", "open_provider"]

_LONGEST_TAG: Final = 255
_PHASES: Final = {"new": Phase.PENDING, "off": Phase.STOPPED, "active": Phase.RUNNING, "archive": Phase.GONE}
_ACTIONS: Final[Mapping[Power, str]] = {
    "start": "ex_power_on_node",
    "stop": "ex_shutdown_node",
    "reboot": "reboot_node",
}


def _regions(driver: Any) -> Sequence[str]:
    return [str(one.id) for one in driver.list_locations()]


def _sizes(driver: Any, region: str) -> Sequence[Priced]:
    found = driver._paginated_request("/v2/sizes", "sizes")
    return [_size(one) for one in found if region in one["regions"]]


def _size(one: Mapping[str, Any]) -> Priced:
    gpu = one.get("gpu_info") or {}
    model = str(gpu.get("model") or "")
    size = Size(
        id=one["slug"],
        name=one["slug"],
        num_cpus=one["vcpus"],
        mem_bytes=one["memory"] * MIB,
        disk_bytes=one["disk"] * GIB,
        num_gpus=int(gpu.get("count") or 0),
        gpu_vendor=model.partition("_")[0],
        gpu_model=model,
        architecture="x86_64",
        is_available=bool(one.get("available", True)),
    )
    return Priced(size, float(one["price_hourly"]))


def _images(driver: Any, region: str, query: ImageQuery) -> Sequence[CloudImage]:
    """List distributions, without the applications that are made of them; one's own too where a name is asked for."""
    found = driver._paginated_request("/v2/images?type=distribution", "images")
    if query.name:
        found = [*found, *driver._paginated_request("/v2/images?private=true", "images")]
    return [_image(one) for one in found if region in one["regions"] and one.get("status", "available") == "available"]


def _image(one: Mapping[str, Any]) -> CloudImage:
    distribution, version = system_of(f"{one.get('distribution') or ''} {one['name']}")
    return CloudImage(
        id=str(one["slug"] or one["id"]),
        name=str(one["slug"] or one["name"]),
        created_at=seconds(one.get("created_at")),
        distribution=distribution,
        version=version,
        architecture="x86_64",
        min_disk_bytes=int(one.get("min_disk_size") or 0) * GIB,
    )


def _create(driver: Any, new: New) -> Server:
    """One request. Tags that are not there yet are made by it."""
    order = new.order
    image = order.image.id
    node = driver.create_node(
        order.name,
        SimpleNamespace(name=order.size.id),
        SimpleNamespace(id=int(image) if image.isdecimal() else image),
        SimpleNamespace(id=new.region),
        ex_create_attr={
            "tags": [*tags(mark_of(order), _LONGEST_TAG), *tag_words(order.spec.tags)],
            "ssh_keys": [int(new.key_id)],
        },
        ex_user_data=order.user_data,
    )
    return _server(node)


def _server(node: Any) -> Server:
    found = node.extra.get("tags") or ()
    mark = read_tags(found)
    image = node.extra.get("image") or {}
    return Server(
        id=str(node.id),
        name=mark.name or node.name,
        token=mark.token,
        infrastructure=mark.infrastructure,
        phase=_phase(node),
        private_addresses=tuple(node.private_ips),
        public_addresses=tuple(node.public_ips),
        user=mark.user,
        num_cpus=node.extra.get("vcpus"),
        mem_bytes=int(node.extra.get("memory") or 0) * MIB or None,
        disk_bytes=int(node.extra.get("disk") or 0) * GIB or None,
        image=str(image.get("slug") or image.get("id") or ""),
        size=str(node.extra.get("size_slug") or ""),
        created_at=seconds(node.extra.get("created_at")) or None,
        marks=dict.fromkeys(found, ""),
    )


def _phase(node: Any) -> Phase:
    return next((p for word, p in _PHASES.items() if node.driver.NODE_STATE_MAP[word] == node.state), Phase.PENDING)


def _look(driver: Any, server_id: str, region: str) -> Server:
    del region
    return _server(driver.ex_get_node_details(server_id))


def _servers(driver: Any, region: str) -> Sequence[Server]:
    del region
    return [_server(node) for node in driver.list_nodes()]


def _act(driver: Any, server_id: str, region: str, power: Power) -> None:
    del region
    getattr(driver, _ACTIONS[power])(SimpleNamespace(id=server_id))


def _delete(driver: Any, server_id: str, region: str) -> None:
    """Delete a droplet, then its tag, which DigitalOcean would keep."""
    server = _look(driver, server_id, region)
    driver.destroy_node(SimpleNamespace(id=server_id))
    for tag in server.marks:
        if tag.startswith(f"{OURS}-"):
            _remove_tag(driver, tag)


def _remove_tag(driver: Any, tag: str) -> None:
    try:
        driver.connection.request(f"/v2/tags/{tag}", method="DELETE")
    except NotFound:
        return


def _things(driver: Any) -> Sequence[Thing]:
    found = []
    for one in driver._paginated_request("/v2/tags", "tags"):
        mark = read_tags([one["name"]])
        if mark.token and not (one.get("resources") or {}).get("count"):
            found.append(Thing(one["name"], "tag", one["name"], mark.infrastructure, mark.token))
    return found


def _remove(driver: Any, thing: Thing) -> None:
    _remove_tag(driver, thing.id)


def _key(one: Any) -> Key:
    return Key(str(one.extra["id"]), str(one.name), str(one.public_key))


def _machines(driver: Any, region: str) -> Share:
    del region
    return Share(limit=int(driver.ex_account_info()["droplet_limit"]))


def _forget_key(driver: Any, key_id: str) -> None:
    driver.connection.request(f"/v2/account/keys/{key_id}", method="DELETE")


DIGITALOCEAN: Final = Descriptor(
    kind="digitalocean",
    title="DigitalOcean",
    driver="digitalocean:DigitalOcean_v2_NodeDriver",
    login=by_token,
    regions=_regions,
    sizes=_sizes,
    images=_images,
    create=_create,
    server=_look,
    servers=_servers,
    act=_act,
    delete=_delete,
    unsupported=frozenset({"availability_zone", "disk_type", "preemptible", "volumes"}),
    tags=r"[A-Za-z0-9_:-]{1,255}",
    keys=Keys(
        every=lambda driver: [_key(one) for one in driver.list_key_pairs()],
        add=lambda driver, name, public: _key(driver.create_key_pair(name, public)),
        remove=_forget_key,
    ),
    things=_things,
    remove=_remove,
    machines=_machines,
)

open_provider = partial(open_cloud, DIGITALOCEAN)
