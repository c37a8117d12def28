"""All or nothing: which gangs are whole, and why nothing is ordered for the others yet."""

from collections.abc import Iterable

from clues.model import Pod, PodGroup
from clues.options import Policy
from clues.policy.demand import Standing, standing
from clues.policy.kinds import Kind
from clues.policy.pack import Group
from clues.snapshot import Snapshot

__all__ = ["NO_GANG", "Gang", "gang_of", "never_placed", "not_whole"]

Gang = tuple[str, str]
"""Namespace and name."""
NO_GANG: Gang = ("", "")
_UNTOLD = PodGroup()
_THERE = frozenset({Standing.COUNTS, Standing.UNSEEN, Standing.NOMINATED})


def gang_of(one: Kind | Pod) -> Gang:
    """Return the gang of a pod or kind; NO_GANG where it has none."""
    return (one.namespace, one.spec.gang) if one.spec.gang else NO_GANG


def not_whole(snapshot: Snapshot, policy: Policy, groups: Iterable[Group]) -> dict[Gang, str]:
    """Return the gangs of these groups that are smaller than their size, and what people read about it.

    A member is there if it is bound to a node, or pending and would be placed: neither gated, nor for another
    scheduler, nor expendable. One that has ended well is there as far as its PodGroup says so, as its scheduler counts
    it. One that is being deleted, or has failed, is not: its controller makes another. Of the sizes that members and
    PodGroup name the largest holds; where none is named, the members that are there are the gang.
    """
    wanted = {gang_of(group.kind) for group in groups} - {NO_GANG}
    if not wanted:
        return {}
    known = {gang: snapshot.pod_groups.get(gang, _UNTOLD) for gang in wanted}
    there = {gang: group.succeeded for gang, group in known.items()}
    sizes = {gang: group.size for gang, group in known.items()}

    def count(pod: Pod, *, is_there: bool) -> None:
        gang = gang_of(pod)
        sizes[gang] = max(sizes[gang], pod.spec.gang_size)
        there[gang] += is_there

    for pod in snapshot.pending:
        if pod.spec.gang and gang_of(pod) in wanted:
            count(pod, is_there=standing(pod, snapshot, policy) in _THERE)
    for state in snapshot.nodes.values():
        for pod in state.pods:
            if pod.spec.gang and gang_of(pod) in wanted:
                count(pod, is_there=not pod.deleting)
    return {
        gang: f"{number} of {sizes[gang]} pods of the gang are there"
        for gang, number in there.items()
        if number < sizes[gang]
    }


def never_placed(groups: Iterable[Group]) -> dict[Gang, Group]:
    """Return the gangs with a member that no pool's fresh node takes, and the first such group of each."""
    found: dict[Gang, Group] = {}
    for group in groups:
        if group.kind.spec.gang and not group.pools:
            found.setdefault(gang_of(group.kind), group)
    return found
