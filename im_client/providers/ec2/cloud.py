"""One account at one region of EC2, as `cloud.base.Cloud` and `cloud.keeper.ImageCloud`."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Severity
from im_client.providers.cloud.base import MARK, TOKEN_MARK
from im_client.providers.cloud.choose import rules_of
from im_client.providers.cloud.model import CloudImage, ImageQuery, Layout, Order, Server, Size
from im_client.providers.ec2 import addresses, market, things
from im_client.providers.ec2.account import Account
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.golden import Golden
from im_client.providers.ec2.images import images
from im_client.providers.ec2.marks import check_tags, machine_marks, marked, outdated
from im_client.providers.ec2.network import Card, Cards, Subnet, choose_cards, subnet_of
from im_client.providers.ec2.servers import card_of, check_volumes, device_of, is_gone, request_of, server_of, tries
from im_client.providers.ec2.settings import Ec2Settings
from im_client.providers.ec2.shared import Shared
from im_client.providers.ec2.sizes import Sizes
from im_client.providers.images import ImageRequest, SavedImage
from im_client.providers.offers import Price
from im_client.providers.quotas import Quota
from im_client.providers.things import Thing
from infracore.clock import Clock, SystemClock
from infracore.errors import Conflict, NoCapacity, NotFound, QuotaExceeded, TimedOut, Transient, Unsupported

__all__ = ["Ec2"]

_ABSENT: Final = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")
_TERMINATED: Final = (*_ABSENT, "InvalidNetworkInterfaceID.NotFound")  # moto 5.2 says so the second time
_MOST_IDS: Final = 200
"""Values that EC2 takes in a filter."""
_UNLISTED_S: Final = 30.0
"""How long a machine that was made may be missing from what EC2 lists ("Eventual consistency", EC2 API reference)."""
_STOPPED_S: Final = 180.0
"""How long a machine that is to be resized may take to stop."""


class Ec2:
    """See `Cloud` and `ImageCloud`. Safe under threads."""

    kind = "ec2"
    schemes = frozenset({"aws", "ec2"})

    def __init__(self, settings: Ec2Settings, account: Account, clock: Clock | None = None) -> None:
        self.place = account.place
        self.client = Client(account, settings.request_s)
        self.sizes_here = Sizes(self.client, settings)
        self._settings = settings
        self._clock = clock or SystemClock()
        self._shared = Shared(self.client)
        self._golden = Golden(self.client)
        self._lock = threading.Lock()
        self._never = threading.Event()
        self._subnets: tuple[Subnet, ...] | None = None
        self._roots: dict[str, str] = {}
        """Image -> device of its root disk."""
        self._fresh: dict[str, tuple[float, Server]] = {}
        """Machines that were made lately, and may not be listed yet."""
        self._settled: set[str] = set()

    def identity(self) -> str:
        """Return endpoint and region. Not the account: only another service, STS, tells it."""
        return self.client.identity

    def limits(self) -> Limits:
        """Sizes change while a machine is stopped, ports and tags at any time."""
        return Limits(
            provider=self.kind,
            in_place=frozenset({"ports", "tags"}),
            in_place_stopped=frozenset({"num_cpus", "mem_bytes", "instance_type"}),
        )

    def check(self) -> Sequence[Finding]:
        """Ask for the zones, and for the network that machines would be on."""
        zones = self.client.ask("describe_availability_zones")["AvailabilityZones"]
        network = choose_cards(self._all_subnets(), Spec(), self._settings, None).notes
        return (Finding(self.place, Severity.OK, "; ".join([f"{len(zones)} zones", *network])),)

    def renew(self) -> bool:
        """Look credentials up anew, where they are AWS's own and not of the auth file."""
        return self.client.reset()

    def sizes(self) -> Sequence[Size]:
        """List those of the current generation; `sizes_here` asks for fewer."""
        return next(iter(self.sizes_here.fitting(Spec(instance_type="*"), "")))

    def images(self, query: ImageQuery) -> Sequence[CloudImage]:
        """List what may fit, and remember the root disks."""
        found, roots = images(self.client, self._settings, query)
        self._roots.update(roots)
        return found

    def layout(self, spec: Spec, infrastructure: str | None) -> Layout:
        """See `network.choose_cards`. Refuses what `create` would."""
        check_tags(spec.tags)
        check_volumes(spec)
        return self._cards(spec, infrastructure).layout

    def price(self, size: Size, spec: Spec) -> Price | None:
        """Return the spot price of a machine that can be nothing else; EC2 itself tells no other."""
        is_spot = spec.preemptible and not self._settings.spot_fallback
        return market.spot_price(self.client, size, spec) if is_spot else None

    def create(self, order: Order) -> Server:
        """Run an instance; where a zone has no room, in the next."""
        cards = self._cards(order.spec, order.infrastructure)
        if not cards.cards[0].subnets:
            zone = order.spec.availability_zone or ""
            made = tuple(self._shared.subnets(order.infrastructure, cards.cidr, zone))
            cards = replace(cards, cards=tuple(Card(made, card.address) for card in cards.cards), zones=(made[0].zone,))
        vpc = cards.cards[0].subnets[0].vpc
        groups, key = self._shared.groups_and_key(order.infrastructure, vpc, order.rules, order.public_key)
        request = request_of(order, self._settings, key=key, root_device=self._roots.get(order.image.id, "/dev/sda1"))
        told = self._run(order, cards, groups, request)
        server = server_of(told, self.sizes_here.known)
        if server.phase in {Phase.GONE, Phase.DELETING}:  # the token's machine of an earlier request
            return replace(server, phase=Phase.FAILED, fault="the machine of this token is terminated already")
        with self._lock:
            self._fresh[server.id] = (self._clock.monotonic(), server)
        return server

    def settle(self, server: Server, order: Order) -> Server:
        """Put its address and the disks that were there before on a running machine."""
        with self._lock:
            is_settled = server.id in self._settled and (server.public_addresses or not self._settings.elastic_ip)
        if is_settled:
            return server
        if self._settings.elastic_ip or len(order.spec.interfaces) > 1:
            cards = self._cards(order.spec, order.infrastructure)
            if cards.is_elastic:
                address = addresses.give(self.client, server, order, len(cards.cards))
                server = replace(server, public_addresses=(address,))
        for index, volume in enumerate(order.spec.volumes):
            if volume.volume_id is not None:
                self._attach(server, volume.volume_id, device_of(index))
        with self._lock:
            self._settled.add(server.id)
        return server

    def server(self, server_id: str) -> Server:
        """Look at one machine."""
        answer = self.client.call("describe_instances", allow=_ABSENT, InstanceIds=[server_id])
        found = answer["Reservations"] if answer is not None else ()
        told = [one for reservation in found for one in reservation["Instances"]]
        fresh = self._unlisted()
        if not told and server_id in fresh:
            return fresh[server_id]
        if not told or is_gone(told[0]):
            raise NotFound(f"there is no machine {server_id} at {self.place}")
        return server_of(told[0], self.sizes_here.known)

    def servers(self, infrastructure: str | None) -> Sequence[Server]:
        """List the machines that are there, and those that were made a moment ago."""
        return self._listed(infrastructure, marked(infrastructure))

    def some_servers(self, infrastructure: str, ids: Sequence[str]) -> Sequence[Server]:
        """List some of an infrastructure's machines."""
        if len(ids) > _MOST_IDS:
            return self.servers(infrastructure)
        return self._listed(infrastructure, [{"Name": "instance-id", "Values": list(ids)}])

    def _listed(self, infrastructure: str | None, filters: list[dict[str, Any]]) -> Sequence[Server]:
        listed = self.client.every("describe_instances", "Reservations", Filters=filters, MaxResults=1000)
        told = [one for reservation in listed for one in reservation["Instances"]]
        found = {one["InstanceId"]: one for one in told}
        there = [server_of(one, self.sizes_here.known) for one in found.values() if not is_gone(one)]
        unlisted = [one for key, one in self._unlisted().items() if key not in found]
        return [*there, *(one for one in unlisted if infrastructure in {None, one.infrastructure})]

    def start(self, server_id: str) -> None:
        self._turn("start_instances", server_id)

    def stop(self, server_id: str) -> None:
        self._turn("stop_instances", server_id)

    def reboot(self, server_id: str) -> None:
        self.client.ask("reboot_instances", InstanceIds=[server_id])

    def resize(self, server_id: str, size: Size, spec: Spec) -> None:
        """Change tags and ports at once; another size stops the machine, and starts it where it ran.

        Blocks until it is stopped: a minute or two.
        """
        server = self.server(server_id)
        order = Order(
            infrastructure=server.infrastructure,
            name=server.name,
            token=server.token,
            spec=spec,
            image=CloudImage(server.image, server.image),
            size=size,
            rules=rules_of(spec.ports),
            user_data="",
            public_key="",
            user=server.user,
        )
        self._tag(server, machine_marks(order))
        self._open(server, order)
        if server.size == size.id:
            return
        was_running = server.phase is not Phase.STOPPED
        if was_running:
            self.stop(server_id)
            self._until_stopped(server_id)
        self.client.ask("modify_instance_attribute", InstanceId=server_id, InstanceType={"Value": size.id})
        if was_running:
            self.start(server_id)

    def delete(self, server_id: str) -> None:
        """Terminate it, which takes its disks and cards with it, and give its addresses up."""
        with self._lock:
            self._fresh.pop(server_id, None)
            self._settled.discard(server_id)
        answer = self.client.call("terminate_instances", allow=_TERMINATED, InstanceIds=[server_id])
        for one in (answer or {}).get("TerminatingInstances", ()):
            if one.get("PreviousState", {}).get("Name") == "terminated":  # it came to nothing, and that was seen
                self.client.call(
                    "delete_tags", allow=_ABSENT, Resources=[server_id], Tags=[{"Key": MARK}, {"Key": TOKEN_MARK}]
                )
        addresses.take_back(self.client, server_id)

    def console(self, server_id: str) -> str:
        """Return what the console says now, or, of machines of older kinds, has said when they started."""
        old = ("UnsupportedOperation", "InvalidParameterCombination", "InvalidParameterValue")
        told = self.client.call("get_console_output", allow=old, InstanceId=server_id, Latest=True)
        if told is None:
            told = self.client.ask("get_console_output", InstanceId=server_id)
        return str(told.get("Output") or "")

    def things(self, infrastructure: str | None) -> Sequence[Thing]:
        return things.things(self.client, infrastructure)

    def remove(self, thing: Thing) -> None:
        self._shared.forget(thing.infrastructure)
        things.remove(self.client, thing)

    def save_image(self, request: ImageRequest) -> SavedImage:
        return self._golden.save(self.server(request.provider_id), request)

    def list_images(self) -> Sequence[SavedImage]:
        return self._golden.list()

    def check_image(self, image_id: str) -> str:
        return self._golden.check(image_id)

    def delete_image(self, image_id: str) -> None:
        self._golden.delete(image_id, self.servers(None))

    def quotas(self) -> Quota:
        return market.quotas(self.client)

    def close(self) -> None:
        self.client.close()

    # one step of the above each

    def _run(self, order: Order, cards: Cards, groups: Sequence[str], request: Mapping[str, Any]) -> Mapping[str, Any]:
        refusal: NoCapacity | QuotaExceeded = NoCapacity(f"there is no zone for {order.name} at {self.place}")
        spot_is_out = False
        for token, zone, is_spot in tries(order, cards, self._settings):
            if is_spot and spot_is_out:
                continue
            params = {**request, "ClientToken": token, "NetworkInterfaces": list(_cards_of(cards, zone, groups))}
            if is_spot:
                params["InstanceMarketOptions"] = {"MarketType": "spot"}
            try:
                answer = self.client.call(
                    "run_instances",
                    allow=("InvalidGroup.NotFound", "InvalidKeyPair.NotFound", "InvalidSubnetID.NotFound"),
                    **params,
                )
            except NoCapacity as error:
                refusal = error
                continue
            except QuotaExceeded as error:
                refusal, spot_is_out = error, is_spot
                if not is_spot:
                    raise
                continue
            if answer is None:  # removed since this process made or saw it
                self._shared.forget(order.infrastructure)
                with self._lock:
                    self._subnets = None
                raise Transient(f"what the machines of {order.infrastructure} share is gone from {self.place}")
            told: Mapping[str, Any] = answer["Instances"][0]
            return told
        raise refusal

    def _all_subnets(self) -> tuple[Subnet, ...]:
        with self._lock:
            if self._subnets is None:
                self._subnets = tuple(subnet_of(one) for one in self.client.every("describe_subnets", "Subnets"))
            return self._subnets

    def _cards(self, spec: Spec, infrastructure: str | None) -> Cards:
        ids = [volume.volume_id for volume in spec.volumes if volume.volume_id is not None]
        zones: list[str] = []
        if ids:
            told = self.client.every("describe_volumes", "Volumes", VolumeIds=ids)
            zones = sorted({str(one["AvailabilityZone"]) for one in told})
            if len(zones) > 1:
                raise Unsupported(f"the volumes {', '.join(ids)} are in several zones", "a machine is in one")
        return choose_cards(self._all_subnets(), spec, self._settings, infrastructure, zones)

    def _attach(self, server: Server, volume: str, device: str) -> None:
        told = self.client.every("describe_volumes", "Volumes", VolumeIds=[volume])[0]
        users = [one["InstanceId"] for one in told.get("Attachments", ()) if one.get("InstanceId")]
        if server.id in users:
            return
        if users:
            raise Conflict(f"the volume {volume} is used by {users[0]}", "detach it there, or name another")
        self.client.ask("attach_volume", VolumeId=volume, InstanceId=server.id, Device=device)

    def _turn(self, operation: str, server_id: str) -> None:
        try:
            self.client.ask(operation, InstanceIds=[server_id])
        except Conflict as error:  # on its way to another state
            raise Transient(error.message, error.hint) from error

    def _until_stopped(self, server_id: str) -> None:
        deadline = self._clock.monotonic() + _STOPPED_S
        while self.server(server_id).phase is not Phase.STOPPED:
            if self._clock.monotonic() > deadline:
                raise TimedOut(f"{server_id} did not stop within {_STOPPED_S:g} s", "run it again")
            self._clock.wait(self._never, 2.0)

    def _tag(self, server: Server, wanted: Mapping[str, str]) -> None:
        """Change the template's tags, of the machine and of the disks and cards that were made with it."""
        gone = outdated(server.marks, wanted)
        new = {key: value for key, value in wanted.items() if server.marks.get(key) != value}
        if not gone and not new:
            return
        filters = [
            {"Name": "key", "Values": [TOKEN_MARK]},
            {"Name": "value", "Values": [server.token]},
            {"Name": "resource-type", "Values": ["volume", "network-interface"]},
        ]
        parts = sorted(one["ResourceId"] for one in self.client.every("describe_tags", "Tags", Filters=filters))
        if gone:
            self.client.ask("delete_tags", Resources=[server.id, *parts], Tags=[{"Key": key} for key in gone])
        if new:  # the mark of the keys among them, so that an interrupted change is done again
            pairs = [{"Key": key, "Value": value} for key, value in new.items()]
            self.client.ask("create_tags", Resources=[server.id, *parts], Tags=pairs)

    def _open(self, server: Server, order: Order) -> None:
        told = self.client.ask("describe_instances", InstanceIds=[server.id])["Reservations"][0]["Instances"][0]
        groups = self._shared.groups(server.infrastructure, told["VpcId"], order.rules)
        for card in told.get("NetworkInterfaces", ()):
            if {one["GroupId"] for one in card.get("Groups", ())} != set(groups):
                self.client.ask(
                    "modify_network_interface_attribute",
                    NetworkInterfaceId=card["NetworkInterfaceId"],
                    Groups=groups,
                )

    def _unlisted(self) -> dict[str, Server]:
        now = self._clock.monotonic()
        with self._lock:
            self._fresh = {key: one for key, one in self._fresh.items() if now - one[0] < _UNLISTED_S}
            return {key: server for key, (_, server) in self._fresh.items()}


def _cards_of(cards: Cards, zone: str, groups: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A public address that EC2 gives by itself can be asked for on a single card only."""
    takes_public = (cards.is_public and not cards.is_elastic) if len(cards.cards) == 1 else None
    for index, card in enumerate(cards.cards):
        yield card_of(index, card, zone, groups, takes_public=takes_public)
