"""Plans over several sites, and golden images."""

from dataclasses import replace

import pytest

from im_client.plan.build import build
from im_client.plan.explain import sentences
from im_client.plan.json import decode, encode
from im_client.plan.model import Action, Known, Limits, Phase, Plan
from im_client.topology.model import Placement, Topology
from infracore.errors import InvalidUsage
from tests.im_client.plan.world import LIMITS, apply, cluster

FULL, CLOUD = replace(LIMITS, provider="campus"), replace(LIMITS, provider="cloud")
SITES = {"campus": FULL, "cloud": CLOUD}


def hybrid(*sites: str, workers: int = 2) -> Topology:
    topology = cluster(workers)
    group = replace(topology.groups["wn"], placement=Placement(sites=sites))
    return replace(topology, groups={**topology.groups, "wn": group})


def moved(known: Known, **sites: str) -> Known:
    nodes = {
        n: replace(node, provider=sites.get(n.replace("-", "_"), node.provider)) for n, node in known.nodes.items()
    }
    return replace(known, nodes=nodes)


def applied(plan: Plan, topology: Topology) -> Known:
    return apply(plan, Known(), topology)


def made(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {step.node: step.sites for step in plan.steps if step.action in {Action.CREATE, Action.REPLACE}}


def test_only_groups_that_name_sites_are_made_at_them() -> None:
    plan = build("i", hybrid("campus", "cloud"), Known(), LIMITS, sites=SITES)
    assert made(plan) == {"front-1": (), "wn-1": ("campus", "cloud"), "wn-2": ("campus", "cloud")}
    assert any("at campus, else at cloud" in text for text in sentences(plan))
    assert decode(encode(plan)) == plan


def test_machines_at_any_site_are_as_wanted_and_their_order_may_change() -> None:
    topology = hybrid("campus", "cloud")
    known = applied(build("i", topology, Known(), LIMITS, sites=SITES), topology)
    there = moved(known, wn_1="campus", wn_2="cloud")
    assert build("i", topology, there, LIMITS, sites=SITES).is_empty
    assert build("i", hybrid("cloud", "campus"), there, LIMITS, sites=SITES).is_empty
    assert build("i", cluster(), there, LIMITS, sites=SITES).is_empty


def test_a_machine_at_a_site_that_is_not_there_any_more_is_told() -> None:
    topology = cluster()
    known = moved(applied(build("i", topology, Known(), LIMITS), topology), wn_1="gone")
    with pytest.raises(InvalidUsage, match="machines at gone"):
        build("i", topology, known, LIMITS, sites=SITES)


def test_each_machine_is_changed_by_what_its_own_site_can() -> None:
    topology = hybrid("campus", "cloud")
    known = moved(applied(build("i", topology, Known(), LIMITS, sites=SITES), topology), wn_1="campus", wn_2="cloud")
    larger = replace(topology.groups["wn"], hardware=replace(topology.groups["wn"].hardware, mem_bytes=2**31))
    rigid = {"campus": replace(FULL, in_place=frozenset()), "cloud": CLOUD}
    plan = build("i", replace(topology, groups={**topology.groups, "wn": larger}), known, LIMITS, sites=rigid)
    actions = {step.node: step.action for step in plan.steps if step.action is not Action.CONFIGURE}
    assert actions == {"wn-1": Action.REPLACE, "wn-2": Action.UPDATE}


def test_machines_that_cannot_be_logged_in_to_are_not_configured() -> None:
    topology = hybrid("campus", "cloud")
    sites = {"campus": replace(FULL, reachable=False), "cloud": CLOUD}

    def configured(known: Known, workers: int) -> set[str]:
        plan = build("i", hybrid("campus", "cloud", workers=workers), known, LIMITS, sites=sites)
        return {step.node for step in plan.steps if step.action is Action.CONFIGURE}

    assert configured(Known(), 2) == {"front-1", "wn-1", "wn-2"}  # one may come to be at the cloud
    known = applied(build("i", topology, Known(), LIMITS, sites=SITES), topology)
    nodes = {name: replace(node, configured_digest=None, operation_digests={}) for name, node in known.nodes.items()}
    there = moved(replace(known, nodes=nodes), wn_1="campus", wn_2="cloud")
    assert configured(there, 2) == {"front-1", "wn-2"}


def test_a_golden_image_is_for_new_machines_at_the_sites_that_have_it() -> None:
    topology = hybrid("campus", "cloud", workers=1)
    known = applied(build("i", topology, Known(), LIMITS, sites=SITES), topology)
    images = {"wn": {"cloud": "img-7", "elsewhere": "img-8"}}
    plan = build("i", hybrid("campus", "cloud"), known, LIMITS, sites=SITES, images=images)
    assert {s.node: dict(s.images) for s in plan.steps if s.action is Action.CREATE} == {"wn-2": {"cloud": "img-7"}}
    assert decode(encode(plan)) == plan
    assert any("from the golden image img-7" in text for text in sentences(plan))


def test_a_machine_of_a_golden_image_is_as_wanted_without_it() -> None:
    topology = cluster()
    known = applied(build("i", topology, Known(), LIMITS), topology)
    nodes = {n: replace(node, spec=replace(node.spec, golden_image="img-7")) for n, node in known.nodes.items()}
    assert build("i", topology, replace(known, nodes=nodes), LIMITS).is_empty
    assert all(node.phase is Phase.CONFIGURED for node in nodes.values())
    assert Limits("x").direct
