"""Pods that must spread over zones: where their first nodes go, however many pods there are."""

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.decide import decide
from clues.decision import Decision, Memory
from clues.model import ZONE, Node, Pod, PodSpec, Spread
from clues.options import Policy, Pool
from clues.snapshot import Machine, MachineState
from tests.clues.build import GIB, match, node, pod, snapshot, spec
from tests.laws import some

_CPU = {"cpu": 4000, "memory": 16 * GIB, "pods": 110}


def zone(number: int, most: int = 1000, price: float = 1.0) -> Pool:
    return Pool(f"p{number}", max=most, allocatable=_CPU, labels={ZONE: f"z{number}"}, price=price)


def spreading(app: str = "a", skew: int = 1, least: int = 1, cpu: int = 1000) -> PodSpec:
    return spec(cpu, spread=(Spread(ZONE, skew, match(app=app), min_domains=least),))


def many(of: PodSpec, number: int, app: str = "a") -> list[Pod]:
    return [
        pod(f"{app}-{i}", of, labels={"app": app}, created_at=1e9 - 60, unschedulable_since=1e9 - 30)
        for i in range(number)
    ]


def ordered(pods: list[Pod], pools: list[Pool], nodes: list[Node] | None = None) -> tuple[dict[str, int], Decision]:
    made = decide(snapshot(nodes or [], pods), pools, Policy(), Memory())
    return {order.pool: order.count for order in made.power_on}, made


def helped(decision: Decision) -> int:
    return sum(len(verdict.pods) for verdict in decision.pods if verdict.outcome in {"ordered", "fits"})


def by_zone(decision: Decision, app: str = "a") -> Counter[str]:
    """Return how many pods of an application are to go to each zone's fresh nodes."""
    planned = decision.memory.planned
    return Counter(f"z{slot[1]}" for uid, slot in planned.items() if uid.startswith(f"uid-default-{app}-"))


def reached(room: dict[str, int], skew: int, least: int, pods: int) -> int:
    """Place pod after pod where there are fewest, as long as the constraint and the room allow it."""
    there = dict.fromkeys((name for name, capacity in room.items() if capacity), 0)
    for placed in range(pods):
        low = min(there.values()) if len(there) >= least and there else 0
        fitting = [name for name, count in there.items() if count < room[name] and count + 1 - low <= skew]
        if not fitting:
            return placed
        there[min(fitting, key=lambda name: there[name])] += 1
    return pods


@pytest.mark.parametrize("zones", [2, 3])
@pytest.mark.parametrize("number", [65, 100, 500, 1000])
def test_zones_without_a_node_are_filled_evenly(number: int, zones: int) -> None:
    counts, made = ordered(many(spreading(), number), [zone(n) for n in range(zones)])
    shares = [number // zones + (n < number % zones) for n in range(zones)]
    assert sorted(by_zone(made).values(), reverse=True) == shares
    assert sorted(counts.values(), reverse=True) == [-(-share // 4) for share in shares]


def test_nothing_more_is_ordered_while_the_nodes_of_all_zones_boot() -> None:
    pods, pools = many(spreading(), 100), [zone(n) for n in range(3)]
    counts, made = ordered(pods, pools)
    machines = {
        name: tuple(Machine(f"{name}-{n}", name, MachineState.BOOTING, 1e9) for n in range(count))
        for name, count in counts.items()
    }
    again = decide(snapshot([], pods, machines=machines), pools, Policy(), made.memory)
    assert again.power_on == ()
    assert sum(len(verdict.pods) for verdict in again.pods if verdict.outcome == "upcoming") == 100


def test_a_large_skew_is_no_reason_to_be_uneven() -> None:
    counts, _ = ordered(many(spreading(skew=50), 120), [zone(n) for n in range(3)])
    assert counts == {"p0": 10, "p1": 10, "p2": 10}


def test_one_node_that_is_left_in_a_zone_draws_not_all_of_them() -> None:
    there = node("n", labels={ZONE: "z0"}, ready_since=1.0)
    counts, made = ordered(many(spreading(), 94), [zone(n) for n in range(3)], [there])
    assert helped(made) == 94
    assert counts == {"p0": 7, "p1": 8, "p2": 8}


def test_a_dearer_zone_is_opened_only_where_it_helps() -> None:
    pools = [zone(0), zone(1), zone(2, price=2.0)]
    assert ordered(many(spreading(), 80), pools)[0] == {"p0": 10, "p1": 10}
    assert ordered(many(spreading(least=3), 80), pools)[0] == {"p0": 7, "p1": 7, "p2": 7}


def test_a_zone_that_would_hold_up_the_others_stays_shut() -> None:
    counts, made = ordered(many(spreading(), 80), [zone(0), zone(1), zone(2, most=1)])
    assert (counts, helped(made)) == ({"p0": 10, "p1": 10}, 80)


def test_no_zone_is_opened_under_pods_that_do_without_it() -> None:
    """The one node of the small zone would hold up 75 pods for the sake of one, which has its turn after them."""
    only = spec(3000, node_selector=((ZONE, "z2"),))
    pools = [zone(0), zone(1), zone(2, most=1)]
    pods = [*many(spreading(), 80), *many(only, 1, "b")]
    counts, made = ordered(pods, pools)
    assert (counts, helped(made)) == ({"p0": 10, "p1": 10}, 80)


def test_a_zone_that_others_must_open_is_reckoned_with() -> None:
    """More pods find a place with the small zone than without: 20 of those that need it beside 5, 5 and 4."""
    only = spec(100, node_selector=((ZONE, "z2"),))
    pools = [zone(0, most=9), zone(1, most=9), zone(2, most=2)]
    pods = [*many(only, 80, "b"), *many(spreading(cpu=1500), 30)]
    _, made = ordered(pods, pools)
    assert (by_zone(made, "b"), sorted(by_zone(made).values())) == ({"z2": 20}, [4, 5, 5])


@pytest.mark.parametrize("number", [6, 90])
def test_room_that_fresh_nodes_open_elsewhere_is_used(number: int) -> None:
    free = node("free", cpu=100_000, labels={ZONE: "z0"}, ready_since=1.0)
    full = node("full", cpu=0, labels={ZONE: "z1"}, ready_since=1.0)
    counts, made = ordered(many(spreading(), number), [zone(0), zone(1)], [free, full])
    assert counts == {"p1": -(-number // 8)}
    assert helped(made) == number


@settings(max_examples=some(60), deadline=None)
@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=3),
    st.integers(65, 140),
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.sampled_from([1.0, 2.0]), min_size=3, max_size=3),
)
def test_as_many_as_any_order_could_help(
    limits: list[int], number: int, skew: int, least: int, prices: list[float]
) -> None:
    pools = [zone(n, most, prices[n]) for n, most in enumerate(limits)]
    counts, made = ordered(many(spreading(skew=skew, least=least, cpu=400), number), pools)

    def of(mix: tuple[int, ...]) -> int:
        return reached({f"z{n}": 10 * count for n, count in enumerate(mix)}, skew, least, number)

    best = max(of(mix) for mix in product(*(range(most + 1) for most in limits)))
    assert helped(made) == best
    assert of(tuple(counts.get(pool.name, 0) for pool in pools)) == best
    assert all(counts.get(pool.name, 0) <= pool.max for pool in pools)


@settings(max_examples=some(60), deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 3), st.sampled_from([500, 900, 1500])), max_size=3),
    st.lists(st.integers(1, 12), min_size=3, max_size=3),
    st.integers(0, 20),
)
def test_every_constraint_holds_once_all_has_come(
    apps: list[tuple[int, int, int]], limits: list[int], plain: int
) -> None:
    pods = many(spreading("x"), 65, "x")
    for at, (number, skew, cpu) in enumerate(apps):
        pods += many(spreading(f"y{at}", skew, cpu=cpu), number, f"y{at}")
    pods += many(spec(700), plain, "plain")
    counts, made = ordered(pods, [zone(n, most) for n, most in enumerate(limits)])
    domains = {f"z{name[1:]}" for name in counts}
    by_slot: Counter[str] = Counter()
    asked = {p.uid: dict(p.spec.requests)["cpu"] for p in pods}
    for uid, slot in made.memory.planned.items():
        by_slot[slot] += asked[uid]
    assert len(by_slot) == sum(counts.values())
    assert all(used <= 4000 for used in by_slot.values())
    for app, skew in [("x", 1), *((f"y{at}", skew) for at, (_, skew, _) in enumerate(apps))]:
        there = by_zone(made, app)
        assert max(there.values(), default=0) - min(there[domain] for domain in domains) <= skew
