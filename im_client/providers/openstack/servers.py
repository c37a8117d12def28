"""Nova's machines in our words, and the request that makes one."""

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from im_client.plan.model import Phase
from im_client.providers.cloud.base import MARK, NAME_MARK, TOKEN_MARK, USER_MARK
from im_client.providers.cloud.model import Order, Server
from im_client.providers.openstack.errors import is_no_room
from im_client.providers.openstack.marks import IMAGE_MARK, POOL_MARK, tags
from im_client.providers.openstack.networks import Choice
from im_client.providers.openstack.settings import OpenStackSettings
from im_client.providers.openstack.sizes_images import made_at
from im_client.providers.openstack.volumes import disks
from infracore.errors import Unsupported

__all__ = ["NovaServer", "new_server", "server_of"]

_MIB: Final = 2**20
_GIB: Final = 2**30
_PHASES: Final[Mapping[str, Phase]] = {
    "ACTIVE": Phase.RUNNING,
    "PASSWORD": Phase.RUNNING,
    "RESCUE": Phase.RUNNING,
    "SHUTOFF": Phase.STOPPED,
    "PAUSED": Phase.STOPPED,
    "SUSPENDED": Phase.STOPPED,
    "SHELVED": Phase.STOPPED,
    "SHELVED_OFFLOADED": Phase.STOPPED,
    "ERROR": Phase.FAILED,
    "DELETED": Phase.GONE,
    "SOFT_DELETED": Phase.GONE,
    "UNKNOWN": Phase.UNKNOWN,
}
"""Compute API guide, "Server concepts". All others (BUILD, REBOOT, RESIZE, VERIFY_RESIZE ...) are PENDING."""
_MOST_META: Final = 255
_MOST_USER_DATA: Final = 65535


class _Address(msgspec.Struct, frozen=True):
    addr: str
    kind: str = msgspec.field(name="OS-EXT-IPS:type", default="fixed")


class _Flavor(msgspec.Struct, frozen=True):
    original_name: str = ""
    vcpus: int | None = None
    ram: int | None = None
    disk: int | None = None


class _Fault(msgspec.Struct, frozen=True):
    message: str = ""
    code: int = 0


class NovaServer(msgspec.Struct, frozen=True):
    """What of a machine is used (compute API 2.47 and later)."""

    id: str
    name: str
    status: str
    metadata: Mapping[str, str] = {}
    addresses: Mapping[str, Sequence[_Address]] = {}
    flavor: _Flavor = _Flavor()
    image: Mapping[str, Any] | str | None = None
    created: str = ""
    fault: _Fault | None = None
    task: str | None = msgspec.field(name="OS-EXT-STS:task_state", default=None)


def server_of(nova: NovaServer, floating: str = "") -> Server:
    """Return a machine in our words. `floating`: an address that Neutron knows of and Nova perhaps not yet."""
    private, public = _addresses(nova)
    if floating and floating not in public:
        public.insert(0, floating)
    marks = nova.metadata
    image = nova.image if isinstance(nova.image, Mapping) else {}
    fault = nova.fault.message if nova.fault else ""
    return Server(
        id=nova.id,
        name=marks.get(NAME_MARK) or nova.name,
        token=marks.get(TOKEN_MARK, ""),
        infrastructure=marks.get(MARK, ""),
        phase=_phase(nova),
        private_addresses=tuple(private),
        public_addresses=tuple(public),
        user=marks.get(USER_MARK, ""),
        num_cpus=nova.flavor.vcpus,
        mem_bytes=nova.flavor.ram * _MIB if nova.flavor.ram is not None else None,
        disk_bytes=nova.flavor.disk * _GIB if nova.flavor.disk else None,
        image=str(image.get("id", "")),
        size=nova.flavor.original_name,
        fault=fault,
        has_no_room=is_no_room(fault),
        created_at=made_at(nova.created) or None,
        marks=marks,
    )


def _phase(nova: NovaServer) -> Phase:
    if nova.task == "deleting":
        return Phase.DELETING
    if nova.task is not None and nova.task.startswith("resize"):  # its status is still ACTIVE at first
        return Phase.PENDING
    phase = _PHASES.get(nova.status, Phase.PENDING)
    if phase is Phase.STOPPED and nova.task in {"powering-on", "resuming", "unpausing", "unshelving", "spawning"}:
        return Phase.PENDING
    return phase


def _addresses(nova: NovaServer) -> tuple[list[str], list[str]]:
    """Return private and public addresses; IPv6 ones only where there are no others, for few can reach them."""
    found = [(one.addr, one.kind == "floating") for ones in nova.addresses.values() for one in ones]
    older = [one for one in found if "." in one[0]] or found
    public = [addr for addr, is_floating in older if is_floating]
    fixed = [addr for addr, is_floating in older if not is_floating]
    return [a for a in fixed if not _is_public(a)], public + [a for a in fixed if _is_public(a)]


def _is_public(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def new_server(
    order: Order,
    choice: Choice,
    networks: Sequence[str],
    groups: Sequence[str],
    settings: OpenStackSettings,
    *,
    key_name: str = "",
    server_group: str = "",
) -> dict[str, Any]:
    """Return the body of the one request that makes a machine with its marks, cards and disks.

    Raises:
        Unsupported: user data or tags that Nova does not take; a volume is needed and not allowed.
    """
    cards: list[dict[str, str]] = []
    for card, network in zip(choice.cards, networks, strict=True):
        cards.append({"uuid": network, **({"fixed_ip": card.fixed_address} if card.fixed_address else {})})
    user_data = base64.b64encode(order.user_data.encode()).decode()
    if len(user_data) > _MOST_USER_DATA:
        raise Unsupported(f"the user data of {order.name} is longer than {_MOST_USER_DATA} bytes", "make it shorter")
    server: dict[str, Any] = {
        "name": order.name,
        "flavorRef": order.size.id,
        "metadata": _metadata(order, choice),
        "tags": tags(order.infrastructure),
        "networks": cards,
        "user_data": user_data,
        **disks(order, settings),
    }
    if all(card.net is None or card.net.is_guarded for card in choice.cards):
        server["security_groups"] = [{"name": group} for group in groups]
    if key_name:
        server["key_name"] = key_name
    if settings.config_drive:
        server["config_drive"] = True
    if order.spec.availability_zone:
        server["availability_zone"] = order.spec.availability_zone
    body: dict[str, Any] = {"server": server}
    if server_group:
        body["os:scheduler_hints"] = {"group": server_group}
    return body


def _metadata(order: Order, choice: Choice) -> dict[str, str]:
    ours = {MARK: order.infrastructure, TOKEN_MARK: order.token, NAME_MARK: order.name, USER_MARK: order.user}
    if choice.pool is not None:
        ours[POOL_MARK] = choice.pool.id
    if order.spec.golden_image:
        ours[IMAGE_MARK] = order.spec.golden_image
    found = {**order.spec.tags, **ours}
    long = [key for key, value in found.items() if not key or max(len(key), len(value)) > _MOST_META]
    if long:
        raise Unsupported(
            f"the tag {long[0][:40]!r} of {order.name} does not fit into a machine's metadata",
            f"names and values have 1 to {_MOST_META} characters",
        )
    return found
