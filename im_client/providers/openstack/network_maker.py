"""Looks at the networks of a project, and makes those that a choice asks for: network, subnet, router."""

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from im_client.providers.cloud.kept import Kept
from im_client.providers.openstack.api import Api
from im_client.providers.openstack.marks import described, named_for, read
from im_client.providers.openstack.networks import Card, Net, View
from im_client.providers.openstack.settings import OpenStackSettings

__all__ = ["NetworkMaker", "detach_router"]

_JOINS: Final = frozenset(
    {
        "network:router_interface",
        "network:router_interface_distributed",
        "network:ha_router_replicated_interface",
    }
)


class _Network(msgspec.Struct, frozen=True):
    id: str
    name: str | None = ""
    project_id: str = ""
    is_external: bool = msgspec.field(name="router:external", default=False)
    is_default: bool | None = False
    admin_state_up: bool = True
    port_security_enabled: bool | None = True


class NetworkMaker:
    """The networks of one project. Safe under threads."""

    def __init__(self, api: Api, kept: Kept, settings: OpenStackSettings) -> None:
        self._api = api
        self._kept = kept
        self._settings = settings

    def view(self) -> View:
        """Look: four requests, kept for a while."""
        return self._kept.get("networks", self._look)

    def _look(self) -> View:
        raw = self._api.all("network", "/networks", "networks")
        subnets = self._api.all("network", "/subnets", "subnets")
        routers = self._api.all("network", "/routers", "routers")
        ports = self._api.all("network", "/ports", "ports", {"device_owner": sorted(_JOINS)})
        outside = {
            str(router["id"]): str((router.get("external_gateway_info") or {}).get("network_id", ""))
            for router in routers
        }
        joined = {
            # a router that this project may not see leads somewhere
            str(port.get("network_id")): outside.get(str(port.get("device_id")), "unknown")
            for port in ports
        }
        project = self._api.project_id
        nets = []
        for one in raw:
            net = self._api.typed(one, _Network, "a network")
            if not net.admin_state_up:
                continue
            mark = read(one)
            nets.append(
                Net(
                    id=net.id,
                    name=net.name or net.id,
                    is_external=net.is_external,
                    is_own=net.project_id == project,
                    is_default=bool(net.is_default),
                    is_guarded=net.port_security_enabled is not False,
                    cidrs=tuple(str(s["cidr"]) for s in subnets if s.get("network_id") == net.id and _is_cidr(s)),
                    outside=joined.get(net.id, ""),
                    infrastructure=mark.infrastructure if mark else "",
                    made_for=mark.name if mark else "",
                )
            )
        return View(tuple(nets))

    def make(self, card: Card, infrastructure: str, pool: Net | None) -> str:
        """Return the id of a card's network: found, or made with its subnet and a router to the outside."""
        if card.net is not None:
            return card.net.id
        key = ("network", infrastructure, card.new_name)
        return self._kept.get(key, lambda: self._made(card, infrastructure, pool))

    def _made(self, card: Card, infrastructure: str, pool: Net | None) -> str:
        mark = described(infrastructure, name=card.new_name)
        name = named_for(infrastructure, card.new_name)
        network = self._first("networks", name)
        if network is None:
            new = {"name": name, "description": mark}
            network = self._api.post("network", "/networks", {"network": new})["network"]
        network_id = str(network["id"])
        subnet = self._first("subnets", name)
        if subnet is None:
            wanted: dict[str, Any] = {
                "name": name,
                "description": mark,
                "network_id": network_id,
                "ip_version": ipaddress.ip_network(card.new_cidr, strict=False).version,
                "cidr": str(ipaddress.ip_network(card.new_cidr, strict=False)),
            }
            if self._settings.dns_servers:
                wanted["dns_nameservers"] = list(self._settings.dns_servers)
            subnet = self._api.post("network", "/subnets", {"subnet": wanted})["subnet"]
        self._join(str(subnet["id"]), infrastructure, pool)
        self._kept.forget(lambda key: key == "networks")
        return network_id

    def _join(self, subnet: str, infrastructure: str, pool: Net | None) -> None:
        """Put a subnet on the infrastructure's router. Where there is no outside to join, there is no router."""
        pools = [net for net in self.view().nets if net.is_external]
        pools.sort(key=lambda net: (self._settings.pool not in {net.id, net.name}, not net.is_default, net.name))
        if not pools:
            return
        outside = pool or pools[0]
        router = self._kept.get(("router", infrastructure), lambda: self._router(outside, infrastructure))
        if not self._is_joined(router, subnet):  # Neutron answers 400 where it is
            self._api.put("network", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})

    def _router(self, pool: Net, infrastructure: str) -> str:
        name = named_for(infrastructure, "router")
        router = self._first("routers", name)
        if router is None:
            gateway = {"network_id": pool.id}
            new = {"name": name, "description": described(infrastructure), "external_gateway_info": gateway}
            router = self._api.post("network", "/routers", {"router": new})["router"]
        return str(router["id"])

    def _is_joined(self, router: str, subnet: str) -> bool:
        ports = self._api.all("network", "/ports", "ports", {"device_id": router})
        return any(ip.get("subnet_id") == subnet for port in ports for ip in port.get("fixed_ips") or ())

    def _first(self, kind: str, name: str) -> Mapping[str, Any] | None:
        found = self._api.all("network", f"/{kind}", kind, {"name": name, "project_id": self._api.project_id})
        return min(found, key=lambda one: (str(one.get("created_at", "")), str(one.get("id", ""))), default=None)


def detach_router(api: Api, router: str) -> None:
    """Take a router off its subnets, so that it can be deleted."""
    for port in api.all("network", "/ports", "ports", {"device_id": router}):
        if port.get("device_owner") in _JOINS:
            api.put("network", f"/routers/{router}/remove_router_interface", {"port_id": str(port["id"])})


def _is_cidr(subnet: Mapping[str, Any]) -> bool:
    try:
        ipaddress.ip_network(str(subnet.get("cidr", "")), strict=False)
    except ValueError:
        return False
    return True
