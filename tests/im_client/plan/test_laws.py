"""Laws that hold for every plan, whatever is known."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from im_client.plan.build import build
from im_client.plan.json import decode, encode
from im_client.plan.model import Action, Known, Phase, Plan
from im_client.topology.model import Topology
from tests.im_client.plan.world import LIMITS, apply, cluster, with_phase
from tests.laws import some

topologies = st.builds(
    cluster,
    workers=st.integers(0, 6),
    memory=st.sampled_from([None, 2**30, 2**31]),
    image=st.sampled_from([None, "debian", "ubuntu"]),
    playbook=st.sampled_from(["v1", "v2"]),
)
PHASES = [p for p in Phase if p is not Phase.UNKNOWN]


@st.composite
def worlds(draw: st.DrawFn) -> Known:
    """What a few deployments and misfortunes have left."""
    known = Known()
    for _ in range(draw(st.integers(0, 2))):
        topology = draw(topologies)
        known = apply(build("inf", topology, known, LIMITS), known, topology)
        for name in draw(st.lists(st.sampled_from(sorted(known.nodes)), max_size=3)):
            phase = draw(st.sampled_from(PHASES))
            changes: dict[str, object] = {}
            if phase is Phase.CREATING or (phase is Phase.FAILED and draw(st.booleans())):
                changes = {"provider_id": None, "configured_digest": None, "operation_digests": {}}
            elif phase is Phase.UNCONFIGURED:
                changes = {"configured_digest": None, "failure": draw(st.sampled_from(["", "a task"]))}
                if draw(st.booleans()):
                    changes["operation_digests"] = {}
            known = with_phase(known, name, phase, **changes)
    return known


def plan_of(topology: Topology, known: Known) -> Plan:
    return build("inf", topology, known, LIMITS)


@settings(max_examples=some(80), deadline=None)
@given(topologies, worlds())
def test_the_plan_of_an_applied_plan_is_empty(topology: Topology, known: Known) -> None:
    after = apply(plan_of(topology, known), known, topology)
    assert plan_of(topology, after).steps == ()
    assert Counter(n.group for n in after.nodes.values()) == Counter(
        {g.name: g.count for g in topology.groups.values() if g.count}
    )


@settings(max_examples=some(50), deadline=None)
@given(topologies, worlds(), st.randoms(use_true_random=False))
def test_equal_arguments_give_an_equal_plan_in_whatever_order_machines_are_listed(
    topology: Topology, known: Known, random: object
) -> None:
    names = list(known.nodes)
    random.shuffle(names)  # type: ignore[attr-defined]
    shuffled = replace(known, nodes={name: known.nodes[name] for name in names})
    assert plan_of(topology, shuffled) == plan_of(topology, known)


@settings(max_examples=some(50), deadline=None)
@given(topologies, worlds(), st.booleans())
def test_every_step_waits_only_for_steps_before_it_and_each_machine_is_acted_on_once(
    topology: Topology, known: Known, destroy: bool
) -> None:
    plan = build("inf", topology, known, LIMITS, destroy=destroy)
    seen: set[str] = set()
    for step in plan.steps:
        assert set(step.needs) <= seen
        assert step.id not in seen
        seen.add(step.id)
    acted = [s.node for s in plan.steps if s.action is not Action.CONFIGURE]
    assert len(acted) == len(set(acted))
    assert set(plan.unchanged).isdisjoint(s.node for s in plan.steps)


@settings(max_examples=some(50), deadline=None)
@given(topologies, worlds())
def test_creates_less_deletes_are_the_difference_of_the_counts(topology: Topology, known: Known) -> None:
    plan = plan_of(topology, known)
    fresh = [s for s in plan.steps if s.action is Action.CREATE and s.node not in known.nodes]
    deleted = [s for s in plan.steps if s.action is Action.DELETE]
    assert len(fresh) - len(deleted) == sum(g.count for g in topology.groups.values()) - len(known.nodes)


@settings(max_examples=some(50), deadline=None)
@given(st.integers(0, 6), st.integers(0, 6))
def test_scaling_never_touches_the_front_end_nor_a_worker_that_stays(before: int, after: int) -> None:
    known = apply(plan_of(cluster(before), Known()), Known(), cluster(before))
    plan = plan_of(cluster(after), known)
    machines = [s for s in plan.steps if s.action is not Action.CONFIGURE]
    stay = {"front-1"} | {f"wn-{n}" for n in range(1, min(before, after) + 1)}
    assert stay.isdisjoint(s.node for s in machines)
    assert [s.node for s in machines if s.action is Action.DELETE] == [f"wn-{n}" for n in range(before, after, -1)]


@settings(max_examples=some(50), deadline=None)
@given(topologies, worlds())
def test_destroying_deletes_every_machine_once_and_leaves_nothing(topology: Topology, known: Known) -> None:
    plan = build("inf", topology, known, LIMITS, destroy=True)
    assert sorted(s.node for s in plan.steps) == sorted(known.nodes)
    assert not apply(plan, known, topology).nodes


@settings(max_examples=some(30), deadline=None)
@given(topologies, worlds(), st.booleans())
def test_a_plan_survives_json(topology: Topology, known: Known, destroy: bool) -> None:
    plan = build("inf", topology, known, LIMITS, destroy=destroy)
    assert decode(encode(plan)) == plan
