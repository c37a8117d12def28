"""What a node's pods have in common, counted once."""

import msgspec

from clues.model import Pod, PodSpec
from clues.policy.kinds import alike
from clues.snapshot import NodeState
from tests.clues.build import node, pod

SPEC = PodSpec(requests=(("cpu", 100),), priority=5)
LABELS = {"app": "web"}


def state(*pods: Pod) -> NodeState:
    return NodeState(node("n1"), pods)


def test_pods_with_the_same_spec_and_labels_are_counted_together() -> None:
    twin = [msgspec.structs.replace(pod(f"p{number}"), spec=SPEC, labels=LABELS) for number in range(3)]
    leaving = msgspec.structs.replace(twin[0], name="p3", deleting=True)
    other = msgspec.structs.replace(twin[0], name="p4", labels={"app": "db"})
    first, second = state(*twin, leaving, other), state(twin[0])
    assert [number for _, _, number in first.alike] == [3, 1, 1]
    assert sorted((one.name, on) for one, on in alike([first, second])) == [
        ("p0", {0: 3, 1: 1}),
        ("p3", {0: 1}),
        ("p4", {0: 1}),
    ]


def test_another_set_of_pods_is_counted_anew() -> None:
    one = msgspec.structs.replace(pod("p0"), spec=SPEC)
    full = state(one)
    assert len(full.alike) == 1
    assert msgspec.structs.replace(full, pods=()).alike == ()
    assert full == state(one)


def test_the_highest_priority_is_that_of_the_pods_that_would_move() -> None:
    stays = msgspec.structs.replace(pod("p0"), mirror=True, spec=msgspec.structs.replace(SPEC, priority=9))
    moves = msgspec.structs.replace(pod("p1"), spec=SPEC)
    assert state(stays).highest_priority is None
    assert state(stays, moves).highest_priority == 5
