"""The controllers that are known, and which of the pods' owners are not among them. One thread owns it."""

from collections.abc import Mapping
from typing import Final

from clues.model import Owner

__all__ = ["CONTROLLERS", "Owners"]

CONTROLLERS: Final[Mapping[str, str]] = {
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "Job": "batch/v1",
    "ReplicationController": "v1",
}
"""Kind -> apiVersion of the controllers that are watched. Others have Jobs, too: an owner is one of these by both."""


class Owners:
    """See the module's docstring. Every method but `replicas` and `missing` takes the same time in any cluster."""

    def __init__(self) -> None:
        self._controllers: dict[tuple[str, str, str], tuple[str, int]] = {}
        """(kind, namespace, name) -> (uid, replicas that it wants)."""
        self._uids: set[str] = set()
        self._pods: dict[str, tuple[Owner, int]] = {}
        """uid of an owner -> how many pods it is known to have."""
        self._missing: dict[str, str] = {}
        """uid -> kind, listed or not."""
        self._listed: set[str] = set()

    def put(self, kind: str, namespace: str, name: str, uid: str, wanted: int) -> bool:
        """Take in a controller, as it is now; returns whether anything of it is new."""
        known = self._controllers.get((kind, namespace, name))
        if known == (uid, wanted):
            return False
        if known is not None and known[0] != uid:
            self.drop(kind, namespace, name)
        self._controllers[kind, namespace, name] = uid, wanted
        self._uids.add(uid)
        self._missing.pop(uid, None)
        return True

    def drop(self, kind: str, namespace: str, name: str) -> bool:
        """Forget a controller; returns whether it was known."""
        known = self._controllers.pop((kind, namespace, name), None)
        if known is None:
            return False
        self._uids.discard(known[0])
        if known[0] in self._pods:
            self._look_for(self._pods[known[0]][0])
        return True

    def names(self, kind: str) -> list[tuple[str, str]]:
        """Return (namespace, name) of the controllers of a kind."""
        return [(namespace, name) for of, namespace, name in self._controllers if of == kind]

    def owns_one_more(self, owner: Owner) -> bool:
        """Count a pod; returns whether what is missing changed."""
        owner, count = self._pods.get(owner.uid, (owner, 0))
        self._pods[owner.uid] = owner, count + 1
        return count == 0 and self._look_for(owner)

    def owns_one_less(self, owner: Owner) -> bool:
        """Take a pod off; returns whether what is missing changed."""
        owner, count = self._pods.get(owner.uid, (owner, 0))
        if count > 1:
            self._pods[owner.uid] = owner, count - 1
            return False
        self._pods.pop(owner.uid, None)
        return self._missing.pop(owner.uid, None) is not None

    def list_ended(self, kind: str) -> None:
        """Say that all controllers of a kind were taken in: before that none of them is missing."""
        self._listed.add(kind)

    def replicas(self) -> dict[str, int]:
        """Return what `Snapshot.replicas` holds."""
        return dict(self._controllers.values())

    def missing(self) -> frozenset[str]:
        """Return what `Snapshot.missing_owners` holds."""
        return frozenset(uid for uid, kind in self._missing.items() if kind in self._listed)

    def _look_for(self, owner: Owner) -> bool:
        if not owner.uid or owner.uid in self._uids or CONTROLLERS.get(owner.kind) != owner.api_version:
            return False
        self._missing[owner.uid] = owner.kind
        return True
