"""The cache: Kubernetes objects as they come in, and the picture made of them.

`apply` costs time in proportion to one object, `snapshot` in proportion to what changed since the last one (and one
shallow copy of the table of nodes). One thread owns a cache.
"""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from clues.kubeapi import forms
from clues.kubeapi.decode import Decoder, Glance, decoding
from clues.kubeapi.volumes import volume_terms
from clues.model import (
    Budget,
    Claim,
    DaemonSet,
    Labels,
    Node,
    NodeTerm,
    Operator,
    Owner,
    Pod,
    PodGroup,
    Requirement,
)
from clues.options import Pool
from clues.snapshot import Machine, MachineState, NodeState, Snapshot
from clues.sources.owners import CONTROLLERS, Owners

__all__ = ["DELETED", "Cluster", "Key"]

DELETED: Final = "DELETED"
Key: TypeAlias = tuple[str, str] | str
"""(namespace, name); of a pod its uid, because one that is made anew under an old name is another pod."""
_PARKED: Final = "clues.im-clues/parked"
_MOST_PROBLEMS: Final = 20
_MOST_BROKEN: Final = 10_000
_LONGEST_PROBLEM: Final = 200
_NOTHING: Final[Mapping[Any, Any]] = {}


@dataclass(eq=False, slots=True)
class _Pools:
    """How nodes are told apart, and the answers that were given."""

    pools: tuple[Pool, ...] = ()
    machines: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Node name -> (pool, machine) of individuals."""

    def __post_init__(self) -> None:
        for pool in self.pools:
            for machine in pool.machines:
                self.machines[machine.node or machine.name] = (pool.name, machine.name)

    def of(self, node: Node) -> tuple[str, str]:
        """Return (pool, machine); ("", "") for a node that nobody manages."""
        known = self.machines.get(node.name)
        if known is not None:
            return known
        for pool in self.pools:
            if pool.node_label:
                key, _, value = pool.node_label.partition("=")
                mine = node.labels.get(key) == value
            elif pool.node_names:
                mine = fnmatch.fnmatchcase(node.name, pool.node_names)
            else:
                mine = node.labels.get("pool") == pool.name
            if mine and not pool.powered:
                return pool.name, ""
        return "", ""


class Cluster:
    """What is known of one cluster."""

    def __init__(self) -> None:
        self.version = 0
        """Grows with every change that the picture shows."""
        self._decoder = Decoder()
        self._nodes: dict[str, Node] = {}
        self._pods: dict[Key, Pod] = {}
        self._prints: dict[Key, int] = {}
        """Of each pod, for `Decoder.pod_again`."""
        self._on: dict[str, dict[Key, Pod]] = {}
        self._pending: dict[Key, Pod] = {}
        self._daemons: dict[Key, DaemonSet] = {}
        self._budgets: dict[Key, Budget] = {}
        self._pod_groups: dict[Key, PodGroup] = {}
        self._namespaces: dict[str, Labels] = {}
        self._claims: dict[tuple[str, str], forms.ClaimForm] = {}
        self._volumes: dict[str, forms.VolumeForm] = {}
        self._classes: dict[str, forms.StorageClassForm] = {}
        self._limits: dict[str, dict[str, int]] = {}
        self._owners = Owners()
        self._broken: dict[tuple[str, Key], tuple[str, str]] = {}
        """What was set aside: its name, and why."""
        self._dirty: dict[str, None] = {}
        """Nodes to make anew, in order of arrival: equal pictures are to give equal decisions."""
        self._states: dict[str, NodeState] = {}
        self._made_for: tuple[Pool, ...] | None = None
        self._pools = _Pools()
        self._changed: set[str] = set()
        self._parts: dict[str, Any] = {}
        self._decode_meta = decoding(_Named)
        self._decode_claim = decoding(forms.ClaimForm)
        self._decode_volume = decoding(forms.VolumeForm)
        self._decode_class = decoding(forms.StorageClassForm)

    # in

    def apply(self, kind: str, event: str, raw: bytes, glance: Glance | None = None) -> Key | None:
        """Take one object as a watch sends it; `event` is ADDED, MODIFIED or DELETED. Unknown kinds are passed over.

        `glance` is that of a pod, where another thread has looked at it.

        An object that cannot be read is set aside and named in `Snapshot.problems`; what was known of it before is
        kept. Returns its key where it can be told.
        """
        try:
            key = self._apply(kind, event, raw, glance)
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
            return self._set_aside(kind, raw, error)
        if key is not None and self._broken:
            self._broken.pop((kind, key), None)
        return key

    def seen(self, glance: Glance) -> Key | None:
        """Take a pod that was read before and looks so again; None: it is to be read, by `apply`."""
        key = glance.uid
        before = self._pods.get(key)
        if before is None or self._prints.get(key) != glance.fingerprint:
            return None
        try:
            pod = self._decoder.seen_again(before, glance)
        except (msgspec.MsgspecError, ValueError):
            return None
        if pod is not before:
            self._put_pod(key, pod, glance.fingerprint)
        if self._broken:
            self._broken.pop(("Pod", key), None)
        return key

    def replace(self, kind: str, keys: Iterable[Key]) -> None:
        """Forget objects of a kind that a fresh list does not hold any more."""
        stay = set(keys)
        for key in [key for key in self._keys(kind) if key not in stay]:
            self._delete(kind, key)
        for broken in [item for item in self._broken if item[0] == kind and item[1] not in stay]:
            del self._broken[broken]

    def forget(self, kind: str, key: Key) -> None:
        """Forget one object."""
        self._delete(kind, key)

    def list_ended(self, kind: str) -> None:
        """Say that all objects of a kind were taken in: from now on a controller that is not known does not exist."""
        if kind in CONTROLLERS:
            self._owners.list_ended(kind)
            self._note_controllers(kind)

    def has(self, kind: str, key: Key) -> bool:
        """Whether an object is known."""
        return key in set(self._keys(kind)) if kind != "Pod" else key in self._pods

    def is_bound(self, key: Key) -> bool:
        """Whether a pod is known to have a node."""
        known = self._pods.get(key)
        return known is not None and bool(known.node)

    def departed(self, kind: str, raw: bytes) -> tuple[Key, bool] | None:
        """Return the key of an object that left a watch, and whether it does not exist any more for certain.

        What leaves a watch by its selector is sent as it was before; only what was deleted says so. None where the key
        cannot be told.
        """
        try:
            meta = self._decode_meta(raw).metadata
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return _key(kind, meta), meta.deletion_timestamp is not None

    def pod(self, key: Key) -> Pod | None:
        """Return a pod that is known."""
        return self._pods.get(key)

    def _apply(self, kind: str, event: str, raw: bytes, glance: Glance | None) -> Key | None:
        key: Key
        if event == DELETED:  # whatever else is wrong with it
            key = _key(kind, self._decode_meta(raw).metadata)
            self._delete(kind, key)
            return key
        if kind == "Pod":
            pod, fingerprint = self._decoder.pod_again(raw, self._pods, self._prints, glance)
            key = pod.uid or f"{pod.namespace}/{pod.name}"
            self._put_pod(key, pod, fingerprint)
            return key
        if kind == "Node":
            node = self._decoder.node(raw)
            key = ("", node.name)
            if self._nodes.get(node.name) != node:
                self._nodes[node.name] = node
                self._touch(node.name)
            return key
        return self._apply_other(kind, raw)

    def _apply_other(self, kind: str, raw: bytes) -> Key | None:
        meta = self._decode_meta(raw).metadata
        key = (meta.namespace, meta.name)
        table, by_name = self._table(kind)
        at: Any = meta.name if by_name else key
        value: Any
        if kind == "DaemonSet":
            value = self._decoder.daemon_set(raw)
        elif kind == "PodDisruptionBudget":
            value = self._decoder.budget(raw)
        elif kind == "PodGroup":
            value = self._decoder.pod_group(raw)
        elif kind == "Namespace":
            labels = {"kubernetes.io/metadata.name": meta.name, **msgspec.convert(meta.labels or {}, dict[str, str])}
            value = self._decoder.labels(labels)
        elif kind == "PersistentVolumeClaim":
            value = self._decode_claim(raw)
        elif kind == "PersistentVolume":
            value = self._decode_volume(raw)
        elif kind == "StorageClass":
            value = self._decode_class(raw)
        elif kind == "CSINode":
            value = _limits(msgspec.json.decode(raw, type=forms.CsiNodeForm))
        elif kind in CONTROLLERS:
            form = msgspec.json.decode(raw, type=forms.ControllerForm)
            wanted = form.spec.parallelism if form.spec and kind == "Job" else form.spec.replicas if form.spec else None
            if self._owners.put(kind, meta.namespace, meta.name, meta.uid, 1 if wanted is None else wanted):
                self._note_controllers(kind)
            return key
        else:
            return None
        if table is not None and table.get(at) != value:  # most changes of an object are of what is not read here
            table[at] = value
            if kind == "CSINode":
                self._touch(meta.name)
            self._note(kind)
        return key

    def _put_pod(self, key: Key, pod: Pod, fingerprint: int) -> None:
        known = self._pods.get(key)
        is_finished = pod.is_finished
        if known is not None:
            if known.node and not pod.node and pod.uid:
                return  # binding is for good: this was said earlier, by a watch that lags behind
            # one that was read again is the same object or another pod: only what was read anew is compared
            if known is pod or (self._prints.get(key) != fingerprint and known == pod):
                self._prints[key] = fingerprint
                return
            if known.node != pod.node or is_finished:
                self._take_pod(key, known)
        if is_finished:
            self._pods.pop(key, None)
            self._prints.pop(key, None)
        else:
            self._pods[key] = pod
            self._prints[key] = fingerprint
            if pod.node:
                there = self._on.get(pod.node)
                if there is None:
                    there = self._on[pod.node] = {}
                there[key] = pod
                self._touch(pod.node)
            else:
                self._pending[key] = pod
                self._note("pending")
        before, after = known.owner if known is not None else None, None if is_finished else pod.owner
        if before is not after:
            self._count_owner(before, after)

    def _count_owner(self, before: Owner | None, after: Owner | None) -> None:
        if before == after:
            return
        if before is not None and self._owners.owns_one_less(before):
            self._note("missing")
        if after is not None and self._owners.owns_one_more(after):
            self._note("missing")

    def _take_pod(self, key: Key, known: Pod) -> None:
        if known.node:
            there = self._on.get(known.node)
            if there is not None:
                there.pop(key, None)
                if not there:
                    del self._on[known.node]
            self._touch(known.node)
        else:
            self._pending.pop(key, None)
            self._note("pending")

    def _delete(self, kind: str, key: Key) -> None:
        if self._broken and self._broken.pop((kind, key), None) is not None:
            self.version += 1
        if isinstance(key, str):
            known = self._pods.pop(key, None)
            self._prints.pop(key, None)
            if known is None:
                return
            self._take_pod(key, known)
            self._count_owner(known.owner, None)
        elif kind == "Node":
            if self._nodes.pop(key[1], None) is None:
                return
            self._touch(key[1])
        elif kind in CONTROLLERS:
            if self._owners.drop(kind, *key):
                self._note_controllers(kind)
            return
        else:
            table, by_name = self._table(kind)
            if table is None or table.pop(key[1] if by_name else key, None) is None:
                return
            if kind == "CSINode":
                self._touch(key[1])
        self._note(kind)

    def _table(self, kind: str) -> tuple[dict[Any, Any] | None, bool]:
        tables: Mapping[str, tuple[dict[Any, Any], bool]] = {
            "DaemonSet": (self._daemons, False),
            "PodDisruptionBudget": (self._budgets, False),
            "PodGroup": (self._pod_groups, False),
            "PersistentVolumeClaim": (self._claims, False),
            "Namespace": (self._namespaces, True),
            "PersistentVolume": (self._volumes, True),
            "StorageClass": (self._classes, True),
            "CSINode": (self._limits, True),
        }
        return tables.get(kind, (None, False))

    def _keys(self, kind: str) -> Iterable[Key]:
        if kind == "Pod":
            return list(self._pods)
        if kind == "Node":
            return [("", name) for name in self._nodes]
        if kind in CONTROLLERS:
            return self._owners.names(kind)
        table, by_name = self._table(kind)
        return [("", item) if by_name else item for item in table or ()]

    def _set_aside(self, kind: str, raw: bytes, error: Exception) -> Key | None:
        said = " ".join(str(error).split())[:_LONGEST_PROBLEM]
        try:
            meta = self._decode_meta(raw).metadata
        except (msgspec.MsgspecError, ValueError, RecursionError):
            found, name = None, "?"
        else:
            found, name = _key(kind, meta), "/".join(part for part in (meta.namespace, meta.name) if part)
        slot = (kind, "?" if found is None else found)
        if slot in self._broken or len(self._broken) < _MOST_BROKEN:
            self._broken[slot] = (name[:_LONGEST_PROBLEM], said)
        self.version += 1
        return found

    def _touch(self, node: str) -> None:
        self._dirty[node] = None
        self.version += 1

    def _note(self, part: str) -> None:
        self._changed.add(part)
        self.version += 1

    def _note_controllers(self, kind: str) -> None:
        self._changed.add("missing")
        self._note(kind)

    # out

    def snapshot(
        self,
        now: float,
        pools: Sequence[Pool] = (),
        machines: Mapping[str, tuple[Machine, ...]] = _NOTHING,
        *,
        complete: bool = True,
        stale_s: float = 0.0,
        more: Sequence[str] = (),
    ) -> Snapshot:
        """Return the picture; what has not changed is shared with earlier ones. `more` are problems of others."""
        wanted = tuple(pools)
        if wanted != self._made_for:
            self._made_for, self._pools = wanted, _Pools(wanted)
            self._dirty.update(dict.fromkeys(self._nodes))
        for name in self._dirty:
            node = self._nodes.get(name)
            if node is None:
                self._states.pop(name, None)
            else:
                self._states[name] = self._state(node)
        if self._dirty:
            self._parts["nodes"] = dict(self._states)
            self._dirty.clear()
        nodes: Mapping[str, NodeState] = self._parts.get("nodes", _NOTHING)
        joined = {pool: tuple(_joined(machine, nodes) for machine in known) for pool, known in machines.items()}
        return Snapshot(
            now=now,
            complete=complete,
            stale_s=stale_s,
            nodes=nodes,
            pending=self._part("pending", ("pending",), self._make_pending),
            daemonsets=self._part("daemons", ("DaemonSet",), lambda: tuple(self._daemons.values())),
            budgets=self._part("budgets", ("PodDisruptionBudget",), lambda: tuple(self._budgets.values())),
            namespaces=self._part("namespaces", ("Namespace",), lambda: dict(self._namespaces)),
            claims=self._part(
                "claims", ("PersistentVolumeClaim", "PersistentVolume", "StorageClass"), self._make_claims
            ),
            pod_groups=self._part("groups", ("PodGroup",), lambda: dict(self._pod_groups)),
            machines=joined,
            replicas=self._part("replicas", CONTROLLERS, self._owners.replicas),
            missing_owners=self._part("missing", ("missing",), self._owners.missing),
            problems=(*self.problems(), *more),
        )

    def problems(self) -> tuple[str, ...]:
        """Return the objects that were set aside; at most 20 are named."""
        first = list(self._broken.items())[:_MOST_PROBLEMS]
        named = [f"{kind} {name}: {said}" for (kind, _), (name, said) in first]
        more = len(self._broken) - len(named)
        return (*named, *([f"{more} more objects cannot be read"] if more > 0 else []))

    def _part(self, name: str, kinds: Iterable[str], make: Any) -> Any:
        if name not in self._parts or any(kind in self._changed for kind in kinds):
            self._parts[name] = make()
        for kind in kinds:
            self._changed.discard(kind)
        return self._parts[name]

    def _make_pending(self) -> tuple[Pod, ...]:
        return tuple(sorted(self._pending.values(), key=_age))

    def _state(self, node: Node) -> NodeState:
        limits = self._limits.get(node.name)
        if limits:
            node = msgspec.structs.replace(node, attached_limits=limits)
        pool, machine = self._pools.of(node)
        return NodeState(node, tuple(self._on.get(node.name, _NOTHING).values()), pool, machine)

    # volumes

    def _make_claims(self) -> dict[tuple[str, str], Claim]:
        free = [form for form in self._volumes.values() if form.spec is None or form.spec.claim_ref is None]
        return {key: self._claim(key, form, free) for key, form in self._claims.items()}

    def _claim(self, key: tuple[str, str], form: forms.ClaimForm, free: Sequence[forms.VolumeForm]) -> Claim:
        spec = form.spec or forms.ClaimSpecForm()
        only_one = "ReadWriteOncePod" in (spec.access_modes or ())
        volume = self._volumes.get(spec.volume_name or "")
        if spec.volume_name:
            csi = volume.spec.csi if volume is not None and volume.spec is not None else None
            return Claim(
                namespace=key[0],
                name=key[1],
                bound=volume is not None,
                node_affinity=volume_terms(volume) if volume is not None else None,
                driver=csi.driver if csi else "",
                handle=csi.volume_handle if csi else spec.volume_name,
                only_one_pod=only_one,
            )
        storage = self._classes.get(spec.storage_class_name or "")
        places = tuple(_topology(item) for item in storage.allowed_topologies or ()) if storage else ()
        return Claim(
            namespace=key[0],
            name=key[1],
            waits_for_consumer=storage is not None and storage.volume_binding_mode == "WaitForFirstConsumer",
            provisionable=storage is not None and storage.provisioner != "kubernetes.io/no-provisioner",
            topologies=places or None,
            candidates=tuple(
                volume_terms(item)
                for item in free
                if (item.spec.storage_class_name if item.spec else None) == spec.storage_class_name
            ),
            driver=storage.provisioner if storage else "",
            handle=f"{key[0]}/{key[1]}",
            only_one_pod=only_one,
        )


class _NamedMeta(msgspec.Struct, gc=False):
    name: str
    namespace: str = ""
    uid: str = ""
    labels: Any = None
    deletion_timestamp: Any = msgspec.field(default=None, name="deletionTimestamp")


class _Named(msgspec.Struct, gc=False):
    metadata: _NamedMeta


def _key(kind: str, meta: _NamedMeta) -> Key:
    if kind != "Pod":
        return meta.namespace, meta.name
    return meta.uid or f"{meta.namespace or 'default'}/{meta.name}"


def _age(pod: Pod) -> tuple[float, str, str]:
    return pod.created_at, pod.namespace, pod.name


def _topology(form: forms.TopologyForm) -> NodeTerm:
    return NodeTerm(
        tuple(
            Requirement(item.key, Operator.IN, tuple(item.values or ())) for item in form.match_label_expressions or ()
        )
    )


def _limits(form: forms.CsiNodeForm) -> dict[str, int]:
    drivers = form.spec.drivers if form.spec else None
    return {d.name: d.allocatable.count for d in drivers or () if d.allocatable and d.allocatable.count is not None}


def _joined(machine: Machine, nodes: Mapping[str, NodeState]) -> Machine:
    """A machine whose node is registered and ready is on, whatever was last written of it."""
    state = nodes.get(machine.node) if machine.node else None
    if state is None or machine.state is not MachineState.BOOTING or not state.node.ready:
        return machine
    if _PARKED in state.node.annotations:
        return machine
    return msgspec.structs.replace(machine, state=MachineState.ON, since=state.node.ready_since or machine.since)
