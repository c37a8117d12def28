"""A writer that is killed, before each thing that it does to a card: the card is marked, or whole and the node's."""

import subprocess
import sys
from pathlib import Path

import pytest

from im_client.flash.customise import read_mark
from im_client.flash.guard import is_unfinished
from im_client.flash.partitions import read_table
from tests.im_client.flash.customise.pi_images import KEY, Disk, a_node, make_disk

pytestmark = pytest.mark.mtools

_DIES = """
import os, signal, sys, threading
from pathlib import Path
from im_client.flash.card import Card, Order, make_cards
from im_client.flash.devices import look_at
from im_client.flash.known import KnownBoards
from im_client.flash.node import decode_node

image, card, state, key, dies = *map(Path, sys.argv[1:4]), *sys.argv[4:]
steps = []
pwrite = os.pwrite

def step(what):
    if len(steps) == int(dies):
        os.kill(os.getpid(), signal.SIGKILL)
    steps.append(what)

def counted(*words):
    step("w")
    return pwrite(*words)

os.pwrite = counted
sys.addaudithook(lambda event, _: step("p") if event == "subprocess.Popen" else None)
node = decode_node({"hostname": "web", "user": "ana", "authorized_keys": [key]}, "test")
order = Order(image=image, identity="sha256:1")
quiet = {"on_progress": lambda _: None, "on_step": lambda *_: None, "cancel": threading.Event()}
(made,) = make_cards([Card("web", look_at(card), node)], order, KnownBoards(state), **quiet)
print(made.outcome.value, "".join(steps))
"""


def run(disk: Disk, card: Path, dies: int) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", _DIES, str(disk.path), str(card), str(card.parent / "state"), KEY, str(dies)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def is_safe(card: Path) -> bool:
    """Whether a card is empty, marked and without a partition that boots, or whole and customised."""
    if not card.exists() or not card.stat().st_size:
        return True
    if not is_unfinished(card):
        mark = read_mark(card)
        node = a_node(hostname="web", user="ana", authorized_keys=[KEY])
        return mark is not None and mark.holds(node, "sha256:1")
    sector = card.read_bytes()[:512]
    return sector[510:] != b"\x55\xaa" or [part.kind for part in read_table(card)] == ["da", "83"]


@pytest.mark.parametrize("what", ["w", pytest.param("wp", marks=pytest.mark.slow)], ids=["writes", "programs"])
def test_a_killed_writer_leaves_no_card_that_boots_as_another(tmp_path: Path, what: str) -> None:
    """Before each write of its own and, where there is time, before each program that writes into partitions."""
    (tmp_path / "image").mkdir()
    disk = make_disk(tmp_path / "image")
    whole = run(disk, tmp_path / "whole.img", -1)
    outcome, steps = whole.stdout.split()
    assert (outcome, whole.returncode) == ("done", 0)
    assert steps.endswith("pw")  # the guard comes off last
    card = tmp_path / "card.img"
    for dies, one in enumerate(steps):
        if one in what:
            card.write_bytes(b"\xaa" * (24 << 20))
            assert run(disk, card, dies).returncode == -9
            assert is_safe(card), f"killed before step {dies} of {steps}"
