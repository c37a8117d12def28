"""What comes faster than the loop takes it in."""

import threading
import time
from collections.abc import Iterator

import pytest

from clues.sources import kubernetes
from clues.sources.kubernetes import KubernetesSource
from clues.sources.listwatch import Timing
from infracore.clock import SystemClock
from tests.clues.sources.server import Server, event, named, page, status, stream
from tests.clues.sources.test_listwatch import NODES, until


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end()


def test_watches_wait_for_a_loop_that_does_not_take_in_and_all_comes_at_last(server: Server) -> None:
    """What waits in memory is bounded: the rest stays with the server until the loop comes round."""
    count = 3 * kubernetes.MOST_WAITING // 2
    lines = b"".join(event("ADDED", named(f"n{number}", str(number + 2))) for number in range(count))
    server.speeches.extend([status(400, "no streaming lists"), page([], "1"), stream(lines)])
    source = KubernetesSource(server.api(), SystemClock(), Timing(), resources=[NODES])
    source.start(lambda: None)
    try:
        until(lambda: source.waiting >= kubernetes.MOST_WAITING)
        assert source.waiting < kubernetes.MOST_WAITING + kubernetes.MOST_TOGETHER
        until(lambda: len(source.snapshot(0.0, {}).nodes) == count)
        assert source.waiting == 0
    finally:
        source.stop()


def test_a_watch_that_waits_for_room_stops_at_once(server: Server) -> None:
    lines = b"".join(event("ADDED", named("n", str(number + 2))) for number in range(kubernetes.MOST_WAITING + 10))
    server.speeches.extend([status(400, "no streaming lists"), page([], "1"), stream(lines)])
    source = KubernetesSource(server.api(), SystemClock(), Timing(), resources=[NODES])
    source.start(lambda: None)
    until(lambda: source.waiting >= kubernetes.MOST_WAITING)
    began = time.monotonic()
    source.stop()
    assert time.monotonic() - began < 1.5
    assert not [thread for thread in threading.enumerate() if thread.name == "watch Node"]
