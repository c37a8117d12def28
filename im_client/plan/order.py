"""In which order groups are made and deleted."""

from collections.abc import Collection, Iterable, Mapping

from im_client.topology.model import Group

__all__ = ["creation_order", "deleted_before"]


def creation_order(groups: Mapping[str, Group]) -> list[str]:
    """Sort groups so that what one needs comes before it; otherwise groups of a fixed size come first.

    In a circle of needs (which the front end refuses) one need is passed over.
    """
    ordered: list[str] = []
    placed: set[str] = set()
    waiting = sorted(groups.values(), key=lambda g: g.scalable)  # stable: the template's order otherwise
    while waiting:
        ready = [g for g in waiting if all(n in placed or n not in groups for n in g.needs)] or waiting[:1]
        for group in ready:
            ordered.append(group.name)
            placed.add(group.name)
        waiting = [g for g in waiting if g.name not in placed]
    return ordered


def deleted_before(group: str, groups: Mapping[str, Group], order: Collection[str]) -> Iterable[str]:
    """Name the groups whose machines are deleted before this group's: those made after it that lean on it.

    A group of changing size leans on one of fixed size also where no need says so: while a worker leaves, its
    hooks may speak to the front-end.
    """
    later = list(order)
    later = later[later.index(group) + 1 :]
    fixed = not groups[group].scalable
    return [other for other in later if group in groups[other].needs or (fixed and groups[other].scalable)]
