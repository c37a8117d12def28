"""A picture of a topology: groups of machines between the networks that join them. Pure; the page makes SVG of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from im_client.topology.model import Group, Topology
from infracore.units import format_bytes

__all__ = ["Box", "Bus", "Drawing", "Wire", "draw"]

WIDTH: Final = 232
GAP: Final = 36
MARGIN: Final = 20
_BUS: Final = 38
_LINE: Final = 19
_MOST_LINES: Final = 5
_MOST_DOTS: Final = 40
_DOTS_A_LINE: Final = 13
_LONGEST: Final = 28


@dataclass(frozen=True, slots=True)
class Dot:
    """One machine in its state."""

    x: int
    y: int
    state: str


@dataclass(frozen=True, slots=True)
class Box:
    """A group of machines."""

    x: int
    y: int
    height: int
    title: str
    count: str
    is_many: bool
    lines: Sequence[tuple[int, str]]
    """y -> text."""
    dots: Sequence[Dot] = ()


@dataclass(frozen=True, slots=True)
class Bus:
    """A network."""

    y: int
    name: str
    is_public: bool


@dataclass(frozen=True, slots=True)
class Wire:
    """A network card: where it leaves its box, and where it meets its network."""

    x: int
    y1: int
    y2: int
    is_public: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """All of it, with a sentence for those who do not see it."""

    width: int
    height: int
    boxes: Sequence[Box] = field(default=())
    buses: Sequence[Bus] = field(default=())
    wires: Sequence[Wire] = field(default=())
    text: str = ""


def draw(topology: Topology, states: Mapping[str, Sequence[str]] | None = None) -> Drawing:
    """Lay a topology out: public networks above, the boxes, private networks below.

    `states` gives the machines of each group as they are; without it the boxes say only how many there shall be.
    """
    groups = list(topology.groups.values())
    public = [network.name for network in topology.networks.values() if network.public]
    private = [network.name for network in topology.networks.values() if not network.public]
    lines = {group.name: _lines(group, topology) for group in groups}
    dots = {group.name: list((states or {}).get(group.name, ()))[:_MOST_DOTS] for group in groups}
    rows = max((-(-len(one) // _DOTS_A_LINE) for one in dots.values()), default=0)
    height = 52 + _LINE * max((len(one) for one in lines.values()), default=0) + rows * 15 + (6 if rows else 0)
    top = MARGIN + _BUS * len(public) + (8 if public else 0)
    buses = [Bus(MARGIN + 14 + _BUS * index, _short(name), True) for index, name in enumerate(public)]
    below = top + height + 44
    buses += [Bus(below + _BUS * index, _short(name), False) for index, name in enumerate(private)]
    heights = {name: bus.y for name, bus in zip((*public, *private), buses, strict=True)}
    boxes: list[Box] = []
    wires: list[Wire] = []
    for index, group in enumerate(groups):
        x = MARGIN + index * (WIDTH + GAP)
        boxes.append(_box(group, (x, top, height), lines[group.name], dots[group.name]))
        cards = [card.network for card in group.interfaces if card.network in heights]
        apart = min(30, (WIDTH - 72) // max(1, len(set(cards)) - 1))
        for place, name in enumerate(dict.fromkeys(cards)):
            at = x + 36 + place * apart
            is_public = name in public
            wires.append(Wire(at, top if is_public else top + height, heights[name], is_public))
    return Drawing(
        width=2 * MARGIN + len(groups) * (WIDTH + GAP) - GAP + 6,
        height=below + _BUS * max(len(private) - 1, 0) + 30 if private else top + height + MARGIN,
        boxes=boxes,
        buses=buses,
        wires=wires,
        text=_said(groups, public, private),
    )


def _box(group: Group, place: tuple[int, int, int], lines: Sequence[str], states: Sequence[str]) -> Box:
    x, y, height = place
    texts = [(y + 48 + _LINE * number, text) for number, text in enumerate(lines)]
    first = y + 48 + _LINE * len(lines)
    dots = [
        Dot(x + 20 + 15 * (number % _DOTS_A_LINE), first + 15 * (number // _DOTS_A_LINE), state)
        for number, state in enumerate(states)
    ]
    return Box(x, y, height, _short(group.name, 20), f"× {group.count}", group.count > 1, texts, dots)


def _lines(group: Group, topology: Topology) -> list[str]:
    hardware = group.hardware
    asked = [
        f"{hardware.num_cpus} CPU" + ("s" if hardware.num_cpus != 1 else "") if hardware.num_cpus else "",
        format_bytes(hardware.mem_bytes) if hardware.mem_bytes else "",
        f"{hardware.num_gpus} GPU" if hardware.num_gpus else "",
        f"disk {format_bytes(hardware.disk_bytes)}" if hardware.disk_bytes else "",
    ]
    found = [", ".join(word for word in asked if word) or "any size"]
    software = [f"▸ {name}" for name, host in topology.components.items() if host == group.name]
    if len(software) > _MOST_LINES - 1:
        software = [*software[: _MOST_LINES - 2], f"and {len(software) - _MOST_LINES + 2} more"]
    return [_short(line) for line in (*found, *software)]


def _said(groups: Sequence[Group], public: Sequence[str], private: Sequence[str]) -> str:
    words = ", ".join(f"{group.name} ({group.count})" for group in groups)
    nets = f"; public networks: {', '.join(public)}" if public else ""
    return f"Groups of machines: {words}{nets}" + (f"; private networks: {', '.join(private)}." if private else ".")


def _short(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
