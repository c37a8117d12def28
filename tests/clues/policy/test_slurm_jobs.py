"""What jobs ask for besides nodes: GRES, whole nodes, arrays, memory a CPU, limits of partitions, named nodes."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.options import Policy
from clues.policy.constraints import counted_terms
from clues.policy.slurm import decide_slurm
from clues.policy.slurm_jobs import Limits, judge
from clues.slurm_model import SlurmCluster, SlurmJob, SlurmNode, SlurmNodeState, SlurmPartition
from tests.laws import some

_IDLE, _OFF, _ALLOC = SlurmNodeState.IDLE, SlurmNodeState.POWERED_DOWN, SlurmNodeState.ALLOCATED


def off(name: str, cpus: int = 4, **more: Any) -> SlurmNode:
    return SlurmNode(name, cpus, 8000, state=_OFF, free_cpus=cpus, **more)


def cluster(nodes: list[SlurmNode], jobs: list[SlurmJob], **partition: Any) -> SlurmCluster:
    return SlurmCluster((SlurmPartition("p", tuple(n.name for n in nodes), **partition),), tuple(nodes), tuple(jobs))


def on(nodes: list[SlurmNode], *jobs: SlurmJob, **partition: Any) -> tuple[str, ...]:
    return decide_slurm(cluster(nodes, list(jobs), **partition), 0.0, Policy()).on


def outcomes(nodes: list[SlurmNode], *jobs: SlurmJob, **partition: Any) -> list[str]:
    return [verdict.outcome for verdict in judge(cluster(nodes, list(jobs), **partition), Policy()).jobs]


FOUR = [off(f"n{n}") for n in range(1, 5)]


def test_tasks_are_spread_over_as_few_nodes_as_they_need() -> None:
    assert on(FOUR, SlurmJob(1, "p", cpus=10)) == ("n1", "n2", "n3")
    assert on(FOUR, SlurmJob(1, "p", cpus=9, cpus_per_task=3)) == ("n1", "n2", "n3")
    assert on(FOUR, SlurmJob(1, "p", nodes=2, cpus=2, max_nodes=2)) == ("n1", "n2")
    assert outcomes(FOUR, SlurmJob(1, "p", cpus=17)) == ["waiting"]
    assert outcomes(FOUR, SlurmJob(1, "p", cpus=9, max_nodes=2)) == ["waiting"]
    assert on(FOUR, SlurmJob(1, "p", nodes=2, cpus=4, tasks_per_node=2, max_nodes=2)) == ("n1", "n2")


def test_a_job_of_one_node_takes_one_that_is_large_enough() -> None:
    nodes = [SlurmNode("busy", 4, state=_ALLOC, free_cpus=1), off("small", 2), off("big", 8)]
    assert on(nodes, SlurmJob(1, "p", cpus=6, max_nodes=1)) == ("big",)


def test_small_jobs_share_a_node() -> None:
    jobs = [SlurmJob(n, "p", cpus=1) for n in range(1, 10)]
    assert on(FOUR, *jobs) == ("n1", "n2", "n3")
    assert on(FOUR, *(replace_job(job, exclusive=True) for job in jobs[:2])) == ("n1", "n2")
    alone = SlurmNode("busy", 4, state=_ALLOC, free_cpus=3)
    assert on([alone, *FOUR], SlurmJob(1, "p", cpus=1, exclusive=True)) == ("n1",)
    assert on([alone, *FOUR], SlurmJob(1, "p", cpus=1)) == ()


def replace_job(job: SlurmJob, **changes: Any) -> SlurmJob:
    return msgspec.structs.replace(job, **changes)


def test_memory_counts_a_node_or_a_cpu() -> None:
    assert on(FOUR, SlurmJob(1, "p", cpus=4, memory_per_cpu_mb=4000)) == ("n1", "n2")
    assert on(FOUR, *(SlurmJob(n, "p", cpus=1, memory_per_node_mb=5000) for n in (1, 2))) == ("n1", "n2")
    assert outcomes(FOUR, SlurmJob(1, "p", cpus=1, memory_per_node_mb=9000)) == ["unschedulable"]


def test_generic_resources_choose_the_node_and_are_used_up() -> None:
    gpus = (("gpu", 2), ("gpu:a100", 2))
    nodes = [*FOUR, off("g1", gres=gpus), off("g2", gres=gpus)]
    assert on(nodes, SlurmJob(1, "p", cpus=1, gres=(("gpu", 1),))) == ("g1",)
    assert on(nodes, *(SlurmJob(n, "p", cpus=1, gres=(("gpu", 1), ("gpu:a100", 1))) for n in (1, 2, 3))) == ("g1", "g2")
    assert outcomes(nodes, SlurmJob(1, "p", cpus=1, gres=(("gpu", 1), ("gpu:h100", 1)))) == ["unschedulable"]
    used = SlurmNode("g0", 4, state=_ALLOC, free_cpus=3, gres=gpus, free_gres=(("gpu", 0), ("gpu:a100", 0)))
    assert on([used, off("g1", gres=gpus)], SlurmJob(1, "p", cpus=1, gres=(("gpu", 1),))) == ("g1",)


def test_an_array_asks_for_what_may_run_at_once() -> None:
    array = SlurmJob(1, "p", cpus=2, count=5)
    assert on(FOUR, array) == ("n1", "n2", "n3")
    assert outcomes(FOUR, replace_job(array, count=0)) == ["ignored"]
    verdict = judge(cluster(FOUR, [replace_job(array, count=50)]), Policy()).jobs[0]
    assert (verdict.outcome, verdict.nodes) == ("ordered", ("n1", "n2", "n3", "n4"))
    assert verdict.reason.startswith("8 of 50 tasks")


@pytest.mark.parametrize(
    ("job", "partition"),
    [
        (SlurmJob(1, "p", nodes=2), {"max_nodes": 1}),
        (SlurmJob(1, "p", minutes=61), {"max_minutes": 60}),
        (SlurmJob(1, "p"), {"is_up": False}),
        (SlurmJob(1, "p", reservation="maint"), {}),
        (SlurmJob(1, "p", reason="ReqNodeNotAvail, Reserved for maintenance"), {}),
        (SlurmJob(1, "p", reason="QOSMaxCpuPerUserLimit"), {}),
        (SlurmJob(1, "p", reason="AssocMaxJobsLimit"), {}),
        (SlurmJob(1, "p", reason="JobArrayTaskLimit"), {}),
        (SlurmJob(1, "p", reason="DependencyNeverSatisfied"), {}),
    ],
)
def test_limits_order_nothing(job: SlurmJob, partition: dict[str, Any]) -> None:
    assert on(FOUR, job, **partition) == ()
    assert outcomes(FOUR, job, **partition) == ["ignored"]


def test_named_and_excluded_nodes() -> None:
    assert on(FOUR, SlurmJob(1, "p", required=frozenset({"n3"}))) == ("n3",)
    assert on(FOUR, SlurmJob(1, "p", nodes=2, required=frozenset({"n3"}))) == ("n1", "n3")
    assert on(FOUR, SlurmJob(1, "p", excluded=frozenset({"n1", "n2"}))) == ("n3",)
    assert outcomes(FOUR, SlurmJob(1, "p", required=frozenset({"elsewhere"}))) == ["unschedulable"]


def test_of_several_partitions_one_that_wakes_fewer_nodes() -> None:
    nodes = [off("a1"), SlurmNode("b1", 4, free_cpus=4)]
    partitions = (SlurmPartition("a", ("a1",)), SlurmPartition("b", ("b1",)))
    found = judge(SlurmCluster(partitions, tuple(nodes), (SlurmJob(1, "a,b", cpus=1),)), Policy())
    assert found.jobs[0].nodes == ("b1",)


def test_so_many_nodes_of_each_feature() -> None:
    def racked(name: str, *features: str) -> SlurmNode:
        return off(name, features=frozenset(features))

    nodes = [racked("a1", "a"), racked("a2", "a"), racked("a3", "a"), racked("b1", "b"), racked("b2", "b"), off("x1")]
    assert on(nodes, SlurmJob(1, "p", nodes=3, constraint="[a*1&b*2]")) == ("a1", "b1", "b2")
    assert on(nodes, SlurmJob(1, "p", nodes=2, constraint="[(a|b)*1&a*1]")) == ("a1", "a2")
    assert len(on(nodes, SlurmJob(1, "p", nodes=4, constraint="b*1"))) == 4
    assert outcomes(nodes, SlurmJob(1, "p", nodes=3, constraint="[a*0&b*3]")) == ["unschedulable"]
    assert outcomes(nodes, SlurmJob(1, "p", nodes=4, constraint="[a*1&b*3]")) == ["waiting"]
    assert on(nodes, SlurmJob(1, "p", nodes=4, constraint="[a*1&b*3]")) == ()
    both = [racked("c1", "a", "b")]
    assert on(both, SlurmJob(1, "p", nodes=2, constraint="[a*1&b*1]")) == ()  # one node is not two


def test_counts_in_constraints() -> None:
    assert counted_terms("[rack1*2&rack2*4]", 6) == (("rack1", 2), ("rack2", 4))
    assert counted_terms("[(knl&flat)*4&haswell*1]", 5) == (("(knl&flat)", 4), ("haswell", 1))
    assert counted_terms("gpu*4", 16) == (("gpu", 4), ("", 12))
    for text in ("a&b", "[a|b]", "a*9", "(a*2|b)&c", "*3"):
        assert counted_terms(text, 4) == ()


def test_what_is_kept_takes_no_job_and_stays() -> None:
    drained = SlurmNode("d", 4, free_cpus=4, kept="it is drained: disk")
    result = decide_slurm(cluster([drained, off("n1")], [SlurmJob(1, "p", cpus=1)]), 1e6, Policy())
    assert (result.on, result.off) == (("n1",), ())
    planned = SlurmNode("x", 4, free_cpus=4, planned=True)
    assert decide_slurm(cluster([planned], []), 1e6, Policy()).off == ()


def test_pools_have_limits_and_rests() -> None:
    limits = Limits(pool_of={n.name: "rack" for n in FOUR}, room={"rack": 1})
    found = judge(cluster(FOUR, [SlurmJob(1, "p", nodes=2), SlurmJob(2, "p", cpus=1)]), Policy(), (), limits)
    assert [(v.job, v.outcome) for v in found.jobs] == [(1, "limit"), (2, "ordered")]
    resting = replace(limits, resting={"rack": "no capacity"})
    verdict = judge(cluster(FOUR, [SlurmJob(1, "p")]), Policy(), (), resting).jobs[0]
    assert (verdict.outcome, verdict.reason) == ("resting", "the pool rack rests: no capacity")


_JOB = st.builds(
    SlurmJob,
    st.integers(1, 10**6),
    st.just("p"),
    nodes=st.integers(1, 3),
    cpus=st.integers(0, 9),
    cpus_per_task=st.integers(1, 3),
    priority=st.integers(0, 3),
    constraint=st.sampled_from(["", "a", "a|b", "a*1", "[a*1&b*1]"]),
    exclusive=st.booleans(),
    count=st.integers(0, 3),
    max_nodes=st.sampled_from([0, 3]),
    memory_per_cpu_mb=st.sampled_from([0, 3000]),
)
_NODE = st.builds(
    lambda state, cpus, used, features: SlurmNode(
        "", cpus, 8000, frozenset(features), state, 0.0, max(0, cpus - used) if state is _ALLOC else cpus
    ),
    st.sampled_from([_IDLE, _OFF, _OFF, _ALLOC, SlurmNodeState.POWERING_UP, SlurmNodeState.DOWN]),
    st.sampled_from([2, 4]),
    st.integers(1, 4),
    st.sets(st.sampled_from("ab")),
)


@settings(max_examples=some(150), deadline=None)
@given(st.lists(_NODE, max_size=6), st.lists(_JOB, max_size=6), _JOB)
def test_one_more_job_at_the_end_removes_no_node_and_no_place_is_used_twice(
    shapes: list[SlurmNode], jobs: list[SlurmJob], more: SlurmJob
) -> None:
    nodes = [msgspec.structs.replace(node, name=f"n{number}") for number, node in enumerate(shapes)]
    last = replace_job(more, id=10**7, priority=-1)
    before = decide_slurm(cluster(nodes, jobs), 1e6, Policy(max_parallel=99))
    after = decide_slurm(cluster(nodes, [*jobs, last]), 1e6, Policy(max_parallel=99))
    assert set(after.off) <= set(before.off)
    judged = judge(cluster(nodes, jobs), Policy())
    assert all(slot.cpus >= 0 and slot.memory_mb >= 0 for slot in judged.slots.values())
    assert not set(after.on) & set(after.off)
