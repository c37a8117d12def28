"""Which fresh nodes are ordered: what is known to be right, and laws between the ways of choosing."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.decision import Memory
from clues.model import HOSTNAME, ZONE, Pod, PodSpec, PodTerm, Spread
from clues.options import Expander, Policy, Pool
from clues.policy.choose import Choice, balanced, choose, few, many
from clues.policy.costs import Costs
from clues.policy.grow import grow
from clues.policy.pack import Group
from clues.policy.simulation import Simulation
from clues.policy.supply import supply_of
from tests.clues.build import GIB, match, near, node, pod, snapshot, spec
from tests.laws import some

_NONE = np.array([], dtype=np.int64)
_POOLS = {
    "small": {"cpu": 4000, "memory": 16 * GIB, "pods": 110},
    "large": {"cpu": 16000, "memory": 64 * GIB, "pods": 110},
    "fat": {"cpu": 8000, "memory": 128 * GIB, "pods": 110},
}


def pool(name: str, price: float = 1.0, **more: object) -> Pool:
    return Pool(**{"name": name, "max": 1000, "allocatable": _POOLS[name], "price": price, **more})  # type: ignore[arg-type]


def setting(
    wants: list[tuple[PodSpec, int]],
    pools: list[Pool],
    policy: Policy | None = None,
    labels: dict[str, str] | None = None,
) -> tuple[Simulation, Costs]:
    """Return a simulation of an empty cluster and the costs for so many pods of each spec."""
    pods = [pod(f"p{k}-{i}", of, labels=labels) for k, (of, number) in enumerate(wants) for i in range(number)]
    picture = snapshot([node("head", cpu=0)], pods)
    simulation = Simulation(picture)
    simulation.close_node(0)
    groups = []
    for kind, found in simulation.kinds(pods).items():
        asked = dict(kind.spec.requests)
        size = max(asked.get(name, 0) / 64 / GIB if name == "memory" else asked.get(name, 0) / 16000 for name in asked)
        fits = tuple(
            one.name for one in pools if all(one.allocatable.get(n, 0) >= amount for n, amount in asked.items())
        )
        groups.append(Group(kind, found, size, fits))
    policy = policy or Policy()
    return simulation, Costs(groups, pools, supply_of(picture, pools, policy, Memory()), policy)


def cost(costs: Costs, choice: Choice) -> tuple[float, ...]:
    return costs.of(tuple(choice.counts.get(one.name, 0) for one in costs.pools))


_SPECS = st.builds(lambda cpu, memory: spec(cpu * 250, memory * GIB), st.integers(1, 20), st.integers(1, 20))
_WANTS = st.lists(st.tuples(_SPECS, st.integers(1, 12)), min_size=1, max_size=4)


@settings(max_examples=some(60), deadline=None)
@given(_WANTS)
def test_first_fit_of_many_is_near_the_least(wants: list[tuple[PodSpec, int]]) -> None:
    simulation, costs = setting(wants, [pool("large")])
    best, quick = few(simulation, costs, _NONE), many(simulation, costs, _NONE)
    assert quick.total() == best.total() == sum(number for _, number in wants)
    assert quick.counts["large"] <= best.counts["large"] * 11 / 9 + 1


@settings(max_examples=some(60), deadline=None)
@given(_WANTS)
def test_runs_of_nodes_hold_what_nodes_one_by_one_do(wants: list[tuple[PodSpec, int]]) -> None:
    simulation, costs = setting(wants, [pool("large"), pool("fat", 0.9)])
    before = simulation.free().tolist()
    counted = many(simulation, costs, _NONE)
    assert simulation.free().tolist() == before
    mark = simulation.mark()
    mix, packing = grow(simulation, costs.groups, costs, iter(range(10_000)), _NONE)
    simulation.undo(mark)
    assert counted.total() == packing.total()
    by_hand = sum(one.price * number for one, number in zip(costs.pools, mix, strict=True))
    assert sum(one.price * counted.counts.get(one.name, 0) for one in costs.pools) <= by_hand + 1.0


@settings(max_examples=some(60), deadline=None)
@given(_WANTS, st.integers(0, 6), st.integers(0, 60), st.sampled_from(list(Expander)))
def test_limits_hold_and_no_node_is_empty(
    wants: list[tuple[PodSpec, int]], nodes: int, cores: int, expander: Expander
) -> None:
    policy = Policy(max_nodes=nodes + 1, max_cores=float(cores), expander=expander)
    simulation, costs = setting(wants, [pool("small", max=3), pool("large", 3.0, max=4), pool("fat", 2.0)], policy)
    for choice in (few(simulation, costs, _NONE), many(simulation, costs, _NONE)):
        counts = choice.counts
        assert sum(counts.values()) <= nodes
        assert sum(_POOLS[name]["cpu"] * number for name, number in counts.items()) <= cores * 1000
        assert counts.get("small", 0) <= 3
        assert counts.get("large", 0) <= 4
        pieces = [piece for found in choice.placed.values() for piece in found]
        held = {(piece.pool, piece.first + i) for piece in pieces for i in range(piece.nodes) if piece.each}
        assert held == {(name, i) for name, number in counts.items() for i in range(number)}


def test_a_hundred_pods_of_one_cpu_need_seven_nodes_of_sixteen() -> None:
    simulation, costs = setting([(spec(1000), 100)], [pool("large")])
    assert many(simulation, costs, _NONE).counts == {"large": 7}


def test_what_is_left_for_the_last_node_takes_a_cheaper_one() -> None:
    simulation, costs = setting([(spec(1000), 162)], [pool("large", 4.0), pool("small", 1.5)])
    assert many(simulation, costs, _NONE).counts == {"large": 10, "small": 1}


def test_pods_that_ask_for_unlike_things_take_unlike_pools() -> None:
    wants = [(spec(8000, GIB), 100), (spec(500, 40 * GIB), 90)]
    simulation, costs = setting(wants, [pool("large", 1.0), pool("fat", 1.0)])
    chosen = many(simulation, costs, _NONE)
    assert chosen.total() == 190
    assert sum(chosen.counts.values()) <= 80  # 90 pods of 40 GiB: 3 on a fat node; one pool alone needs 90 or more


def test_anti_affinity_by_host_takes_a_node_each() -> None:
    only = (PodTerm(HOSTNAME, match(app="a"), frozenset({"default"})),)
    simulation, costs = setting([(spec(1000, anti_affinity=only), 70)], [pool("large")], labels={"app": "a"})
    chosen = many(simulation, costs, _NONE)
    assert chosen.counts == {"large": 70}
    assert chosen.total() == 70


def test_spread_over_zones_takes_pools_in_turn() -> None:
    spread = (Spread(ZONE, 1, match(app="a"), min_domains=3),)
    pools = [
        Pool(f"z{i}", max=100, allocatable=_POOLS["small"], labels={ZONE: f"z{i}"}, price=1.0 + i) for i in range(3)
    ]
    pods = [pod(f"p{i}", spec(1000, spread=spread), labels={"app": "a"}) for i in range(90)]
    simulation = Simulation(snapshot([], pods))
    groups = [Group(kind, found, 0.1, ("z0", "z1", "z2")) for kind, found in simulation.kinds(pods).items()]
    supply = supply_of(snapshot([], pods), pools, Policy(), Memory())
    chosen = choose(simulation, groups, pools, supply, Policy(), _NONE)
    assert chosen.total() == 90
    assert chosen.counts == {"z0": 8, "z1": 8, "z2": 8}


def test_pods_that_want_to_be_near_others_follow_them() -> None:
    server = [pod(f"s{i}", spec(1000), labels={"app": "server"}) for i in range(20)]
    near_it = (near(ZONE, app="server"),)
    client = [pod(f"c{i}", spec(1500, affinity=near_it), labels={"app": "client"}) for i in range(60)]
    pools = [Pool("z0", max=100, allocatable=_POOLS["small"], labels={ZONE: "z0"})]
    pods: list[Pod] = [*client, *server]
    simulation = Simulation(snapshot([], pods))
    groups = [Group(kind, found, 0.1, ("z0",)) for kind, found in simulation.kinds(pods).items()]
    supply = supply_of(snapshot([], pods), pools, Policy(), Memory())
    assert choose(simulation, groups, pools, supply, Policy(), _NONE).total() == 80


def test_balancing_evens_out_pools_that_are_alike() -> None:
    pools = [
        Pool(f"z{i}", max=limit, allocatable=_POOLS["small"], labels={ZONE: f"z{i}"})
        for i, limit in enumerate((9, 9, 1))
    ]
    supply = supply_of(snapshot([]), pools, Policy(), Memory())
    assert balanced({"z0": 7}, pools, supply) == {"z0": 3, "z1": 3, "z2": 1}
