"""The loop: one pass at a time over a small world."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clues.actions.hooks import Hooks
from clues.actions.lease import Elector, LeaseState
from clues.actions.machines import MachineBook
from clues.actions.runner import Runner
from clues.actions.workers import InlineWorkers
from clues.decision import Block, Decision, Memory, NodeVerdict, PowerOn
from clues.history import History, read_recording
from clues.history.recorder import Recorder
from clues.loop import Loop, failed, shifted
from clues.options import BackOff, Policy
from clues.settings import ActionOptions, DaemonOptions, HookOptions, LeaseOptions, LoopOptions, Settings
from clues.snapshot import MachineState, Snapshot
from infracore.clock import FakeClock
from infracore.errors import Conflict, NoCapacity, NotFound, Transient
from tests.clues.world import World, off


def simple(snapshot: Snapshot, pools: Any, policy: Policy, memory: Memory, early: Any = None) -> Decision:
    """One machine of the first pool that does not rest for every four pods that pend, and idle nodes go."""
    memory = msgspec.structs.replace(memory, unneeded_since=dict(memory.unneeded_since))
    coming = sum(m.state is MachineState.BOOTING for found in snapshot.machines.values() for m in found)
    lacking = -(-len(snapshot.pending) // 4) - coming
    for pool in pools:
        rest = memory.rests.get(pool.name)
        if lacking <= 0 or (rest is not None and rest.until > snapshot.now):
            continue
        machines = snapshot.machines.get(pool.name, ())
        free = [m.name for m in machines if m.state is MachineState.OFF and not m.held and not m.disabled]
        names = tuple(free[:lacking]) if pool.powered else ()
        count = len(names) if pool.powered else lacking
        if count:
            refs = tuple(pod.ref for pod in snapshot.pending)
            memory = msgspec.structs.replace(memory, last_scale_up=snapshot.now)
            return Decision(snapshot.now, power_on=(PowerOn(pool.name, count, names, refs),), memory=memory)
    verdicts = []
    for name, state in snapshot.nodes.items():
        if not any(not pod.stays_with_node for pod in state.pods):
            since = memory.unneeded_since.setdefault(name, snapshot.now)
            due = since + policy.unneeded_s
            verdicts.append(NodeVerdict(name, Block.NOT_UNNEEDED_LONG_ENOUGH, removable_at=due))
    return Decision(snapshot.now, nodes=tuple(verdicts), memory=memory)


_RECORDERS: list[Recorder] = []


@pytest.fixture(autouse=True)
def recorders_end() -> Iterator[None]:
    yield
    while _RECORDERS:
        _RECORDERS.pop().stop(5.0)


class Rig:
    def __init__(self, world: World, folder: Path, decide: Any = simple, **fields: Any) -> None:
        self.world, self.folder = world, folder
        self.decided: list[Decision] = []
        self.leads = True
        settings = Settings(pools=world.pools, drivers={"fake": {}}, actions=ActionOptions(retry_first_s=1.0))
        settings = msgspec.structs.replace(settings, **fields)
        self.history = History(folder, now=world.clock.now())
        self.book = MachineBook(world.pools, self.history.machines(), world.clock.now())
        self.recorder = Recorder(folder / "recordings", 1 << 20)
        _RECORDERS.append(self.recorder)

        def counting(*arguments: Any) -> Decision:
            decision = decide(*arguments)
            self.decided.append(decision)
            return decision

        self.loop = Loop(
            settings,
            source=world,
            runner=lambda post: Runner(
                pools=world.pools,
                policy=settings.policy,
                options=settings.actions,
                drivers={"fake": world},
                drain=world,
                hooks=Hooks(HookOptions(), print),
                history=self.history,
                book=self.book,
                workers=InlineWorkers(),
                clock=world.clock,
                post=post,
                jitter=lambda: 0.0,
            ),
            book=self.book,
            history=self.history,
            clock=world.clock,
            decide=counting,
            leads=lambda: self.leads,
            recorder=self.recorder,
        )

    def steps(self, count: int = 1, seconds: float = 1.0) -> Any:
        for _ in range(count):
            self.world.clock.advance(seconds)
            self.world.live()
            view = self.loop.step()
        return view


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def rig(world: World, tmp_path: Path) -> Rig:
    found = Rig(world, tmp_path)
    found.steps(2)
    return found


def test_a_pending_pod_is_an_order_in_the_same_pass_and_only_one(rig: Rig, world: World) -> None:
    world.add_pod("a", cpu=1000)
    world.clock.advance(1)
    view = rig.loop.step()
    assert view.acted
    assert world.count("on") == 1
    rig.steps(60)
    assert world.count("on") == 1
    assert world.pods["ns", "a"].node == "m1"


def early_too(snapshot: Snapshot, pools: Any, policy: Policy, memory: Memory, early: Any = None) -> Decision:
    """As `simple`, and what is to be turned on is told before the rest is known."""
    decision = simple(snapshot, pools, policy, memory)
    if decision.power_on:
        early(decision.power_on)
    return decision


def test_an_order_that_is_told_early_is_given_once(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path, early_too)
    rig.steps(2)
    world.add_pod("a", cpu=1000)
    view = rig.steps()
    assert view.acted
    assert view.decision.power_on
    assert world.count("on") == 1
    rig.steps(60)
    assert world.count("on") == 1
    assert world.pods["ns", "a"].node == "m1"


def test_an_order_that_was_told_early_stands_when_the_rest_fails(world: World, tmp_path: Path) -> None:
    def broken(snapshot: Snapshot, pools: Any, policy: Policy, memory: Memory, early: Any = None) -> Decision:
        if early_too(snapshot, pools, policy, memory, early).power_on:
            raise ZeroDivisionError("scaling in")
        return simple(snapshot, pools, policy, memory)

    rig = Rig(world, tmp_path, broken)
    rig.steps(2)
    world.add_pod("a", cpu=1000)
    rig.steps(60)
    assert world.count("on") == 1
    assert world.pods["ns", "a"].node == "m1"


def test_a_pause_tells_nothing_early(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path, early_too)
    rig.loop.pause("a person looks")
    world.add_pod("a", cpu=1000)
    rig.steps(5)
    assert world.count("on") == 0


def test_no_order_is_given_before_the_drivers_have_said_what_is_there(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path)
    world.add_pod("a")
    world.boxes["m2"].on = True
    rig.steps(4)
    names = [call[0] for call in world.calls]
    assert "on" not in names[: names.index("list") + 2]


def test_without_any_change_decide_is_not_run_until_its_time(rig: Rig, world: World) -> None:
    rig.steps(5)
    before = len(rig.decided)
    rig.steps(20)
    assert len(rig.decided) == before
    rig.steps(20)
    assert before < len(rig.decided) <= before + 3, "but all the same now and then"


def test_what_was_ordered_now_is_not_said_to_be_ordered_now_for_long(world: World, tmp_path: Path) -> None:
    tick_s = 5.0
    rig = Rig(world, tmp_path, loop=LoopOptions(tick_s=tick_s))
    rig.steps(2)
    world.boot_s = 300.0
    world.add_pod("a", cpu=1000)
    assert rig.steps().acted
    ordered = rig.decided[-1]
    view = rig.steps(int(tick_s) + 1)
    assert view.decision is not ordered, "though nothing changed, a node that comes is upcoming by now"
    assert not view.decision.power_on
    before = len(rig.decided)
    rig.steps(20)
    assert len(rig.decided) == before, "once is enough"


def test_decide_is_run_when_a_timer_ends(world: World, tmp_path: Path) -> None:
    world.add_node("m1")
    rig = Rig(world, tmp_path, policy=Policy(unneeded_s=12.0))
    rig.steps(4)
    times = {decision.at for decision in rig.decided}
    start = rig.loop.memory.unneeded_since["m1"]
    rig.steps(13)
    assert any(start + 12 <= decision.at <= start + 14 for decision in rig.decided if decision.at not in times)


def test_a_decision_that_raises_ends_no_daemon_and_stops_no_action(world: World, tmp_path: Path) -> None:
    broken = False

    def decide(*arguments: Any) -> Decision:
        if broken:
            raise ZeroDivisionError("no")
        return simple(*arguments)

    rig = Rig(world, tmp_path, decide)
    rig.steps(2)
    world.add_pod("a")
    rig.steps()
    broken = True
    world.add_pod("b")
    view = rig.steps()
    assert "ZeroDivisionError" in view.problems[0]
    rig.steps(60)
    assert world.pods["ns", "a"].node, "what was under way went on"
    broken = False
    view = rig.steps(10)
    assert view.problems == ()


def test_machines_whose_state_a_driver_cannot_tell_are_told(world: World, tmp_path: Path) -> None:
    rig = Rig(world, tmp_path)
    rig.steps(2)
    name = next(iter(world.boxes))
    world.boxes[name].untold = "status 3: no route to the rack"
    view = rig.steps(90)
    assert [p for p in view.problems if name in p and "no route to the rack" in p], view.problems
    world.boxes[name].untold = ""
    assert rig.steps(90).problems == ()


def test_a_dry_run_orders_nothing_and_remembers_no_order(world: World, tmp_path: Path) -> None:
    world.add_node("m1", unschedulable=True)
    rig = Rig(world, tmp_path, daemon=DaemonOptions(dry_run=True))
    world.add_pod("a")
    view = rig.steps(5)
    assert view.decision.power_on
    assert not view.acted
    assert world.count("on") == 0
    assert rig.loop.memory.last_scale_up is None


def test_a_pause_outlives_a_restart(rig: Rig, world: World, tmp_path: Path) -> None:
    rig.loop.pause("lunch")
    world.add_pod("a")
    rig.steps(3)
    assert world.count("on") == 0
    again = Rig(world, tmp_path)
    assert again.steps(3).paused == "lunch"
    assert world.count("on") == 0
    again.loop.pause("")
    again.steps(1)
    assert world.count("on") == 1


def test_timers_outlive_a_kill(rig: Rig, world: World, tmp_path: Path) -> None:
    world.add_node("m1")
    rig.steps(10)
    since = rig.loop.memory.unneeded_since["m1"]
    again = Rig(world, tmp_path)
    assert again.loop.memory.unneeded_since["m1"] == since


def test_the_other_daemon_does_nothing_until_it_leads_and_nothing_after(rig: Rig, world: World) -> None:
    rig.leads = False
    world.add_pod("a")
    calls = len(world.calls)
    view = rig.steps(5)
    assert len(world.calls) == calls
    assert not view.leader
    rig.leads = True
    rig.steps(2)
    assert world.count("on") == 1
    rig.leads = False
    world.boot_s = 0
    world.add_pod("b")
    calls = len(world.calls)
    rig.steps(5)
    assert len(world.calls) == calls
    rig.leads = True
    rig.steps(60)
    assert world.pods["ns", "a"].node
    assert len([c for c in world.calls if c[0] == "on"]) == 1, "b fits on the machine that was ordered before"


def test_a_pool_without_capacity_rests_and_the_next_serves_in_the_next_pass(rig: Rig, world: World) -> None:
    world.faults["on"] = [NoCapacity("stock-out")]
    world.pods.clear()
    world.add_pod("a")
    view = rig.steps(2)
    assert view.memory.rests["rack"].reason == "stock-out"
    assert view.failures[0].pool == "rack"
    assert len(world.made) == 1, "the cloud"


def test_a_node_whose_drain_fails_rests_longer_each_time_until_it_goes(world: World, tmp_path: Path) -> None:
    options = ActionOptions(retry_first_s=1.0, drain_s=30.0)
    rig = Rig(world, tmp_path, lambda *given: Decision(given[0].now, memory=given[3]), actions=options)
    world.pods.clear()
    world.add_node("m1")
    world.add_pod("a", "m1")
    rig.steps(3)

    def drained() -> Any:
        rig.loop.runner.submit(off(world, "m1"))
        for _ in range(500):
            view = rig.steps(1)
            if not view.actions:
                return view
        raise AssertionError(view.actions)

    world.protected = {"a"}
    first = drained().memory.removal_rests["m1"]
    assert (first.rest_s, "allows no disruption" in first.reason) == (300, True)
    world.clock.advance(301)
    assert drained().memory.removal_rests["m1"].rest_s == 600
    assert rig.loop.memory.last_failure == rig.loop.memory.removal_rests["m1"].failed_at
    world.protected = set()
    world.clock.advance(601)
    assert not drained().memory.removal_rests
    assert world.count("off") == 1


def test_while_the_history_is_full_it_decides_and_does_not_act(rig: Rig, world: World) -> None:
    pages = rig.history._db.execute("PRAGMA page_count").fetchone()[0]
    rig.history._db.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(400):
        world.add_pod(f"pod-with-a-long-name-{number:0200d}")
    view = rig.steps(3)
    assert view.decision.power_on
    assert world.count("on") == 0
    assert any("full" in problem for problem in view.problems)
    rig.history._db.execute("PRAGMA max_page_count = 1000000")
    view = rig.steps(10)
    assert world.count("on") > 0
    assert not any("full" in problem for problem in view.problems)


class Jumping(FakeClock):
    """A wall clock that can be set."""

    offset = 0.0

    def now(self) -> float:
        return super().now() + self.offset

    def monotonic(self) -> float:
        return FakeClock.now(self)


@pytest.mark.parametrize("seconds", [86400.0, -86400.0])
def test_a_jump_of_the_clock_moves_timers_along(seconds: float, tmp_path: Path) -> None:
    clock = Jumping()
    world = World(clock=clock)
    world.add_node("m1")
    rig = Rig(world, tmp_path)
    rig.steps(20)
    waited = clock.now() - rig.loop.memory.unneeded_since["m1"]
    clock.offset = seconds
    rig.steps(1)
    assert clock.now() - rig.loop.memory.unneeded_since["m1"] == pytest.approx(waited + 1, abs=1)


def test_a_jump_while_a_machine_boots_gives_it_not_up(tmp_path: Path) -> None:
    clock = Jumping()
    world = World(clock=clock)
    rig = Rig(world, tmp_path)
    rig.steps(2)
    world.add_pod("a")
    rig.steps(5)
    clock.offset = 7 * 86400.0
    world.boxes["m1"].ready_at += clock.offset
    rig.steps(60)
    assert world.count("off") == 0
    assert world.pods["ns", "a"].node == "m1"


def test_acting_decisions_are_recorded_so_that_they_can_be_repeated(rig: Rig, world: World, tmp_path: Path) -> None:
    world.add_pod("a")
    rig.steps(3)
    rig.recorder.stop(5)
    (path,) = (tmp_path / "recordings").glob("*.clues")
    recording = read_recording(path)
    again = simple(recording.snapshot, recording.pools, recording.policy, recording.memory)
    assert again == recording.decision
    (stored,) = [r for r in rig.history.records(since=0, until=1e12) if r["type"] == "decision" and r["recording"]]
    assert stored["recording"] == str(path)


def test_states_and_waiting_times_are_stored(rig: Rig, world: World) -> None:
    world.add_pod("a")
    rig.steps(60)
    records = list(rig.history.records(since=0, until=1e12))
    states = [r["state"] for r in records if r["type"] == "node" and r["name"] == "m1"]
    assert states[-2:] == ["booting", "ready"]
    (pod,) = [r for r in records if r["type"] == "pod"]
    assert pod["node"] == "m1"
    assert pod["wait_s"] >= world.boot_s


def test_what_is_asked_is_done_by_the_loops_thread_and_errors_come_back(rig: Rig) -> None:
    import threading

    answers: list[Any] = []

    def ask() -> None:
        answers.append(rig.loop.ask(lambda: threading.current_thread().name))
        try:
            rig.loop.ask(lambda: (_ for _ in ()).throw(NotFound("no such thing")))
        except NotFound as error:
            answers.append(error.message)

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(200):
        if not thread.is_alive():
            break
        rig.loop.step()
        thread.join(0.005)
    assert answers == [threading.current_thread().name, "no such thing"]


def test_shifting_there_and_back_changes_nothing() -> None:
    memory = failed(Memory(unneeded_since={"a": 5.0}, last_scale_up=3.0), "p", 0.0, "a", BackOff())
    memory = msgspec.structs.replace(memory, removal_rests={"n": memory.rests["p"]})
    assert shifted(memory, 100.0).removal_rests["n"].until == 400.0
    assert shifted(shifted(memory, 100.0), -100.0) == memory


class Lease:
    """A Lease that several share."""

    def __init__(self) -> None:
        self.state: LeaseState | None = None
        self.version = 0
        self.down: set[str] = set()

    def of(self, name: str) -> "LeaseDoor":
        return LeaseDoor(self, name)


class LeaseDoor:
    def __init__(self, lease: Lease, name: str) -> None:
        self.lease, self.name = lease, name

    def read(self) -> LeaseState | None:
        if self.name in self.lease.down:
            raise Transient("no way to the API server")
        return self.lease.state

    def write(self, state, *, holder, transitions, acquired_at, now, duration_s) -> LeaseState:
        current = self.read()
        if (current.version if current else None) != (state.version if state else None):
            raise Conflict("somebody was quicker")
        self.lease.version += 1
        self.lease.state = LeaseState(holder, str(self.lease.version), transitions, acquired_at)
        return self.lease.state


def test_there_is_one_leader_and_another_after_it_is_gone() -> None:
    clock, lease = FakeClock(), Lease()
    options = LeaseOptions(enabled=True)
    first, second = (Elector(options, lease.of(name), name, clock) for name in ("first", "second"))
    leaders = []
    for second_count in range(120):
        if second_count == 30:
            lease.down.add("first")  # it is cut off, and does not know why
        if second_count % 2 == 0:
            first.attempt()
            second.attempt()
        both = first.is_leader and second.is_leader
        assert not both, f"two leaders after {second_count} s"
        leaders.append("first" if first.is_leader else "second" if second.is_leader else "")
        clock.advance(1)
    assert set(leaders[:30]) == {"first"}
    assert leaders[-1] == "second"
    gap = leaders.count("")
    assert 0 < gap <= options.duration_s - options.renew_s + 4
    lease.down.clear()
    first.attempt()
    assert not first.is_leader
    assert first.holder == "second"


def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    clock, lease = FakeClock(), Lease()
    first, second = (Elector(LeaseOptions(), lease.of(name), name, clock) for name in ("first", "second"))
    first.attempt()
    second.attempt()
    first.stop()
    second.attempt()
    assert second.is_leader
    assert not first.is_leader
    assert lease.state.transitions >= 1


def test_leadership_lost_while_it_decided_stops_the_order(world: World, tmp_path: Path) -> None:
    rig: Rig

    def decide(*arguments: Any) -> Decision:
        decision = simple(*arguments)
        if decision.power_on:
            rig.leads = False
        return decision

    rig = Rig(world, tmp_path, decide)
    rig.loop._leads = lambda: rig.leads
    rig.steps(2)
    world.add_pod("a")
    rig.steps(3)
    assert world.count("on") == 0


def test_an_order_that_waited_for_its_turn_is_not_given_by_who_leads_no_more(rig: Rig, world: World) -> None:
    rig.loop.runner.may_act = lambda: False
    world.add_pod("a")
    rig.steps(1)
    assert world.count("on") == 0
    assert [record.phase for record in rig.history.open_actions()] == ["ordering"]
    rig.steps(3)
    rig.loop.runner.may_act = lambda: True
    rig.steps(10)
    assert world.count("on") == 1, "it leads after all"
    assert rig.loop.memory.rests == {}
