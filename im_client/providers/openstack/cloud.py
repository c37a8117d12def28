"""The adapter: one project in one region of an OpenStack cloud."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Severity
from im_client.providers.cloud.base import TOKEN_MARK
from im_client.providers.cloud.kept import Kept
from im_client.providers.cloud.model import CloudImage, ImageQuery, Layout, Order, Server, Size
from im_client.providers.images import ImageRequest, SavedImage
from im_client.providers.offers import Price
from im_client.providers.openstack.addresses import Addresses
from im_client.providers.openstack.api import Api
from im_client.providers.openstack.firewall import Firewall
from im_client.providers.openstack.golden import Golden
from im_client.providers.openstack.marks import POOL_MARK, digest, named_for
from im_client.providers.openstack.network_maker import NetworkMaker
from im_client.providers.openstack.networks import Choice, choose_networks
from im_client.providers.openstack.quotas import read_quotas
from im_client.providers.openstack.servers import NovaServer, new_server, server_of
from im_client.providers.openstack.session import Connect
from im_client.providers.openstack.settings import OpenStackSettings
from im_client.providers.openstack.sizes_images import Flavor, find_images, size_of
from im_client.providers.openstack.things import list_things, remove_thing
from im_client.providers.quotas import Quota
from im_client.providers.things import Thing
from infracore.clock import Clock, SystemClock
from infracore.errors import Conflict, NotFound, Unsupported

__all__ = ["OpenStackCloud"]

_CONSOLE_LINES: Final = 500
_STARTS: Final = {"PAUSED": "unpause", "SUSPENDED": "resume", "SHELVED": "unshelve", "SHELVED_OFFLOADED": "unshelve"}


class OpenStackCloud:
    """See `Cloud` and `ImageCloud`. `connect` is how it is logged in to; who renews credentials gives another."""

    def __init__(
        self,
        connect: Connect,
        settings: OpenStackSettings,
        place: str,
        *,
        kind: str = "openstack",
        schemes: frozenset[str] = frozenset({"ost"}),
        clock: Clock | None = None,
    ) -> None:
        self.kind = kind
        self.schemes = schemes
        self.place = f"region {settings.region} of {place}" if settings.region else place
        self._settings = settings
        self._api = Api(connect, self.place)
        self._kept = Kept(clock or SystemClock())
        self._networks = NetworkMaker(self._api, self._kept, settings)
        self._firewall = Firewall(self._api, self._kept)
        self._addresses = Addresses(self._api)
        self._golden = Golden(self._api)

    # what it is

    def identity(self) -> str:
        """Return keystone's address, region and project. Logs in, if that was not done: names of projects change."""
        return f"{self.kind} {self._api.identity}"

    def limits(self) -> Limits:
        """A machine is resized by Nova, which restarts it. There are no spot machines."""
        return Limits(
            self.kind,
            in_place_stopped=frozenset({"num_cpus", "mem_bytes", "instance_type"}),
            unsupported=frozenset({"preemptible"}),
        )

    def check(self) -> Sequence[Finding]:
        """Log in, and look for the services that are needed."""
        project, missing = self._api.login()
        found = [Finding("login", Severity.OK, f"{self.place}, project {project}")]
        for name in missing:
            if name == "block-storage":
                text = "no block storage: machines have no volumes"
                found.append(Finding("services", Severity.WARNING, text, "choose flavors with a disk"))
            else:
                hint = "look at `region` and `interface`, or ask the site"
                found.append(Finding("services", Severity.ERROR, f"no {name} service for this account", hint))
        return found

    def renew(self) -> bool:
        return self._api.renew()

    def close(self) -> None:
        self._api.close()

    # choosing

    def sizes(self) -> Sequence[Size]:
        """List flavors. One without a disk is of use only where machines may start from volumes."""
        may_boot_volume = self._settings.boot_volume != "never" and self._has_volumes()
        raw = self._api.all("compute", "/flavors/detail", "flavors")
        flavors = [self._api.typed(one, Flavor, "a flavor") for one in raw]
        is_always = self._settings.boot_volume == "always"
        return [
            size_of(flavor, grows=may_boot_volume, diskless=is_always)
            for flavor in flavors
            if flavor.disk or may_boot_volume
        ]

    def _refuse_volumes(self, spec: Spec) -> None:
        """Refuse volumes where there is no block storage. Raises Unsupported."""
        if spec.volumes and not self._has_volumes():
            raise Unsupported(
                f"{self.place} has no block storage for this account: machines have no volumes",
                "leave the volumes out, or use another cloud",
            )

    def _has_volumes(self) -> bool:
        return "block-storage" not in self._api.login()[1]

    def images(self, query: ImageQuery) -> Sequence[CloudImage]:
        """List those that may fit; where none has the name, all, so that the refusal can say which there are."""
        return find_images(self._api, query) or (find_images(self._api, ImageQuery()) if query.name else ())

    def layout(self, spec: Spec, infrastructure: str | None) -> Layout:
        self._refuse_volumes(spec)
        choice = self._choice(spec, infrastructure)
        return Layout(
            networks=tuple(card.shown for card in choice.cards),
            pool=choice.pool.id if choice.pool else "",
            notes=tuple(choice.notes),
        )

    def _choice(self, spec: Spec, infrastructure: str | None) -> Choice:
        return choose_networks(self._networks.view(), spec, infrastructure, self._settings, self.place)

    def price(self, size: Size, spec: Spec) -> Price | None:  # noqa: ARG002 - of the protocol
        """OpenStack tells no prices."""
        return None

    def quotas(self) -> Quota:
        return read_quotas(self._api)

    # machines

    def create(self, order: Order) -> Server:
        """One request, and before it those for what its infrastructure shares, once."""
        self._refuse_volumes(order.spec)
        try:
            return self._create(order)
        except (NotFound, Unsupported, Conflict):
            # what was kept of the infrastructure may be gone, by another process: once more with what is there now
            self._forget(order.infrastructure)
            return self._create(order)

    def _create(self, order: Order) -> Server:
        choice = self._choice(order.spec, order.infrastructure)
        networks = [self._networks.make(card, order.infrastructure, choice.pool) for card in choice.cards]
        body = new_server(
            order,
            choice,
            networks,
            self._firewall.groups(order.infrastructure, order.rules),
            self._settings,
            key_name=self._key_pair(order) if self._settings.key_pair else "",
            server_group=self._server_group(order.infrastructure) if self._settings.anti_affinity else "",
        )
        made = self._api.post("compute", "/servers", body).get("server") or {}
        return Server(
            id=self._api.typed(made.get("id"), str, "the id of a new machine"),
            name=order.name,
            token=order.token,
            infrastructure=order.infrastructure,
            phase=Phase.PENDING,
            user=order.user,
            size=order.size.name,
            marks=body["server"]["metadata"],
        )

    def settle(self, server: Server, order: Order) -> Server:
        """Give it its floating IP. Cards and volumes came with it."""
        pool = server.marks.get(POOL_MARK)
        if not pool or server.public_addresses:
            return server
        cards = order.spec.interfaces
        wanted = next((card.fixed_address for card in cards if card.public and card.fixed_address), "") or ""
        address = self._addresses.give(server, pool, wanted, self._networks.view())
        return replace(server, public_addresses=(address,))  # what Nova says of it late, if it is asked now

    def server(self, server_id: str) -> Server:
        nova = self._nova(server_id)
        if nova.status in {"DELETED", "SOFT_DELETED"}:
            raise NotFound(f"the machine {server_id} is gone")
        return self._seen([nova])[0]

    def servers(self, infrastructure: str | None) -> Sequence[Server]:
        # not asked for by tag: Nova stores a machine first and its tags a moment later (seen with 2026.2)
        raw = self._api.all("compute", "/servers/detail", "servers")
        found = self._seen([self._api.typed(one, NovaServer, "a machine") for one in raw])
        return [
            server
            for server in found
            if server.infrastructure
            and infrastructure in {None, server.infrastructure}
            and server.phase is not Phase.GONE
        ]

    def _nova(self, server_id: str) -> NovaServer:
        answer = self._api.get("compute", f"/servers/{server_id}")
        return self._api.typed(answer.get("server"), NovaServer, "a machine")

    def _seen(self, novas: Sequence[NovaServer]) -> list[Server]:
        """Translate, and do what waits for a look: Nova wants a resize confirmed, and hears late of floating IPs."""
        servers = [server_of(nova) for nova in novas]
        for nova in novas:
            if nova.status == "VERIFY_RESIZE" and nova.metadata.get(TOKEN_MARK):
                self._confirm(nova.id)
        if all(server.public_addresses or not server.marks.get(POOL_MARK) for server in servers):
            return servers
        if not any(server.phase is Phase.RUNNING for server in servers):
            return servers
        floating = self._addresses.of_machines()
        return [server_of(nova, floating.get(nova.id, "")) for nova in novas]

    def _confirm(self, server_id: str) -> None:
        try:
            self._act(server_id, {"confirmResize": None})
        except (Conflict, Unsupported):  # it is being confirmed: 400 "has not been resized", seen with 2026.2
            return

    def start(self, server_id: str) -> None:
        """Ask for it. Looks first: paused, suspended and shelved machines want other words."""
        status = self._nova(server_id).status
        if status in {"ACTIVE", "REBOOT", "HARD_REBOOT"}:
            return
        self._ask(server_id, {_STARTS.get(status, "os-start"): None}, {"ACTIVE"}, {"powering-on"})

    def stop(self, server_id: str) -> None:
        self._ask(server_id, {"os-stop": None}, {"SHUTOFF"}, {"powering-off"})

    def reboot(self, server_id: str) -> None:
        reboot = {"reboot": {"type": "SOFT"}}
        self._ask(server_id, reboot, {"REBOOT"}, {"rebooting", "reboot_pending", "reboot_started"})

    def resize(self, server_id: str, size: Size, spec: Spec) -> None:
        """Ask for another flavor; a look confirms it when it is done."""
        del spec
        nova = self._nova(server_id)
        if nova.flavor.original_name != size.name:
            self._act(server_id, {"resize": {"flavorRef": size.id}})

    def delete(self, server_id: str) -> None:
        """Release its floating IPs, then delete it; what Nova made for it goes with it."""
        self._addresses.release(server_id)
        self._api.delete("compute", f"/servers/{server_id}")

    def console(self, server_id: str) -> str:
        try:
            answer = self._act(server_id, {"os-getConsoleOutput": {"length": _CONSOLE_LINES}})
        except Conflict:  # it has not started yet
            return ""
        return str(answer.get("output") or "")

    def _act(self, server_id: str, action: Mapping[str, object]) -> Mapping[str, object]:
        return self._api.post("compute", f"/servers/{server_id}/action", action)

    def _ask(self, server_id: str, action: Mapping[str, object], done: set[str], doing: set[str]) -> None:
        """Ask for a change; refused where it is done or begun: that is well."""
        try:
            self._act(server_id, action)
        except Conflict:
            nova = self._nova(server_id)
            if nova.status not in done and nova.task not in doing:
                raise

    # what machines share

    def _key_pair(self, order: Order) -> str:
        name = named_for(order.infrastructure, digest([order.public_key]))
        return self._kept.get(("key", order.infrastructure, name), lambda: self._made_key_pair(name, order.public_key))

    def _made_key_pair(self, name: str, public_key: str) -> str:
        try:
            self._api.post("compute", "/os-keypairs", {"keypair": {"name": name, "public_key": public_key}})
        except Conflict:  # it is there; its name is made of the key
            return name
        return name

    def _server_group(self, infrastructure: str) -> str:
        return self._kept.get(("servers", infrastructure), lambda: self._made_server_group(infrastructure))

    def _made_server_group(self, infrastructure: str) -> str:
        name = named_for(infrastructure, self._settings.anti_affinity)
        groups = self._api.all("compute", "/os-server-groups", "server_groups")
        found = sorted(str(group["id"]) for group in groups if group.get("name") == name)
        if found:
            return found[0]
        new = {"name": name, "policy": self._settings.anti_affinity}
        made = self._api.post("compute", "/os-server-groups", {"server_group": new}).get("server_group") or {}
        return self._api.typed(made.get("id"), str, "the id of a server group")

    def things(self, infrastructure: str | None) -> Sequence[Thing]:
        return list_things(self._api, infrastructure)

    def remove(self, thing: Thing) -> None:
        self._forget(thing.infrastructure)
        remove_thing(self._api, thing)

    def _forget(self, infrastructure: str) -> None:
        self._kept.forget(lambda key: key == "networks" or (isinstance(key, tuple) and key[1] == infrastructure))

    # golden images

    def save_image(self, request: ImageRequest) -> SavedImage:
        return self._golden.save(self.server(request.provider_id), request)

    def list_images(self) -> Sequence[SavedImage]:
        return self._golden.list()

    def check_image(self, image_id: str) -> str:
        return self._golden.check(image_id)

    def delete_image(self, image_id: str) -> None:
        self._golden.delete(image_id, self.servers(None))
