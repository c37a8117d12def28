"""Which nodes go: tables of reasons, and laws over small random clusters."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clues.decision import Block, Memory, PoolRest, RemovalKind
from clues.model import Budget, Labels, Node, Operator, Owner, Phase, Pod, PodSpec, Requirement, Selector
from clues.options import Budgets, Consolidation, Policy, Pool, Window
from clues.policy.demand import ScaleOutResult
from clues.policy.idle import ScaleInResult, scale_in
from clues.policy.simulation import Simulation
from clues.snapshot import Machine, MachineState, NodeState, Snapshot
from tests.laws import some

NOW = 1_772_625_600.0
GIB = 1 << 30
_LONG_AGO = {f"p-{number}": NOW - 3600 for number in range(40)}
_PDB = Selector((Requirement("app", Operator.IN, ("a",)),))


def pool(name: str = "p", **more: Any) -> Pool:
    return Pool(**{"name": name, "allocatable": {"cpu": 4000, "memory": 8 * GIB, "pods": 110}, **more})


def pod(name: str, cpu: int = 0, node: str = "", **more: Any) -> Pod:
    spec = {k: more.pop(k) for k in ("priority", "local_volumes", "grace_s") if k in more}
    asked = (("cpu", cpu), ("memory", GIB >> 4)) if cpu else ()
    owner = more.pop("owner", "ReplicaSet")
    labels: Labels = more.pop("labels", {})
    return Pod(
        namespace=more.pop("namespace", "default"),
        name=name,
        uid=name,
        spec=PodSpec(requests=asked, **spec),
        labels=labels,
        owner=Owner(owner, "owner", more.pop("owner_uid", "")) if owner else None,
        node=node,
        phase=Phase.RUNNING,
        **more,
    )


def node(name: str, pods: tuple[Pod, ...] = (), group: str = "p", **more: Any) -> NodeState:
    allocatable = more.pop("allocatable", {"cpu": 4000, "memory": 8 * GIB, "pods": 110})
    made = Node(name=name, labels={"kubernetes.io/hostname": name, "pool": group}, allocatable=allocatable, **more)
    return NodeState(made, pods, group, name)


def decided(
    nodes: list[NodeState],
    policy: Policy | None = None,
    *,
    pools: tuple[Pool, ...] = (),
    out: ScaleOutResult | None = None,
    memory: Memory | None = None,
    **snapshot: Any,
) -> ScaleInResult:
    policy = policy or Policy()
    picture = Snapshot(now=NOW, nodes={state.node.name: state for state in nodes}, **snapshot)
    return scale_in(
        picture,
        pools or (pool(),),
        policy,
        memory or Memory(unneeded_since=_LONG_AGO),
        Simulation(picture),
        out or ScaleOutResult(),
    )


def gone(result: ScaleInResult) -> list[str]:
    return [removal.node for removal in result.removals]


def blocks(result: ScaleInResult) -> dict[str, str]:
    return {verdict.node: verdict.block.value for verdict in result.nodes if verdict.block is not None}


def test_an_empty_node_goes_and_a_used_one_stays() -> None:
    result = decided([node("p-1", (pod("busy", 3000, "p-1"),)), node("p-2")])
    assert gone(result) == ["p-2"]
    assert result.removals[0].kind is RemovalKind.EMPTY
    assert blocks(result) == {"p-1": "utilization"}


def test_of_two_that_could_take_each_others_pods_one_goes() -> None:
    nodes = [node("p-1", (pod("a", 1000, "p-1"),)), node("p-2", (pod("b", 1000, "p-2"),))]
    result = decided(nodes, Policy(max_drain=10))
    assert len(result.removals) == 1
    assert set(result.removals[0].moves.values()).isdisjoint(gone(result))
    assert len(blocks(result)) == 1


def test_a_pod_without_another_place_keeps_its_node() -> None:
    nodes = [node("p-1", (pod("light", 1500, "p-1"),)), node("p-2", (pod("heavy", 3000, "p-2"),))]
    assert blocks(decided(nodes)) == {"p-1": "no-place", "p-2": "utilization"}


def test_pods_that_fit_only_in_one_arrangement_find_it() -> None:
    """Filling by size fails here: 1800 and 1000 go to the first, 1400 and 1400 to the second (room 2800 each)."""
    small = {"cpu": 20000, "memory": 64 * GIB, "pods": 110}
    moving = tuple(pod(f"m{n}", cpu, "p-1") for n, cpu in enumerate((1800, 1400, 1400, 1000)))
    full = [node(f"p-{n}", (pod(f"busy{n}", 17200, f"p-{n}"),), allocatable=small) for n in (2, 3)]
    assert gone(decided([node("p-1", moving, allocatable=small), *full])) == ["p-1"]


def test_what_keeps_one_node() -> None:
    """Each case: what p-1 is like, beside an unmanaged node with room for all; and the reason that is expected."""
    room = node("iron", group="")
    local = (("scratch", "emptyDir"),)
    safe = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
    unsafe = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    volumes = {"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "other, scratch"}
    disabled = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
    cases: list[tuple[NodeState, str]] = [
        (node("p-1"), ""),
        (node("p-1", annotations={disabled: "true"}), "scale-down-disabled"),
        (node("p-1", annotations={disabled: "True"}), ""),
        (node("p-1", annotations={"karpenter.sh/do-not-disrupt": "true"}), "scale-down-disabled"),
        (node("p-1", (pod("x", 100, owner=None),)), "pod-unreplicated"),
        (node("p-1", (pod("x", 100, owner=None, annotations=unsafe),)), "pod-unreplicated"),
        (node("p-1", (pod("x", 100, owner=None, annotations=safe),)), ""),
        (node("p-1", (pod("x", 100, annotations=unsafe),)), "pod-not-safe"),
        (node("p-1", (pod("x", 100, annotations={"karpenter.sh/do-not-disrupt": "true"}),)), "pod-not-safe"),
        (node("p-1", (pod("x", 100, owner="DaemonSet", annotations=unsafe),)), ""),
        (node("p-1", (pod("x", 100, owner=None, mirror=True),)), ""),
        (node("p-1", (pod("x", 100, owner="Job"),)), ""),
        (node("p-1", (pod("x", 100, owner_uid="lost", annotations=safe),)), "pod-unreplicated"),
        (node("p-1", (pod("x", 100, namespace="kube-system"),)), "pod-kube-system"),
        (node("p-1", (pod("x", 100, namespace="kube-system", annotations=safe),)), ""),
        (node("p-1", (pod("x", 100, local_volumes=local),)), "pod-local-storage"),
        (node("p-1", (pod("x", 100, local_volumes=local, annotations=volumes),)), ""),
        (node("p-1", (pod("x", 3000, owner=None, priority=-11),)), ""),
        (node("p-1", (pod("x", 100, labels={"app": "a"}),)), "pdb"),
        (node("p-1", (pod("x", 100, owner="DaemonSet", labels={"app": "a"}),)), ""),
        (node("p-1", (pod("x", 2000),)), "utilization"),
        (node("p-1", (pod("x", 1999),)), ""),
        (node("p-1", deleting=True), "being-deleted"),
        (node("p-1", ready=False), ""),
        (node("p-1", ready=False, not_ready_since=NOW - 1000), "not-unready-long-enough"),
    ]
    for state, reason in cases:
        result = decided([room, state], budgets=(Budget("default", "a", _PDB, 0),), missing_owners=frozenset({"lost"}))
        assert blocks(result).pop("p-1", "") == reason, (state, blocks(result))
        assert blocks(result)["iron"] == "not-managed"
        assert gone(result) == ([] if reason else ["p-1"])


def test_a_node_with_gpus_is_judged_by_them_alone() -> None:
    gpus = {"cpu": 4000, "memory": 8 * GIB, "pods": 110, "nvidia.com/gpu": 2}
    spec = PodSpec(requests=(("nvidia.com/gpu", 1),))
    user = Pod("default", "train", "train", spec, {}, Owner("Job", "j"), "p-1", Phase.RUNNING)
    iron = node("iron", group="", allocatable=gpus)
    assert blocks(decided([iron, node("p-1", (user,), allocatable=gpus)]))["p-1"] == "utilization"
    assert gone(decided([iron, node("p-1", (pod("cpu", 3900, "p-1"),), allocatable=gpus)])) == ["p-1"]


def test_what_delays_and_limits() -> None:
    idle = [node(f"p-{number}") for number in range(13)]
    window = Window(schedule="0 8 * * *", duration_s=8 * 3600, no_scale_in=True)
    cases: list[tuple[Policy, Pool, Memory, int, set[str]]] = [
        (Policy(), pool(), Memory(unneeded_since=_LONG_AGO), 10, {"parallelism"}),
        (Policy(max_parallel=50), pool(min=4), Memory(unneeded_since=_LONG_AGO), 9, {"min-size"}),
        (Policy(min_cores=46), pool(), Memory(unneeded_since=_LONG_AGO), 1, {"min-resource"}),
        (Policy(), pool(), Memory(), 0, {"not-unneeded-long-enough"}),
        (Policy(), pool(unneeded_s=0.0), Memory(), 10, {"parallelism"}),
        (Policy(), pool(), Memory(unneeded_since=_LONG_AGO, last_scale_up=NOW - 599), 0, {"cooldown"}),
        (Policy(), pool(), Memory(unneeded_since=_LONG_AGO, last_failure=NOW - 100), 0, {"cooldown"}),
        (Policy(budgets=(Budgets("20%", "p"),)), pool(), Memory(unneeded_since=_LONG_AGO), 3, {"budget"}),
        (Policy(budgets=(Budgets("0", "q"),)), pool(), Memory(unneeded_since=_LONG_AGO), 10, {"parallelism"}),
        (
            Policy(budgets=(Budgets("0", "p", ("underused",)),)),
            pool(),
            Memory(unneeded_since=_LONG_AGO),
            10,
            {"parallelism"},
        ),
        (Policy(schedules=(window,)), pool(), Memory(unneeded_since=_LONG_AGO), 0, {"schedule"}),
        (Policy(scale_in=False), pool(), Memory(unneeded_since=_LONG_AGO), 0, {"scale-in-off"}),
        (Policy(), pool(min_on_s=1e10), Memory(unneeded_since=_LONG_AGO), 0, {"min-on-time"}),
    ]
    for policy, group, memory, count, reasons in cases:
        result = decided(idle, policy, pools=(group,), memory=memory)
        assert (len(gone(result)), set(blocks(result).values())) == (count, reasons), (policy, reasons)
        assert len(result.nodes) == len(idle)


def test_one_drain_at_a_time_and_those_under_way_count() -> None:
    nodes = [node("iron", group="")] + [node(f"p-{n}", (pod(f"x{n}", 100, f"p-{n}"),)) for n in (1, 2, 3)]
    result = decided(nodes)
    assert gone(result) == ["p-1"]
    assert blocks(result) == {"iron": "not-managed", "p-2": "parallelism", "p-3": "parallelism"}
    nodes[1] = node("p-1", nodes[1].pods, deleting=True)
    assert set(blocks(decided(nodes)).values()) == {"not-managed", "being-deleted", "parallelism"}


def test_a_node_whose_removal_failed_lets_the_others_go_first() -> None:
    nodes = [node("iron", group="")] + [node(f"p-{n}", (pod(f"x{n}", 100, f"p-{n}"),)) for n in (1, 2)]

    def after(seconds: float, **more: Any) -> ScaleInResult:
        rests = {"p-1": PoolRest(NOW - seconds, 300.0, NOW - seconds + 300, "a budget allows nothing")}
        known = Memory(unneeded_since=_LONG_AGO, last_failure=NOW - seconds, removal_rests=rests)
        return decided(nodes, memory=known, **more)

    assert blocks(after(100)) == {"iron": "not-managed", "p-1": "cooldown", "p-2": "cooldown"}
    resting = after(200)
    assert gone(resting) == ["p-2"]
    said = next(verdict for verdict in resting.nodes if verdict.node == "p-1")
    assert (said.block, said.removable_at) == (Block.COOLDOWN, NOW + 100)
    assert said.detail == "its removal failed (a budget allows nothing): it is left alone for 100 s"
    assert (gone(after(400)), blocks(after(400))["p-1"]) == (["p-2"], "parallelism")  # it is tried after the others
    assert gone(after(20000)) == ["p-1"]
    given_up = (Machine("p-1", "p", MachineState.ON, NOW - 9999, node="p-1", disabled=True),)
    assert gone(after(200, machines={"p": given_up})) == ["p-2"]
    assert gone(after(-500)) == []  # the clock was set back: it rests no longer than it would have


def test_a_disruption_budget_is_shared() -> None:
    nodes = [node(f"p-{n}", (pod(f"x{n}", 100, f"p-{n}", labels={"app": "a"}),)) for n in (1, 2)]
    nodes.append(node("iron", group=""))
    result = decided(nodes, Policy(max_drain=10), budgets=(Budget("default", "a", _PDB, 1),))
    assert gone(result) == ["p-1"]
    assert blocks(result)["p-2"] == "pdb"


def test_a_pod_under_two_disruption_budgets_is_never_evicted() -> None:
    nodes = [node("p-1", (pod("x", 100, "p-1", labels={"app": "a"}),)), node("iron", group="")]
    budgets = (Budget("default", "mine", _PDB, 5), Budget("default", "all", Selector(), 5))
    assert gone(decided(nodes, budgets=budgets[:1])) == ["p-1"]
    result = decided(nodes, budgets=budgets)
    assert blocks(result)["p-1"] == "pdb"
    assert "2 budgets match it (all, mine)" in result.nodes[0].detail


def test_an_unhealthy_cluster_and_a_stale_picture_are_left_alone() -> None:
    sick = [node(f"p-{n}", ready=False) for n in range(1, 6)] + [node("p-6")]
    assert set(blocks(decided(sick)).values()) == {"cluster-unhealthy"}
    for broken in ({"complete": False}, {"stale_s": 61.0}, {"stale_s": float("nan")}):
        result = decided([node("p-1")], **broken)
        assert blocks(result) == {"p-1": "stale"}
        assert result.unneeded_since == {"p-1": NOW - 3600}


def test_parked_machines_are_no_nodes_and_waking_ones_boot() -> None:
    parked = [node(f"p-{n}", ready=False, unschedulable=True) for n in range(1, 9)]
    machines = [Machine(f"p-{n}", "p", MachineState.OFF, NOW - 9e5, f"p-{n}") for n in range(1, 8)]
    machines.append(Machine("p-8", "p", MachineState.BOOTING, NOW - 20, "p-8"))
    result = decided([*parked, node("p-9"), node("p-10")], machines={"p": tuple(machines)}, pools=(pool(min=2),))
    assert gone(result) == ["p-10"]
    assert blocks(result) == {"p-8": "booting", "p-9": "min-size"}


def test_people_have_the_last_word() -> None:
    def machine(name: str, **more: Any) -> Machine:
        return Machine(name, "p", MachineState.ON, NOW - 9e5, name, **more)

    nodes = [node("p-1"), node("p-2", (pod("x", 3000, "p-2"),)), node("iron", group="")]
    machines = {"p": (machine("p-1", held=True), machine("p-2", disabled=True))}
    result = decided(nodes, machines=machines, memory=Memory())
    assert blocks(result)["p-1"] == "held"
    assert gone(result) == ["p-2"]
    assert result.removals[0].machine == "p-2"


def test_what_scaling_out_says_is_respected() -> None:
    nodes = [node(f"p-{n}") for n in range(1, 6)]
    out = ScaleOutResult(needed_nodes=frozenset({"p-1"}), spare_nodes=frozenset({"p-2"}), reclaimed=frozenset({"p-3"}))
    result = decided(nodes, out=out, memory=Memory(unneeded_since=_LONG_AGO, removing={"p-3": NOW - 5, "p-4": NOW - 5}))
    assert blocks(result) == {"p-1": "needed", "p-2": "headroom", "p-3": "needed", "p-4": "being-deleted"}
    assert (gone(result), result.cancel) == (["p-5"], ("p-3",))


def test_a_dear_node_is_replaced_by_one_cheaper() -> None:
    large = pool("large", price=4.0, allocatable={"cpu": 8000, "memory": 32 * GIB, "pods": 110})
    small = pool("small", price=1.0, allocatable={"cpu": 2000, "memory": 8 * GIB, "pods": 110})
    policy = Policy(consolidation=Consolidation.REPLACE)
    state = node("p-1", (pod("light", 1000, "p-1"),), "large", allocatable=dict(large.allocatable))
    result = decided([state], policy, pools=(large, small))
    assert [(r.remove[0].node, r.add[0].pool, r.saves) for r in result.replacements] == [("p-1", "small", 3.0)]
    assert gone(result) == []
    dear = pool("small", price=4.0, allocatable=dict(small.allocatable))
    assert blocks(decided([state], policy, pools=(large, dear))) == {"p-1": "not-cheaper"}
    full = pool("small", price=1.0, max=0, allocatable=dict(small.allocatable))
    assert blocks(decided([state], policy, pools=(large, full))) == {"p-1": "not-cheaper"}


def test_nothing_is_bought_where_deleting_another_node_is_enough() -> None:
    large = pool("large", price=4.0, allocatable={"cpu": 8000, "memory": 32 * GIB, "pods": 110})
    small = pool("small", price=1.0, allocatable={"cpu": 3000, "memory": 8 * GIB, "pods": 110})
    used = node("p-1", (pod("light", 2500, "p-1"),), "large", allocatable=dict(large.allocatable))
    other = node("p-2", (pod("there", 1000, "p-2"),), "small", allocatable=dict(small.allocatable))
    result = decided([used, other], Policy(consolidation=Consolidation.REPLACE), pools=(large, small))
    assert (gone(result), result.replacements) == (["p-2"], ())
    assert blocks(result) == {"p-1": "no-place"}


def test_pods_leave_in_order_of_priority_then_grace() -> None:
    pods = (
        pod("b", 10, priority=5), pod("a", 10, grace_s=60), pod("c", 10, grace_s=5),
        pod("agent", 10, owner="DaemonSet"), pod("cheap", 10, priority=-20),
    )  # fmt: skip
    result = decided([node("p-1", pods), node("iron", group="")])
    assert [ref.name for ref in result.removals[0].evict] == ["cheap", "c", "a", "b", "agent"]
    assert decided([node("p-1", pods[3:4])]).removals[0].evict == ()


@st.composite
def clusters(draw: st.DrawFn) -> list[NodeState]:
    nodes = []
    for number in range(draw(st.integers(1, 6))):
        name = f"p-{number}"
        pods = tuple(
            pod(f"{name}-{k}", cpu, name, labels={"app": "a"} if cpu % 200 else {})
            for k, cpu in enumerate(draw(st.lists(st.sampled_from([100, 300, 700, 1200, 2500]), max_size=4)))
        )
        nodes.append(node(name, pods, ready=draw(st.integers(0, 5)) > 0))
    return nodes


@settings(max_examples=some(60), deadline=None)
@given(clusters(), st.integers(0, 3), st.integers(0, 2), st.integers(1, 4))
def test_laws_of_removal(nodes: list[NodeState], allowed: int, least: int, drains: int) -> None:
    policy = Policy(max_drain=drains, ok_unready=10)
    more = {"budgets": (Budget("default", "a", _PDB, allowed),), "pools": (pool(min=least),)}
    result = decided(nodes, policy, **more)  # type: ignore[arg-type]
    assert result == decided(nodes, policy, **more)  # type: ignore[arg-type]
    left = {state.node.name: state for state in nodes if state.node.name not in gone(result)}
    assert len(left) >= min(least, len(nodes))
    moved = [p for state in nodes if state.node.name in gone(result) for p in state.pods]
    assert sum(p.labels.get("app") == "a" for p in moved) <= allowed
    assert sum(1 for removal in result.removals if removal.moves) <= drains
    load = {name: sum(dict(p.spec.requests).get("cpu", 0) for p in state.pods) for name, state in left.items()}
    places = {key: place for removal in result.removals for key, place in removal.moves.items()}
    assert set(places) == {str(p.ref) for p in moved}
    for p in moved:
        place = places[str(p.ref)]
        assert left[place].node.ready
        load[place] += dict(p.spec.requests).get("cpu", 0)
    assert all(load[place] <= 4000 for place in places.values())
    for verdict in result.nodes:
        assert (verdict.block is None) == (verdict.node in gone(result))


@settings(max_examples=some(40), deadline=None)
@given(clusters(), st.booleans())
def test_a_stale_picture_never_scales_in(nodes: list[NodeState], complete: bool) -> None:
    result = decided(nodes, complete=complete, stale_s=0.0 if not complete else 1e9)
    assert result.removals + result.replacements == ()
    assert Block.STALE.value in set(blocks(result).values())


@settings(max_examples=some(40), deadline=None)
@given(clusters(), st.data())
def test_a_node_that_pending_pods_need_stays_and_no_other_goes_for_it(
    nodes: list[NodeState], data: st.DataObject
) -> None:
    policy = Policy(max_drain=10, ok_unready=10)
    empty = [state.node.name for state in nodes if not state.pods]
    before = decided(nodes, policy)
    needed = data.draw(st.sampled_from(empty)) if empty else ""
    after = decided(nodes, policy, out=ScaleOutResult(needed_nodes=frozenset({needed})))
    assert needed not in gone(after)
    more = set(gone(after)) - set(gone(before))  # only such as can move their pods now that it stays
    assert all(state.pods for state in nodes if state.node.name in more)
