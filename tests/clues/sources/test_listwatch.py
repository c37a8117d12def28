"""List and watch through what goes wrong, against a server on loopback."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from clues.options import Policy
from clues.sources.kubernetes import KubernetesSource
from clues.sources.listwatch import Change, Listed, Resource, Timing, Watch
from infracore.clock import FakeClock, SystemClock
from tests.clues.sources.server import Handler, Server, Speech, bookmark, event, named, page, status, stream

QUICK = Timing(watch_s=1, idle_s=0.3, page=2, backoff_first_s=0.01, backoff_most_s=0.05)
NO_STREAMING = status(400, "sendInitialEvents is forbidden")
NODES = Resource("Node", "/api/v1/nodes")


def until(what: Callable[[], Any], limit_s: float = 4.0) -> None:
    end = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


class Follower:
    """A watch of the server's, and the objects that one knows who believes it."""

    def __init__(self, server: Server, resource: Resource = NODES) -> None:
        self.items: list[Change | Listed] = []
        self.known: dict[str, str] = {}
        self._found: dict[str, str] = {}
        self.watch = Watch(server.api(), resource, self._take, SystemClock(), QUICK)

    def _take(self, _: Watch, came: Sequence[Change] | Listed) -> None:
        if isinstance(came, Listed):
            self.items.append(came)
            self._found = {} if came.is_first else self._found
            self._found.update(self._read(raw) for raw in came.objects)
            if came.is_last:
                self.known = self._found
            return
        for change in came:
            self.items.append(change)
            name, version = self._read(change.raw)
            if change.event == "DELETED":
                self.known.pop(name, None)
            else:
                self.known[name] = version

    @staticmethod
    def _read(raw: bytes | memoryview) -> tuple[str, str]:
        meta = json.loads(bytes(raw))["metadata"]
        return meta["name"], meta["resourceVersion"]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.end()


@pytest.fixture
def follow(server: Server) -> Iterator[Callable[..., Follower]]:
    made: list[Follower] = []

    def begin(*speeches: Speech, resource: Resource = NODES) -> Follower:
        server.speeches.extend(speeches)
        made.append(Follower(server, resource))
        made[-1].watch.start()
        return made[-1]

    yield begin
    for follower in made:
        follower.watch.stop()


Follow = Callable[..., Follower]


def queries(server: Server) -> list[dict[str, str]]:
    return [query for _, query, _ in server.asked]


def test_a_list_in_pages_then_a_watch_from_its_version(server: Server, follow: Follow) -> None:
    it = follow(
        NO_STREAMING,
        page([named("a"), named("b")], "5", "more"),
        page([named("c")], "5", zipped=True),
        stream(event("ADDED", named("d", "6")), event("DELETED", named("a", "7"))),
    )
    until(lambda: set(it.known) == {"b", "c", "d"})
    asked = queries(server)
    assert asked[0]["sendInitialEvents"] == "true"
    assert (asked[1]["limit"], asked[2]["continue"]) == ("2", "more")
    assert (asked[3]["resourceVersion"], asked[3]["allowWatchBookmarks"]) == ("5", "true")
    assert [item.is_last for item in it.items if isinstance(item, Listed)] == [False, True]


def test_a_page_that_comes_too_late_is_listed_anew_in_one_piece(server: Server, follow: Follow) -> None:
    it = follow(
        NO_STREAMING,
        page([named("a"), named("gone")], "5", "more"),
        status(410, "too old"),
        page([named("a"), named("b"), named("c")], "9"),
    )
    until(lambda: set(it.known) == {"a", "b", "c"})
    assert "limit" not in queries(server)[3]


def test_a_watch_that_is_too_old_is_listed_anew(server: Server, follow: Follow) -> None:
    too_old = event("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    it = follow(NO_STREAMING, page([named("a")], "5"), stream(too_old), page([named("b")], "9"))
    until(lambda: set(it.known) == {"b"})
    assert it.watch.relists == 1
    until(lambda: queries(server)[-1].get("resourceVersion") == "9")


def test_a_server_that_always_says_too_old_is_not_stormed(server: Server, follow: Follow) -> None:
    follow(NO_STREAMING, *[page([], "5"), status(410)] * 200)
    time.sleep(0.1)
    assert len(server.asked) < 30


def test_a_streaming_list_is_followed_on_the_same_connection(server: Server, follow: Follow) -> None:
    it = follow(
        stream(
            *(event("ADDED", named(name)) for name in "abc"),
            bookmark("9", ends_list=True),
            event("MODIFIED", named("a", "10")),
        )
    )
    until(lambda: it.known == {"a": "10", "b": "1", "c": "1"})
    assert len(server.asked) == 1


def test_a_streaming_list_that_ends_without_its_mark_is_asked_for_in_pages(server: Server, follow: Follow) -> None:
    it = follow(stream(event("ADDED", named("a")), then="end"), page([named("b")], "3"))
    until(lambda: set(it.known) == {"b"})
    assert "watch" not in queries(server)[1]


def test_a_bookmark_moves_the_version(server: Server, follow: Follow) -> None:
    follow(NO_STREAMING, page([], "5"), stream(bookmark("8"), then="end"))
    until(lambda: len(server.asked) == 4)
    assert queries(server)[3]["resourceVersion"] == "8"


@pytest.mark.parametrize("then", ["cut", "end"])
def test_a_cut_in_the_middle_of_an_object_goes_on_from_the_last_whole_one(
    server: Server, follow: Follow, then: str
) -> None:
    half = event("ADDED", named("half", "7"))[:-20]
    it = follow(
        NO_STREAMING,
        page([], "5"),
        stream(event("ADDED", named("a", "6")), half, then=then),
        stream(event("ADDED", named("b", "8"))),
    )
    until(lambda: set(it.known) == {"a", "b"})
    assert queries(server)[3]["resourceVersion"] == "6"


def test_a_watch_that_falls_silent_is_asked_for_anew(server: Server, follow: Follow) -> None:
    it = follow(NO_STREAMING, page([], "5"), stream(), stream(event("ADDED", named("a", "6"))))
    until(lambda: set(it.known) == {"a"})


@pytest.mark.parametrize("line", [b"<html>busy</html>\n", b'{"type":1}\n', b"\xff\xfe\n", b"[" * 5000 + b"\n", b"0\n"])
def test_a_line_that_is_no_event_is_followed_by_a_fresh_list(server: Server, follow: Follow, line: bytes) -> None:
    it = follow(NO_STREAMING, page([named("a")], "5"), stream(line), page([named("b")], "9"))
    until(lambda: set(it.known) == {"b"})


def test_errors_of_the_server_are_waited_out_and_said(server: Server, follow: Follow) -> None:
    it = follow(NO_STREAMING, *[status(500, "etcd is away")] * 3, page([named("a")], "5"))
    until(lambda: "etcd is away" in it.watch.problem)
    until(lambda: set(it.known) == {"a"})
    until(lambda: it.watch.problem == "")


def test_retry_after_is_kept_to(server: Server, follow: Follow) -> None:
    it = follow(NO_STREAMING, status(429, retry_after="0.1"), page([named("a")], "5"))
    began = time.monotonic()
    until(lambda: it.known)
    assert time.monotonic() - began >= 0.1


def test_watches_that_end_at_once_are_not_a_storm(server: Server, follow: Follow) -> None:
    follow(NO_STREAMING, page([], "5"), *[stream(then="end")] * 200)
    time.sleep(0.1)
    assert len(server.asked) < 25


def test_an_optional_kind_that_the_server_does_not_have_counts_as_empty(server: Server, follow: Follow) -> None:
    it = follow(*[status(404)] * 5, resource=Resource("CSINode", "/apis/x", optional=True))
    until(lambda: it.items == [Listed((), is_absent=True)])


def mute(handler: Handler) -> None:
    """Take the request and say nothing, not even headers."""
    handler.server.over.wait(5)


@pytest.mark.parametrize(
    "speeches",
    [
        [NO_STREAMING, page([], "5"), stream()],
        [stream()],
        [status(500)] * 100,
        [mute],
        [NO_STREAMING, mute],
        [NO_STREAMING, page([], "5"), mute],
    ],
)
def test_it_stops_within_a_second(server: Server, follow: Follow, speeches: list[Speech]) -> None:
    it = follow(*speeches)
    until(lambda: server.asked)
    time.sleep(0.05)
    began = time.monotonic()
    it.watch.stop()
    assert time.monotonic() - began < 0.5
    assert it.watch.state == "stopped"
    assert f"watch {it.watch.resource.name}" not in [thread.name for thread in threading.enumerate()]


def test_a_connection_that_is_dead_without_a_word_becomes_stale(server: Server) -> None:
    """An open watch is no proof: the age counts from what was heard last, and grows past the limit before the cut."""
    clock = FakeClock()
    server.speeches.extend([NO_STREAMING, page([named("a")], "5"), stream()])
    watch = Watch(server.api(), NODES, lambda *_: None, clock, Timing())
    watch.start()
    try:
        until(lambda: watch.state == "watching")
        clock.advance(45.0)
        assert watch.stale_s() == 45.0
        clock.advance(20.0)
        assert watch.state == "watching"
        assert watch.stale_s() > Policy().max_stale_s
    finally:
        watch.stop()


def test_a_quiet_watch_is_asked_to_end_before_its_copy_is_stale(server: Server, follow: Follow) -> None:
    it = follow(NO_STREAMING, page([], "5"), stream(bookmark("6"), then="end"), stream(bookmark("7"), then="end"))
    until(lambda: server.asked and queries(server)[-1].get("resourceVersion") == "7")
    assert it.watch.relists == 0
    source = KubernetesSource(server.api(), SystemClock(), Timing(), resources=[NODES])
    source.take_policy(Policy(max_stale_s=10.0))
    before = len(server.asked)
    source.start(lambda: None)
    try:
        until(lambda: len(server.asked) >= before + 1)
    finally:
        source.stop()
    assert {int(query["timeoutSeconds"]) for query in queries(server)[before:]} <= {4, 5, 6}


def test_malformed_objects_are_set_aside_and_nothing_stops(server: Server) -> None:
    broken = [
        event("ADDED", item)
        for number in range(25)
        for item in (
            named(f"n{number}", status={"allocatable": {"cpu": "many"}}),
            named(f"m{number}", spec=7),
            {"metadata": {"name": number}},
            {"metadata": None},
        )
    ]
    good = named("good", "9", status={"allocatable": {"cpu": "2"}})
    server.speeches.extend([NO_STREAMING, page([{"metadata": 5}, []], "5"), stream(*broken, event("ADDED", good))])
    source = KubernetesSource(server.api(), SystemClock(), QUICK, resources=[NODES])
    woken = threading.Event()
    source.start(woken.set)
    try:
        until(lambda: "good" in source.snapshot(0.0, {}).nodes)
        assert woken.is_set()
        assert len(server.asked) == 3
        problems = source.snapshot(0.0, {}).problems
        assert len(problems) <= 21
        assert any("n0" in line and "many" in line for line in problems)
    finally:
        source.stop()
