"""From what several watches say, in whatever order it comes, to one cache.

Pods are watched twice: those with a node and those without. A pod that is bound leaves the one watch and comes into
the other, and either may be first. Binding is for good, so the watch of bound pods is right about a pod that both
know; and a pod that left the watch of unbound ones is kept until the other watch had time to show it, unless it was
deleted.
"""

from collections.abc import Callable, Sequence
from typing import Final

from clues.kubeapi.decode import Glance
from clues.sources.listwatch import Change, Listed, Resource
from clues.sources.wire import DELETED, Cluster, Key

__all__ = ["Intake"]

BETWEEN_S: Final = 1.0
"""How long a pod that left one watch is kept; the two are milliseconds apart unless the server is in trouble."""


class Intake:
    """Takes in lists and changes. Pure: the time is an argument. One thread owns it."""

    def __init__(self, cluster: Cluster, resources: Sequence[Resource]) -> None:
        self._cluster = cluster
        self._resources = tuple(resources)
        self._keys: dict[Resource, set[Key]] = {resource: set() for resource in resources}
        self._listing: dict[Resource, set[Key]] = {}
        self._listed: set[Resource] = set()
        self._leaving: dict[Key, tuple[Resource, float]] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every list has been taken in."""
        return len(self._listed) == len(self._resources)

    def take(self, resource: Resource, item: Change | Listed, now: float, glance: Glance | None = None) -> None:
        """Take in what a watch handed on; `now` is monotonic, `glance` that of a pod."""
        if glance is not None:  # nearly all that comes
            key = self._cluster.seen(glance)
            if key is not None:
                self._here(resource, key)
                return
        if isinstance(item, Listed):
            self._take_list(resource, item, now)
        elif item.event == DELETED:
            departed = self._cluster.departed(resource.kind, item.raw)
            if departed is not None:
                self._keys[resource].discard(departed[0])
                self._gone(resource, departed[0], now, is_over=departed[1])
        else:
            key = self._cluster.apply(resource.kind, item.event, item.raw, glance)
            if key is not None:
                self._here(resource, key)

    def _here(self, resource: Resource, key: Key) -> None:
        self._keys[resource].add(key)
        if self._leaving:
            self._leaving.pop(key, None)

    def settle(self, now: float, is_live: Callable[[Resource], bool]) -> None:
        """Let go of what left one watch and came into no other, once those others are live and had the time."""
        for key, (resource, since) in list(self._leaving.items()):
            if now - since >= BETWEEN_S and all(is_live(other) for other in self._others(resource)):
                del self._leaving[key]
                self._cluster.forget(resource.kind, key)

    def _take_list(self, resource: Resource, listed: Listed, now: float) -> None:
        if listed.is_first or resource not in self._listing:
            self._listing[resource] = set()
        found = self._listing[resource]
        for raw in listed.objects:
            key = self._cluster.apply(resource.kind, "ADDED", raw)
            if key is not None:
                found.add(key)
                self._leaving.pop(key, None)
        if listed.is_last:
            before = self._keys[resource]
            self._keys[resource] = self._listing.pop(resource)
            self._listed.add(resource)
            for key in before - found:
                self._gone(resource, key, now)
            if not listed.is_absent:
                self._cluster.list_ended(resource.kind)
        else:
            self._keys[resource] |= found  # known from now on, for a list that is broken off, too

    def _gone(self, resource: Resource, key: Key, now: float, *, is_over: bool = False) -> None:
        if resource.is_left_for_another:
            if any(key in self._keys[other] for other in self._others(resource)):
                return
            if not is_over:  # a pod whose deletion began is never bound any more: nothing is to be waited for
                self._leaving[key] = (resource, now)
                return
        self._leaving.pop(key, None)
        self._cluster.forget(resource.kind, key)

    def _others(self, resource: Resource) -> list[Resource]:
        return [other for other in self._resources if other.kind == resource.kind and other is not resource]
