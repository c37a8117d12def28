"""`im flash IMAGE ssh://USER@HOST/dev/DISK`: an image goes to a disk of a machine that runs.

Without a node it is unpacked on its way. For a node it is made here first, in a sparse file in the cache folder, which
is there for as long as that takes and needs room for what the image holds.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from im_client.flash.card import Listener, Made, Order, Outcome
from im_client.flash.discover.keys import read_recorded
from im_client.flash.known import FOLDER, KnownBoards, names_of
from im_client.flash.model import Progress, Result, State
from im_client.flash.node import Node
from im_client.flash.remote_disk import RemoteDisk, RemoteFacts, parse_remote, refuse_remote
from im_client.flash.remote_flash import flash_remote, look_remote, reboot
from im_client.services.flash import Batch, FlashPlan, FlashRequest, fetch_order, flash, prepare_flash, size_ahead
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
    local: FlashPlan
    """Image and node; its one card is a file that is not there yet."""

    @property
    def batch(self) -> Batch:
        """The image, and what it is made for."""
        (batch,) = self.local.batches
        return batch

    @property
    def node(self) -> Node | None:
        """What the disk becomes."""
        return self.batch.cards[0].node


def is_remote(device: str) -> bool:
    """Whether a DEVICE is one of another machine."""
    return device.startswith(_PREFIX)


def prepare_remotely(settings: Settings, request: FlashRequest, *, key_file: str = "") -> RemotePlan:
    """Look at image and node, ask the machine for its disk, and refuse what must not be written. Nothing is written.

    Its host key must be one that `im flash` recorded, or be in `~/.ssh/known_hosts`.

    Raises:
        InvalidUsage, Misconfigured, NotFound, BadImage, Several: image or node are not as they must be; no such disk,
        or one that must not be written. Conflict: another host key than the known one. Unauthorised, Transient: it
        cannot be asked.
    """
    for is_given, option, why in (
        (request.if_needed, "--if-needed", "what a disk of another machine holds is not read"),
        (request.eject, "--eject", "a disk of a machine that runs stays in it"),
        (request.every or bool(request.to), "--all and --to", "the disk of a running machine is written alone"),
    ):
        if is_given:
            raise InvalidUsage(f"{option}: not with {_PREFIX}: {why}", "leave it out")
    if strange := [name for name in request.forced if name != request.device]:
        raise InvalidUsage(f"--force-device {strange[0]} names another disk", f"--force-device {request.device}")
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
    with scratch_folder(Path(gettempdir()), ".im-flash-") as folder:  # image and node are as for a file
        local = prepare_flash(settings, _here(request, folder / "disk.img"))
    plan = RemotePlan(request, disk, look_remote(disk), local)
    refuse_remote(
        disk,
        plan.facts,
        image_size=size_ahead(plan.batch.source),
        is_forced=request.device in request.forced,
        force=request.device,
    )
    return plan


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
    if plan.node is None:
        order = fetch_order(settings, plan.request, plan.batch, on_progress, cancel)
        result = _send(plan, order, on_progress, cancel)
        host_key = ""
    else:
        base = settings.cache_dir / _FOLDER
        base.mkdir(parents=True, exist_ok=True)
        with scratch_folder(base, ".remote-") as folder:
            made = _make(settings, plan, folder, on_progress=on_progress, on_step=on_step, cancel=cancel)
            result = _send(plan, Order(made.card.spot.real, ""), on_progress, cancel)
        host_key = made.host_key
    if result.state is not State.DONE:
        return result
    try:
        if plan.node is not None:
            known.remember(plan.node.hostname, host_key, names_of(plan.node, plan.batch.cards[0].address))
        if restart:
            reboot(plan.disk.access)
    except InfraError as error:
        return replace(result, error=error)
    return result


def _here(request: FlashRequest, file: Path) -> FlashRequest:
    return replace(request, device=str(file), forced=(), eject=False, if_needed=False)


def _make(
    settings: Settings,
    plan: RemotePlan,
    folder: Path,
    *,
    on_progress: Callable[[Progress], None],
    on_step: Listener,
    cancel: threading.Event,
) -> Made:
    """Make the image for its node. What is known of the board stays as it is: its disk is not written yet."""
    local = prepare_flash(settings, _here(plan.request, folder / "disk.img"))
    own = replace(settings, state_dir=folder / "state")
    (made,) = flash(own, local, on_progress=on_progress, on_step=on_step, cancel=cancel).made
    if made.outcome is not Outcome.DONE:
        raise made.error or NotFound(f"the image for {plan.disk.name} was not made")
    return made


def _send(plan: RemotePlan, order: Order, on_progress: Callable[[Progress], None], cancel: threading.Event) -> Result:
    return flash_remote(
        order.image,
        plan.disk,
        blocks=order.blocks,
        size=order.size,
        sha256=order.sha256,
        expect=plan.facts,
        verify=plan.request.verify,
        on_progress=on_progress,
        cancel=cancel,
    )
