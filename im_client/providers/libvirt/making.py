"""Making one machine on the host, step by step; each may be repeated."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from im_client.providers.base import MachineRequest
from im_client.providers.libvirt.base_images import Base
from im_client.providers.libvirt.domain import Disk, domain_xml
from im_client.providers.libvirt.domains import Domains
from im_client.providers.libvirt.fat import SIZE_BYTES
from im_client.providers.libvirt.marks import MADE, Mark, uuid_of, volume_prefix
from im_client.providers.libvirt.networks import Networks, free_port
from im_client.providers.libvirt.seed import disk_serial, seed_image
from im_client.providers.libvirt.settings import LibvirtSettings
from im_client.providers.libvirt.storage import Storage
from im_client.remote.access import HostKey

__all__ = ["Host", "make", "unmake"]

_CONSOLE: Final = "console.log"


@dataclass(frozen=True, slots=True)
class Host:
    """What a machine is made of."""

    domains: Domains
    storage: Storage
    networks: Networks
    settings: LibvirtSettings

    def console_of(self, mark: Mark) -> str:
        """Return the name of the file with a machine's console."""
        return f"{volume_prefix(mark.infrastructure, mark.token)}{_CONSOLE}"


def make(host: Host, request: MachineRequest, base: Base, key: HostKey, *, kvm: Callable[[], bool]) -> None:
    """Define, furnish and start a machine.

    The domain is defined first, with our mark: whatever is made after that is found by it. Its networks are ready.
    """
    spec, settings = request.spec, host.settings
    prefix = volume_prefix(request.infrastructure, request.token)
    user = spec.user or base.user
    mark = Mark(
        infrastructure=request.infrastructure,
        name=request.name,
        token=request.token,
        user=user,
        host_key=key.public,
        image=base.name,
        base=base.volume,
        holds_secret=True,
        cards=host.networks.cards(spec, request.token, request.infrastructure),
    )
    disks = [Disk(settings.pool, f"{prefix}root.qcow2", "qcow2")]
    disks += [
        Disk(settings.pool, f"{prefix}data-{index}.qcow2", "qcow2", disk_serial(index))
        for index in range(len(spec.volumes))
    ]
    seed = Disk(settings.pool, f"{prefix}seed.img", "raw", "seed", is_read_only=True)
    console = f"{host.storage.folder()}/{prefix}{_CONSOLE}"
    is_kvm = kvm()

    def define() -> None:
        host.domains.define(
            domain_xml(mark, spec, settings, kvm=is_kvm, disks=[*disks, seed], console=console, boot=base.boot)
        )

    define()
    if mark.cards[0].kind == "user":
        used = {
            card.port for domain in host.domains.all() for card in domain.mark.cards if domain.mark.token != mark.token
        }
        mark = mark.with_card(0, replace(mark.cards[0], port=free_port(used)))
    for index, card in enumerate(mark.cards):
        fixed = spec.interfaces[index].fixed_address if spec.interfaces else None
        mark = mark.with_card(index, host.networks.reserve(card, request.token, index, fixed))
    define()
    room = max(spec.disk_bytes or settings.disk_bytes, base.size)
    host.storage.make(disks[0].volume, room, "qcow2", below=(base.path, base.format))
    for disk, volume in zip(disks[1:], spec.volumes, strict=True):
        host.storage.make(disk.volume, volume.size_bytes, "qcow2")
    host.storage.make(seed.volume, SIZE_BYTES, "raw")
    host.storage.write(seed.volume, seed_image(request, user, key, mark.cards))
    uuid = uuid_of(request.token)
    host.domains.start(uuid)
    host.domains.put_mark(host.domains.get(uuid), replace(mark, state=MADE))


def unmake(host: Host, mark: Mark) -> None:
    """Remove all that was made for a machine, the domain last: what is half removed is still found. May be repeated."""
    uuid = uuid_of(mark.token)
    host.domains.end(uuid)
    for card in mark.cards:
        if card.kind == "network":
            host.networks.give_back(card.source, card.mac)
    host.storage.remove_all(volume_prefix(mark.infrastructure, mark.token))
    host.domains.undefine(uuid)
