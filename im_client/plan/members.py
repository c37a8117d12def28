"""Which machines a group keeps, which go, and which are missing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from im_client.plan.model import KnownNode, Phase
from im_client.topology.model import Group
from im_client.topology.naming import node_name
from im_client.topology.scale import free_indices, removal_order

__all__ = ["Members", "members"]

_GONE_FIRST: Final = {Phase.DELETING: 0, Phase.GONE: 1, Phase.FAILED: 1, Phase.CREATING: 2}


@dataclass(frozen=True, slots=True)
class Members:
    """The machines of one group. `kept` by index; `surplus` in the order in which they go."""

    kept: tuple[KnownNode, ...]
    surplus: tuple[KnownNode, ...]
    missing: tuple[tuple[int, str], ...]
    """Index and name of machines that are to be made."""


def members(
    group: Group, stem: str, known: Iterable[KnownNode], remove: Collection[str], taken: Collection[str]
) -> Members:
    """Decide by the group's count.

    Who goes first: machines in `remove` (whatever the count), the group's removal_list, machines that are being
    deleted, are gone, failed or were never finished (better than to mend them and delete a healthy one), and then the
    newest. `taken` are the names of all machines of the infrastructure: none is given out again.
    """
    everyone = list(known)
    named = [node for node in everyone if node.name in remove]
    rest = [node for node in everyone if node.name not in remove]
    excess = max(0, len(rest) - group.count)
    leaving = _removal(group, rest)[:excess]
    left = {node.name for node in leaving}
    kept = sorted((node for node in rest if node.name not in left), key=lambda n: n.index)
    wanted = group.count - len(kept)
    used = {node.index for node in everyone}
    missing: list[tuple[int, str]] = []
    while len(missing) < wanted:
        for index in free_indices(used, wanted - len(missing)):
            used.add(index)
            name = node_name(stem, index)
            if name not in taken:
                missing.append((index, name))
    return Members(tuple(kept), (*removal_order(group, named), *leaving), tuple(missing))


def _removal(group: Group, nodes: Iterable[KnownNode]) -> list[KnownNode]:
    ordered = removal_order(group, nodes)
    listed = set(group.removal_list)

    def rank(node: KnownNode) -> int:
        if listed & {node.name, str(node.index), node.provider_id or ""}:
            return -1
        return _GONE_FIRST.get(node.phase, 3)

    return sorted(ordered, key=rank)  # stable: removal_order decides among equals
