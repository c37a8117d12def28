"""Emptying a node."""

import threading

import pytest

from clues.actions.drainer import empty
from clues.model import Owner, PodRef, PodSpec
from infracore.errors import Cancelled, Conflict, TimedOut, Transient, Unauthorised
from tests.clues.world import World


@pytest.fixture
def world() -> World:
    found = World()
    found.add_node("n")
    return found


def drain(world: World, *pods: PodRef, cancel: threading.Event | None = None, force: bool = False) -> int:
    return empty(
        world,
        "n",
        pods,
        expendable_below=-10,
        force=force,
        clock=world.clock,
        cancel=cancel or threading.Event(),
        limit_s=60.0,
        pause_s=5.0,
    )


def test_pods_go_in_the_order_that_was_decided(world: World) -> None:
    refs = [world.add_pod(name, "n") for name in ("a", "b", "c")]
    assert drain(world, *reversed(refs)) == 3
    assert next(call for call in world.calls if call[0] == "evict") == ("evict", "c", "b", "a")


def test_what_stays_with_the_node_is_left(world: World) -> None:
    world.add_pod("ds", "n", owner=Owner("DaemonSet", "d"))
    world.add_pod("static", "n", mirror=True)
    assert drain(world) == 0
    assert world.count("evict") == 0


def test_expendable_pods_are_evicted_though_nobody_counted_on_them(world: World) -> None:
    world.add_pod("batch", "n", spec=PodSpec(priority=-100))
    assert drain(world) == 1


def test_a_pod_that_came_meanwhile_ends_it(world: World) -> None:
    world.add_pod("new", "n")
    with pytest.raises(Conflict, match="ns/new came to n"):
        drain(world)


def test_a_budget_is_asked_again_until_it_allows(world: World) -> None:
    ref = world.add_pod("a", "n")
    world.protected = {"a"}
    real = world.evict

    def evict(pods, *, force=False):
        if world.count("evict") == 2:
            world.protected.clear()
        return real(pods, force=force)

    world.evict = evict
    before = world.clock.now()
    assert drain(world, ref) == 1
    assert world.count("evict") == 3
    assert world.clock.now() - before >= 10


def test_a_passing_error_is_waited_out_and_another_is_not(world: World) -> None:
    ref = world.add_pod("a", "n")
    world.faults["pods_on"] = [Transient("down")] * 3
    assert drain(world, ref) == 1
    world.add_pod("b", "n")
    world.faults["evict"] = [Unauthorised("no")]
    with pytest.raises(Unauthorised):
        drain(world, PodRef("ns", "b", "uid-b"))


def test_it_ends_in_time_and_says_what_is_left(world: World) -> None:
    ref = world.add_pod("a", "n")
    world.protected = {"a"}
    with pytest.raises(TimedOut, match=r"1 pods are left \(ns/a\): budget pdb"):
        drain(world, ref)


def test_it_can_be_called_off(world: World) -> None:
    ref = world.add_pod("a", "n")
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        drain(world, ref, cancel=cancel)
    assert world.count("evict") == 0
