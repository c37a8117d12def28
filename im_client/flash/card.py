"""The whole course of cards that get one image: claimed, written together, then customised; and ejected in the end.

Each card goes its own way: one that fails stops no other.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from im_client.flash.bmap import BlockMap
from im_client.flash.claim import Let, claimed, eject
from im_client.flash.customise import Customised, customise, read_mark
from im_client.flash.devices import HERE, Kind, Roots, Spot, look_at
from im_client.flash.guard import is_unfinished
from im_client.flash.known import KnownBoards, names_of
from im_client.flash.model import InitFormat, Progress, Result, State, Target
from im_client.flash.node import Node
from im_client.flash.streams import open_stream
from im_client.flash.write import write
from im_client.remote.hostkeys import new_host_key
from infracore.errors import Cancelled, CommandFailed, Conflict, InfraError, NotFound

__all__ = ["Card", "Listener", "Made", "Order", "Outcome", "Step", "holds_already", "let_go", "make_cards"]


class Step(StrEnum):
    """What is being done with a card besides writing and verifying."""

    CUSTOMISE = "customise"
    EJECT = "eject"
    ENDED = "ended"


class Outcome(StrEnum):
    """What became of a card."""

    DONE = "done"
    UNCHANGED = "unchanged"
    """It held this image and configuration already."""
    FAILED = "failed"
    CANCELLED = "cancelled"


Listener = Callable[[str, Step], None]
"""Called with a card's name from several threads; must be quick and must not raise."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is to be made: a place, and the node that it becomes."""

    name: str
    """The node's name in the inventory; without a node the device's."""
    spot: Spot
    node: Node | None = None
    """None: the image as it is."""
    address: str = ""
    """Where the node will be reached, if that is no fixed address of its own."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is alike for all cards of an image."""

    image: Path
    identity: str
    """What the mark on a card calls the image: a digest of it."""
    size: int | None = None
    """Bytes that the raw image must have, where somebody says so."""
    sha256: str | None = None
    """Of the raw image, where it is to be checked."""
    init: InitFormat | None = None
    blocks: BlockMap | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """How it went with one card."""

    card: Card
    outcome: Outcome
    written: int = 0
    """Bytes."""
    verified: bool = False
    customised: Customised | None = None
    host_key: str = ""
    """The public half; "" where the node makes its own."""
    let: Let = Let.SYNCED
    error: InfraError | None = None
    is_begun: bool = False
    """Whether something was written: what it held is lost."""
    is_unfinished: bool = False
    """Whether something was written, and the card is marked so that it does not boot."""
    elapsed_s: float = 0.0


def holds_already(card: Card, identity: str, known: KnownBoards) -> bool:
    """Say whether a card has this image and this node's configuration, and this computer knows its host key.

    By what the card says of itself; an image without a node leaves no mark, and is always written.

    Raises:
        InvalidUsage, Misconfigured, CommandFailed: it cannot be read.
    """
    if card.node is None or card.spot.kind is Kind.ABSENT or is_unfinished(card.spot.real):
        return False
    mark = read_mark(card.spot.real)
    if mark is None or not mark.host_key or mark.host_key != known.host_key(card.node.hostname):
        return False
    return mark.holds(card.node, identity)


def make_cards(
    cards: Sequence[Card],
    order: Order,
    known: KnownBoards,
    *,
    on_progress: Callable[[Progress], None],
    on_step: Listener,
    cancel: threading.Event,
    roots: Roots = HERE,
) -> tuple[Made, ...]:
    """Make cards of one image, all at once, in the order given. Blocks for minutes.

    Raises:
        BadImage: the image is not one; nothing was written.
    """
    began = time.monotonic()
    made: dict[str, Made] = {}

    def end(one: Made) -> None:
        made[one.card.name] = replace(one, elapsed_s=time.monotonic() - began)
        on_step(one.card.name, Step.ENDED)

    with open_stream(order.image, size=order.size, sha256=order.sha256) as stream, ExitStack() as claims:
        for card in cards:
            try:
                claims.enter_context(claimed(card.spot))
                _look_again(card.spot, roots)
            except InfraError as error:
                end(Made(card, Outcome.FAILED, error=error))
        ours = {card.name: card for card in cards if card.name not in made}
        finish = _Finish(ours, order, known, on_step, cancel)
        targets = [Target(c.name, c.spot.real, c.spot.size if c.spot.is_disk else 0) for c in ours.values()]
        results: tuple[Result, ...] = ()
        if targets:
            results = write(
                stream,
                targets,
                blocks=order.blocks,
                on_progress=on_progress,
                cancel=cancel,
                verify=order.verify,
                finish=finish,
            )
        for result in results:
            end(finish.made(result))
    return tuple(made[card.name] for card in cards)


def _look_again(spot: Spot, roots: Roots) -> None:
    """Compare with what was refused or agreed to: between, somebody may have changed cards."""
    now = look_at(spot.path, roots)
    if now.real == spot.real and now.kind is Kind.FILE and spot.kind is Kind.ABSENT:  # made by the claim
        return
    if (now.real, now.kind, now.device) != (spot.real, spot.kind, spot.device):
        raise Conflict(f"{spot.path} is not what it was a moment ago: nothing is written to it", "look and try again")


class _Finish:
    """Customises cards, each in the thread that has written it, while nobody else can open it."""

    def __init__(
        self, cards: Mapping[str, Card], order: Order, known: KnownBoards, on_step: Listener, cancel: threading.Event
    ) -> None:
        self._cards = cards
        self._order = order
        self._known = known
        self._on_step = on_step
        self._cancel = cancel
        self._done: dict[str, tuple[Customised, str]] = {}

    def __call__(self, target: Target) -> None:
        """Customise the node's card. Raises InfraError: it stays unfinished."""
        card = self._cards[target.name]
        if card.node is None:
            return
        self._on_step(card.name, Step.CUSTOMISE)
        key = new_host_key()
        node = replace(card.node, host_key=key)
        try:
            if not card.spot.is_disk:  # the node's private key will be in it
                target.path.chmod(0o600)
            if self._cancel.is_set():
                raise Cancelled(f"{card.name}: cancelled before it was customised", "flash it again")
            done = customise(target.path, node, self._order.init, image=self._order.identity)
        except OSError as error:
            hint = "put the card in again, or another one"
            raise CommandFailed(f"{card.name} ({target.path}): {error.strerror}", hint) from error
        self._known.remember(node.hostname, key.public, names_of(node, card.address))
        self._done[card.name] = (done, key.public)

    def made(self, result: Result) -> Made:
        """Return what became of a card whose writing has ended."""
        card = self._cards[result.target.name]
        seen = Made(card, Outcome.DONE, written=result.written, verified=result.verified, is_begun=result.is_begun)
        if result.state is not State.DONE:
            outcome = Outcome.CANCELLED if result.state is State.CANCELLED else Outcome.FAILED
            return replace(seen, outcome=outcome, error=result.error, is_unfinished=_is_marked(card, result))
        done, key = self._done.get(card.name, (None, ""))
        return replace(seen, customised=done, host_key=key)


def _is_marked(card: Card, result: Result) -> bool:
    try:
        return result.is_begun and is_unfinished(card.spot.real)
    except NotFound:  # pulled out
        return result.is_begun


def let_go(made: Sequence[Made], on_step: Listener) -> tuple[Made, ...]:
    """Eject the cards that are done, once none is to be written any more. Blocks for seconds a card.

    A reader's power goes only where all of its cards are well: who repeats a command wants the others to be there.
    """
    readers: dict[str, list[Made]] = {}
    for one in made:
        device = one.card.spot.device
        readers.setdefault((device.usb or device.name) if device else one.card.name, []).append(one)
    let: dict[str, Let] = {}
    for ones in readers.values():
        done = [one for one in ones if one.outcome is Outcome.DONE]
        for one in done:
            on_step(one.card.name, Step.EJECT)
        if done:
            is_all = all(one.outcome in {Outcome.DONE, Outcome.UNCHANGED} for one in ones)
            ways = eject([one.card.spot for one in done], is_all=is_all)
            let |= {one.card.name: way for one, way in zip(done, ways, strict=True)}
    return tuple(replace(one, let=let.get(one.card.name, one.let)) for one in made)
