"""Slurm nodes that go on and off; a brute force over small partitions says how many must."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.options import Policy
from clues.policy.slurm import SlurmDecision, decide_slurm, judge_jobs, satisfies
from clues.slurm_model import SlurmCluster, SlurmJob, SlurmNode, SlurmNodeState, SlurmPartition
from tests.laws import some

NOW = 10_000.0
_IDLE, _OFF = SlurmNodeState.IDLE, SlurmNodeState.POWERED_DOWN


def cluster(nodes: list[SlurmNode], jobs: list[SlurmJob]) -> SlurmCluster:
    return SlurmCluster((SlurmPartition("batch", tuple(n.name for n in nodes)),), tuple(nodes), tuple(jobs))


def decided(nodes: list[SlurmNode], jobs: list[SlurmJob], policy: Policy | None = None) -> SlurmDecision:
    return decide_slurm(cluster(nodes, jobs), NOW, policy or Policy())


def off(count: int, cpus: int = 4) -> list[SlurmNode]:
    return [SlurmNode(f"c{number}", cpus, state=_OFF) for number in range(1, count + 1)]


def test_idle_and_waking_nodes_come_before_those_that_are_off() -> None:
    nodes = [SlurmNode("c1", 4), SlurmNode("c2", 4, state=SlurmNodeState.POWERING_UP), *off(4)[2:]]
    result = decided(nodes, [SlurmJob(1, "batch", 3, 4, reason="Resources")])
    assert (result.on, result.off) == (("c3",), ())


@pytest.mark.parametrize("reason", ["Dependency", "JobHeldUser", "Licenses", "BeginTime",
                                    "PartitionTimeLimit", "AssocGrpCpuLimit", "(Reservation)"])  # fmt: skip
def test_a_job_that_power_cannot_help_wakes_nothing(reason: str) -> None:
    result = decided([*off(2), SlurmNode("i", 4)], [SlurmJob(1, "batch", 2, 1, reason=reason)])
    assert (result.on, result.off) == ((), ("i",))


@pytest.mark.parametrize("reason", ["", "None", "Resources", "(Priority)", "ReqNodeNotAvail, UnavailableNodes:c[1-2]",
                                    "Nodes required for job are DOWN, DRAINED or reserved"])  # fmt: skip
def test_a_job_that_waits_for_nodes_gets_them(reason: str) -> None:
    assert decided(off(3), [SlurmJob(1, "batch", 2, 1, reason=reason)]).on == ("c1", "c2")


def test_more_than_the_partition_can_give_wakes_nothing() -> None:
    assert decided(off(2), [SlurmJob(1, "batch", 3)]).on == ()
    assert decided(off(2), [SlurmJob(1, "batch", 1, 5)]).on == ()
    assert decided(off(2), [SlurmJob(1, "elsewhere", 1, 1)]).on == ()
    powering = [SlurmNode("c9", 4, state=SlurmNodeState.POWERING_DOWN), *off(1)]
    assert decided(powering, [SlurmJob(1, "batch", 2)]).on == ()


def test_one_job_a_node_unless_free_cpus_are_known() -> None:
    jobs = [SlurmJob(1, "batch", 1, 1), SlurmJob(2, "batch", 1, 1)]
    assert decided([SlurmNode("i", 4), *off(2)], jobs).on == ("c1",)
    assert decided([SlurmNode("i", 4, free_cpus=4), *off(2)], jobs).on == ()
    shared = SlurmNode("a", 4, state=SlurmNodeState.ALLOCATED, free_cpus=1)
    assert decided([shared, *off(2)], jobs).on == ("c1",)


def test_features_memory_and_weight_choose_the_node() -> None:
    nodes = [
        SlurmNode("big", 8, 64_000, frozenset({"gpu"}), _OFF, weight=9),
        SlurmNode("far", 4, 8000, frozenset({"cpu"}), _OFF, weight=5),
        SlurmNode("near", 4, 8000, frozenset({"cpu"}), _OFF, weight=1),
    ]
    assert decided(nodes, [SlurmJob(1, "batch", 1, 1)]).on == ("near",)
    assert decided(nodes, [SlurmJob(1, "batch", 1, 1, constraint="gpu")]).on == ("big",)
    assert decided(nodes, [SlurmJob(1, "batch", 1, 1, 9000)]).on == ("big",)
    idle = [SlurmNode("a", 4, features=frozenset({"gpu"})), SlurmNode("b", 4), *off(1)]
    assert decided(idle, [SlurmJob(1, "batch"), SlurmJob(2, "batch", constraint="gpu")]).on == ()


def test_constraints() -> None:
    assert satisfies("", ())
    assert satisfies("a&b|c", ("c",))
    assert not satisfies("a&b|c", ("a",))
    assert satisfies("a&(b|c)", ("a", "c"))
    assert satisfies("[a|b]", ("b",))
    assert satisfies("a*2&b*1", ("a", "b"))
    for broken in ("&", "a&", "(a", "a)", "()", "(" * 500, "|"):
        assert not satisfies(broken, ("a",))


def test_what_is_idle_long_enough_goes_off() -> None:
    nodes = [SlurmNode("old", 4, since=NOW - 600), SlurmNode("new", 4, since=NOW - 599), SlurmNode("x", 4)]
    result = decide_slurm(cluster(nodes, []), NOW, Policy(), excluded=("x",))
    assert result.off == ("old",)
    assert {v.node: v.block and v.block.value for v in result.verdicts} == {
        "old": None,
        "new": "not-unneeded-long-enough",
        "x": "excluded",
    }
    assert decided([SlurmNode("x", 4)], [SlurmJob(1, "batch")]).off == ()
    assert decided([SlurmNode("x", 4)], [], Policy(scale_in=False)).off == ()


def test_power_ups_are_limited_by_whole_jobs() -> None:
    jobs = [SlurmJob(1, "batch", 3), SlurmJob(2, "batch", 1)]
    assert len(decided(off(4), jobs, Policy(max_booting=2)).on) == 1
    assert [v.outcome for v in judge_jobs(cluster(off(4), jobs), NOW, Policy(max_booting=2))] == ["limit", "ordered"]


_STATES = st.sampled_from([_IDLE, _OFF, _OFF, SlurmNodeState.POWERING_UP, SlurmNodeState.DOWN])


@settings(max_examples=some(120), deadline=None)
@given(st.lists(st.tuples(_STATES, st.sampled_from([2, 4])), max_size=6), st.integers(1, 4), st.sampled_from([1, 3]))
def test_one_job_wakes_as_few_as_brute_force_says(
    nodes: list[tuple[SlurmNodeState, int]], want: int, cpus: int
) -> None:
    made = [SlurmNode(f"n{number}", size, state=state) for number, (state, size) in enumerate(nodes)]
    usable = [node for node in made if node.state is not SlurmNodeState.DOWN and node.cpus >= cpus]
    least = min((sum(n.state is _OFF for n in chosen) for chosen in combinations(usable, want)), default=0)
    assert len(decided(made, [SlurmJob(1, "batch", want, cpus)]).on) == least
