"""`im flash`: cards for nodes, from an image and an inventory.

`prepare_flash` finds out what is meant and refuses what must not be; nothing is written. `flash` fetches the image,
looks again, and makes the cards.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from im_client.configure.program import find_program
from im_client.flash import download, sources
from im_client.flash.card import Card, Listener, Made, Order, Outcome, holds_already, let_go, make_cards
from im_client.flash.customise.programs import UNUSABLE_NAME, check_programs, is_usable_name
from im_client.flash.devices import HERE, Device, Roots, look_at, read_devices
from im_client.flash.fleet import Board, Fleet, Storage, decode_fleet, read_fleet
from im_client.flash.known import KnownBoards
from im_client.flash.model import Progress, Source
from im_client.flash.refusals import Wish, refusals, said_twice
from im_client.flash.rpiboot import boot_module
from im_client.flash.streams import open_stream
from im_client.settings import Settings
from infracore.clock import Clock, SystemClock
from infracore.errors import Cancelled, InfraError, InvalidUsage, Several, Unauthorised

__all__ = [
    "Batch",
    "FlashPlan",
    "FlashReport",
    "FlashRequest",
    "cards",
    "fetch_order",
    "flash",
    "module_cards",
    "prepare_flash",
    "size_ahead",
]

_MODULE_S: Final = 600.0
"""How long a Compute Module is waited for: somebody sets a jumper and plugs two cables in."""


@dataclass(frozen=True, slots=True)
class FlashRequest:
    """What the command line, or the Ansible module, asks for."""

    image: str = ""
    """Path, address or name in the OS list; "": what the inventory says of each board."""
    device: str = ""
    node: str = ""
    to: tuple[tuple[str, str], ...] = ()
    """Node and device."""
    every: bool = False
    """Every board of the inventory that has a device."""
    inventory: Path | None = None
    nodes: Mapping[str, Mapping[str, Any]] | None = None
    """In place of an inventory: node -> variables, as hosts of an inventory have them."""
    sha256: str = ""
    os_list: str = ""
    bmap: str = ""
    forced: tuple[str, ...] = ()
    verify: bool = True
    eject: bool = False
    if_needed: bool = False
    """Leave cards as they are that have this image and configuration already."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Cards that get one image."""

    source: Source
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class FlashPlan:
    """What will be done; nothing is yet."""

    request: FlashRequest
    batches: tuple[Batch, ...]
    notes: tuple[str, ...] = ()
    held: frozenset[str] = frozenset()
    """Names of cards that have all of it already, as far as that is known before an image is fetched."""

    @property
    def cards(self) -> tuple[Card, ...]:
        """All cards."""
        return tuple(card for batch in self.batches for card in batch.cards)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return len(self.held) == len(self.cards)


@dataclass(frozen=True, slots=True)
class FlashReport:
    """How it went, card by card."""

    made: tuple[Made, ...]
    known_hosts: Path
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Aim:
    """One card that is asked for."""

    device: str
    board: Board | None
    image: str
    sha256: str


def cards(roots: Roots = HERE) -> tuple[Device, ...]:
    """Return the disks of this computer that are, or may be, cards: not those that the running system is on."""
    return tuple(device for device in read_devices(roots) if not device.is_system)


def module_cards(
    tell: Callable[[str], None],
    cancel: threading.Event,
    *,
    roots: Roots = HERE,
    program: str = "rpiboot",
    folder: Path | None = None,
    clock: Clock | None = None,
) -> tuple[Device, ...]:
    """Wait for a Compute Module on USB and return the disks that it shows.

    Blocks for ten minutes at the most. Raises as `boot_module` does.
    """
    shown = boot_module(
        timeout_s=_MODULE_S,
        clock=clock or SystemClock(),
        cancel=cancel,
        tell=tell,
        folder=folder,
        program=program,
        sysfs=roots.sys,
        dev=roots.dev,
    )
    names = {disk.path.name for disk in shown}
    return tuple(device for device in cards(roots) if device.path.name in names)


def prepare_flash(settings: Settings, request: FlashRequest, roots: Roots = HERE) -> FlashPlan:
    """Find out which cards are meant and what they get; refuse what must not be written.

    Reads the inventory and, where an image is named by an address, may ask the network. Nothing is written.

    Raises:
        InvalidUsage, Misconfigured, Unauthorised, Several: it cannot be done as asked; all that is wrong is said.
        NotFound, BadImage: there is no such image, or it is none. Transient: the network.
    """
    fleet = _fleet(settings, request)
    aims, notes = _aims(request, fleet)
    cards = [_card(aim, roots) for aim in aims]
    batches = []
    for image, sha256 in dict.fromkeys((aim.image, aim.sha256) for aim in aims):
        source = _source(settings, request, image, sha256)
        own = tuple(card for card, aim in zip(cards, aims, strict=True) if (aim.image, aim.sha256) == (image, sha256))
        batches.append(Batch(source, own))
    if any(card.node for card in cards):
        check_programs()  # rather now than when the cards are written
    plan = FlashPlan(request, tuple(batches), notes)
    _refuse(plan, [size_ahead(batch.source) for batch in batches], roots)
    if not request.if_needed:
        return plan
    known = KnownBoards(settings.state_dir)
    return replace(plan, held=frozenset(name for batch in batches for name in _held(batch, _identity(batch), known)))


def flash(
    settings: Settings,
    plan: FlashPlan,
    *,
    on_progress: Callable[[Progress], None],
    on_step: Listener,
    cancel: threading.Event,
    roots: Roots = HERE,
) -> FlashReport:
    """Fetch the images, look at all cards again, and make them. Blocks for minutes.

    Raises:
        BadImage, NotFound, Transient, Cancelled: an image cannot be had; nothing was written. What happens to single
        cards is in the report.
    """
    began = time.monotonic()
    known = KnownBoards(settings.state_dir)
    made = {card.name: _unchanged(card, known) for card in plan.cards if card.name in plan.held}
    left = [replace(batch, cards=tuple(c for c in batch.cards if c.name not in made)) for batch in plan.batches]
    batches = [batch for batch in left if batch.cards]
    if any(card.node for batch in batches for card in batch.cards):
        known.check()  # rather now than when the cards are written
    orders = [fetch_order(settings, plan.request, batch, on_progress, cancel) for batch in batches]
    _refuse(replace(plan, batches=tuple(batches)), [_raw_size(order.image) for order in orders], roots)
    for batch, order in zip(batches, orders, strict=True):
        held = _held(batch, order.identity, known) if plan.request.if_needed else frozenset()
        made |= {card.name: _unchanged(card, known) for card in batch.cards if card.name in held}
        todo = [card for card in batch.cards if card.name not in held]
        if cancel.is_set():  # not begun: what is on them stays
            error = Cancelled("cancelled before it was begun", "the same command goes on")
            made |= {card.name: Made(card, Outcome.CANCELLED, error=error) for card in todo}
            continue
        try:
            done = make_cards(todo, order, known, on_progress=on_progress, on_step=on_step, cancel=cancel, roots=roots)
        except InfraError as refused:
            if not made:
                raise
            done = tuple(Made(card, Outcome.FAILED, error=refused) for card in todo)
        made |= {one.card.name: one for one in done}
    all_made = tuple(made[card.name] for card in plan.cards)
    if plan.request.eject:  # not before: a reader's power goes for all of its cards
        all_made = let_go(all_made, on_step)
    return FlashReport(all_made, known.known_hosts, time.monotonic() - began)


def _fleet(settings: Settings, request: FlashRequest) -> Fleet | None:
    if request.nodes is not None:
        return decode_fleet(request.nodes, "--nodes")
    if request.inventory is None:
        if request.node or request.to or request.every:
            raise InvalidUsage("--node, --to and --all are about the nodes of an inventory", "add --inventory DIR")
        return None
    program = Path(find_program(settings.ansible)).with_name("ansible-inventory")
    return read_fleet(request.inventory, program=program)


def _aims(request: FlashRequest, fleet: Fleet | None) -> tuple[list[_Aim], tuple[str, ...]]:
    """Return the cards that are asked for."""
    ways = [bool(request.to), request.every, bool(request.node or request.device)]
    if sum(ways) != 1:
        said = "say which card is meant, in one way" if sum(ways) else "no card is named"
        raise InvalidUsage(said, "a DEVICE (with --node), or --to NODE=DEVICE, or --all; im flash --list shows cards")
    if fleet is None:
        return [_Aim(request.device, None, _image(request, None), request.sha256)], ()
    if request.to:
        return [_aim(request, fleet.board(node), device) for node, device in request.to], ()
    if request.every:
        without = [board for board in fleet.boards if not board.device]
        boards = [board for board in fleet.boards if board.device]
        if not boards:
            raise InvalidUsage(f"no board of {fleet.where} has a raspberry_pi_device", "name them: --to NODE=DEVICE")
        return [_aim(request, board, board.device) for board in boards], tuple(_left_out(without))
    if not request.node:
        raise InvalidUsage("which node is it to become?", "add --node NAME")
    board = fleet.board(request.node)
    return [_aim(request, board, request.device or board.device)], ()


def _left_out(boards: Sequence[Board]) -> Iterator[str]:
    for is_network, why in (
        (False, "left out, for they have no raspberry_pi_device"),
        (True, "left out, for they boot from the network; with a file as raspberry_pi_device they get an image"),
    ):
        names = [board.name for board in boards if (board.storage is Storage.NETWORK) == is_network]
        if names:
            yield f"{why}: {', '.join(names)}"


def _aim(request: FlashRequest, board: Board, device: str) -> _Aim:
    if not device:
        raise InvalidUsage(f"{board.name} has no raspberry_pi_device", f"name it: --to {board.name}=/dev/sdX")
    sha256 = request.sha256 or ("" if request.image else board.image_sha256)
    return _Aim(device, board, _image(request, board), sha256)


def _image(request: FlashRequest, board: Board | None) -> str:
    image = request.image or (board.image if board else "")
    if not image:
        whose = f" for {board.name}" if board else ""
        raise InvalidUsage(f"no image is named{whose}", "name an IMAGE, or set raspberry_pi_image in the inventory")
    return image


def _card(aim: _Aim, roots: Roots) -> Card:
    if aim.device.startswith("ssh://"):
        said = f"{aim.device}: the disk of a running machine is written alone"
        raise InvalidUsage(said, f"im flash IMAGE {aim.device}, with --node and the inventory where it becomes one")
    spot = look_at(Path(aim.device), roots)
    if aim.board is None:
        return Card(aim.device, spot)
    if not is_usable_name(spot.real):
        raise InvalidUsage(f"{aim.device}: {UNUSABLE_NAME}", "rename the file")
    return Card(aim.board.name, spot, aim.board.node, aim.board.address)


def _source(settings: Settings, request: FlashRequest, image: str, sha256: str) -> Source:
    return sources.find(
        image,
        cache=settings.cache_dir,
        os_list=request.os_list or None,
        sha256=sha256 or None,
        bmap=request.bmap or None,
    )


def size_ahead(source: Source) -> int | None:
    """Return how large the raw image is, as far as that is known before it is fetched."""
    if source.extract_size is not None or "://" in source.address:
        return source.extract_size
    return _raw_size(Path(source.address))


def _raw_size(path: Path) -> int | None:
    """Return how large the raw image is, or at least is, as far as its file says it."""
    with open_stream(path) as stream:
        return stream.least or None if stream.size is None else stream.size


def fetch_order(
    settings: Settings,
    request: FlashRequest,
    batch: Batch,
    on_progress: Callable[[Progress], None],
    cancel: threading.Event,
) -> Order:
    """Fetch an image, and its block map."""
    source = batch.source
    image = download.fetch(source, settings.cache_dir, on_progress, cancel)
    return Order(
        image=image,
        identity=_identity(batch) or _digest(image),
        size=source.extract_size,
        sha256=None if source.sha256 else source.extract_sha256,
        init=source.init_format,
        blocks=sources.block_map(source, image),
        verify=request.verify,
    )


def _identity(batch: Batch) -> str:
    """Return what the marks on cards call an image; "" where only its content tells, and that is not here yet."""
    if all(card.node is None for card in batch.cards):
        return "unmarked"
    if batch.source.sha256:
        return f"sha256:{batch.source.sha256}"
    return "" if "://" in batch.source.address else _digest(Path(batch.source.address))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _held(batch: Batch, identity: str, known: KnownBoards) -> frozenset[str]:
    if not identity:
        return frozenset()
    return frozenset(card.name for card in batch.cards if holds_already(card, identity, known))


def _refuse(plan: FlashPlan, sizes: Sequence[int | None], roots: Roots) -> None:
    forced = frozenset(look_at(Path(path), roots).real for path in plan.request.forced)
    found: list[InfraError] = list(said_twice([_wish(card) for card in plan.cards]))
    for batch, size in zip(plan.batches, sizes, strict=True):
        image = None if "://" in batch.source.address else look_at(Path(batch.source.address), roots)
        found += refusals([_wish(card) for card in batch.cards], image=image, image_size=size, forced=forced)
    # what may not be touched at all comes first: its exit code is another one than that of missing rights
    wrong = [error for error in found if not isinstance(error, Unauthorised)] or found
    if wrong:
        raise wrong[0] if len(wrong) == 1 else Several(wrong)


def _wish(card: Card) -> Wish:
    return Wish(card.spot, card.name if card.node else "")


def _unchanged(card: Card, known: KnownBoards) -> Made:
    hostname = card.node.hostname if card.node else ""
    return Made(card, Outcome.UNCHANGED, host_key=known.host_key(hostname) or "")
