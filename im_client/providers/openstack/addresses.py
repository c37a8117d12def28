"""Floating IPs: allocated and joined to a machine in one request, marked with it, found again, released."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from im_client.providers.cloud.model import Server
from im_client.providers.openstack.api import Api
from im_client.providers.openstack.marks import described, read
from im_client.providers.openstack.networks import View
from infracore.errors import Conflict, NotFound

__all__ = ["Addresses"]


class _Floating(msgspec.Struct, frozen=True):
    id: str
    floating_ip_address: str
    port_id: str | None = None


class Addresses:
    """The floating IPs of one project. Safe under threads."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def give(self, server: Server, pool: str, wanted: str, view: View) -> str:
        """Return the floating IP of a running machine; make or join it where that is not done.

        `wanted` is an address of the project that is taken instead of a new one; it is not released with the machine.

        Raises:
            NoCapacity, QuotaExceeded: there is none left. NotFound: `wanted` is none of the project, or no router leads
                to the pool. Conflict: another machine has it.
        """
        if wanted:
            return self._join_wanted(server, wanted, view)
        mark = described(server.infrastructure, token=server.token, server=server.id)
        mine = self._list({"description": mark})
        if mine:
            first, *others = sorted(mine, key=lambda one: (not one.port_id, one.id))
            for other in others:  # of a try whose answer was lost
                self._api.delete("network", f"/floatingips/{other.id}")
            if not first.port_id:
                self._join(first, self._port(server, view))
            return first.floating_ip_address
        new = {"floating_network_id": pool, "port_id": self._port(server, view), "description": mark}
        made = self._api.post("network", "/floatingips", {"floatingip": new}).get("floatingip")
        return self._api.typed(made, _Floating, "a floating IP").floating_ip_address

    def _join_wanted(self, server: Server, wanted: str, view: View) -> str:
        found = self._list({"floating_ip_address": wanted})
        if not found:
            raise NotFound(f"the project has no floating IP {wanted}", "allocate it, or leave the address out")
        port = self._port(server, view)
        if found[0].port_id not in {None, port}:
            raise Conflict(f"the floating IP {wanted} is another machine's", "release it, or choose another")
        if found[0].port_id is None:
            self._join(found[0], port)
        return wanted

    def _join(self, floating: _Floating, port: str) -> None:
        self._api.put("network", f"/floatingips/{floating.id}", {"floatingip": {"port_id": port}})

    def _port(self, server: Server, view: View) -> str:
        """Return the card that a router leads to, else the first."""
        ports = self._api.all("network", "/ports", "ports", {"device_id": server.id})
        outside = {net.id for net in view.nets if net.outside}
        ports.sort(key=lambda port: (port.get("network_id") not in outside, str(port.get("created_at", ""))))
        if not ports:
            raise NotFound(f"{server.name} has no network card", "delete it and run it again")
        return str(ports[0]["id"])

    def release(self, server_id: str) -> None:
        """Give back what is marked with a machine, also where the machine is gone."""
        for one in self._all():
            mark = read(one)
            if mark is not None and mark.server == server_id:
                self._api.delete("network", f"/floatingips/{one['id']}")

    def of_machines(self) -> Mapping[str, str]:
        """Return id of machine -> joined address, of all that carry our mark."""
        found = {}
        for one in self._all():
            mark = read(one)
            if mark is not None and mark.server and one.get("port_id"):
                found[mark.server] = str(one.get("floating_ip_address", ""))
        return found

    def _all(self) -> Sequence[Mapping[str, Any]]:
        return self._api.all("network", "/floatingips", "floatingips", {"project_id": self._api.project_id})

    def _list(self, query: Mapping[str, str]) -> Sequence[_Floating]:
        found = self._api.all("network", "/floatingips", "floatingips", {**query, "project_id": self._api.project_id})
        return [self._api.typed(one, _Floating, "a floating IP") for one in found]
