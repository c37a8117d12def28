"""How many machines a group has, and which of them go first."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from im_client.topology.model import Group, Topology
from infracore.errors import InfraError, InvalidUsage, Several

__all__ = ["Member", "free_indices", "removal_order", "scale"]


class Member(Protocol):
    """A machine of a group, as far as the order of removal looks at it."""

    @property
    def name(self) -> str: ...

    @property
    def index(self) -> int: ...

    @property
    def provider_id(self) -> str | None: ...


_M = TypeVar("_M", bound=Member)


def scale(topology: Topology, counts: Mapping[str, int]) -> Topology:
    """Return the topology with other numbers of machines.

    Raises:
        InvalidUsage: a group is unknown, not scalable, or the count is outside of minimum..maximum. Several of
            them are reported together as `Several`.
    """
    errors: list[InfraError] = []
    groups = dict(topology.groups)
    for name, count in counts.items():
        group = groups.get(name)
        error = _refusal(topology, name, group, count)
        if error is not None:
            errors.append(error)
        elif group is not None:
            groups[name] = replace(group, count=count)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Several(errors)
    return replace(topology, groups=groups)


def _refusal(topology: Topology, name: str, group: Group | None, count: int) -> InvalidUsage | None:
    if group is None:
        able = sorted(g.name for g in topology.groups.values() if g.scalable)
        hint = f"groups that can be scaled: {', '.join(able)}" if able else "no group of this template can be scaled"
        return InvalidUsage(f"there is no group of machines {name!r}", hint)
    if count == group.count:
        return None
    if not group.scalable:
        return InvalidUsage(
            f"{name} cannot be scaled to {count}: the template gives it no scalable capability, so it is one machine",
            f"give {name} a `scalable` capability with min_instances and max_instances in the template",
        )
    upper = "no limit" if group.maximum is None else str(group.maximum)
    if count < max(group.minimum, 0) or (group.maximum is not None and count > group.maximum):
        return InvalidUsage(
            f"{name} cannot be scaled to {count}: the template allows {group.minimum} to {upper}",
            f"change min_instances or max_instances of {name} in the template",
        )
    return None


def removal_order(group: Group, members: Iterable[_M]) -> list[_M]:
    """Sort machines by who goes first: those of the group's removal_list in its order, then the newest.

    Indices are given out from the lowest free one, so the highest index is the newest machine of an ordinary
    life, and what remains after scaling in is always 1..N.
    """
    wish = {entry: place for place, entry in enumerate(group.removal_list)}

    def rank(member: _M) -> tuple[int, int]:
        keys = (member.name, str(member.index), member.provider_id or "")
        return min((wish[k] for k in keys if k in wish), default=len(wish)), -member.index

    return sorted(members, key=rank)


def free_indices(taken: Iterable[int], wanted: int) -> list[int]:
    """Return the `wanted` lowest indices from 1 on that nobody has.

    The lowest free one, not the highest plus one: a cluster that breathes keeps the names that its batch system
    was told, instead of counting up for ever.
    """
    used = set(taken)
    free: list[int] = []
    index = 1
    while len(free) < wanted:
        if index not in used:
            free.append(index)
        index += 1
    return free
