"""What is on the host with our mark and is no machine."""

from collections.abc import Sequence

from im_client.providers.libvirt.making import Host
from im_client.providers.libvirt.networks import LEASE
from im_client.providers.things import Thing
from infracore.errors import Conflict

__all__ = ["Left"]


class Left:
    """Volumes and reservations whose domain somebody removed by hand, and the networks that infrastructures share."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def things(self, infrastructure: str | None) -> Sequence[Thing]:
        """List them. A reservation's infrastructure is told by the volumes of the same machine, where there are any."""
        domains = self._host.domains.all()
        tokens = {domain.mark.token for domain in domains}
        found = []
        homes: dict[str, str] = {}
        self._host.storage.refresh()  # consoles are written by others
        for name in self._host.storage.names():
            parts = name.split(".")
            if parts[0] == "imc" and len(parts) >= 5 and parts[2] not in tokens:
                found.append(Thing(name, "volume", name, parts[1], parts[2]))
                homes[parts[2]] = parts[1]
        networks = self._host.networks.all()
        for network in networks:
            for mac, lease, address in network.hosts:
                token = lease.removeprefix(LEASE).rpartition("-")[0]
                if lease.startswith(LEASE) and token not in tokens:
                    found.append(
                        Thing(f"{network.name} {mac}", "DHCP reservation", address, homes.get(token, ""), token)
                    )
        for network in networks:
            if network.infrastructure:
                users = [d.uuid for d in domains if any(card.source == network.name for card in d.mark.cards)]
                used_by = users[0] if users else ""
                found.append(Thing(network.name, "network", network.name, network.infrastructure, used_by=used_by))
        return [one for one in found if infrastructure is None or one.infrastructure == infrastructure]

    def remove(self, thing: Thing) -> None:
        """Remove one. Absent: succeeds.

        Raises:
            Conflict: a machine uses it.
        """
        if thing.used_by:
            raise Conflict(f"the {thing.kind} {thing.name} is used by the machine {thing.used_by}")
        if thing.kind == "volume":
            self._host.storage.remove(thing.id)
        elif thing.kind == "network":
            self._host.networks.remove(thing.id)
        else:
            network, _, mac = thing.id.rpartition(" ")
            self._host.networks.give_back(network, mac)
