"""Slurm's nodes with the machines behind them: orders, removals, and what keeps both."""

from typing import Any

import msgspec
import pytest

from clues.decide import decide
from clues.decision import Block, Decision, Memory, PoolRest, RemovalKind
from clues.model import Node, Pod, PodSpec
from clues.options import Headroom, MachineOption, Policy, Pool, Window
from clues.slurm_model import SlurmCluster, SlurmJob, SlurmNode, SlurmNodeState, SlurmPartition
from clues.snapshot import Machine, MachineState, NodeState, Snapshot

NOW = 1_000_000.0
NAMES = tuple(f"n{n}" for n in range(1, 5))
RACK = Pool("rack", driver="d", max=4, powered=True, machines=tuple(MachineOption(name) for name in NAMES))
CLOUD = Pool("cloud", driver="d", max=3, node_names="n*")
_DOWN = SlurmNode("", 4, 8000, state=SlurmNodeState.DOWN, free_cpus=4, answers=False)
_IDLE = SlurmNode("", 4, 8000, free_cpus=4, started_at=1.0)


def snapshot(
    nodes: dict[str, SlurmNode], jobs: tuple[SlurmJob, ...], machines: tuple[Machine, ...], **more: Any
) -> Snapshot:
    named = tuple(msgspec.structs.replace(node, name=name) for name, node in nodes.items())
    cluster = SlurmCluster((SlurmPartition("p", tuple(nodes)),), named, jobs)
    by_pool: dict[str, tuple[Machine, ...]] = {}
    for machine in machines:
        by_pool[machine.pool] = (*by_pool.get(machine.pool, ()), machine)
    return Snapshot(now=NOW, slurm=cluster, machines=by_pool, **more)


def machine(name: str, state: MachineState, pool: str = "rack", **more: Any) -> Machine:
    return Machine(name, pool, state, 0.0, **{"node": name, **more})


def decided(shown: Snapshot, pool: Pool = RACK, policy: Policy | None = None, memory: Memory | None = None) -> Decision:
    return decide(shown, (pool,), policy or Policy(unneeded_s=10), memory or Memory())


def test_a_silent_node_is_ordered_by_its_machine() -> None:
    machines = tuple(machine(name, MachineState.OFF) for name in NAMES)
    decision = decided(snapshot(dict.fromkeys(NAMES, _DOWN), (SlurmJob(7, "p", nodes=2),), machines))
    (order,) = decision.power_on
    assert (order.pool, order.machines, order.reason) == ("rack", ("n1", "n2"), "for the jobs 7")
    assert decision.slurm_on == ("n1", "n2")
    assert decision.pods[0].outcome == "ordered"


def test_a_machine_that_boots_is_not_ordered_again() -> None:
    machines = (machine("n1", MachineState.BOOTING), *(machine(name, MachineState.OFF) for name in NAMES[1:]))
    decision = decided(snapshot(dict.fromkeys(NAMES, _DOWN), (SlurmJob(7, "p", nodes=2),), machines))
    assert decision.power_on[0].machines == ("n2",)


@pytest.mark.parametrize("coming", [0, 1, 2])
def test_of_a_pool_without_names_so_many_as_are_missing(coming: int) -> None:
    machines = tuple(machine(f"vm-{n}", MachineState.BOOTING, "cloud", node="" if n else "n9x") for n in range(coming))
    shown = snapshot(dict.fromkeys(NAMES, _DOWN), (SlurmJob(7, "p", nodes=2),), machines)
    decision = decided(shown, CLOUD)
    assert sum(order.count for order in decision.power_on) == 2 - coming
    assert all(order.machines == () for order in decision.power_on)


def test_limits_of_the_pool_and_rests_hold() -> None:
    machines = tuple(machine(name, MachineState.OFF) for name in NAMES)
    shown = snapshot(dict.fromkeys(NAMES, _DOWN), (SlurmJob(7, "p", nodes=3),), machines)
    two = msgspec.structs.replace(RACK, max=2)
    assert (decided(shown, two).power_on, decided(shown, two).pods[0].outcome) == ((), "limit")
    rest = Memory(rests={"rack": PoolRest(NOW - 1, 300, NOW + 299, "out of order")})
    assert decided(shown, memory=rest).pods[0].outcome == "resting"
    assert decided(shown, policy=Policy(max_nodes=2)).pods[0].outcome == "limit"
    assert decided(shown, policy=Policy(scale_out=False)).power_on == ()
    assert decided(msgspec.structs.replace(shown, complete=False)).power_on == ()


def test_an_idle_node_goes_and_says_for_how_long_it_was() -> None:
    idle = msgspec.structs.replace(_IDLE, since=NOW - 60)
    shown = snapshot(
        dict.fromkeys(NAMES[:2], idle), (), (machine("n1", MachineState.ON), machine("n2", MachineState.ON))
    )
    assert [(r.node, r.machine, r.reason) for r in decided(shown).remove] == [
        ("n1", "n1", "idle for 60 s"),
        ("n2", "n2", "idle for 60 s"),
    ]


@pytest.mark.parametrize(
    ("pool", "policy", "block"),
    [
        ({"min": 1}, {}, Block.MIN_SIZE),
        ({"headroom": Headroom(nodes=1)}, {}, Block.HEADROOM),
        ({"unneeded_s": 61.0}, {}, Block.NOT_UNNEEDED_LONG_ENOUGH),
        ({"min_on_s": NOW + 5}, {}, Block.MIN_ON),
        ({}, {"headroom": Headroom(nodes=1)}, Block.HEADROOM),
        ({}, {"scale_in": False}, Block.SCALE_IN_OFF),
        ({}, {"schedules": (Window("* * * * *", 3600, no_scale_in=True),)}, Block.SCHEDULE),
    ],
)
def test_what_keeps_an_idle_node(pool: dict[str, Any], policy: dict[str, Any], block: Block) -> None:
    idle = msgspec.structs.replace(_IDLE, since=NOW - 60)
    shown = snapshot({"n1": idle}, (), (machine("n1", MachineState.ON),))
    changed = msgspec.structs.replace(RACK, **pool)
    decision = decided(shown, changed, Policy(**{"unneeded_s": 10, **policy}))
    assert (decision.remove, [v.block for v in decision.nodes]) == ((), [block])


@pytest.mark.parametrize("more", [{"complete": False}, {"stale_s": 61.0}])
def test_a_stale_or_incomplete_picture_never_scales_in(more: dict[str, Any]) -> None:
    shown = snapshot({"n1": _IDLE}, (), (machine("n1", MachineState.ON),), **more)
    decision = decided(shown)
    assert (decision.remove, decision.slurm_off) == ((), ())
    assert decision.notes


def test_held_and_disabled_machines_and_foreign_nodes_are_left_alone() -> None:
    held = machine("n1", MachineState.ON, held=True)
    gone = machine("n2", MachineState.OFF, disabled=True)
    shown = snapshot({"n1": _IDLE, "n2": _DOWN, "other": _IDLE}, (SlurmJob(7, "p", nodes=3),), (held, gone))
    decision = decided(shown)
    assert (decision.power_on, decision.remove) == ((), ())


def test_after_a_removal_that_failed_nothing_goes_for_a_while() -> None:
    shown = snapshot({"n1": _IDLE}, (), (machine("n1", MachineState.ON),))
    decision = decided(shown, memory=Memory(last_failure=NOW - 10))
    assert (decision.remove, [v.block for v in decision.nodes]) == ((), [Block.COOLDOWN])
    assert len(decided(shown, memory=Memory(last_failure=NOW - 1000)).remove) == 1
    rests = {"n1": PoolRest(NOW - 200, 300.0, NOW + 100, "it hangs")}
    pair = snapshot({"n1": _IDLE, "n2": _IDLE}, (), (machine("n1", MachineState.ON), machine("n2", MachineState.ON)))
    decision = decided(pair, policy=Policy(max_parallel=1), memory=Memory(removal_rests=rests))
    assert [removal.node for removal in decision.remove] == ["n2"]
    assert [(v.block, v.removable_at) for v in decision.nodes if v.node == "n1"] == [(Block.COOLDOWN, NOW + 100)]


def _silent(names: tuple[str, ...], since: float, pods: tuple[Pod, ...] = ()) -> Snapshot:
    machines = tuple(machine(name, MachineState.ON) for name in names)
    states = {
        name: NodeState(Node(name, {}, {}, ready=False, not_ready_since=since), pods, "rack", name) for name in names
    }
    return msgspec.structs.replace(snapshot(dict.fromkeys(names, _DOWN), (), machines), nodes=states)


def test_a_machine_whose_slurmd_is_lost_goes_off_unless_many_are() -> None:
    (removal,) = decided(_silent(("n1",), NOW - 1300)).remove
    assert (removal.node, removal.kind) == ("n1", RemovalKind.UNREADY)
    assert decided(_silent(("n1",), NOW - 1100)).remove == ()
    assert decided(_silent(("n1",), NOW - 1300), policy=Policy(remove_unready=False)).remove == ()
    running = Pod("p", "7", "7", PodSpec(), {}, node="n1")
    assert decided(_silent(("n1",), NOW - 1300, (running,))).remove == ()
    many = decided(_silent(NAMES, NOW - 1300))
    assert many.remove == ()
    assert "4 of 4 nodes do not answer" in many.notes[0]


def test_demand_that_returns_calls_a_removal_off() -> None:
    leaving = msgspec.structs.replace(_IDLE, since=0.0, parked=True)
    shown = snapshot({"n1": leaving}, (SlurmJob(7, "p"),), (machine("n1", MachineState.ON),))
    assert decided(shown, memory=Memory(removing={"n1": NOW - 1})).cancel == ("n1",)
    assert decided(msgspec.structs.replace(shown, slurm=msgspec.structs.replace(shown.slurm, jobs=()))).cancel == ()


def test_a_node_that_slurm_gave_away_while_it_is_off_is_ordered() -> None:
    claimed = msgspec.structs.replace(_DOWN, state=SlurmNodeState.POWERED_DOWN, claimed=True)
    machines = tuple(machine(name, MachineState.OFF) for name in NAMES)
    shown = snapshot({"n1": _DOWN, "n2": claimed}, (), machines)
    assert decided(shown).power_on[0].machines == ("n2",)
    booting = (machine("n2", MachineState.BOOTING), machine("n1", MachineState.OFF))
    assert decided(snapshot({"n1": _DOWN, "n2": claimed}, (), booting)).power_on == ()
    other = snapshot({"n1": _DOWN, "n2": claimed}, (SlurmJob(7, "p"),), machines)
    assert set(decided(other).power_on[0].machines) == {"n1", "n2"}


def test_a_minimum_is_reached_where_it_is_enforced() -> None:
    machines = tuple(machine(name, MachineState.OFF) for name in NAMES)
    shown = snapshot(dict.fromkeys(NAMES, _DOWN), (), machines)
    two = msgspec.structs.replace(RACK, min=2)
    assert decided(shown, two).power_on == ()
    assert decided(shown, two, Policy(enforce_min=True)).power_on[0].machines == ("n1", "n2")


def test_a_machine_whose_drain_of_the_last_time_is_about_to_end_is_not_ordered_again() -> None:
    came = machine("vm-2", MachineState.ON, "cloud", node="n1", order="token")
    there = machine("vm-3", MachineState.ON, "cloud", node="n2")
    nodes = dict.fromkeys(NAMES, _DOWN) | {
        "n1": msgspec.structs.replace(_IDLE, parked=True, reason="clues: powered off"),
        "n2": msgspec.structs.replace(_IDLE, state=SlurmNodeState.ALLOCATED, free_cpus=0),
    }
    decision = decided(snapshot(nodes, (SlurmJob(3, "p"),), (came, there)), CLOUD)
    assert decision.power_on == ()
    assert (decision.pods[0].outcome, decision.pods[0].place) == ("upcoming", "n1")


def test_a_machine_that_slurm_has_yet_to_ask_after_its_drain_is_not_ordered_again() -> None:
    """After RESUME a node is IDLE+NOT_RESPONDING until slurmctld has asked its slurmd."""
    came, off = machine("n1", MachineState.ON, order="token"), machine("n2", MachineState.OFF)
    nodes = {"n1": _DOWN, "n2": _DOWN}
    assert decided(snapshot(nodes, (SlurmJob(3, "p"),), (came, off))).power_on == ()
    settled = msgspec.structs.replace(came, order="")
    (order,) = decided(snapshot(nodes, (SlurmJob(3, "p"),), (settled, off))).power_on
    assert order.machines == ("n2",)


@pytest.mark.parametrize(
    ("reason", "age_s", "ordered"),
    [("None", 1.0, False), ("None", 6.0, True), ("None", -60.0, True), ("Resources", 1.0, True), ("", 1.0, True)],
)
def test_a_job_that_slurm_has_not_looked_at_yet_may_wait_for_another(reason: str, age_s: float, ordered: bool) -> None:
    """Whether it is dependent, or to begin later, is told with the first reason."""
    job = SlurmJob(3, "p", reason=reason, submitted_at=NOW - age_s)
    shown = snapshot({"n1": _DOWN}, (job,), (machine("n1", MachineState.OFF),))
    assert bool(decided(shown).power_on) is ordered


@pytest.mark.parametrize("job", [{"dependent": True}, {"begins_at": NOW + 3600.0}])
def test_what_a_job_waits_for_counts_before_its_reason_says_so(job: dict[str, Any]) -> None:
    """Slurm gives the reason of a first look (ReqNodeNotAvail) until its next cycle."""
    shown = snapshot({"n1": _DOWN}, (SlurmJob(3, "p", reason="ReqNodeNotAvail", **job),), ())
    shown = msgspec.structs.replace(shown, machines={"rack": (machine("n1", MachineState.OFF),)})
    decision = decided(shown)
    assert (decision.power_on, decision.pods[0].outcome) == ((), "ignored")


def test_a_node_whose_removal_was_called_off_is_not_replaced_while_slurm_has_yet_to_ask_it() -> None:
    stays, off = machine("n1", MachineState.ON, order="token"), machine("n2", MachineState.OFF)
    shown = snapshot({"n1": _DOWN, "n2": _DOWN}, (SlurmJob(3, "p"),), (stays, off))
    assert decided(shown, memory=Memory(removing={"n1": NOW})).power_on == ()
