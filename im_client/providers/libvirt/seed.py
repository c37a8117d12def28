"""A machine's cloud-init seed: a data source NoCloud (cloudinit.readthedocs.io) on a small FAT disk. Pure."""

import json
import re
from collections.abc import Sequence

from im_client.plan.model import SpecVolume
from im_client.providers.base import MachineRequest
from im_client.providers.cloudinit import account, merged
from im_client.providers.libvirt.fat import fat_image
from im_client.providers.libvirt.marks import Card
from im_client.remote.access import HostKey

__all__ = ["disk_serial", "has_read_seed", "seed_image", "without_secret"]

_PRIVATE = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----.*?-----END OPENSSH PRIVATE KEY-----", re.DOTALL)
_PAST = re.compile(r"Cloud-init v\S* ?\S* (running 'modules:|finished at )")


def disk_serial(index: int) -> str:
    """Return the serial number of a further disk, by which the machine finds it: `/dev/disk/by-id/virtio-SERIAL`."""
    return f"data-{index}"


def seed_image(request: MachineRequest, user: str, key: HostKey, cards: Sequence[Card]) -> bytes:
    """Return the seed; without the private half of the host key where `key` has none."""
    further: dict[str, object] = {
        "ssh_genkeytypes": ["ed25519"],
        "ssh_deletekeys": True,
        "manage_etc_hosts": "localhost",
        **_disks(request.spec.volumes),
    }
    if key.private is not None:
        further["ssh_keys"] = {"ed25519_private": key.private.reveal(), "ed25519_public": key.public}
    own = account(request.name, user, request.authorized_keys, further)
    names = {"instance-id": request.token, "local-hostname": request.name}
    files = {
        "user-data": merged(own, request.user_data),
        "meta-data": json.dumps(names),
        "network-config": json.dumps(_network(cards)),
    }
    return fat_image("cidata", {name: text.encode() for name, text in files.items()})


def has_read_seed(console: str, host_key: str) -> bool:
    """Say whether a console shows that cloud-init is past its first stage, in which it puts the host key in place."""
    body = host_key.partition(" ")[2]
    return _PAST.search(console) is not None or bool(body and body in console)


def without_secret(image: bytes) -> bytes:
    """Return a seed with blanks where the private half of the host key was; all else is where it was.

    The machine keeps finding its data source, of the same instance, and takes nothing from it a second time.
    """
    return _PRIVATE.sub(lambda found: b" " * len(found[0]), image)


def _disks(volumes: Sequence[SpecVolume]) -> dict[str, object]:
    """Have empty disks formatted, and mounted where the template says so."""
    disks = [(f"/dev/disk/by-id/virtio-{disk_serial(index)}", volume) for index, volume in enumerate(volumes)]
    mounted = [(device, volume) for device, volume in disks if volume.mount_path]
    if not mounted:
        return {}
    return {
        "fs_setup": [
            {"device": device, "filesystem": volume.fs_type, "partition": "none", "overwrite": False}
            for device, volume in mounted
        ],
        "mounts": [[device, volume.mount_path, volume.fs_type, "defaults,nofail"] for device, volume in mounted],
    }


def _network(cards: Sequence[Card]) -> dict[str, object]:
    """Let the first card have the default route; the reservation gives each its address."""
    found: dict[str, object] = {}
    for index, card in enumerate(cards):
        entry: dict[str, object] = {"match": {"macaddress": card.mac}, "dhcp4": True}
        if index:
            entry["dhcp4-overrides"] = {"use-routes": False}
        found[f"card{index}"] = entry
    return {"version": 2, "ethernets": found}
