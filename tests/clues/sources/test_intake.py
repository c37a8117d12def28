"""Two watches of pods, one picture: whatever the order, it ends as a fresh list would have it."""

import json
from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clues.sources.intake import Intake
from clues.sources.kubernetes import RESOURCES
from clues.sources.listwatch import Change, Listed
from clues.sources.wire import Cluster
from tests.laws import some

PENDING, BOUND, NODES = RESOURCES[:3]


def pod(name: str, uid: str, node: str = "", touched: int = 0, deleted: str = "") -> bytes:
    spec = {"containers": [{"resources": {"requests": {"cpu": "1"}}}], **({"nodeName": node} if node else {})}
    meta = {"name": name, "namespace": "x", "uid": uid, "labels": {"touched": str(touched)}}
    meta |= {"deletionTimestamp": deleted} if deleted else {}
    return json.dumps({"metadata": meta, "spec": spec, "status": {"phase": "Pending"}}).encode()


class World:
    """What the server knows, and what it has still to tell each watch."""

    def __init__(self) -> None:
        self.pods: dict[str, tuple[str, str, int]] = {}  # name -> uid, node, touched
        self.untold: dict[Any, deque[Change]] = {PENDING: deque(), BOUND: deque()}
        self.made = 0

    def tell(self, event: str, name: str) -> None:
        uid, node, touched = self.pods[name]
        self.untold[BOUND if node else PENDING].append(Change(event, pod(name, uid, node, touched)))

    def create(self, name: str) -> None:
        if name not in self.pods:
            self.made += 1
            self.pods[name] = (f"u{self.made}", "", 0)
            self.tell("ADDED", name)

    def bind(self, name: str) -> None:
        if name in self.pods and not self.pods[name][1]:
            self.tell("DELETED", name)
            self.pods[name] = (self.pods[name][0], "n", self.pods[name][2])
            self.tell("ADDED", name)

    def touch(self, name: str) -> None:
        if name in self.pods:
            uid, node, touched = self.pods[name]
            self.pods[name] = (uid, node, touched + 1)
            self.tell("MODIFIED", name)

    def delete(self, name: str) -> None:
        if name in self.pods:
            uid, node, touched = self.pods.pop(name)
            last = pod(name, uid, node, touched, deleted="2026-01-01T00:00:00Z")
            self.untold[BOUND if node else PENDING].append(Change("DELETED", last))

    def finish(self, name: str) -> None:
        """It matches no watch any more: it is sent as it was before."""
        if name in self.pods:
            self.tell("DELETED", name)
            del self.pods[name]

    def listed(self, resource: Any) -> list[Listed]:
        """A fresh list, in two parts: nothing from before it is told any more."""
        self.untold[resource].clear()
        raws = tuple(pod(n, *about) for n, about in self.pods.items() if bool(about[1]) is (resource is BOUND))
        return [Listed(raws[:1], True, False), Listed(raws[1:], False, True)]


def picture(cluster: Cluster) -> tuple[list[Any], list[Any]]:
    shown = cluster.snapshot(0.0, (), {})
    bound = [p for state in shown.nodes.values() for p in state.pods]
    return sorted((p.uid, p.labels["touched"]) for p in bound), sorted(
        (p.uid, p.labels["touched"]) for p in shown.pending
    )


def intake() -> tuple[Cluster, Intake]:
    cluster = Cluster()
    made = Intake(cluster, RESOURCES[:3])
    made.take(NODES, Listed((b'{"metadata":{"name":"n"}}',)), 0.0)
    return cluster, made


NAMES = st.sampled_from("abc")
DOINGS = st.one_of(
    st.tuples(st.sampled_from(["create", "bind", "touch", "delete", "finish"]), NAMES),
    st.tuples(st.sampled_from(["deliver", "deliver", "relist"]), st.sampled_from([PENDING, BOUND])),
)


@settings(max_examples=some(300), deadline=None)
@given(st.lists(DOINGS, max_size=40))
def test_any_order_of_events_and_lists_ends_as_a_fresh_list(doings: list[tuple[str, Any]]) -> None:
    world, (cluster, it), seen = World(), intake(), set[str]()
    for what, on in doings:
        if what == "deliver":
            if world.untold[on]:
                it.take(on, world.untold[on].popleft(), 0.0)
        elif what == "relist":
            for part in world.listed(on):
                it.take(on, part, 0.0)
        else:
            getattr(world, what)(on)
        bound, pending = picture(cluster)
        shown = [uid for uid, _ in bound + pending]
        assert len(shown) == len(set(shown)), "counted twice"
        seen |= set(shown)
        assert {uid for uid, _, _ in world.pods.values()} & seen <= set(shown), "lost"
    for watch, untold in world.untold.items():
        for change in untold:
            it.take(watch, change, 0.0)
    it.settle(2.0, lambda _: True)
    fresh_cluster, fresh = intake()
    for watch in (PENDING, BOUND):
        for part in world.listed(watch):
            fresh.take(watch, part, 0.0)
    assert picture(cluster) == picture(fresh_cluster)


def test_a_pod_that_left_is_kept_while_the_other_watch_is_away() -> None:
    cluster, it = intake()
    it.take(PENDING, Change("ADDED", pod("a", "u1")), 0.0)
    it.take(PENDING, Change("DELETED", pod("a", "u1")), 0.0)
    it.settle(0.5, lambda _: True)
    assert picture(cluster) == ([], [("u1", "0")])
    it.settle(60.0, lambda _: False)
    assert picture(cluster) == ([], [("u1", "0")])
    it.settle(60.0, lambda _: True)
    assert picture(cluster) == ([], [])


def test_a_pod_that_is_deleted_while_it_is_pending_is_gone_at_once() -> None:
    cluster, it = intake()
    it.take(PENDING, Change("ADDED", pod("a", "u1")), 0.0)
    it.take(PENDING, Change("DELETED", pod("a", "u1", deleted="2026-01-01T00:00:00Z")), 0.0)
    assert picture(cluster) == ([], [])


def test_a_pod_made_anew_under_an_old_name_is_another_pod() -> None:
    cluster, it = intake()
    it.take(BOUND, Change("ADDED", pod("db-0", "old", "n")), 0.0)
    it.take(PENDING, Change("ADDED", pod("db-0", "new")), 0.0)
    it.take(BOUND, Change("MODIFIED", pod("db-0", "old", "n", 1)), 0.0)
    it.take(BOUND, Change("DELETED", pod("db-0", "old", "n", 1)), 0.0)
    assert picture(cluster) == ([], [("new", "0")])


def test_a_list_that_is_broken_off_forgets_nothing_and_the_next_begins_anew() -> None:
    cluster, it = intake()
    it.take(BOUND, Listed((pod("a", "u1", "n"), pod("b", "u2", "n"))), 0.0)
    it.take(BOUND, Listed((pod("c", "u3", "n"),), True, False), 0.0)
    assert [uid for uid, _ in picture(cluster)[0]] == ["u1", "u2", "u3"]
    it.take(BOUND, Listed((pod("b", "u2", "n"),)), 0.0)
    assert [uid for uid, _ in picture(cluster)[0]] == ["u2"]


def test_complete_is_when_every_list_has_its_last_part() -> None:
    _, it = intake()
    it.take(PENDING, Listed(()), 0.0)
    it.take(BOUND, Listed((), True, False), 0.0)
    assert not it.is_complete
    it.take(BOUND, Listed((), False, True), 0.0)
    assert it.is_complete


def test_a_broken_object_that_is_deleted_is_no_problem_any_more() -> None:
    cluster = Cluster()
    cluster.apply("Pod", "ADDED", b'{"metadata":{"name":"a","uid":"u"},"spec":5}')
    assert cluster.snapshot(0.0, (), {}).problems[0].startswith("Pod a: ")
    cluster.apply("Pod", "DELETED", b'{"metadata":{"name":"a","uid":"u"},"spec":5}')
    assert cluster.snapshot(0.0, (), {}).problems == ()


@settings(max_examples=some(60), deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["metadata", "name", "uid", "spec", "labels", "containers", "status", "volumes"]), inner
            )
        ),
    ),
    st.sampled_from([r.kind for r in RESOURCES]),
)
def test_nothing_that_comes_makes_it_fail(item: Any, kind: str) -> None:
    cluster = Cluster()
    for event in ("ADDED", "MODIFIED", "DELETED"):
        cluster.apply(kind, event, json.dumps(item).encode())
    cluster.snapshot(0.0, (), {})
