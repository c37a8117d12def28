"""Many at once is the same as one by one: the quick ways of looking for places and of taking them, step by step."""

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clues.model import HOSTNAME, ZONE, Spread
from clues.policy.dealing import dealt_out
from clues.policy.kinds import Kind
from clues.policy.pack import fill
from clues.policy.simulation import _FEW, Simulation
from clues.policy.topology import SpreadRule
from tests.clues.build import match, node, pod, snapshot, spec
from tests.clues.policy.test_simulation import CLAIMS, SPACES, changed, law, seen, social, specs
from tests.laws import some

shapes = st.one_of(social, specs)


def orders(draw: st.DrawFn, simulation: Simulation) -> NDArray[np.int64]:
    """Some nodes of a simulation in any order, removed and closed ones among them."""
    every = list(range(len(simulation.names)))
    return np.array(draw(st.permutations(every))[: draw(st.integers(0, len(every)))], dtype=np.int64)


@law
@given(changed(), st.data())
def test_nodes_that_are_asked_about_fit_as_the_mask_of_all_says(case: Any, data: st.DataObject) -> None:
    simulation, _, waiting, _ = case
    for one in waiting:
        kind, order = simulation.kind_of(one), orders(data.draw, simulation)
        mask, room = simulation.mask(kind), simulation.room(kind)
        expected = [index for index in order.tolist() if mask[index]]
        assert simulation.fitting(kind, order).tolist() == expected
        at, most = simulation.room_among(kind, order)
        assert (at.tolist(), most.tolist()) == (expected, room[expected].tolist())
        assert [simulation.room_on(kind, index) for index in order.tolist()] == room[order].tolist()
        if simulation.is_simple(kind):
            assert simulation.own_room(kind, order).tolist() == room[order].tolist()


@law
@given(changed(), st.data())
def test_pods_that_are_placed_together_are_as_if_placed_one_by_one(case: Any, data: st.DataObject) -> None:
    simulation, world, waiting, _ = case
    live = sorted(world.nodes)
    assume(live)
    if data.draw(st.booleans()):
        seen(simulation, waiting)  # so that counters exist before in some examples only
    mark, before = simulation.mark(), seen(simulation, waiting)
    for one in waiting:
        kind = simulation.kind_of(one)
        numbers = data.draw(st.dictionaries(st.sampled_from(live), st.integers(1, 4)))
        simulation.place_all(kind, numbers)
        together = seen(simulation, waiting)
        simulation.undo(mark)
        assert seen(simulation, waiting) == before
        for index, number in numbers.items():
            for _ in range(number):
                simulation.place(kind, index)
        assert seen(simulation, waiting) == together
        simulation.undo(mark)


@law
@given(st.lists(st.tuples(shapes, st.lists(st.integers(0, 11), max_size=6)), min_size=2, max_size=3), st.data())
def test_so_are_pods_on_many_nodes(made: list[tuple[Any, list[int]]], data: st.DataObject) -> None:
    zones = data.draw(st.lists(st.sampled_from(["a", "b", ""]), min_size=12, max_size=12))
    known = [
        node(f"n{i}", pods=30, labels={ZONE: zone} if zone else {}, other={"gpu": 9}) for i, zone in enumerate(zones)
    ]
    waiting = [pod(f"w{i}", one, labels={"app": "x"}) for i, (one, _) in enumerate(made)]
    there = [
        pod(f"r{i}-{copy}", one, labels={"app": "x"}, node=f"n{index}")
        for i, (one, where) in enumerate(made)
        for copy, index in enumerate(where)
    ]
    simulation = Simulation(snapshot(known, [*there, *waiting], namespaces=SPACES, claims=CLAIMS))
    if data.draw(st.booleans()):
        seen(simulation, waiting)
    mark = simulation.mark()
    numbers = data.draw(st.dictionaries(st.integers(0, 11), st.integers(1, 3), min_size=_FEW, max_size=12))
    for one in waiting:
        kind = simulation.kind_of(one)
        simulation.place_all(kind, numbers)
        together = seen(simulation, waiting), [simulation.count(kind, index) for index in range(12)]
        simulation.undo(mark)
        for index, number in numbers.items():
            simulation.place(kind, index, number)
        assert (seen(simulation, waiting), [simulation.count(kind, index) for index in range(12)]) == together
        simulation.undo(mark)


def first_fit(simulation: Simulation, kind: Kind, count: int, order: NDArray[np.int64]) -> dict[int, int]:
    """Place pods one after the other, each on the first node whose mask takes it."""
    found: dict[int, int] = {}
    for _ in range(count):
        mask = simulation.mask(kind)
        index = next((index for index in order.tolist() if mask[index]), None)
        if index is None:
            break
        simulation.place(kind, index)
        found[index] = found.get(index, 0) + 1
    return found


@law
@given(changed(), st.integers(0, 9), st.data())
def test_filling_is_first_fit(case: Any, count: int, data: st.DataObject) -> None:
    simulation, _, waiting, _ = case
    for one in waiting:
        kind, order = simulation.kind_of(one), orders(data.draw, simulation)
        mark = simulation.mark()
        found = fill(simulation, kind, count, order)
        after = seen(simulation, waiting)
        simulation.undo(mark)
        assert {index: number for index, number in found.items() if number} == first_fit(simulation, kind, count, order)
        assert seen(simulation, waiting) == after
        simulation.undo(mark)


@st.composite
def spread_pods(draw: st.DrawFn) -> tuple[Simulation, Kind, SpreadRule]:
    """Nodes in few domains and pods that one hard spread constraint ties to each other, and nothing else."""
    count = draw(st.integers(2, 8))
    known = [
        node(
            f"n{number}",
            cpu=draw(st.sampled_from([3000, 1000, 500, 0])),
            labels=draw(st.sampled_from([{ZONE: "a"}, {ZONE: "b"}, {ZONE: "c"}, {}])),
            unschedulable=draw(st.sampled_from([False, False, False, True])),
        )
        for number in range(count)
    ]
    spread = Spread(
        draw(st.sampled_from([ZONE, ZONE, HOSTNAME])),
        draw(st.integers(1, 5)),
        match(app="x"),
        min_domains=draw(st.integers(1, 4)),
    )
    made = spec(500, spread=(spread,))
    where = draw(st.lists(st.integers(0, count - 1), max_size=6))
    there = [
        pod(f"r{number}", spec(100), labels={"app": draw(st.sampled_from("xyz"))}, node=f"n{index}")
        for number, index in enumerate(where)
    ]
    waiting = pod("w", made, labels={"app": "x"})
    simulation = Simulation(snapshot(known, [*there, waiting]))
    kind = simulation.kind_of(waiting)
    rule = simulation.only_rule(kind)
    assume(rule is not None)
    assert rule is not None
    return simulation, kind, rule


@settings(max_examples=some(200), deadline=None)
@given(spread_pods(), st.integers(1, 25), st.data())
def test_spread_pods_are_dealt_out_as_they_would_go_one_by_one(case: Any, count: int, data: st.DataObject) -> None:
    simulation, kind, rule = case
    order = np.array(data.draw(st.permutations(range(len(simulation.names)))), dtype=np.int64)
    before, mark = simulation.free().tolist(), simulation.mark()
    dealt = {evenly: dealt_out(simulation, kind, count, rule, order, evenly=evenly) for evenly in (False, True)}
    assert simulation.free().tolist() == before
    assert dealt[False] == first_fit(simulation, kind, count, order)
    simulation.undo(mark)
    domains = rule.counter.synced()
    found: dict[int, int] = {}
    for _ in range(count):
        mask, counts = simulation.mask(kind), rule.counts()
        fits = [index for index in order.tolist() if mask[index]]
        if not fits:
            break
        index = min(fits, key=lambda each: counts[domains[each]])  # the first in the order of those that are equal
        simulation.place(kind, index)
        found[index] = found.get(index, 0) + 1
    assert dealt[True] == found
