"""The whole course of cards, on image files: written, customised, read back; and what stops one half way."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from im_client.flash.card import Card, Made, Order, Outcome, Step, holds_already, make_cards
from im_client.flash.claim import claimed
from im_client.flash.customise import read_mark
from im_client.flash.devices import look_at
from im_client.flash.guard import guarded, is_unfinished
from im_client.flash.known import KnownBoards
from im_client.flash.model import BadImage, Progress
from im_client.flash.node import Node
from infracore.errors import Cancelled, Conflict, Locked
from tests.im_client.flash.customise.pi_images import KEY, Disk, a_node, make_disk

pytestmark = pytest.mark.mtools


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    folder = tmp_path / "image"
    folder.mkdir()
    return make_disk(folder)


@pytest.fixture
def order(disk: Disk) -> Order:
    return Order(image=disk.path, identity="sha256:1234")


class Watch:
    """Keeps what it is told."""

    def __init__(self, cancel_at: Step | None = None) -> None:
        self.cancel = threading.Event()
        self.steps: list[tuple[str, Step]] = []
        self._cancel_at = cancel_at

    def on_progress(self, progress: Progress) -> None:
        """Let it go by: how often it comes, and when, is not certain."""

    def on_step(self, name: str, step: Step) -> None:
        self.steps.append((name, step))
        if step is self._cancel_at:
            self.cancel.set()


def make(cards: Sequence[Card], order: Order, known: KnownBoards, watch: Watch | None = None) -> tuple[Made, ...]:
    seen = watch or Watch()
    return make_cards(cards, order, known, on_progress=seen.on_progress, on_step=seen.on_step, cancel=seen.cancel)


def card(tmp_path: Path, name: str, node: Node | None = None) -> Card:
    return Card(name, look_at(tmp_path / f"{name}.img"), node, "10.0.0.11" if node else "")


def user(name: str, **more: object) -> Node:
    return a_node(hostname=name, user="ana", authorized_keys=[KEY], **more)


def test_each_card_becomes_its_node_with_a_host_key_that_is_known_here(tmp_path: Path, order: Order) -> None:
    known = KnownBoards(tmp_path / "state")
    watch = Watch()
    cards = [card(tmp_path, "web", user("web")), card(tmp_path, "db", user("db"))]
    done = make(cards, order, known, watch)
    assert [(made.outcome, made.verified, made.is_unfinished) for made in done] == [(Outcome.DONE, True, False)] * 2
    for made in done:
        written = Disk(made.card.spot.path)
        written.fsck(tmp_path)
        assert f"hostname: {made.card.name}" in written.boot("user-data")
        assert written.root("/etc/ssh/im_host_ed25519_key.pub").split()[:2] == made.host_key.split()
        assert known.host_key(made.card.name) == made.host_key
        assert not is_unfinished(written.path)
    assert done[0].host_key != done[1].host_key
    last = [made for made in done if f"10.0.0.11 {made.host_key}\n" in known.known_hosts.read_text()]
    assert len(last) == 1  # the address of both: the last that was done has it
    assert sorted(watch.steps) == [
        ("db", Step.CUSTOMISE),
        ("db", Step.ENDED),
        ("web", Step.CUSTOMISE),
        ("web", Step.ENDED),
    ]


def test_without_a_node_the_image_is_written_as_it_is(tmp_path: Path, disk: Disk, order: Order) -> None:
    (made,) = make([card(tmp_path, "plain")], order, KnownBoards(tmp_path / "state"))
    assert (made.outcome, made.customised, made.host_key) == (Outcome.DONE, None, "")
    assert made.card.spot.path.read_bytes() == disk.path.read_bytes()
    assert not (tmp_path / "state").exists()


def test_a_card_holds_already_what_was_written_until_one_word_changes(tmp_path: Path, order: Order) -> None:
    known = KnownBoards(tmp_path / "state")
    node = user("web")
    make([card(tmp_path, "web", node)], order, known)
    assert holds_already(card(tmp_path, "web", node), order.identity, known)
    assert not holds_already(card(tmp_path, "web", node), "sha256:another", known)
    assert not holds_already(card(tmp_path, "web", user("web", timezone="UTC")), order.identity, known)
    assert not holds_already(card(tmp_path, "web", None), order.identity, known)
    assert not holds_already(card(tmp_path, "new", node), order.identity, known)
    assert not holds_already(card(tmp_path, "web", node), order.identity, KnownBoards(tmp_path / "elsewhere"))


def test_a_card_that_cannot_be_customised_stays_unfinished_and_the_other_is_done(tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    bare = Order(image=make_disk(folder, root=(), boot={}).path, identity="sha256:1")
    known = KnownBoards(tmp_path / "state")
    good, bad = make([card(tmp_path, "a", a_node(hostname="a")), card(tmp_path, "b", user("b"))], bare, known)
    assert good.outcome is Outcome.DONE
    assert (bad.outcome, bad.is_unfinished, bad.written > 0) == (Outcome.FAILED, True, True)
    assert bad.error is not None
    assert "b: " in bad.error.message
    assert is_unfinished(bad.card.spot.path)
    assert known.host_key("b") is None
    assert not holds_already(bad.card, "sha256:1", known)


@pytest.mark.parametrize("moment", [None, Step.CUSTOMISE])
def test_a_cancelled_card_is_unfinished(tmp_path: Path, order: Order, moment: Step | None) -> None:
    known = KnownBoards(tmp_path / "state")
    watch = Watch(cancel_at=moment)
    if moment is None:  # while it is written
        watch.cancel.set()
    (made,) = make([card(tmp_path, "web", user("web"))], order, known, watch)
    assert made.outcome is Outcome.CANCELLED
    assert isinstance(made.error, Cancelled)
    assert made.is_unfinished
    assert is_unfinished(made.card.spot.path)
    assert known.host_key("web") is None


def test_a_card_that_is_gone_before_it_is_customised_fails(tmp_path: Path, order: Order) -> None:
    known = KnownBoards(tmp_path / "state")
    wanted = card(tmp_path, "web", user("web"))
    made = make_cards(
        [wanted],
        order,
        known,
        on_progress=lambda _: None,
        on_step=lambda _, step: wanted.spot.path.unlink() if step is Step.CUSTOMISE else None,
        cancel=threading.Event(),
    )[0]
    assert (made.outcome, made.is_unfinished) == (Outcome.FAILED, True)
    assert made.error is not None
    assert str(wanted.spot.path) in made.error.message
    assert known.host_key("web") is None


def test_a_card_that_another_process_has_fails_alone(tmp_path: Path, order: Order) -> None:
    path = tmp_path / "held.img"
    path.write_bytes(b"something else" * 100)
    known = KnownBoards(tmp_path / "state")
    with claimed(look_at(path)):
        taken, good = make([card(tmp_path, "held"), card(tmp_path, "free")], order, known)
    assert isinstance(taken.error, Locked)
    assert (taken.outcome, taken.is_unfinished, good.outcome) == (Outcome.FAILED, False, Outcome.DONE)
    assert path.read_bytes() == b"something else" * 100


def test_a_place_that_changed_since_it_was_agreed_to_is_not_written(tmp_path: Path, order: Order) -> None:
    agreed = card(tmp_path, "web")
    (tmp_path / "other.img").write_bytes(b"precious" * 100)
    (tmp_path / "web.img").symlink_to(tmp_path / "other.img")
    (made,) = make([agreed], order, KnownBoards(tmp_path / "state"))
    assert isinstance(made.error, Conflict)
    assert (tmp_path / "other.img").read_bytes() == b"precious" * 100


def test_a_mark_of_an_unfinished_card_counts_for_nothing(tmp_path: Path, order: Order) -> None:
    known = KnownBoards(tmp_path / "state")
    node = user("web")
    (made,) = make([card(tmp_path, "web", node)], order, known)
    path = made.card.spot.path
    with path.open("r+b") as file:
        sector = guarded(file.read(512))
        file.seek(0)
        file.write(sector)
    assert read_mark(path) is not None
    assert not holds_already(card(tmp_path, "web", node), order.identity, known)


def test_no_card_is_touched_where_the_image_is_none(tmp_path: Path, disk: Disk, order: Order) -> None:
    target = tmp_path / "web.img"
    target.write_bytes(b"precious" * 100)
    disk.path.write_bytes(b"\xfd7zXZ\x00" + bytes(100))
    with pytest.raises(BadImage):
        make([card(tmp_path, "web")], order, KnownBoards(tmp_path / "state"))
    assert target.read_bytes() == b"precious" * 100
