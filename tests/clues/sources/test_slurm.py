"""The picture of a batch system: readiness, arrays, what stays the same object, and failures."""

import threading
from dataclasses import dataclass, field

import msgspec
import pytest

from clues.decide import decide
from clues.decision import Memory
from clues.options import MachineOption, Policy, Pool
from clues.slurm_model import SlurmJob, SlurmNode, SlurmNodeState, SlurmPartition
from clues.slurmapi.lines import ANY_QUEUE, UNTOLD, read_job_lines, read_node_lines
from clues.slurmapi.listing import ListedJob, ListedNode, Listing
from clues.snapshot import Machine, MachineState
from clues.sources.slurm import SlurmLook, SlurmSource, picture_of
from infracore.clock import FakeClock
from infracore.errors import InfraError, Transient

RACK = Pool("rack", driver="d", powered=True, machines=(MachineOption("n1"),))


def listed(name: str = "n1", *, ready: bool = True, started: float = 100.0, state: str = "IDLE") -> ListedNode:
    node = SlurmNode(name, 4, 8000, free_cpus=4, started_at=started, parked="DRAIN" in state)
    return ListedNode(node, state, ready, "DRAIN" in state, ("p",))


@dataclass
class Batch:
    """A batch system in memory."""

    stopping: threading.Event = field(default_factory=threading.Event)
    listed_jobs: tuple[ListedJob, ...] = ()
    listed_nodes: tuple[ListedNode, ...] = (listed(),)
    starts: bool = False
    """Its pending jobs start between two looks."""
    names: tuple[str, ...] = ("n1",)
    queue: str = "p"
    error: InfraError | None = None
    partition_reads: int = 0

    def jobs(self) -> Listing:
        if self.error is not None:
            raise self.error
        found = self.listed_jobs
        self._start()
        return Listing(jobs=found)

    def nodes(self) -> Listing:
        found = self.listed_nodes
        self._start()
        return Listing(nodes=found)

    def _start(self) -> None:
        if self.starts:
            self.starts = False
            running = [msgspec.structs.replace(item.job, pending=False) for item in self.listed_jobs]
            self.listed_jobs = tuple(ListedJob(job, places=("n1",)) for job in running)
            busy = msgspec.structs.replace(listed().node, state=SlurmNodeState.ALLOCATED, free_cpus=0)
            self.listed_nodes = (ListedNode(busy, "ALLOCATED", is_ready=True),)

    def partitions(self) -> tuple[tuple[SlurmPartition, ...], tuple[str, ...]]:
        self.partition_reads += 1
        return (SlurmPartition(self.queue, self.names, is_default=True),), ()


def source(batch: Batch, clock: FakeClock | None = None) -> SlurmSource:
    made = SlurmSource(batch, clock or FakeClock(), poll_s=1, partitions_s=60)
    made.take_pools([RACK])
    return made


def machine(state: MachineState, **more: float) -> dict[str, tuple[Machine, ...]]:
    return {"rack": (Machine("n1", "rack", state, 0.0, "n1", **more),)}  # type: ignore[arg-type]


def test_before_the_first_answer_nothing_is_complete() -> None:
    batch = Batch()
    made = source(batch)
    assert not made.snapshot(0, {}).complete
    assert made.look()
    shown = made.snapshot(0, machine(MachineState.ON))
    assert shown.complete
    assert (shown.nodes["n1"].pool, shown.nodes["n1"].machine, shown.nodes["n1"].node.ready) == ("rack", "n1", True)
    assert shown.slurm is not None


def test_what_did_not_change_is_the_same_and_no_news() -> None:
    batch = Batch(listed_jobs=(ListedJob(SlurmJob(1, "p", cpus=2, submitted_at=5)),))
    made = source(batch)
    made.look()
    first, version = made.snapshot(0, {}), made.version
    assert not made.look()
    batch.listed_jobs = (*batch.listed_jobs, ListedJob(SlurmJob(2, "p", submitted_at=6)))
    assert made.look()
    second = made.snapshot(1, {})
    assert made.version > version
    assert second.nodes["n1"] is first.nodes["n1"]
    assert second.pending[0] is first.pending[0]
    assert [str(pod.ref) for pod in second.pending] == ["p/1", "p/2"]
    assert batch.partition_reads == 1


def test_a_job_that_starts_while_slurm_is_asked_is_not_counted_twice() -> None:
    batch = Batch(listed_jobs=(ListedJob(SlurmJob(1, "p", cpus=4)),), starts=True)
    made = source(batch)
    made.look()
    shown = made.snapshot(0, {}).slurm
    assert shown is not None
    assert shown.jobs == ()
    assert [(node.state, node.planned) for node in shown.nodes] == [(SlurmNodeState.IDLE, True)]


def test_partitions_are_read_again_for_an_unknown_name_and_after_their_time() -> None:
    clock = FakeClock()
    batch = Batch()
    made = source(batch, clock)
    made.look()
    batch.listed_jobs = (ListedJob(SlurmJob(1, "new")),)
    made.look()
    assert batch.partition_reads == 2
    batch.listed_jobs = ()
    clock.advance(61)
    made.look()
    assert batch.partition_reads == 3


def test_an_error_keeps_the_last_picture_which_grows_old() -> None:
    clock = FakeClock()
    batch = Batch()
    made = source(batch, clock)
    made.look()
    batch.error = Transient("Unable to contact slurm controller")
    clock.advance(30)
    assert made.look()
    assert not made.look()
    shown = made.snapshot(0, {})
    assert (shown.stale_s, shown.problems) == (30, ("Slurm cannot be asked: Unable to contact slurm controller",))
    assert "n1" in shown.nodes
    batch.error = None
    assert made.look()
    assert made.snapshot(0, {}).problems == ()


def test_the_slurmd_of_before_the_machine_went_off_is_not_ready() -> None:
    batch = Batch()
    made = source(batch)
    made.look()
    made.snapshot(0, machine(MachineState.STOPPING))
    batch.listed_nodes = (listed(state="DOWN+DRAIN"),)  # parked, and slurmctld has not missed it yet
    made.look()
    assert not made.snapshot(1, machine(MachineState.OFF, last_off_at=50.0)).nodes["n1"].node.ready
    assert not made.snapshot(2, machine(MachineState.BOOTING, last_off_at=50.0)).nodes["n1"].node.ready
    batch.listed_nodes = (listed(state="IDLE+DRAIN", started=99.0),)  # another one, though its clock is behind
    made.look()
    assert made.snapshot(3, machine(MachineState.BOOTING, last_off_at=150.0)).nodes["n1"].node.ready


def test_a_machine_that_only_slept_is_ready_though_its_slurmd_is_the_same() -> None:
    batch = Batch()
    made = source(batch)
    asleep = msgspec.structs.replace(listed().node, answers=False)
    batch.listed_nodes = (ListedNode(asleep, "DOWN+DRAIN+NOT_RESPONDING"),)
    made.look()
    made.snapshot(0, machine(MachineState.OFF))
    batch.listed_nodes = (listed(),)
    made.look()
    assert made.snapshot(1, machine(MachineState.BOOTING, last_off_at=150.0)).nodes["n1"].node.ready


def test_of_an_array_as_many_tasks_as_may_run_are_demand() -> None:
    array = ListedJob(SlurmJob(6, "p", count=50, name="6_[1-50%4]"), array=6, at_once=4)
    running = ListedJob(SlurmJob(7, "p", pending=False), array=6, places=("n1",))
    found = picture_of(SlurmLook(jobs=(array, running, running)))
    assert [job.count for job in found.jobs] == [2]
    assert [j.count for j in picture_of(SlurmLook(jobs=(array, *[running] * 5))).jobs] == [0]


def test_jobs_hold_their_nodes_and_whole_node_partitions_make_jobs_exclusive() -> None:
    batch = Batch(listed_jobs=(ListedJob(SlurmJob(7, "p", cpus=3, pending=False), places=("n1",)),))
    made = source(batch)
    made.look()
    assert [pod.name for pod in made.snapshot(0, {}).nodes["n1"].pods] == ["7"]
    look = SlurmLook(
        jobs=(ListedJob(SlurmJob(1, "x")), ListedJob(SlurmJob(2, ""))),
        partitions=(SlurmPartition("x", ("n1",), is_exclusive=True), SlurmPartition("p", (), is_default=True)),
    )
    assert [(job.exclusive, job.partition) for job in picture_of(look).jobs] == [(True, "x"), (False, "p")]


def test_under_slurms_own_power_saving_nothing_is_decided_here() -> None:
    batch = Batch(listed_jobs=(ListedJob(SlurmJob(1, "p")),))
    made = SlurmSource(batch, FakeClock(), poll_s=1, partitions_s=60, decides_here=False)
    made.take_pools([RACK])
    made.look()
    shown = made.snapshot(0, machine(MachineState.ON)).slurm
    assert shown is not None
    assert (shown.jobs, bool(shown.nodes[0].kept)) == ((), True)


def test_future_nodes_are_no_nodes_yet_and_hidden_ones_are_told() -> None:
    future = msgspec.structs.replace(listed().node, state=SlurmNodeState.POWERED_DOWN)
    batch = Batch(listed_nodes=(ListedNode(future, "FUTURE"),), names=("n1", "n2", "n3"))
    made = source(batch)
    made.look()
    shown = made.snapshot(0, {})
    assert shown.nodes == {}
    assert shown.slurm is not None
    assert [node.name for node in shown.slurm.nodes] == ["n1"]
    assert "hides the nodes n[2-3]" in shown.problems[0]


def test_the_thread_asks_wakes_and_stops() -> None:
    woken = threading.Event()
    batch = Batch()
    made = source(batch)
    made.start(woken.set)
    assert woken.wait(10)
    made.stop()
    assert batch.stopping.is_set()


def test_declared_nodes_without_a_machine_are_not_shown_but_decided_about() -> None:
    batch = Batch(
        listed_nodes=(
            cloud("n1", SlurmNodeState.POWERED_DOWN),
            cloud("n2", SlurmNodeState.DOWN, answers=True, parked=True),  # just turned off: Slurm has not missed it yet
            cloud("n3", SlurmNodeState.DOWN, answers=True),
        ),
        names=("n1", "n2", "n3"),
    )
    made = source(batch)
    made.take_pools([Pool("cloud", driver="d", node_names="n*")])
    made.look()
    shown = made.snapshot(0, {})
    assert set(shown.nodes) == {"n3"}
    assert shown.slurm is not None
    assert len(shown.slurm.nodes) == 3
    coming = Machine("vm-1", "cloud", MachineState.BOOTING, 0.0, "n1")
    assert set(made.snapshot(1, {"cloud": (coming,)}).nodes) == {"n1", "n3"}


def cloud(name: str, state: SlurmNodeState, *, answers: bool = False, parked: bool = False) -> ListedNode:
    return ListedNode(SlurmNode(name, 4, state=state, answers=answers, parked=parked), "DOWN+CLOUD")


class Jumping(FakeClock):
    """A wall clock that can be set."""

    offset = 0.0

    def now(self) -> float:
        return super().now() + self.offset

    def monotonic(self) -> float:
        return FakeClock.now(self)


def idle_since(made: SlurmSource, clock: FakeClock) -> float:
    """Return for how long the node is idle in the picture."""
    made.look()
    shown = made.snapshot(clock.now(), machine(MachineState.ON)).slurm
    assert shown is not None
    return clock.now() - shown.nodes[0].since


@pytest.mark.parametrize("said", [0.0, -1.0, 1_800_000_000.0], ids=["none", "negative", "future"])
def test_a_node_that_says_no_time_that_can_be_is_idle_since_it_was_first_seen_so(said: float) -> None:
    clock, batch = FakeClock(), Batch(listed_nodes=(since(said),))
    made = source(batch, clock)
    assert idle_since(made, clock) == 0
    clock.advance(300)
    assert idle_since(made, clock) == 300
    batch.listed_nodes = (since(said, SlurmNodeState.ALLOCATED),)
    idle_since(made, clock)
    clock.advance(10)
    batch.listed_nodes = (since(said),)
    assert idle_since(made, clock) == 0
    clock.advance(10)
    batch.listed_jobs = (ListedJob(SlurmJob(7, "p", pending=False), places=("n1",)),)  # though it calls itself idle
    idle_since(made, clock)
    batch.listed_jobs = ()
    clock.advance(5)
    assert idle_since(made, clock) == 0


def test_a_time_that_can_be_is_believed_and_a_later_one_counts_anew() -> None:
    clock = FakeClock()
    batch = Batch(listed_nodes=(since(clock.now() - 3600),))
    made = source(batch, clock)
    assert idle_since(made, clock) == 3600
    clock.advance(100)
    batch.listed_nodes = (since(clock.now() - 40),)  # a job came and went between two looks
    assert idle_since(made, clock) == 40


@pytest.mark.parametrize("seconds", [86400.0, -86400.0])
@pytest.mark.parametrize("said", [0.0, 1_699_999_900.0], ids=["no-time", "a-time"])
def test_a_jump_of_the_wall_clock_makes_no_node_idle_for_longer(said: float, seconds: float) -> None:
    clock, batch = Jumping(), Batch(listed_nodes=(since(said),))
    made = source(batch, clock)
    before = idle_since(made, clock)
    clock.advance(20)
    clock.offset = seconds
    assert idle_since(made, clock) == before + 20


def test_a_jump_of_the_wall_clock_makes_no_node_silent_for_longer() -> None:
    clock = Jumping()
    silent = msgspec.structs.replace(listed().node, state=SlurmNodeState.DOWN, answers=False)
    made = source(Batch(listed_nodes=(ListedNode(silent, "DOWN*"),)), clock)
    idle_since(made, clock)
    clock.advance(20)
    clock.offset = 86400
    node = made.snapshot(clock.now(), machine(MachineState.ON)).nodes["n1"].node
    assert node.not_ready_since == clock.now() - 20


def test_a_job_that_says_no_time_that_can_be_came_when_it_was_first_seen() -> None:
    clock = FakeClock()
    said = (0.0, clock.now() + 1e6, clock.now() - 50)
    batch = Batch(listed_jobs=tuple(ListedJob(SlurmJob(n, "p", submitted_at=at)) for n, at in enumerate(said)))
    made = source(batch, clock)
    idle_since(made, clock)
    clock.advance(30)
    batch.listed_jobs = (*batch.listed_jobs, ListedJob(SlurmJob(9, "p")))
    idle_since(made, clock)
    waited = {pod.name: clock.now() - pod.created_at for pod in made.snapshot(clock.now(), {}).pending}
    assert waited == {"0": 30, "1": 30, "2": 80, "9": 0}


def test_a_node_that_says_not_since_when_it_is_there_is_ready_since_it_was_first_seen_so() -> None:
    clock, batch = FakeClock(), Batch(listed_nodes=(listed(started=UNTOLD),))
    made = source(batch, clock)

    def ready_since() -> float | None:
        made.look()
        return made.snapshot(clock.now(), machine(MachineState.ON)).nodes["n1"].node.ready_since

    first = clock.now()
    assert ready_since() == first
    clock.advance(60)
    batch.listed_nodes = (listed(started=UNTOLD, state="MIXED"),)
    assert ready_since() == first
    batch.listed_nodes = (listed(started=UNTOLD, ready=False, state="DOWN"),)
    assert ready_since() is None
    batch.listed_nodes = (listed(started=UNTOLD),)
    assert ready_since() == first + 60


def since(said: float, state: SlurmNodeState = SlurmNodeState.IDLE) -> ListedNode:
    return ListedNode(msgspec.structs.replace(listed().node, since=said, state=state), state.name, is_ready=True)


@pytest.mark.parametrize("word", ["drained", "draining", "down", "error"])
@pytest.mark.parametrize(("state", "ordered"), [(MachineState.ON, ["n2"]), (MachineState.BOOTING, [])])
def test_a_node_that_its_batch_system_keeps_from_jobs_has_no_room(
    word: str, state: MachineState, ordered: list[str]
) -> None:
    """Unless we turn its machine on just now: then the drain is the one of when it went."""
    shown = f"name=n1;state={word};slots_count=4;slots_free=4\nname=n2;state=off;slots_count=4"
    jobs = read_job_lines("jobid=1;slots=4").jobs
    batch = Batch(listed_nodes=read_node_lines(shown).nodes, listed_jobs=jobs, names=("n1", "n2"), queue=ANY_QUEUE)
    made = SlurmSource(batch, FakeClock(), poll_s=1, partitions_s=60)
    rack = Pool("rack", driver="d", powered=True, max=2, machines=(MachineOption("n1"), MachineOption("n2")))
    made.take_pools([rack])
    made.look()
    of_rack = (Machine("n1", "rack", state, 0.0, "n1"), Machine("n2", "rack", MachineState.OFF, 0.0, "n2"))
    seen = made.snapshot(10_000.0, {"rack": of_rack})
    decision = decide(seen, (rack,), Policy(unneeded_s=1), Memory())
    assert [name for order in decision.power_on for name in order.machines] == ordered
    assert decision.remove == ()
