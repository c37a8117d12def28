"""What is ordered: laws over small random clusters, and the rules beside packing."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.decide import decide
from clues.decision import Block, Decision, Memory, PodVerdict
from clues.model import Node, Owner, Phase, Pod, PodGroup
from clues.options import BackOff, Headroom, Policy, Pool
from clues.policy.template import fresh_node
from clues.snapshot import Machine, MachineState, NodeState, Snapshot
from tests.clues.build import GIB, pod, spec
from tests.laws import some

NOW = 1e9
_SIZE = {"cpu": 4000, "memory": 16 * GIB, "pods": 110}


def waiting(name: str, cpu: int = 1000, **more: Any) -> Pod:
    fields = {key: more.pop(key) for key in ("gang", "gang_size", "beyond", "priority") if key in more}
    return pod(name, spec(cpu, **fields), **{"created_at": NOW - 60, "unschedulable_since": NOW - 30, **more})


def picture(pods: list[Pod], nodes: list[NodeState] | None = None, **more: Any) -> Snapshot:
    states = {state.node.name: state for state in nodes or []}
    return Snapshot(**{"now": NOW, "nodes": states, "pending": tuple(pods), "namespaces": {"default": {}}, **more})


def worker(**more: Any) -> Pool:
    return Pool(**{"name": "w", "max": 50, "allocatable": _SIZE, **more})


def ready(pool: Pool, name: str, *pods: Pod) -> NodeState:
    made: Node = msgspec.structs.replace(fresh_node(pool, name), ready_since=NOW - 30, created_at=NOW - 60)
    return NodeState(made, pods, pool.name, name)


def ordered(decision: Decision) -> dict[str, int]:
    return {order.pool: order.count for order in decision.power_on}


def booting(decision: Decision) -> dict[str, tuple[Machine, ...]]:
    return {
        order.pool: tuple(
            Machine(f"{order.pool}{i}", order.pool, MachineState.BOOTING, NOW) for i in range(order.count)
        )
        for order in decision.power_on
    }


def outcomes(decision: Decision) -> dict[str, str]:
    return {ref.name: verdict.outcome for verdict in decision.pods for ref in verdict.pods}


_PODS = st.lists(st.tuples(st.sampled_from([500, 1000, 1500, 3000, 5000]), st.integers(0, 2)), max_size=90)


def crowd(asked: list[tuple[int, int]]) -> list[Pod]:
    return [waiting(f"p{i}", cpu, priority=priority) for i, (cpu, priority) in enumerate(asked)]


@settings(max_examples=some(50), deadline=None)
@given(_PODS, st.integers(0, 20))
def test_a_decision_that_was_carried_out_is_quiet(asked: list[tuple[int, int]], most: int) -> None:
    pools = [worker(max=most)]
    first = decide(picture(crowd(asked)), pools, Policy(), Memory())
    again = decide(picture(crowd(asked), machines=booting(first)), pools, Policy(), first.memory)
    assert not again.power_on
    states = set(outcomes(first).values())
    if states == {"ordered"}:  # where some are left out, which of equals those are may change
        assert set(outcomes(again).values()) == {"upcoming"}
    come = [ready(pools[0], f"w{i}") for i in range(sum(ordered(first).values()))]
    later = decide(picture(crowd(asked), come), pools, Policy(), again.memory)
    assert not later.power_on
    if states == {"ordered"}:
        assert set(outcomes(later).values()) == {"fits"}


@settings(max_examples=some(50), deadline=None)
@given(_PODS, st.integers(0, 89))
def test_fewer_pods_never_need_more_nodes_than_one_besides(asked: list[tuple[int, int]], cut: int) -> None:
    pools = [worker(max=100)]
    whole = sum(ordered(decide(picture(crowd(asked)), pools, Policy(), Memory())).values())
    part = sum(ordered(decide(picture(crowd(asked[:cut])), pools, Policy(), Memory())).values())
    assert part <= whole + 1  # first fit is not monotone to the last node


@settings(max_examples=some(50), deadline=None)
@given(_PODS, st.integers(0, 8), st.integers(0, 8), st.integers(0, 30), st.integers(0, 5))
def test_limits_are_never_exceeded(asked: list[tuple[int, int]], most: int, nodes: int, cores: int, boots: int) -> None:
    policy = Policy(max_nodes=nodes, max_cores=float(cores), max_booting=boots)
    number = sum(ordered(decide(picture(crowd(asked)), [worker(max=most)], policy, Memory())).values())
    assert number <= min(most, nodes, cores // 4, boots)


@settings(max_examples=some(30), deadline=None)
@given(_PODS)
def test_the_same_picture_has_the_same_decision(asked: list[tuple[int, int]]) -> None:
    known, pools = picture(crowd(asked)), [worker(), worker(name="x", price=0.9, allocatable={**_SIZE, "cpu": 2000})]
    assert decide(known, pools, Policy(), Memory()) == decide(known, pools, Policy(), Memory())


@settings(max_examples=some(30), deadline=None)
@given(_PODS)
def test_every_pod_has_one_verdict(asked: list[tuple[int, int]]) -> None:
    done = decide(picture(crowd(asked)), [worker(max=5)], Policy(), Memory())
    names = [ref.name for verdict in done.pods for ref in verdict.pods]
    assert sorted(names) == sorted(f"p{i}" for i in range(len(asked)))
    assert all(outcome == "unschedulable" for name, outcome in outcomes(done).items() if asked[int(name[1:])][0] > 4000)


def test_higher_priority_has_the_scarce_nodes() -> None:
    pods = [waiting(f"low{i}", 3000) for i in range(70)] + [waiting(f"high{i}", 3000, priority=5) for i in range(3)]
    done = decide(picture(pods), [worker(max=3)], Policy(), Memory())
    assert ordered(done) == {"w": 3}
    assert {name for name, outcome in outcomes(done).items() if outcome == "ordered"} == {"high0", "high1", "high2"}


def test_a_gang_comes_whole_or_not_at_all() -> None:
    gang = [waiting(f"g{i}", 3000, gang="mpi", gang_size=4) for i in range(4)]
    single = waiting("single", 3000)
    assert ordered(decide(picture([*gang, single]), [worker(max=3)], Policy(), Memory())) == {"w": 1}
    done = decide(picture([*gang, single]), [worker(max=3)], Policy(), Memory())
    assert outcomes(done)["g0"] == "limit"
    assert outcomes(done)["single"] == "ordered"
    assert ordered(decide(picture([*gang, single]), [worker(max=5)], Policy(), Memory())) == {"w": 5}


def verdict_of(decision: Decision, name: str) -> PodVerdict:
    return next(one for one in decision.pods if name in {ref.name for ref in one.pods})


def member(name: str, cpu: int = 3000, size: int = 3, **more: Any) -> Pod:
    return waiting(name, cpu, gang="mpi", gang_size=size, **more)


def test_nothing_is_ordered_for_a_gang_before_all_its_pods_are_there() -> None:
    two = [member("g0"), member("g1")]
    done = decide(picture([*two, waiting("single", 3000)]), [worker()], Policy(), Memory())
    assert ordered(done) == {"w": 1}
    assert outcomes(done) == {"g0": "waiting", "g1": "waiting", "single": "ordered"}
    assert verdict_of(done, "g0").reason == "2 of 3 pods of the gang are there"
    assert ordered(decide(picture([*two, member("g2")]), [worker()], Policy(), Memory())) == {"w": 3}


def test_a_pod_group_says_how_many_members_it_takes_and_how_many_have_ended_well() -> None:
    two = [member("g0", size=0), member("g1", size=0)]
    for group, number in (
        (PodGroup(), 2),
        (PodGroup(size=2), 2),
        (PodGroup(size=3), 0),
        (PodGroup(size=3, succeeded=1), 2),
        (PodGroup(size=4, succeeded=1), 0),
    ):
        shown = picture(two, pod_groups={("default", "mpi"): group, ("other", "mpi"): PodGroup(size=99)})
        done = decide(shown, [worker()], Policy(), Memory())
        assert sum(ordered(done).values()) == number, group
    assert verdict_of(done, "g0").reason == "3 of 4 pods of the gang are there"
    said = picture([member("g0"), member("g1")], pod_groups={("default", "mpi"): PodGroup(size=2)})
    assert outcomes(decide(said, [worker()], Policy(), Memory()))["g0"] == "waiting"  # the largest size holds


def test_a_member_counts_if_it_runs_or_would_be_placed() -> None:
    pool, two = worker(), [member("g0"), member("g1")]
    bound = msgspec.structs.replace(member("g2"), node="n0")
    other = msgspec.structs.replace(bound, namespace="other")
    cases = [
        ([ready(pool, "n0", bound)], [], 2),
        ([ready(pool, "n0", msgspec.structs.replace(bound, deleting=True))], [], 0),  # another is made for it
        ([ready(pool, "n0", other)], [], 0),
        ([], [member("g2", gated=True)], 0),
        ([], [member("g2", deleting=True)], 0),
        ([], [member("g2", priority=-50)], 0),
        ([], [member("g2", size=5)], 0),  # the largest size holds
        ([], [member("g2", size=0)], 3),
        ([], [member("g2", created_at=NOW - 1, unschedulable_since=None)], 0),  # the scheduler looks at it first
        ([], [member("g2", created_at=NOW - 9, unschedulable_since=None)], 3),
    ]
    for nodes, more, number in cases:
        done = decide(picture([*two, *more], nodes), [pool], Policy(), Memory())
        assert sum(ordered(done).values()) == number, (nodes, more)
        assert number or outcomes(done)["g0"] == "waiting"


def test_a_gang_with_a_member_that_no_pool_takes_orders_nothing_and_says_which() -> None:
    gang = [member("g0"), member("g1", beyond=("resourceClaims",)), member("huge", 64000)]
    done = decide(picture(gang), [worker()], Policy(), Memory())
    assert not done.power_on
    assert not done.memory.probes
    assert set(outcomes(done).values()) == {"unschedulable"}
    for name in ("g0", "g1"):
        refusal = verdict_of(done, name).refusals[0]
        assert refusal.rule == "NodeResourcesFit"
        assert refusal.detail.startswith("pod default/huge of its gang: cpu")
    assert verdict_of(done, "huge").refusals[0].detail.startswith("cpu")


def test_a_trial_for_a_member_waits_until_the_whole_gang_would_fit() -> None:
    gang = [member("g0"), member("g1"), member("g2", beyond=("resourceClaims",))]
    short = decide(picture(gang), [worker(max=2)], Policy(), Memory())
    assert not short.power_on
    assert set(outcomes(short).values()) == {"limit"}
    assert not short.memory.probes
    enough = decide(picture(gang), [worker(max=3)], Policy(), Memory())
    assert ordered(enough) == {"w": 3}
    assert outcomes(enough) == {"g0": "ordered", "g1": "ordered", "g2": "waiting"}
    small = worker(name="small", max=1, price=0.1, allocatable={**_SIZE, "cpu": 2000})
    pair = [member("g0", 1000, 2, beyond=("a",)), member("g1", 1000, 2, beyond=("b",))]
    assert not decide(picture(pair), [small], Policy(), Memory()).power_on
    # what was reserved for them is given back to others
    assert ordered(decide(picture([*pair, waiting("x")]), [small], Policy(), Memory())) == {"small": 1}


def test_headroom_keeps_empty_nodes_and_orders_what_is_missing() -> None:
    spare = worker(headroom=Headroom(nodes=2))
    done = decide(picture([], [ready(spare, "n0")]), [spare], Policy(), Memory())
    assert ordered(done) == {"w": 1}
    assert not done.remove
    slots = worker(headroom=Headroom(pods=5, cpu_m=2000))
    assert ordered(decide(picture([]), [slots], Policy(), Memory())) == {"w": 3}
    coming = picture([], machines={"w": tuple(Machine(f"m{i}", "w", MachineState.BOOTING, NOW) for i in range(3))})
    assert ordered(decide(coming, [slots], Policy(), Memory())) == {}


def test_few_are_booted_at_once_and_the_rest_is_told() -> None:
    pods = [waiting(f"p{i}", 4000) for i in range(10)]
    done = decide(picture(pods), [worker()], Policy(max_booting=4), Memory())
    assert ordered(done) == {"w": 4}
    assert any("max_booting" in note for note in done.notes)


def test_machines_of_one_driver_boot_so_many_at_once_over_its_pools() -> None:
    pools = [
        worker(name="a", max=3, driver="switch", max_booting=4),
        worker(name="b", price=2.0, driver="switch", max_booting=4),
        worker(name="c", price=3.0, driver="other"),
    ]
    pods = [waiting(f"p{i}", 4000) for i in range(10)]
    done = decide(picture(pods), pools, Policy(), Memory())
    assert ordered(done) == {"a": 3, "b": 1}
    assert [note for note in done.notes if "wait" in note] == [
        "6 nodes of b wait: max_booting of the driver switch is reached"
    ]
    then = decide(picture(pods, machines=booting(done)), pools, Policy(), done.memory)
    assert ordered(then) == {}


@given(st.integers(0, 12), st.integers(0, 5), st.integers(0, 5), st.integers(0, 4))
@settings(max_examples=some(30), deadline=None)
def test_a_driver_never_boots_more_than_it_may(asked: int, first: int, second: int, coming: int) -> None:
    pools = [
        worker(name="a", max=coming + 3, driver="d", max_booting=first),
        worker(name="b", price=2.0, driver="d", max_booting=second),
    ]
    there = {"a": tuple(Machine(f"a{i}", "a", MachineState.BOOTING, NOW) for i in range(coming))}
    pods = [waiting(f"p{i}", 4000) for i in range(asked)]
    done = decide(picture(pods, machines=there), pools, Policy(), Memory())
    assert sum(ordered(done).values()) <= max(0, min(first, second) - coming)


def test_what_no_template_answers_is_tried_with_one_node_and_then_looked_at() -> None:
    pods = [waiting(f"p{i}", beyond=("resourceClaims",)) for i in range(5)]
    first = decide(picture(pods), [worker()], Policy(), Memory())
    assert ordered(first) == {"w": 1}
    assert {ref.name for ref in first.power_on[0].pods} == {f"p{i}" for i in range(5)}
    assert first.power_on[0].reason == "resourceClaims cannot be answered for a node that is not there: one is tried"
    assert set(outcomes(first).values()) == {"waiting"}
    again = decide(picture(pods, now=NOW + 100), [worker()], Policy(), first.memory)
    assert ordered(again) == {}
    later = decide(picture(pods, now=NOW + 101), [worker()], Policy(backoff=BackOff(reset_s=100)), first.memory)
    assert ordered(later) == {"w": 1}


def test_a_trial_keeps_to_the_limits_and_is_not_forgotten_for_them() -> None:
    pods = [waiting("p0", beyond=("resourceClaims",))]
    assert not decide(picture(pods), [worker()], Policy(max_nodes=0), Memory()).power_on
    held = decide(picture(pods), [worker()], Policy(max_booting=0), Memory())
    assert not held.power_on
    assert not held.memory.probes
    machine = Machine("m0", "w", MachineState.OFF, NOW - 9999)
    rack = picture(pods, machines={"w": (machine,)})
    assert decide(rack, [worker(powered=True)], Policy(), Memory()).power_on[0].machines == ("m0",)
    both = decide(picture([*pods, waiting("x")]), [worker()], Policy(), Memory()).power_on[0]
    assert (both.count, {ref.name for ref in both.pods}) == (2, {"x", "p0"})
    assert both.reason.startswith("1 pending pods need 2 more; resourceClaims")


def going(pool: Pool, name: str, *pods: Pod) -> NodeState:
    state = ready(pool, name, *(msgspec.structs.replace(pod, node=name, phase=Phase.RUNNING) for pod in pods))
    return msgspec.structs.replace(state, node=msgspec.structs.replace(state.node, deleting=True))


def test_pods_of_a_node_that_is_being_deleted_are_provided_for() -> None:
    pool, owner = worker(), Owner("ReplicaSet", "web", "rs")
    web = waiting("web", 3000, owner=owner)
    done = decide(picture([waiting("p", 3000)], [going(pool, "n0", web)]), [pool], Policy(), Memory())
    assert ordered(done) == {"w": 2}
    assert done.power_on[0].reason == "1 pending pods and 1 pods of nodes that are being deleted need 2 more"
    assert verdict_of(done, "web").reason == "its node is being deleted: a node of w is ordered for it"
    # no more is ordered while it comes, and none where another node has room
    coming = picture([waiting("p", 3000)], [going(pool, "n0", web)], machines=booting(done))
    assert not decide(coming, [pool], Policy(), done.memory).power_on
    room = decide(picture([], [going(pool, "n0", web), ready(pool, "n1")]), [pool], Policy(), Memory())
    assert not room.power_on
    assert not room.pods
    assert [verdict.block for verdict in room.nodes] == [Block.BEING_DELETED, Block.NO_PLACE]


@pytest.mark.parametrize(
    "more",
    [
        {"owner": None},
        {"owner": Owner("DaemonSet", "d", "d")},
        {"owner": Owner("Node", "n0", "n0")},
        {"owner": Owner("ReplicaSet", "gone", "lost")},
        {"deleting": True},
        {"mirror": True},
        {"priority": -50},
        {"beyond": ("resourceClaims",)},
    ],
)
def test_what_does_not_come_back_from_a_deleted_node_is_not_provided_for(more: dict[str, Any]) -> None:
    pool = worker()
    pod_there = waiting("x", 3000, **{"owner": Owner("ReplicaSet", "web", "rs"), **more})
    shown = picture([], [going(pool, "n0", pod_there)], missing_owners=frozenset({"lost"}))
    assert not decide(shown, [pool], Policy(), Memory()).power_on


def test_nothing_is_said_of_running_pods_that_no_pool_could_take_again() -> None:
    pool = worker(max=1)
    huge = waiting("huge", 64000, owner=Owner("ReplicaSet", "web", "rs"))
    done = decide(picture([], [going(pool, "n0", huge)]), [pool], Policy(), Memory())
    assert (done.power_on, done.pods) == ((), ())


def test_a_node_that_goes_is_taken_back_before_one_is_bought() -> None:
    pool = worker()
    state = ready(pool, "n0")
    state = msgspec.structs.replace(state, node=msgspec.structs.replace(state.node, unschedulable=True))
    done = decide(picture([waiting("p")], [state]), [pool], Policy(), Memory(removing={"n0": NOW - 5}))
    assert done.cancel == ("n0",)
    assert not done.power_on
    large = decide(
        picture([waiting("p", 4000)], [state]),
        [worker(allocatable={**_SIZE, "cpu": 8000})],
        Policy(),
        Memory(removing={"n0": NOW - 5}),
    )
    assert large.cancel == ("n0",)


def test_planned_pods_keep_their_node_when_more_come() -> None:
    pods = [waiting(f"p{i}", 2000) for i in range(2)]
    first = decide(picture(pods), [worker()], Policy(), Memory())
    machines = booting(first)
    second = decide(picture(pods, machines=machines), [worker()], Policy(), first.memory)
    assert set(second.memory.planned.values()) == {"w/w0"}
    more = [waiting(f"q{i}", 2000, priority=100) for i in range(2)]
    third = decide(picture([*more, *pods], machines=machines), [worker()], Policy(), second.memory)
    assert {third.memory.planned[p.uid] for p in pods} == {"w/w0"}
    assert ordered(third) == {"w": 1}


def test_nothing_is_ordered_on_an_incomplete_or_old_picture() -> None:
    for more, word in (({"complete": False}, "complete"), ({"stale_s": 1e4}, "old")):
        done = decide(picture([waiting("p")], **more), [worker()], Policy(), Memory())
        assert not done.power_on
        assert any(word in note for note in done.notes)


def test_a_pod_that_no_pool_helps_names_the_rule_of_each() -> None:
    done = decide(picture([waiting("p", 9000)]), [worker(), worker(name="x")], Policy(), Memory())
    (verdict,) = done.pods
    assert not done.power_on
    assert [(refusal.where, refusal.rule) for refusal in verdict.refusals] == [
        ("w", "NodeResourcesFit"),
        ("x", "NodeResourcesFit"),
    ]
    assert "cpu" in verdict.refusals[0].detail
