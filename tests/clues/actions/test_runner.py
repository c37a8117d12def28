# ruff: noqa: B023 - what a turn of a loop defines is used within that turn
"""Orders and removals: each path, each fault, and a kill at every step."""

import os
from pathlib import Path

import msgspec
import pytest

from clues.decision import Decision, PowerOn, Removal, RemovalKind, Replacement
from clues.history import ActionKind
from clues.model import Owner
from clues.power.base import Limits
from clues.settings import Hook, HookOptions
from clues.snapshot import MachineState
from infracore.errors import CommandFailed, NoCapacity, TimedOut, Transient, Unauthorised
from tests.clues.world import Killed, Rig, World, off, on


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def rig(world: World, tmp_path: Path) -> Rig:
    found = Rig(world, tmp_path)
    found.turn()
    return found


# power on


def test_a_machine_is_ordered_awaited_and_admitted(rig: Rig, world: World) -> None:
    rig.runner.submit(on("rack", "m2"))
    assert rig.book.get("rack", "m2").state is MachineState.BOOTING, "counted as coming at once"
    rig.until(rig.quiet)
    assert rig.phases() == ["ordering", "booting", "admitting", "done"]
    assert world.are_on() == {"m2"}
    machine = rig.book.get("rack", "m2")
    assert (machine.state, machine.power_ons, machine.order, machine.failures) == (MachineState.ON, 1, "", 0)


def test_a_machine_counts_as_coming_until_a_picture_shows_its_node_in_use(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.until(rig.quiet)
    rig.runner.submit(on("rack", "m1"))
    world.lag_from = "uncordon"
    rig.until(lambda: world.count("uncordon") > 0)
    for _ in range(5):
        rig.turn()
        assert rig.book.get("rack", "m1").order, "it would be ordered again"
    world.lag, world.lag_from = False, ""
    rig.until(rig.quiet, turns=3)
    assert (rig.book.get("rack", "m1").order, world.count("uncordon")) == ("", 1)


def test_a_node_that_stays_cordoned_is_not_waited_for_without_end(rig: Rig, world: World) -> None:
    rig.runner.submit(on("rack", "m2"))
    rig.until(lambda: "m2" in world.nodes)
    world.nodes["m2"] = msgspec.structs.replace(world.nodes["m2"], unschedulable=True)
    world.lag = True
    rig.snapshot()
    rig.until(rig.quiet, turns=100)
    assert rig.turns[-1].record.phase == "done"


def test_machines_made_anew_go_by_their_token_until_the_driver_names_them(rig: Rig, world: World) -> None:
    rig.runner.submit(on("cloud", count=3))
    booting = rig.book.machines()["cloud"]
    assert [m.state for m in booting] == [MachineState.BOOTING] * 3
    assert world.count("on") == 1, "one call for all of a pool"
    rig.until(rig.quiet)
    assert [m.name for m in rig.book.machines()["cloud"]] == ["vm-0", "vm-1", "vm-2"]
    assert all(m.state is MachineState.ON for m in rig.book.machines()["cloud"])


def test_the_intent_is_stored_before_the_driver_is_called(rig: Rig, world: World) -> None:
    world.faults["on"] = [Killed()]
    with pytest.raises(Killed):
        rig.runner.submit(on("rack", "m1"))
    (record,) = rig.history.open_actions()
    assert (record.phase, record.machine) == ("ordering", "m1")


def test_a_passing_error_is_tried_again_with_the_same_token(rig: Rig, world: World) -> None:
    world.faults["on"] = [Transient("busy"), TimedOut("slow")]
    rig.runner.submit(on("cloud", count=1))
    rig.until(rig.quiet)
    tokens = {call[1] for call in world.calls if call[0] == "on"}
    assert (world.count("on"), len(tokens), len(world.made)) == (3, 1, 1)


def test_no_capacity_makes_the_pool_rest_at_once(rig: Rig, world: World) -> None:
    world.faults["on"] = [NoCapacity("stock-out")]
    rig.runner.submit(on("cloud", count=2))
    rig.until(rig.quiet)
    assert [f.pool for f in rig.failures] == ["cloud", "cloud"]
    assert rig.failures[0].reason == "stock-out"
    assert world.count("on") == 1
    assert rig.book.machines()["cloud"] == ()


def test_wrong_credentials_are_not_tried_again(rig: Rig, world: World) -> None:
    world.faults["on"] = [Unauthorised("no")]
    rig.runner.submit(on("cloud", count=1))
    rig.until(rig.quiet)
    assert world.count("on") == 1
    assert rig.failures[0].reason == "no"


def test_a_machine_that_fails_rests_alone_and_stays_failed_after_some_times(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path, attempts=2)
    rig.turn()
    for failures in (1, 2):
        world.faults["on"] = [CommandFailed("fuse")]
        rig.runner.submit(on("rack", "m1"))
        rig.until(rig.quiet)
        machine = rig.book.get("rack", "m1")
        assert (machine.state, machine.failures) == (MachineState.FAILED, failures)
        world.clock.advance(10_000)
        rig.book.rest(world.clock.now(), rig.policy.backoff, 2)
        expected = MachineState.OFF if failures < 2 else MachineState.FAILED
        assert rig.book.get("rack", "m1").state is expected
    assert rig.failures == [], "the pool itself does not rest"


def test_a_driver_that_lies_about_accepting_is_asked_again_and_then_given_up(rig: Rig, world: World) -> None:
    world.receipts = False
    rig.runner.submit(on("rack", "m1"))
    rig.until(rig.quiet)
    assert world.count("on") == rig.options.attempts
    assert "no receipt" in rig.book.record("rack", "m1").reason


def test_a_node_that_never_registers_is_given_up_and_turned_off(world: World, tmp_path: Path) -> None:
    world.registers = False
    rig = Rig(world, tmp_path, policy={"max_provision_s": 60.0})
    rig.turn()
    rig.runner.submit(on("cloud", count=1))
    rig.until(rig.quiet)
    assert world.count("off") == 1
    assert world.boxes.keys() == {"m1", "m2", "m3", "m4"}
    assert [(f.pool, f.machine) for f in rig.failures] == [("cloud", "vm-0")]
    assert "never registered" in rig.failures[0].reason


def test_a_machine_that_is_being_given_up_is_not_counted_as_coming(world: World, tmp_path: Path) -> None:
    world.registers = False
    rig = Rig(world, tmp_path, policy={"max_provision_s": 20.0})
    rig.turn()
    world.faults["off"] = [Transient("busy")] * 3
    rig.runner.submit(on("rack", "m1"))
    rig.until(lambda: rig.book.get("rack", "m1").state is MachineState.STOPPING)
    rig.until(rig.quiet)
    assert rig.book.get("rack", "m1").state is MachineState.FAILED
    assert world.are_on() == set()


def test_no_more_machines_boot_at_once_than_the_driver_allows(world: World, tmp_path: Path) -> None:
    world.limits = Limits(booting=2)
    rig = Rig(world, tmp_path)
    rig.turn()
    rig.runner.submit(on("rack", "m1", "m2", "m3", "m4"))
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, len(world.are_on()) - len(world.nodes))
        return rig.quiet()

    rig.until(done)
    assert most == 2
    assert len(world.are_on()) == 4


def test_what_an_order_of_a_decision_repeats_is_left_out(rig: Rig, world: World) -> None:
    rig.runner.submit(on("rack", "m1"))
    rig.runner.submit(on("rack", "m1"))
    rig.until(rig.quiet)
    assert world.count("on") == 1


# power off


def test_a_node_is_cordoned_looked_at_drained_turned_off_and_parked(rig: Rig, world: World) -> None:
    world.add_node("m1")
    world.add_node("m2")
    for name in ("a", "b"):
        world.add_pod(name, "m1")
    world.add_pod("ds", "m1", owner=Owner("DaemonSet", "d"))
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.until(rig.quiet)
    assert rig.phases()[:-1] == ["cordoning", "looking", "draining", "verifying", "stopping", "going-off", "discarding"]
    assert [call for call in world.calls if call[0] == "evict"] == [("evict", "a", "b")]
    assert (world.are_on(), world.parked) == ({"m2"}, {"m1"})
    assert {pod.node for pod in world.pods.values() if pod.owner.kind != "DaemonSet"} == {"m2"}
    assert rig.book.get("rack", "m1").state is MachineState.OFF
    assert rig.book.get("rack", "m1").last_off_at is not None


def test_the_node_object_of_a_machine_made_anew_is_deleted(rig: Rig, world: World) -> None:
    rig.runner.submit(on("cloud", count=1))
    rig.until(rig.quiet)
    rig.runner.submit(off(world, "vm-0", pool="cloud"))
    rig.until(rig.quiet)
    assert "vm-0" not in world.nodes
    assert rig.book.machines()["cloud"] == ()


def test_a_node_object_made_anew_meanwhile_is_not_deleted(rig: Rig, world: World) -> None:
    rig.runner.submit(on("cloud", count=1))
    rig.until(rig.quiet)
    world.nodes["vm-0"] = msgspec.structs.replace(world.nodes["vm-0"], uid="old")
    rig.runner.submit(off(world, "vm-0", pool="cloud"))
    world.faults["delete_node"] = [Transient("busy")]
    rig.until(lambda: world.count("delete_node") == 1)
    world.nodes["vm-0"] = msgspec.structs.replace(world.nodes["vm-0"], uid="new")
    rig.until(rig.quiet)
    assert world.count("delete_node") == 2
    assert world.nodes["vm-0"].uid == "new"


def test_a_removal_is_called_off_when_demand_returns(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.turn(0.5)
    assert world.nodes["m1"].unschedulable
    rig.runner.submit(Decision(0.0, cancel=("m1",)))
    rig.until(rig.quiet)
    assert not world.nodes["m1"].unschedulable
    assert world.count("off") == 0
    assert rig.phases()[-1] == "cancelled"


def test_a_removal_beyond_its_point_of_no_return_is_not_called_off(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.until(lambda: world.count("off") == 1)
    assert not rig.runner.cancel("m1", "too late")
    rig.until(rig.quiet)
    assert world.are_on() == set()


def test_pods_that_came_meanwhile_keep_the_node(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    world.add_pod("late", "m1")
    rig.until(rig.quiet)
    assert world.count("evict") == world.count("off") == 0
    assert not world.nodes["m1"].unschedulable
    assert "late came" in rig.turns[-1].record.error


def test_pods_that_come_between_drain_and_off_keep_the_node(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    real = world.is_empty

    def is_empty(node: str) -> bool:
        world.add_pod("toleratesall", node)
        return real(node)

    world.is_empty = is_empty
    rig.runner.submit(off(world, "m1"))
    rig.until(rig.quiet)
    assert world.count("off") == 0
    assert not world.nodes["m1"].unschedulable


def test_a_budget_that_refuses_for_too_long_keeps_the_node(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path, drain_s=30.0)
    world.add_node("m1")
    world.add_pod("a", "m1")
    world.protected = {"a"}
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.until(rig.quiet)
    assert rig.turns[-1].record.phase == "failed"
    assert "budget pdb allows no disruption" in rig.turns[-1].record.error
    assert not world.nodes["m1"].unschedulable
    assert rig.runner.removal_failures


def test_a_person_may_force_what_a_budget_refuses(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path)
    world.add_node("m1")
    world.add_pod("a", "m1")
    world.protected = {"a"}
    rig.turn()
    assert rig.runner.remove(off(world, "m1").remove[0], force=True)
    rig.until(rig.quiet)
    assert "m1" not in world.are_on()


def test_nothing_is_evicted_by_a_stale_picture(rig: Rig, world: World) -> None:
    world.add_node("m1")
    world.add_pod("a", "m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    world.stale_s = 1000.0
    rig.until(rig.quiet)
    assert world.count("evict") == world.count("off") == 0
    assert not world.nodes["m1"].unschedulable


def test_a_machine_that_does_not_go_off_serves_on(world: World, tmp_path: Path) -> None:
    world.obeys = False
    rig = Rig(world, tmp_path, off_s=60.0)
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.until(rig.quiet)
    assert not world.nodes["m1"].unschedulable
    machine = rig.book.get("rack", "m1")
    assert (machine.state, machine.failures) == (MachineState.ON, 1)
    assert "still on" in rig.turns[-1].record.error


def test_an_unready_node_is_not_drained(rig: Rig, world: World) -> None:
    world.add_node("m1", ready=False)
    world.boxes["m1"].ready_at = float("inf")
    world.add_pod("a", "m1")
    rig.turn()
    rig.runner.submit(Decision(0.0, remove=(Removal("m1", "rack", "m1", RemovalKind.UNREADY),)))
    rig.until(rig.quiet)
    assert world.count("evict") == 0
    assert "m1" not in world.are_on()


def test_uncordoning_is_tried_until_the_api_server_answers(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    world.faults["uncordon"] = [Transient("down")] * 20
    rig.runner.submit(off(world, "m1"))
    rig.turn()
    rig.runner.cancel("m1", "demand", manual=True)
    rig.until(rig.quiet, turns=3000)
    assert not world.nodes["m1"].unschedulable


def test_a_machine_whose_removal_is_called_off_counts_as_coming_until_its_node_is_seen_in_use(
    rig: Rig, world: World
) -> None:
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.turn()
    world.lag_from = "uncordon"
    rig.runner.cancel("m1", "demand", manual=True)
    for _ in range(3):
        rig.turn()
    assert rig.book.get("rack", "m1").order
    world.lag, world.lag_from = False, ""
    rig.until(rig.quiet, turns=3)
    assert (rig.book.get("rack", "m1").order, rig.turns[-1].record.phase) == ("", "cancelled")


def test_a_machine_without_node_is_only_turned_off(rig: Rig, world: World) -> None:
    rig.runner.submit(Decision(0.0, remove=(Removal("", "rack", "m1", RemovalKind.NEVER_REGISTERED),)))
    rig.until(rig.quiet)
    assert rig.phases() == ["stopping", "going-off", "done"]


# replacement, hooks, the history


def replacement(world: World) -> Decision:
    return Decision(0.0, replace=(Replacement(off(world, "m1").remove, (PowerOn("cloud", 1),), 1.0, "cheaper"),))


def test_a_replacement_comes_before_what_it_replaces_goes(rig: Rig, world: World) -> None:
    world.add_node("m1")
    world.add_pod("a", "m1")
    rig.turn()
    rig.runner.submit(replacement(world))
    rig.until(lambda: "vm-0" in world.nodes)
    assert world.count("cordon") == 0
    rig.until(rig.quiet)
    assert world.are_on() == {"vm-0"}
    assert next(iter(world.pods.values())).node == "vm-0"


def test_what_was_to_be_replaced_stays_when_nothing_comes(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    world.faults["on"] = [NoCapacity("none")]
    rig.runner.submit(replacement(world))
    rig.until(rig.quiet)
    assert world.count("cordon") == world.count("off") == 0


def script(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "hook.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    os.chmod(path, 0o755)
    return (str(path),)


def test_a_hook_may_forbid_an_order_and_a_power_off(world: World, tmp_path: Path) -> None:
    veto = Hook(script(tmp_path, "echo the boss says no >&2; exit 3"), veto=True)
    rig = Rig(world, tmp_path / "state", hooks=HookOptions(pre_poweron=veto, pre_poweroff=veto))
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(on("cloud", count=1))
    rig.runner.submit(off(world, "m1"))
    rig.until(rig.quiet)
    assert world.count("on") == world.count("off") == 0
    assert "the boss says no" in rig.failures[0].reason
    assert not world.nodes["m1"].unschedulable


def test_hooks_are_told_with_pool_and_name_and_their_failure_stops_nothing(world: World, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hook = Hook(script(tmp_path, f'echo "$CLUES_HOOK $*" >> {log}; exit 1'))
    names = ("post_poweron", "poweredon", "pre_poweroff", "post_poweroff", "poweredoff")
    rig = Rig(world, tmp_path / "state", hooks=HookOptions(**dict.fromkeys(names, hook)))
    rig.turn()
    rig.runner.submit(on("rack", "m1"))
    rig.until(rig.quiet)
    rig.runner.submit(off(world, "m1"))
    rig.until(rig.quiet)
    assert log.read_text().splitlines() == [
        "post_poweron rack m1 1",
        "poweredon rack m1",
        "pre_poweroff rack m1",
        "post_poweroff rack m1 1",
        "poweredoff rack m1",
    ]
    assert len(rig.hook_problems) == 5


def test_nothing_is_ordered_or_turned_off_while_the_history_is_full(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    pages = rig.history._db.execute("PRAGMA page_count").fetchone()[0]
    rig.history._db.execute(f"PRAGMA max_page_count = {pages}")
    full = Decision(0.0, power_on=(PowerOn("cloud", 40, reason="x" * 4000),))
    rig.runner.submit(full)
    assert world.count("on") == 0
    assert "nothing is ordered" in rig.runner.problem
    assert rig.book.machines()["cloud"] == ()
    rig.history._db.execute("PRAGMA max_page_count = 1000000")
    rig.runner.submit(on("cloud", count=1))
    rig.until(rig.quiet)
    assert len(world.made) == 1
    assert rig.runner.problem == ""


def test_a_machine_that_vanishes_while_it_boots_is_given_up(rig: Rig, world: World) -> None:
    world.registers = False
    rig.runner.submit(on("cloud", count=1))
    rig.turn(10)
    del world.boxes["vm-0"]
    rig.until(rig.quiet)
    assert "not there any more" in rig.failures[0].reason


def test_machines_that_came_or_went_by_themselves_are_told(world: World, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hook = Hook(script(tmp_path, f'echo "$CLUES_HOOK $*" >> {log}'))
    options = HookOptions(unexpected_poweron=hook, unexpected_poweroff=hook)
    rig = Rig(world, tmp_path / "state", hooks=options, list_s=5.0)
    rig.turn()
    world.boxes["m3"].on = True
    for _ in range(4):
        rig.turn(6)
    assert rig.book.get("rack", "m3").state is MachineState.ON
    world.boxes["m3"].on = False
    for _ in range(4):
        rig.turn(6)
    assert rig.book.get("rack", "m3").state is MachineState.OFF
    assert log.read_text().splitlines() == ["unexpected_poweron rack m3", "unexpected_poweroff rack m3"]


def test_a_suspended_runner_does_nothing_more(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.runner.suspend()
    before = len(world.calls)
    for _ in range(10):
        rig.turn()
    assert len(world.calls) == before
    rig.runner.resume(world.clock.now())
    rig.until(rig.quiet)
    assert not world.nodes["m1"].unschedulable, "what was begun is taken back"


# kill -9 at every step


def want_on(pool: str, count: int):
    def decide(snapshot):
        machines = snapshot.machines.get(pool, ())
        there = [m for m in machines if m.state in {MachineState.ON, MachineState.BOOTING, MachineState.STOPPING}]
        lacking = count - len(there)
        if lacking <= 0:
            return None
        free = [m.name for m in machines if m.state is MachineState.OFF][:lacking]
        return on(pool, *free) if pool == "rack" else on(pool, count=lacking)

    return decide


def want_off(world: World, *nodes: str):
    def decide(snapshot):
        gone = [n for n in nodes if n in world.are_on() and snapshot.nodes.get(n) and snapshot.nodes[n].node.ready]
        return off(world, *gone) if gone else None

    return decide


def killed_at(number: int, world: World):
    left = number

    def boundary() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    world.at_boundary = boundary
    return lambda: left


@pytest.mark.parametrize("pool", ["rack", "cloud"])
def test_killed_anywhere_while_turning_on_nothing_is_ordered_twice_and_nothing_is_lost(pool, tmp_path) -> None:
    number = 0
    while True:
        number += 1
        world = World()
        rest = killed_at(number, world)
        rig = None
        decide = want_on(pool, 2)
        ended = lambda: len([n for n in world.nodes.values() if n.ready and not n.unschedulable]) == 2  # noqa: E731
        try:
            rig = Rig(world, tmp_path / f"{number}")
            rig.until(lambda: ended() and rig.quiet(), decide)
        except Killed:
            world.at_boundary = lambda: None
            world.clock.advance(3)
            rig = Rig(world, tmp_path / f"{number}")
            rig.until(lambda: ended() and rig.quiet(), decide)
        world.at_boundary = lambda: None
        for _ in range(10):
            rig.turn(30, decide)
        assert len(world.are_on()) == 2, f"killed at step {number}: {world.calls}"
        assert len(world.made) == (2 if pool == "cloud" else 0), f"killed at step {number}: {world.calls}"
        assert rig.history.open_actions() == ()
        rig.history.close()
        if rest() > 0:
            break
    assert number > 8, "the kill came at every step"


def test_killed_anywhere_while_turning_off_no_node_is_left_half_way(tmp_path) -> None:
    number = 0
    while True:
        number += 1
        world = World()
        world.add_node("m1")
        world.add_node("m2")
        for name in ("a", "b"):
            world.add_pod(name, "m1")
        rest = killed_at(number, world)
        decide = want_off(world, "m1")
        rig = None
        try:
            rig = Rig(world, tmp_path / f"{number}")
            rig.until(lambda: "m1" in world.parked and rig.quiet(), decide)
        except Killed:
            world.at_boundary = lambda: None
            world.clock.advance(3)
            rig = Rig(world, tmp_path / f"{number}")
            rig.until(lambda: "m1" in world.parked and rig.quiet(), decide)
        assert world.are_on() == {"m2"}, f"killed at step {number}: {world.calls}"
        assert not world.nodes["m2"].unschedulable
        assert len(world.pods) == 2
        assert all(pod.node == "m2" for pod in world.pods.values()), f"killed at step {number}"
        assert [r.phase for r in rig.history.open_actions()] == []
        rig.history.close()
        if rest() > 0:
            break
    assert number > 15


def test_killed_while_replacing_nothing_is_lost(tmp_path) -> None:
    number = 0
    while True:
        number += 1
        world = World()
        world.add_node("m1")
        world.add_pod("a", "m1")
        rest = killed_at(number, world)
        rig = None

        def decide(snapshot, world=world):
            machines = snapshot.machines.get("cloud", ())
            if world.nodes["m1"].ready and not machines and not rig.runner.is_busy:
                return replacement(world)
            if any(m.state is MachineState.ON for m in machines):
                return want_off(world, "m1")(snapshot)
            return None

        ended = lambda: "m1" in world.parked and rig.quiet()  # noqa: E731
        try:
            rig = Rig(world, tmp_path / f"{number}")
            rig.until(ended, decide)
        except Killed:
            world.at_boundary = lambda: None
            rig = Rig(world, tmp_path / f"{number}")
            rig.until(ended, decide)
        assert world.are_on() == {"vm-0"}, f"killed at step {number}: {world.calls}"
        assert len(world.made) == 1
        rig.history.close()
        if rest() > 0:
            break
    assert number > 20


def test_a_lost_history_leaves_no_orphan(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path / "a")
    rig.turn()
    rig.runner.submit(on("cloud", count=2))
    rig.turn(60)
    again = Rig(world, tmp_path / "b")  # another, empty history
    for _ in range(3):
        again.turn(10, want_on("cloud", 2))
    assert len(world.made) == 2, "what the driver lists is counted"
    assert {m.name for m in again.book.machines()["cloud"]} == {"vm-0", "vm-1"}


def test_kinds_of_actions_are_told_apart(rig: Rig, world: World) -> None:
    world.add_node("m1")
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.runner.submit(on("rack", "m2"))
    assert {record.kind for record in rig.runner.actions()} == {ActionKind.POWER_ON, ActionKind.POWER_OFF}
    assert rig.runner.of_node("m1").node == "m1"
    assert rig.runner.of_node("m2") is None


def test_a_node_that_still_says_ready_after_its_machine_went_off_is_not_believed(world: World, tmp_path: Path) -> None:
    log = tmp_path / "log"
    hook = Hook(script(tmp_path, f'echo "$CLUES_HOOK $*" >> {log}'))
    rig = Rig(world, tmp_path / "state", hooks=HookOptions(unexpected_poweron=hook))
    world.add_node("m1", ready_since=world.clock.now())
    world.slow_to_notice = True
    rig.turn()
    rig.runner.submit(off(world, "m1"))
    rig.until(rig.quiet)
    assert world.nodes["m1"].ready, "the controller manager has not noticed yet"
    rig.turn(3)
    assert rig.book.get("rack", "m1").state is MachineState.OFF
    rig.runner.submit(on("rack", "m1"))
    rig.turn(1)
    rig.turn(1)
    assert rig.book.get("rack", "m1").state is MachineState.BOOTING
    again = Rig(world, tmp_path / "state")
    again.turn(1)
    assert again.book.get("rack", "m1").state is MachineState.BOOTING, "nor after a restart"
    world.slow_to_notice = False
    again.until(again.quiet)
    assert again.book.get("rack", "m1").state is MachineState.ON
    assert not log.exists()
