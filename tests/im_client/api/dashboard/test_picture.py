"""The picture of a topology: what is in it, and that nothing lies over another."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from im_client.api.dashboard.picture import MARGIN, WIDTH, draw
from im_client.topology.model import Group, Hardware, Network, NetworkInterface, Topology

TOPOLOGY = Topology(
    "lab",
    groups={
        "front": Group(
            "front", 1, 1, 1, Hardware(2, 2**31), interfaces=(NetworkInterface("out"), NetworkInterface("in"))
        ),
        "worker": Group("worker", 3, 0, 9, interfaces=(NetworkInterface("in"),)),
    },
    networks={"out": Network("out", public=True), "in": Network("in")},
    components={"slurm": "front", "mount": "worker"},
)


def test_groups_stand_between_their_networks() -> None:
    found = draw(TOPOLOGY, {"worker": ["configured", "failed"]})
    front, worker = found.boxes
    assert (front.title, front.count, front.is_many) == ("front", "× 1", False)
    assert [text for _, text in front.lines] == ["2 CPUs, 2 GiB", "▸ slurm"]
    assert [text for _, text in worker.lines] == ["any size", "▸ mount"]
    assert [dot.state for dot in worker.dots] == ["configured", "failed"]
    public, private = found.buses
    assert public.y < front.y < private.y
    assert [(wire.is_public, wire.y2) for wire in found.wires] == [
        (True, public.y),
        (False, private.y),
        (False, private.y),
    ]
    assert found.text == "Groups of machines: front (1), worker (3); public networks: out; private networks: in."


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=60), st.integers(0, 2000)), max_size=6, unique_by=lambda one: one[0]
    ),
    st.lists(st.tuples(st.text(max_size=60), st.booleans()), max_size=4, unique_by=lambda one: one[0]),
    st.lists(st.text(max_size=80), max_size=12, unique=True),
)
def test_everything_is_inside_and_apart(
    groups: list[tuple[str, int]], networks: list[tuple[str, bool]], components: list[str]
) -> None:
    cards = tuple(NetworkInterface(name) for name, _ in networks)
    topology = Topology(
        "any",
        groups={name: Group(name, count, 0, None, interfaces=cards) for name, count in groups},
        networks={name: Network(name, public=is_public) for name, is_public in networks},
        components=dict.fromkeys(components, groups[0][0]) if groups else {},
    )
    found = draw(topology, {name: ["running"] * count for name, count in groups})
    for box in found.boxes:
        assert box.x >= MARGIN
        assert box.x + WIDTH <= found.width
        assert box.y + box.height <= found.height
        assert all(box.y < y < box.y + box.height for y, _ in box.lines)
        assert all(box.x < dot.x < box.x + WIDTH and box.y < dot.y < box.y + box.height for dot in box.dots)
        assert len(box.title) <= 20
    assert all(one.x + WIDTH < two.x for one, two in pairwise(found.boxes))
    assert all(0 < bus.y < found.height for bus in found.buses)
    assert len(found.wires) == len(groups) * len(networks)
