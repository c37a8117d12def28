"""How often boards that are not there yet are looked for."""

import itertools
import threading
from pathlib import Path

import pytest

from im_client.flash.discover.look import Places
from im_client.flash.discover.model import Wanted
from im_client.services.nodes import Search, discover_nodes
from infracore.clock import FakeClock


@pytest.mark.parametrize("limit_s", [4.0, 60.0, 900.0])
def test_pauses_grow_and_the_last_look_is_shortly_before_the_end(limit_s: float, tmp_path: Path) -> None:
    clock = FakeClock()
    begin = clock.now()
    looked: list[float] = []

    def tell(text: str) -> None:
        if text.startswith("reading"):
            looked.append(clock.now() - begin)

    search = Search(Places(root=tmp_path, listen_s=0), limit_s=limit_s, wait=True)
    report = discover_nodes(
        [Wanted("pi-1", "pi-1")], search, state_dir=tmp_path, clock=clock, cancel=threading.Event(), tell=tell
    )
    assert [one.name for one in report.missing] == ["pi-1"]
    assert limit_s - 4 <= looked[-1] <= limit_s
    pauses = [after - before for before, after in itertools.pairwise(looked)]
    assert all(3 <= pause <= 30 for pause in pauses)
    assert pauses[:-2] == sorted(pauses[:-2])
    assert max(sum(at <= one < at + 120 for one in looked) for at in looked) <= 10
