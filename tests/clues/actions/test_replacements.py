# ruff: noqa: B023 - what a turn of a loop defines is used within that turn
"""Several nodes for one: it comes before the first of them goes, and where it does not come none goes."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from clues.decision import Decision, PowerOn, Replacement
from clues.history import ActionKind
from clues.snapshot import MachineState, Snapshot
from infracore.errors import NoCapacity, Unauthorised
from tests.clues.world import Killed, Rig, World, off, on

_LEAVING = ("m1", "m2", "m3")


@pytest.fixture
def world() -> World:
    made = World()
    for name in _LEAVING:
        made.add_node(name)
        made.add_pod(f"pod-{name}", name)
    return made


@pytest.fixture
def rig(world: World, tmp_path: Path) -> Rig:
    found = Rig(world, tmp_path)
    found.turn()
    return found


def three_for_one(world: World, order: PowerOn | None = None) -> Decision:
    leaving = off(world, *(name for name in _LEAVING if name in world.nodes)).remove
    return Decision(0.0, replace=(Replacement(leaving, (order or PowerOn("cloud", 1),), 1.0, "cheaper"),))


def touched(world: World) -> list[str]:
    return [call[0] for call in world.calls if call[0] in {"cordon", "evict", "off"}]


def watched(world: World, name: str = "vm-0") -> Callable[[], None]:
    """Return a check that no node has been touched before the new one is ready and takes pods."""

    def check() -> None:
        came = world.nodes.get(name)
        assert not touched(world) or (came is not None and came.ready and not came.unschedulable)

    return check


def test_none_is_touched_before_the_new_node_is_ready(rig: Rig, world: World) -> None:
    check = watched(world)
    rig.runner.submit(three_for_one(world))
    for _ in range(400):
        check()
        if rig.quiet() and not rig.posted:
            break
        rig.turn()
    assert world.are_on() == {"vm-0"}
    assert {pod.node for pod in world.pods.values()} == {"vm-0"}
    assert len(world.pods) == 3


def test_a_new_node_that_is_cordoned_when_it_comes_is_opened_first(tmp_path: Path) -> None:
    world = World()
    for name in _LEAVING[:2]:
        world.add_node(name)
        world.add_pod(f"pod-{name}", name)
    rig = Rig(world, tmp_path)
    rig.turn()
    check = watched(world, "m4")
    world.add_node("m4", ready=False, unschedulable=True)
    world.boxes["m4"].on = False
    world.parked.add("m4")
    rig.runner.submit(three_for_one(world, PowerOn("rack", 1, ("m4",))))
    for _ in range(400):
        check()
        if rig.quiet() and not rig.posted:
            break
        rig.turn()
    assert world.are_on() == {"m4"}


@pytest.mark.parametrize("error", [NoCapacity("none"), Unauthorised("no")])
def test_none_goes_where_the_order_is_refused(rig: Rig, world: World, error: BaseException) -> None:
    world.faults["on"] = [error]
    rig.runner.submit(three_for_one(world))
    rig.until(rig.quiet)
    assert touched(world) == []
    ends = {turn.record.node: str(turn.record.phase) for turn in rig.turns if turn.record.kind is ActionKind.POWER_OFF}
    assert ends == dict.fromkeys(_LEAVING, "cancelled")


def test_none_goes_where_the_new_machine_never_becomes_a_node(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path, policy={"max_provision_s": 60.0})
    rig.turn()
    world.registers = False
    rig.runner.submit(three_for_one(world))
    rig.until(rig.quiet)
    assert [call for call in world.calls if call[0] in {"cordon", "evict"}] == []
    assert world.are_on() == set(_LEAVING)
    assert world.count("off") == 1, "the machine that came to nothing"


def test_nothing_is_begun_where_one_of_them_goes_already_or_the_machine_is_taken(rig: Rig, world: World) -> None:
    decision = three_for_one(world)
    rig.runner.submit(off(world, "m2"))
    rig.runner.submit(decision)
    assert {record.node for record in rig.runner.actions()} == {"m2"}
    rig.until(rig.quiet)
    world.calls.clear()
    rig.runner.submit(on("rack", "m4"))
    left = msgspec.structs.replace(decision.replace[0], remove=decision.replace[0].remove[:1])
    taken = msgspec.structs.replace(left, add=(PowerOn("rack", 1, ("m4",)),))
    rig.runner.submit(Decision(0.0, replace=(taken,)))
    rig.until(rig.quiet)
    assert touched(world) == []
    assert world.are_on() == {"m1", "m3", "m4"}


def test_killed_at_any_step_none_goes_before_its_place_has_come(tmp_path: Path) -> None:
    number = 0
    while True:
        number += 1
        world = World()
        for name in _LEAVING:
            world.add_node(name)
            world.add_pod(f"pod-{name}", name)
        passed = 0
        check = watched(world)

        def step(limit: int = number) -> None:
            nonlocal passed
            passed += 1
            if passed == limit:
                raise Killed

        def decide(snapshot: Snapshot, world: World = world) -> Decision | None:
            here = [name for name in _LEAVING if name in world.nodes and not world.nodes[name].unschedulable]
            machines = snapshot.machines.get("cloud", ())
            if not machines and not rig.runner.is_busy:
                return three_for_one(world)
            if any(m.state is MachineState.ON for m in machines) and here and not rig.runner.is_busy:
                return off(world, *here)
            return None

        def ended(world: World = world) -> bool:
            check()
            return world.parked == set(_LEAVING) and rig.quiet()

        world.at_boundary = step
        try:
            rig = Rig(world, tmp_path / f"{number}")
            rig.until(ended, decide)
        except Killed:
            world.at_boundary = lambda: None
            rig = Rig(world, tmp_path / f"{number}")
            rig.until(ended, decide)
        assert world.are_on() == {"vm-0"}, f"killed at step {number}: {world.calls}"
        assert (len(world.made), len(world.pods)) == (1, 3)
        rig.history.close()
        if passed < number:
            break
    assert number > 20
