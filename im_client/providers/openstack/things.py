"""What is ours in a project and is no machine: listed in the order in which it can go, and removed."""

from collections.abc import Iterator
from typing import Final

from im_client.providers.openstack.api import Api, Service
from im_client.providers.openstack.marks import name_of, read
from im_client.providers.openstack.network_maker import detach_router
from im_client.providers.things import Thing
from infracore.errors import InvalidUsage

__all__ = ["list_things", "remove_thing"]

_DESCRIBED: Final = (
    ("floating IP", "floatingips"),
    ("security group", "security-groups"),
    ("router", "routers"),
    ("network", "networks"),
)
_PATHS: Final[dict[str, tuple[Service, str]]] = {
    "floating IP": ("network", "/floatingips"),
    "security group": ("network", "/security-groups"),
    "router": ("network", "/routers"),
    "network": ("network", "/networks"),  # its subnets go with it
    "server group": ("compute", "/os-server-groups"),
    "key pair": ("compute", "/os-keypairs"),
}


def list_things(api: Api, infrastructure: str | None) -> list[Thing]:
    """List what carries the mark of one infrastructure, or any of ours: six requests."""
    return [thing for thing in _all(api) if infrastructure in {None, thing.infrastructure}]


def _all(api: Api) -> Iterator[Thing]:
    for kind, path in _DESCRIBED:
        key = path.replace("-", "_")
        for one in api.all("network", f"/{path}", key, {"project_id": api.project_id}):
            mark = read(one)
            if mark is not None:
                name = str(one.get("floating_ip_address") or one.get("name") or "")
                used_by = mark.server if one.get("port_id") else ""
                yield Thing(str(one.get("id", "")), kind, name, mark.infrastructure, mark.token, used_by)
    for group in api.all("compute", "/os-server-groups", "server_groups"):
        if infrastructure := name_of(str(group.get("name", ""))):
            yield Thing(str(group["id"]), "server group", str(group["name"]), infrastructure)
    for item in api.all("compute", "/os-keypairs", "keypairs"):
        name = str((item.get("keypair") or {}).get("name", ""))
        if infrastructure := name_of(name):
            yield Thing(name, "key pair", name, infrastructure)


def remove_thing(api: Api, thing: Thing) -> None:
    """Ask for one to go. Raises Conflict while it is used."""
    found = _PATHS.get(thing.kind)
    if found is None:
        raise InvalidUsage(f"OpenStack has no {thing.kind} of ours")
    service, path = found
    if thing.kind == "router":
        detach_router(api, thing.id)
    api.delete(service, f"{path}/{thing.id}")
