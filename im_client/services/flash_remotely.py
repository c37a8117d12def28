"""`im flash IMAGE ssh://USER@HOST/dev/DISK`: the image is made for its node here, in a sparse file, and then sent.

The file is in the cache folder for as long as that takes; it needs room for what the image holds.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from im_client.flash.card import Listener, Outcome
from im_client.flash.discover.keys import read_recorded
from im_client.flash.known import FOLDER, KnownBoards, names_of
from im_client.flash.model import Progress, Result, State
from im_client.flash.remote_flash import RemoteDisk, RemoteFacts, flash_remote, look_remote, parse_remote, reboot
from im_client.services.flash import FlashRequest, flash, prepare_flash
from im_client.settings import Settings
from infracore.errors import InfraError, InvalidUsage, NotFound
from infracore.scratch import scratch_folder

__all__ = ["RemotePlan", "flash_remotely", "is_remote", "prepare_remotely"]

_FOLDER: Final = "flash"
_PREFIX: Final = "ssh://"


@dataclass(frozen=True, slots=True)
class RemotePlan:
    """What will be done; nothing is yet."""

    request: FlashRequest
    disk: RemoteDisk
    facts: RemoteFacts
    """What the machine says of its disk, for the question."""


def is_remote(device: str) -> bool:
    """Whether a DEVICE is one of another machine."""
    return device.startswith(_PREFIX)


def prepare_remotely(settings: Settings, request: FlashRequest, *, key_file: str = "") -> RemotePlan:
    """Ask the machine for its disk, and refuse what must not be written. Nothing is written.

    Its host key must be one that `im flash` recorded, or be in `~/.ssh/known_hosts`.

    Raises:
        InvalidUsage: no such disk, or one that must not be written. Conflict: another host key than the known one.
        Unauthorised, Transient, Misconfigured: it cannot be asked.
    """
    access, path = parse_remote(request.device)
    recorded = read_recorded(settings.state_dir / FOLDER)
    key = recorded.key_of(access.address.removesuffix(".local"), access.address)
    access = replace(
        access,
        private_key_file=key_file or None,
        host_key=key or None,
        known_hosts_file=None if key else "~/.ssh/known_hosts",
    )
    disk = RemoteDisk(request.node or access.address, access, path)
    facts = look_remote(disk)
    if facts.refusal:
        raise InvalidUsage(
            f"{disk.where}: {facts.refusal}",
            "boot it from the network or from another disk first" if "runs from" in facts.refusal else "",
        )
    return RemotePlan(request, disk, facts)


def flash_remotely(
    settings: Settings,
    plan: RemotePlan,
    *,
    restart: bool,
    on_progress: Callable[[Progress], None],
    on_step: Listener,
    cancel: threading.Event,
) -> Result:
    """Make the image, send it, read it back there, and restart the machine where that is asked for. Blocks for minutes.

    Raises:
        InvalidUsage, Misconfigured, BadImage, NotFound, Transient, Cancelled: the image cannot be made; nothing was
        written to the disk. What happens to the disk is in the result.
    """
    known = KnownBoards(settings.state_dir)
    known.check()  # rather now than when the disk is written
    base = settings.cache_dir / _FOLDER
    base.mkdir(parents=True, exist_ok=True)
    with scratch_folder(base, ".remote-") as folder:
        file = folder / "disk.img"
        local = prepare_flash(settings, replace(plan.request, device=str(file), eject=False, if_needed=False))
        own = replace(settings, state_dir=folder / "state")  # the board has its new host key when the disk is done
        report = flash(own, local, on_progress=on_progress, on_step=on_step, cancel=cancel)
        (made,) = report.made
        if made.outcome is not Outcome.DONE:
            raise made.error or NotFound(f"the image for {plan.disk.name} was not made")
        result = flash_remote(file, plan.disk, verify=plan.request.verify, on_progress=on_progress, cancel=cancel)
    if result.state is not State.DONE:
        return result
    try:
        if made.card.node is not None:
            known.remember(made.card.node.hostname, made.host_key, names_of(made.card.node, made.card.address))
        if restart:
            reboot(plan.disk.access)
    except InfraError as error:
        return replace(result, error=error)
    return result
