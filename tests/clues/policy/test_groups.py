"""Several nodes for one that costs less than all of them: when, which, under every limit, and by brute force."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from clues.decision import Memory, RemovalKind
from clues.model import HOSTNAME, Budget, Pod, PodTerm
from clues.options import Budgets, Consolidation, Policy, Pool
from clues.policy.idle import ScaleInResult
from clues.snapshot import Machine, MachineState, NodeState
from tests.clues.policy.test_idle import _PDB, GIB, NOW, blocks, decided, gone, node, pod, pool
from tests.laws import some

_NAMES = tuple(f"s-{number}" for number in range(40))
_LONG_AGO = dict.fromkeys(_NAMES, NOW - 3600)


def sized(name: str, cores: int, price: float, **more: Any) -> Pool:
    return pool(name, allocatable={"cpu": cores * 1000, "memory": 256 * GIB, "pods": 110}, price=price, **more)


SMALL, BIG = sized("small", 4, 2.0), sized("big", 16, 5.0)


def policy(**more: Any) -> Policy:
    wanted = {"consolidation": Consolidation.REPLACE, "utilization_threshold": 1.1, "max_drain": 10, **more}
    return Policy(**wanted)


def on(of: Pool, name: str, *cores: float, **more: Any) -> NodeState:
    pods = tuple(pod(f"{name}-{k}", int(core * 1000), name, labels={"app": "a"}) for k, core in enumerate(cores))
    return node(name, pods, of.name, allocatable=dict(of.allocatable), **more)


def three(load: float = 3) -> list[NodeState]:
    return [on(SMALL, name, load) for name in _NAMES[:3]]


def asked(nodes: list[NodeState], of: Policy | None = None, pools: tuple[Pool, ...] = (SMALL, BIG), **more: Any) -> Any:
    return decided(nodes, of or policy(), pools=pools, **{"memory": Memory(unneeded_since=_LONG_AGO), **more})


def replaced(result: ScaleInResult) -> list[tuple[list[str], str, float]]:
    return [([one.node for one in r.remove], r.add[0].pool, r.saves) for r in result.replacements]


def test_three_nodes_go_for_one_that_costs_less_than_they_do_together() -> None:
    result = asked(three())
    assert replaced(result) == [(["s-0", "s-1", "s-2"], "big", 1.0)]
    (swap,) = result.replacements
    assert {one.kind for one in swap.remove} == {RemovalKind.REPLACED}
    assert [dict(one.moves) for one in swap.remove] == [{f"default/s-{n}-0": "big (new 3)"} for n in range(3)]
    assert [ref.name for ref in swap.add[0].pods] == ["s-0-0", "s-1-0", "s-2-0"]
    assert (gone(result), blocks(result)) == ([], {})
    assert set(result.unneeded_since) == set(_NAMES[:3])


def test_room_that_stays_takes_its_part() -> None:
    stays = node("iron", group="", allocatable={"cpu": 1500, "memory": 8 * GIB, "pods": 110})
    medium = sized("medium", 8, 5.0)
    nodes = [*(on(SMALL, name, 1.5, 1.5) for name in _NAMES[:3]), stays]
    result = asked(nodes, pools=(SMALL, medium))
    assert replaced(result) == [(["s-0", "s-1", "s-2"], "medium", 1.0)]
    places = [place for one in result.replacements[0].remove for place in one.moves.values()]
    assert places.count("iron") == 1


def test_what_can_be_deleted_is_deleted_and_nothing_bought_for_it() -> None:
    nodes = [on(SMALL, "s-0", 1.5), on(SMALL, "s-1", 2), on(SMALL, "s-2", 3)]
    result = asked(nodes)
    assert (gone(result), replaced(result)) == (["s-0"], [])
    assert blocks(result) == {"s-1": "no-place", "s-2": "not-cheaper"}


def test_what_saves_most_goes() -> None:
    dear, tiny = sized("dear", 8, 6.0), sized("tiny", 6, 1.0)
    nodes = [*three(), on(dear, "s-3", 6)]
    of = policy(max_drain=3)
    assert replaced(asked(nodes, of, (SMALL, BIG, dear))) == [(["s-3", "s-0", "s-1"], "big", 5.0)]
    assert replaced(asked(nodes, policy(), (SMALL, BIG, dear))) == [(["s-3", "s-0", "s-1", "s-2"], "big", 7.0)]
    alone = replaced(asked(nodes, of, (SMALL, BIG, dear, tiny)))
    assert alone == [(["s-3"], "tiny", 5.0), (["s-0", "s-1"], "tiny", 3.0)]


def test_a_tie_goes_to_fewer_nodes() -> None:
    dear = sized("dear", 16, 6.0)
    nodes = [*three(), on(dear, "s-3", 15)]
    assert replaced(asked(nodes, policy(max_drain=3), (SMALL, BIG, dear))) == [(["s-3"], "big", 1.0)]
    both = [(["s-3"], "big", 1.0), (["s-0", "s-1", "s-2"], "big", 1.0)]
    assert replaced(asked(nodes, policy(max_drain=4), (SMALL, BIG, dear))) == both


@pytest.mark.parametrize(
    ("limit", "more"),
    [
        ({"max_drain": 2}, {}),
        ({"max_parallel": 2}, {}),
        ({"budgets": (Budgets(nodes="2"),)}, {}),
        ({"min_cores": 1}, {}),
        ({"scale_out": False}, {}),
        ({"max_nodes": 3}, {}),
        ({}, {"budgets": (Budget("default", "a", _PDB, 2),)}),
        ({}, {"pools": (sized("small", 4, 2.0, min=1), BIG)}),
        ({}, {"pools": (SMALL, sized("big", 16, 5.0, max=0))}),
        ({}, {"pools": (SMALL, sized("big", 16, 5.0, powered=True))}),
        ({}, {"pools": (SMALL, sized("big", 16, 6.0))}),
    ],
)
def test_every_limit_holds_for_the_group_as_a_whole(limit: dict[str, Any], more: dict[str, Any]) -> None:
    result = asked(three(), policy(**limit), **more)
    assert (replaced(result), gone(result)) == ([], [])
    assert set(blocks(result).values()) <= {"not-cheaper", "no-place"}
    assert set(blocks(result)) == set(_NAMES[:3])


def test_all_wait_for_the_one_whose_time_has_not_passed() -> None:
    since = {**_LONG_AGO, "s-1": NOW - 60}
    result = asked(three(), memory=Memory(unneeded_since=since))
    assert replaced(result) == []
    assert set(blocks(result).values()) == {"not-unneeded-long-enough"}
    assert {verdict.removable_at for verdict in result.nodes} == {NOW - 60 + 600}
    assert dict(result.unneeded_since) == {name: since[name] for name in _NAMES[:3]}
    fresh = asked(three(), memory=Memory())
    assert dict(fresh.unneeded_since) == dict.fromkeys(_NAMES[:3], NOW), "so that their time runs"


def test_what_is_under_way_is_waited_for() -> None:
    nodes = [*three(), on(SMALL, "s-9", 1)]
    memory = Memory(unneeded_since=_LONG_AGO, removing={"s-9": NOW - 5})
    result = asked([*nodes, on(sized("x", 4, 1.0), "x-1", 0.5)], policy(max_drain=3), memory=memory)
    assert replaced(result) == []
    assert {blocks(result)[name] for name in _NAMES[:3]} == {"parallelism"}


def test_two_replacements_never_take_one_machine_or_the_same_place_in_a_pool() -> None:
    dear, tiny = sized("dear", 8, 6.0), sized("tiny", 5, 1.0, powered=True)
    machines = {"tiny": (Machine("t-1", "tiny", MachineState.OFF, 0.0),)}
    nodes = [on(dear, "s-0", 4.5), on(dear, "s-1", 4.5)]
    result = asked(nodes, pools=(dear, tiny), machines=machines)
    assert [r.add[0].machines for r in result.replacements] == [("t-1",)]
    bounded = asked(nodes, pools=(dear, sized("tiny", 5, 1.0, max=1)))
    assert len(bounded.replacements) == 1


def test_pods_that_may_not_be_together_do_not_meet_on_the_new_node() -> None:
    apart = PodTerm(HOSTNAME, _PDB, frozenset({"default"}))

    def one(name: str, *, is_apart: bool) -> NodeState:
        found = on(SMALL, name, 3)
        terms = (apart,) if is_apart else ()
        kept = [structs.replace(p, spec=structs.replace(p.spec, anti_affinity=terms)) for p in found.pods]
        return structs.replace(found, pods=tuple(kept)) if is_apart else on(SMALL, name, 3)

    assert replaced(asked([one(name, is_apart=True) for name in _NAMES[:3]])) == []
    assert len(replaced(asked([one(name, is_apart=False) for name in _NAMES[:3]]))) == 1


def test_many_candidates_are_looked_at_within_bounds() -> None:
    nodes = [on(SMALL, name, 3) for name in _NAMES[:30]]
    result = asked(nodes, policy(max_drain=30, max_parallel=30))
    assert [len(names) for names, _, _ in replaced(result)] == [5] * 6
    assert sum(saves for _, _, saves in replaced(result)) == 30.0


# by brute force


def fits(pods: list[int], room: list[int]) -> bool:
    if not pods:
        return True
    first, rest = pods[0], pods[1:]
    for at in {free: at for at, free in enumerate(room) if free >= first}.values():
        left = [free - first * (k == at) for k, free in enumerate(room)]
        if fits(rest, left):
            return True
    return False


def cpus(state: NodeState) -> list[int]:
    return [dict(p.spec.requests)["cpu"] for p in state.pods]


def free(state: NodeState) -> int:
    return int(state.node.allocatable["cpu"]) - sum(cpus(state))


def moved(chosen: tuple[NodeState, ...], nodes: list[NodeState], more: list[int]) -> bool:
    stay = [free(state) for state in nodes if state not in chosen]
    return fits(sorted((cpu for state in chosen for cpu in cpus(state)), reverse=True), [*stay, *more])


def best_saving(nodes: list[NodeState], pools: tuple[Pool, ...], most: int) -> float:
    """Return what the best replacement saves: one node, or a group that saves more than its members alone."""
    price = {one.name: one.price for one in pools}

    def saves(chosen: tuple[NodeState, ...]) -> float:
        total = sum(price[state.pool] for state in chosen)
        options = [one for one in pools if one.price < total and moved(chosen, nodes, [one.allocatable["cpu"]])]
        return total - min((one.price for one in options), default=total)

    alone = {state.node.name: saves((state,)) for state in nodes}
    groups = [chosen for size in range(2, most + 1) for chosen in combinations(nodes, size)]
    worth = [saves(g) for g in groups if saves(g) > sum(alone[state.node.name] for state in g) + 1e-9]
    return max([*alone.values(), *worth], default=0.0)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[NodeState], tuple[Pool, ...]]:
    pools = tuple(
        sized(name, cores, float(draw(st.integers(1, 8)))) for name, cores in (("a", 2), ("b", 4), ("c", 8), ("d", 16))
    )
    nodes = []
    for number in range(draw(st.integers(2, 5))):
        of = draw(st.sampled_from(pools[:3]))
        most = of.allocatable["cpu"] // 500
        first = draw(st.integers(most // 2, most))
        second = draw(st.integers(0, most - first))
        nodes.append(on(of, _NAMES[number], *(size / 2 for size in (first, second) if size)))
    return nodes, pools


@settings(max_examples=some(150), deadline=None)
@given(worlds(), st.integers(1, 5))
def test_laws_of_replacement(world: tuple[list[NodeState], tuple[Pool, ...]], most: int) -> None:
    nodes, pools = world
    result = asked(nodes, policy(max_drain=most), pools)
    assert result == asked(nodes, policy(max_drain=most), pools), "equal pictures have equal answers"
    price = {one.name: one.price for one in pools}
    states = {state.node.name: state for state in nodes}
    leaving = [one for r in result.replacements for one in r.remove] + list(result.removals)
    assert len(leaving) <= most
    for swap in result.replacements:
        (order,) = swap.add
        saved = sum(price[states[one.node].pool] for one in swap.remove) - price[order.pool]
        assert saved == pytest.approx(swap.saves)
        assert saved > 0, "cost never rises"
    room = {name: free(state) for name, state in states.items() if name not in {one.node for one in leaving}}
    for swap in result.replacements:
        new = {place for one in swap.remove for place in one.moves.values() if place not in states}
        assert len(new) == 1
        room[new.pop()] = int(next(one for one in pools if one.name == swap.add[0].pool).allocatable["cpu"])
    pods: dict[str, Pod] = {str(p.ref): p for state in nodes for p in state.pods}
    for one in leaving:
        assert set(one.moves) == {str(p.ref) for p in states[one.node].pods}
        for key, place in one.moves.items():
            room[place] -= dict(pods[key].spec.requests)["cpu"]
    assert min(room.values()) >= 0, "nothing that moves lacks a place"
    if not result.removals:
        assert not any(moved((state,), nodes, []) for state in nodes), "deleting comes before buying"
        saves = max((r.saves for r in result.replacements), default=0.0)
        assert saves == pytest.approx(best_saving(nodes, pools, min(most, len(nodes))))
