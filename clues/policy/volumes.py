"""Volumes: which nodes a pod's claims allow, devices that one node holds, claims for one pod, attach limits.

VolumeRestrictions, NodeVolumeLimits, VolumeBinding and VolumeZone of kube-scheduler 1.36. Zones of bound volumes are
part of their node affinity here (clues.model.Claim), so VolumeBinding speaks for VolumeZone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clues.model import Claim, Node
from clues.policy.kinds import Kind
from clues.policy.nodes import Flags, NodeTable
from clues.policy.selectors import any_term_holds

__all__ = ["VolumeNeeds", "Volumes"]

_AMAZON = "awsElasticBlockStore"
_CLAIM = "claim"


@dataclass(frozen=True, slots=True)
class VolumeNeeds:
    """What the volumes of a kind ask for."""

    claims: tuple[Claim, ...] = ()
    nowhere: str = ""
    """Why no node can take it, whatever its place; "" where one may."""
    devices: tuple[tuple[str, str, bool], ...] = ()
    """(kind, identity, read-only)."""
    one_pod: tuple[tuple[str, str], ...] = ()
    attached: tuple[tuple[str, str], ...] = ()
    """(driver, handle), each once."""

    @property
    def once_a_node(self) -> bool:
        """Whether a second pod of the kind would be refused on the same node."""
        return bool(self.one_pod) or any(kind == _AMAZON or not read_only for kind, _, read_only in self.devices)

    @property
    def is_exclusive(self) -> bool:
        return bool(self.devices or self.one_pod or self.attached)


@dataclass(slots=True)
class Volumes:
    """Who uses which volume where."""

    table: NodeTable
    known: Mapping[tuple[str, str], Claim]
    devices: dict[tuple[str, str, bool], dict[int, int]] = field(default_factory=dict)
    one_pod: dict[tuple[str, str], int] = field(default_factory=dict)
    handles: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)
    attached: dict[tuple[str, int], int] = field(default_factory=dict)
    """(driver, node) -> different volumes."""

    def needs(self, kind: Kind) -> VolumeNeeds:
        """Look the volumes of a kind up."""
        claims: list[Claim] = []
        nowhere = ""
        devices: list[tuple[str, str, bool]] = []
        for use in kind.spec.volumes:
            if use.kind != _CLAIM:
                devices.append((use.kind, use.name, use.read_only))
                continue
            claim = self.known.get((kind.namespace, use.name))
            if claim is None or not claim.found:
                nowhere = nowhere or f"there is no claim {kind.namespace}/{use.name}"
                continue
            if not claim.bound and not claim.waits_for_consumer:
                nowhere = nowhere or f"claim {claim.namespace}/{claim.name} is not bound yet"
            claims.append(claim)
        return VolumeNeeds(
            tuple(claims),
            nowhere,
            tuple(dict.fromkeys(devices)),
            tuple(dict.fromkeys((c.namespace, c.name) for c in claims if c.only_one_pod)),
            tuple(dict.fromkeys((c.driver, c.handle or f"{c.namespace}/{c.name}") for c in claims if c.driver)),
        )

    def shift(self, needs: VolumeNeeds, index: int, count: int) -> None:
        """Count uses on a node (negative: they are gone)."""
        for device in needs.devices:
            _shift(self.devices.setdefault(device, {}), index, count)
        for claim in needs.one_pod:
            self.one_pod[claim] = self.one_pod.get(claim, 0) + count
        for volume in needs.attached:
            users = self.handles.setdefault(volume, {})
            before = index in users
            _shift(users, index, count)
            change = int(index in users) - int(before)
            if change:
                place = (volume[0], index)
                self.attached[place] = self.attached.get(place, 0) + change

    def places(self, needs: VolumeNeeds, low: int, high: int) -> Flags:
        """Return where the claims can be (VolumeBinding)."""
        good = np.full(high - low, not needs.nowhere, np.bool_)
        for claim in needs.claims:
            if claim.bound:
                if claim.node_affinity is not None:
                    good &= self.table.any_term(claim.node_affinity, low, high)
            elif claim.waits_for_consumer:
                one = np.zeros(high - low, np.bool_)
                for candidate in claim.candidates:
                    one |= True if candidate is None else self.table.any_term(candidate, low, high)
                if claim.provisionable:
                    one |= self.table.any_term(claim.topologies, low, high) if claim.topologies else True
                good &= one
        return good

    def misplaced(self, needs: VolumeNeeds, node: Node) -> str:
        """Return why the claims cannot be on a node, or "" (VolumeBinding)."""
        if needs.nowhere:
            return needs.nowhere
        for claim in needs.claims:
            name = f"claim {claim.namespace}/{claim.name}"
            if claim.bound:
                if claim.node_affinity is not None and not any_term_holds(claim.node_affinity, node.labels, node.name):
                    return f"{name}: its volume is elsewhere"
                continue
            found = any(c is None or any_term_holds(c, node.labels, node.name) for c in claim.candidates)
            made = claim.provisionable and (
                not claim.topologies or any_term_holds(claim.topologies, node.labels, node.name)
            )
            if not found and not made:
                return f"{name}: no volume is here and none can be made"
        return ""

    def restricted(self, needs: VolumeNeeds, index: int) -> str:
        """Return which use keeps the pod away, or "" (VolumeRestrictions)."""
        for kind, name, read_only in needs.devices:
            if index in self._users(kind, name, read_only):
                return f"{kind} {name} is in use on the node"
        for namespace, name in needs.one_pod:
            if self.one_pod.get((namespace, name), 0) > 0:
                return f"claim {namespace}/{name} is for one pod (ReadWriteOncePod) and in use"
        return ""

    def over_limit(self, needs: VolumeNeeds, index: int) -> str:
        """Return which driver can attach no more to the node, or "" (NodeVolumeLimits)."""
        limits = self.table.nodes[index].attached_limits
        new: dict[str, int] = {}
        for volume in needs.attached:
            if index not in self.handles.get(volume, {}):
                new[volume[0]] = new.get(volume[0], 0) + 1
        for driver, count in new.items():
            here = self.attached.get((driver, index), 0)
            if driver in limits and here + count > limits[driver]:
                return f"{driver}: {here} of {limits[driver]} volumes attached"
        return ""

    def narrow(self, needs: VolumeNeeds, good: Flags) -> None:
        """Clear the nodes where uses or attach limits keep the pod away."""
        if any(self.one_pod.get(claim, 0) > 0 for claim in needs.one_pod):
            good[:] = False
            return
        for kind, name, read_only in needs.devices:
            users = self._users(kind, name, read_only)
            if users:
                good[np.fromiter(users, np.int64, len(users))] = False
        if needs.attached:
            nodes = self.table.nodes
            candidates: NDArray[np.int64] = np.flatnonzero(good)
            for index in candidates.tolist():
                if nodes[index].attached_limits and self.over_limit(needs, index):
                    good[index] = False

    def _users(self, kind: str, name: str, read_only: bool) -> dict[int, int]:
        users = dict(self.devices.get((kind, name, False), {}))
        if kind == _AMAZON or not read_only:
            users.update(self.devices.get((kind, name, True), {}))
        return users


def _shift(users: dict[int, int], index: int, count: int) -> None:
    left = users.get(index, 0) + count
    if left > 0:
        users[index] = left
    else:
        users.pop(index, None)
