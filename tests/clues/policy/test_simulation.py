"""Laws of the simulation, on small random clusters in which every rule occurs."""

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clues.model import (
    ZONE,
    Claim,
    DaemonSet,
    Effect,
    HostPort,
    Node,
    NodeTerm,
    Operator,
    Pod,
    PodTerm,
    Requirement,
    Selector,
    Spread,
    Taint,
    Toleration,
    VolumeUse,
)
from clues.options import Pool
from clues.policy.simulation import Simulation
from clues.policy.template import fresh_node
from tests.clues.build import match, near, node, pod, snapshot, spec
from tests.clues.policy.slow_scheduler import World

SPACES = {"default": {"team": "a"}, "other": {"team": "b"}}
IN_A = (NodeTerm((Requirement(ZONE, Operator.IN, ("a",)),)),)
CLAIMS = {
    ("default", name): Claim("default", name, **fields)  # type: ignore[arg-type]
    for name, fields in {
        "zonal": {"bound": True, "node_affinity": IN_A, "driver": "csi", "handle": "h1"},
        "free": {"bound": True, "driver": "csi", "handle": "h2"},
        "late": {"waits_for_consumer": True, "topologies": IN_A},
        "local": {"waits_for_consumer": True, "provisionable": False, "candidates": (IN_A,)},
        "unbound": {},
        "single": {"bound": True, "only_one_pod": True},
    }.items()
}
selectors = st.sampled_from(
    [
        match(app="x"),
        match(app="y"),
        Selector(()),
        None,
        Selector((Requirement("app", Operator.NOT_IN, ("x",)),)),
        Selector((Requirement("tier", Operator.EXISTS),)),
    ]
)
keys = st.sampled_from([ZONE, "kubernetes.io/hostname", "rack"])
terms = st.builds(
    PodTerm,
    keys,
    selectors,
    st.sampled_from([frozenset({"default"}), frozenset[str](), frozenset({"default", "other"})]),
    st.sampled_from([None, None, Selector(()), match(team="b")]),
)
spreads = st.builds(
    Spread, keys, st.integers(1, 2), selectors, st.booleans(), st.integers(1, 3), st.booleans(), st.booleans()
)
affinities = st.sampled_from(
    [
        None,
        None,
        None,
        IN_A,
        (),
        (NodeTerm(),),
        (NodeTerm((Requirement("gen", Operator.GT, ("3",)),)), NodeTerm((Requirement("gen", Operator.LT, ("x",)),))),
        (NodeTerm((Requirement(ZONE, Operator.NOT_IN, ("a",)), Requirement("gen", Operator.EXISTS))),),
        (NodeTerm((), (Requirement("metadata.name", Operator.IN, ("n1",)),)),),
        (
            NodeTerm((Requirement("gen", Operator.DOES_NOT_EXIST),)),
            NodeTerm((Requirement("gen", Operator.IN, ("7",)),)),
        ),
    ]
)
taints = st.lists(
    st.builds(Taint, st.sampled_from(["t", "u"]), st.sampled_from(["", "1", "5"]), st.sampled_from(list(Effect))),
    max_size=1,
).map(tuple)
tolerations = st.lists(
    st.builds(
        Toleration,
        st.sampled_from(["", "t", "node.kubernetes.io/unschedulable"]),
        st.sampled_from(["Exists", "Equal", "Gt", "Lt"]),
        st.sampled_from(["", "1", "3"]),
        st.sampled_from(["", "NoSchedule", "NoExecute"]),
    ),
    max_size=2,
).map(tuple)
ports = st.lists(
    st.builds(
        HostPort, st.just(80), st.sampled_from(["TCP", "UDP"]), st.sampled_from(["0.0.0.0", "10.0.0.1", "10.0.0.2"])
    ),
    max_size=1,
).map(tuple)
volumes = st.lists(
    st.one_of(
        st.builds(VolumeUse, st.just("claim"), st.sampled_from([*(n for _, n in CLAIMS), "gone"])),
        st.builds(
            VolumeUse, st.sampled_from(["gcePersistentDisk", "awsElasticBlockStore"]), st.just("disk"), st.booleans()
        ),
    ),
    max_size=1,
).map(tuple)


def _rarely(strategy: Any, otherwise: Any = ()) -> Any:
    return st.one_of(st.just(otherwise), st.just(otherwise), strategy)


specs = st.builds(
    lambda cpu, gpu, **fields: spec(cpu, 0, {"gpu": gpu}, **fields),
    st.sampled_from([0, 500, 1500]),
    st.sampled_from([0, 0, 1]),
    node_selector=_rarely(st.just((("gen", "7"),))),
    node_affinity=affinities,
    affinity=_rarely(st.lists(terms, min_size=1, max_size=2).map(tuple)),
    anti_affinity=_rarely(st.lists(terms, min_size=1, max_size=2).map(tuple)),
    spread=_rarely(st.lists(spreads, min_size=1, max_size=2).map(tuple)),
    tolerations=tolerations,
    host_ports=_rarely(ports),
    volumes=_rarely(volumes),
    node_name=st.sampled_from(["", "", "", "", "n0"]),
)
labels = st.fixed_dictionaries(
    {}, optional={"app": st.sampled_from(["x", "y"]), "tier": st.just("1"), "pod": st.just("p")}
)


same_app = st.builds(PodTerm, keys, st.just(match(app="x")), st.just(frozenset({"default"})))
social = st.builds(
    lambda **fields: spec(100, **fields),
    affinity=_rarely(st.lists(same_app, min_size=1, max_size=2).map(tuple)),
    anti_affinity=_rarely(st.lists(same_app, min_size=1, max_size=1).map(tuple)),
    spread=st.lists(
        st.builds(Spread, keys, st.integers(1, 3), st.just(match(app="x")), min_domains=st.integers(1, 3)), max_size=2
    ).map(tuple),
)
"""Pods that only other pods can keep from a node: what counters get wrong shows here."""


@st.composite
def nodes(draw: st.DrawFn, name: str, plain: bool = False) -> Node:
    if plain:
        rack = draw(st.sampled_from([{}, {"rack": "1"}, {"rack": "1"}, {"rack": "2"}]))
        return node(name, pods=20, labels={ZONE: draw(st.sampled_from("ab")), **rack})
    given = draw(
        st.fixed_dictionaries(
            {},
            optional={
                ZONE: st.sampled_from("ab"),
                "rack": st.sampled_from("12"),
                "gen": st.sampled_from(["2", "7", "x"]),
            },
        )
    )
    return node(
        name,
        cpu=draw(st.sampled_from([1000, 2000, 4000])),
        pods=draw(st.sampled_from([2, 4, 110])),
        labels=given,
        taints=draw(_rarely(taints)),
        other={"gpu": draw(st.integers(0, 2))},
        unschedulable=draw(st.sampled_from([False, False, False, True])),
        attached_limits=draw(st.sampled_from([{}, {"csi": 0}, {"csi": 1}])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Simulation, World, list[Pod]]:
    """A simulation with its slow twin, and pods that are not placed yet."""
    count = draw(st.integers(1, 4))
    plain = draw(st.booleans())
    known = [draw(nodes(f"n{i}", plain)) for i in range(count)]
    marks_of = st.just({"app": "x"}) if plain else labels
    spaces = st.just("default") if plain else st.sampled_from(["default", "default", "other"])
    shape = st.tuples(social if plain else specs, marks_of, spaces)
    shapes = draw(st.lists(shape, min_size=2, max_size=4))
    running, waiting = [], []
    for number, (made, marks, space) in enumerate(shapes):
        waiting.append(pod(f"w{number}", made, labels=marks, namespace=space))
        for copy, where in enumerate(draw(st.lists(st.integers(0, count - 1), max_size=3 if plain else 2))):
            dying = draw(st.sampled_from([False, False, True]))
            running.append(
                pod(f"r{number}-{copy}", made, labels=marks, namespace=space, node=f"n{where}", deleting=dying)
            )
    picture = snapshot(known, [*running, *waiting], namespaces=SPACES, claims=CLAIMS)
    world = World(dict(enumerate(known)), [(p, int(p.node[1:])) for p in running], dict(SPACES), dict(CLAIMS))
    return Simulation(picture), world, waiting


@st.composite
def changed(draw: st.DrawFn) -> tuple[Simulation, World, list[Pod], Any]:
    """The same after some changes to both, with what was seen before them and the mark."""
    simulation, world, waiting = draw(worlds())
    if draw(st.booleans()):
        seen(simulation, waiting)  # so that counters exist before the changes in some examples only
    before = (simulation.mark(), seen(simulation, waiting) if draw(st.booleans()) else None)
    for step in range(draw(st.integers(0, 5))):
        what = draw(st.sampled_from(["place", "place", "take", "add", "remove", "close"]))
        live = sorted(world.nodes)
        if what == "add":
            fresh = draw(nodes(f"new{step}"))
            world.nodes[simulation.add_node(fresh)] = fresh
        elif not live:
            continue
        elif what == "place":
            one, where = draw(st.sampled_from(waiting)), draw(st.sampled_from(live))
            simulation.place(simulation.kind_of(one), where)
            world.pods.append((one, where))
        elif what == "take" and world.pods:
            one, where = gone = draw(st.sampled_from(world.pods))
            simulation.take(simulation.kind_of(one), where)
            world.pods.remove(gone)
        elif what == "remove":
            where = draw(st.sampled_from(live))
            simulation.remove_node(where)
            del world.nodes[where]
            world.pods = [(p, i) for p, i in world.pods if i != where]
        elif what == "close":
            where = draw(st.sampled_from(live))
            simulation.close_node(where)
            world.closed.add(where)
    return simulation, world, waiting, before


def seen(simulation: Simulation, pods: list[Pod]) -> Any:
    kinds = [simulation.kind_of(p) for p in pods]
    rules = [[simulation.refusal(k, i) for i in range(len(simulation.names))] for k in kinds]
    masks = [simulation.mask(k).tolist() for k in kinds]
    rooms = [simulation.room(k).tolist() for k in kinds]
    names, index = list(simulation.names), dict(simulation.index)
    used = simulation.free()[:, :3].tolist()  # a resource that a new node brought stays known
    return rules, masks, rooms, names, index, used, simulation.alive.tolist()


law = settings(
    max_examples=int(os.environ.get("CLUES_EXAMPLES", "35")), deadline=None, suppress_health_check=list(HealthCheck)
)


@law
@given(changed())
def test_mask_and_refusal_are_what_the_plain_rules_say(case: Any) -> None:
    simulation, world, waiting, _ = case
    for one in waiting:
        kind = simulation.kind_of(one)
        mask = simulation.mask(kind)
        for index in range(len(simulation.names)):
            refusal = simulation.refusal(kind, index)
            assert mask[index] == (refusal is None)
            if index in world.nodes:
                assert (refusal.rule if refusal else "") == world.refused_by(one, index)
            else:
                assert refusal is not None


@law
@given(changed())
def test_room_is_as_many_as_can_be_placed_one_by_one(case: Any) -> None:
    simulation, _, waiting, _ = case
    for one in waiting:
        kind = simulation.kind_of(one)
        for index, room in enumerate(simulation.room(kind).tolist()):
            mark = simulation.mark()
            placed = 0
            while placed < 120 and simulation.mask(kind)[index]:
                simulation.place(kind, index)
                placed += 1
            assert placed == room
            simulation.undo(mark)


@law
@given(changed())
def test_undo_restores_everything(case: Any) -> None:
    simulation, _, waiting, (mark, before) = case
    simulation.undo(mark)
    if before is not None:
        assert seen(simulation, waiting) == before


@law
@given(worlds(), st.integers(1, 3))
def test_placing_and_taking_changes_nothing(case: Any, count: int) -> None:
    simulation, _, waiting = case
    before = seen(simulation, waiting)
    for one in waiting:
        simulation.place(simulation.kind_of(one), 0, count)
    for one in waiting:
        simulation.take(simulation.kind_of(one), 0, count)
    assert seen(simulation, waiting) == before


@law
@given(worlds())
def test_a_simple_pod_changes_resources_and_ports_only(case: Any) -> None:
    simulation, _, waiting = case
    for one in waiting:
        kind = simulation.kind_of(one)
        if not simulation.is_simple(kind):
            continue
        elsewhere = [(k, simulation.mask(k)) for k in map(simulation.kind_of, waiting)]
        mark = simulation.mark()
        simulation.place(kind, 0)
        for other, mask in elsewhere:
            assert np.array_equal(simulation.mask(other)[1:], mask[1:])
        simulation.undo(mark)


def test_pods_that_no_rule_can_tell_apart_are_one_kind() -> None:
    made, anti = spec(100), spec(100, anti_affinity=(near(ZONE, app="x"),))
    pods = [pod(f"p{i}", made, labels={"app": "y", "index": str(i)}) for i in range(3)]
    simulation = Simulation(snapshot([node("n")], [*pods, pod("q", spec(100), labels={}), pod("r", anti)]))
    groups = simulation.kinds([*pods, pod("s", spec(100), labels={"app": "y"})])
    assert [len(group) for group in groups.values()] == [4]
    assert next(iter(groups.values()))[:3] == pods


def test_a_pod_whose_selector_nobody_knew_is_an_error_that_says_so() -> None:
    simulation = Simulation(snapshot([node("n")]))
    with pytest.raises(ValueError, match="selects by app"):
        simulation.kind_of(pod("p", spec(anti_affinity=(near(ZONE, app="x"),))))


def test_a_fresh_node_carries_the_daemons_that_it_lets_in() -> None:
    daemons = (
        DaemonSet("kube-system", "log", spec(250, tolerations=(Toleration("t", "Exists"),)), {}),
        DaemonSet("kube-system", "gpu", spec(500, node_selector=(("gpu", "yes"),)), {}),
        DaemonSet("kube-system", "shy", spec(1000), {}),
    )
    simulation = Simulation(snapshot([], daemonsets=daemons))
    pool = Pool("p", allocatable={"cpu": 2000}, taints=(Taint("t", "", Effect.NO_SCHEDULE),), labels={"gpu": "no"})
    index = simulation.add_node(fresh_node(pool, "p-1"))
    free = dict(zip(simulation.resources, simulation.free()[index].tolist(), strict=True))
    assert (free["cpu"], free["pods"]) == (1750, 109)
    bare = simulation.add_node(fresh_node(pool, "p-2"), daemons=False)
    assert simulation.free()[bare][simulation.resources.index("cpu")] == 2000


def test_a_resource_that_the_pod_does_not_ask_for_may_be_over_committed() -> None:
    known = [node("n", cpu=1000)]
    pods = [pod("big", spec(4000), node="n"), pod("new", spec(0, 1024)), pod("cpu", spec(1))]
    simulation = Simulation(snapshot(known, pods))
    assert simulation.refusal(simulation.kind_of(pods[1]), 0) is None
    refusal = simulation.refusal(simulation.kind_of(pods[2]), 0)
    assert refusal is not None
    assert (refusal.rule, refusal.detail) == ("NodeResourcesFit", "cpu: asks 1m, -3000m free")


def test_unready_nodes_take_nothing_unless_asked_to() -> None:
    known = [node("n", ready=False)]
    picture = snapshot(known, [pod("p", spec(1))])
    for only_ready, expected in ((True, False), (False, True)):
        simulation = Simulation(picture, only_ready=only_ready)
        assert simulation.mask(simulation.kind_of(picture.pending[0])).tolist() == [expected]


def test_huge_quantities_neither_crash_nor_overflow() -> None:
    known = [node("n", memory=10**30, other={"x": -(10**25)})]
    pods = [pod(f"p{i}", spec(10**40, 10**40), node="n") for i in range(5)] + [pod("q", spec(1))]
    simulation = Simulation(snapshot(known, pods))
    assert simulation.mask(simulation.kind_of(pods[-1])).tolist() == [False]
