"""From the JSON of Kubernetes objects to the values of `clues.model`, equal specs and labels made one object.

Quantities, requests and defaults as kube-scheduler 1.36 counts them. A value that is none raises ValueError, which
the cache turns into an object set aside.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from clues.kubeapi import forms
from clues.model import (
    ZONE,
    Budget,
    DaemonSet,
    Effect,
    HostPort,
    Labels,
    Node,
    NodeTerm,
    Operator,
    Owner,
    Phase,
    Pod,
    PodSpec,
    PodTerm,
    Requirement,
    Resources,
    Selector,
    Spread,
    Taint,
    Toleration,
    VolumeUse,
)
from infracore.quantities import quantity_milli, quantity_units

__all__ = ["Decoder", "selector_of", "stamp_s", "term_of"]

_T = TypeVar("_T")
_KEPT_ANNOTATIONS: Final = (
    "cluster-autoscaler.kubernetes.io/",
    "karpenter.sh/",
    "clues.",
    "controller.kubernetes.io/pod-deletion-cost",
    "kubernetes.io/config.mirror",
)
_GANG: Final = ("scheduling.x-k8s.io/pod-group", "pod-group.scheduling.sigs.k8s.io")
_GANG_SIZE: Final = "clues.im-clues/gang-size"
_MOST_INTERNED: Final = 200_000
_LONGEST_AMOUNT: Final = 40
_LONGEST_COUNT: Final = 6
_MOST_AMOUNT: Final = 2**63 - 1
_ZONES: Final = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
_NEW_NAMES: Final = {
    "failure-domain.beta.kubernetes.io/zone": ZONE,
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}


class Decoder:
    """Turns forms into values. Not safe under threads: the loop's thread owns it (another thread makes its own)."""

    def __init__(self) -> None:
        self._specs: dict[PodSpec, PodSpec] = {}
        self._labels: dict[tuple[tuple[str, str], ...], Labels] = {}
        self._words: dict[str, str] = {}
        # by the bytes that they were read from
        self._raw_specs: dict[tuple[object, ...], PodSpec] = {}
        self._raw_labels: dict[bytes, Labels] = {}
        self._raw_owners: dict[bytes, Owner | None] = {}
        self._head = msgspec.json.Decoder(forms.PodHead)
        self._whole = msgspec.json.Decoder(forms.PodForm)
        self._texts = msgspec.json.Decoder(dict[str, str] | None)
        self._owners = msgspec.json.Decoder(list[forms.OwnerForm] | None)
        self._conditions = msgspec.json.Decoder(list[forms.ConditionForm] | None)

    def pod(self, raw: bytes) -> Pod:
        """Decode a pod. Raises msgspec.MsgspecError or ValueError.

        Specs, labels and owners are looked up by their bytes: a pod like others costs a third of one that is new.
        """
        head = self._head.decode(raw)
        meta, form, status = head.metadata, head.spec, head.status
        namespace = self._word(meta.namespace or "default")
        labels = self._read_labels(bytes(meta.labels)) if len(meta.labels) else _NOTHING
        annotations = self._read_annotations(meta.annotations)
        created_at = stamp_s(meta.creation_timestamp)
        phase, since, nominated = Phase.PENDING, None, ""
        if status is not None:
            phase = _phase(status.phase)
            nominated = status.nominated_node_name or ""
            if len(status.conditions) and b"Unschedulable" in bytes(status.conditions):
                since = _since(self._conditions.decode(status.conditions), created_at)
        return Pod(
            namespace=namespace,
            name=meta.name,
            uid=meta.uid,
            spec=self._read_spec(raw, form, namespace, labels, annotations),
            labels=labels,
            owner=self._read_owner(bytes(meta.owner_references)) if len(meta.owner_references) else None,
            node=self._word(form.node_name) if form.node_name else "",
            phase=phase,
            created_at=created_at,
            unschedulable_since=since,
            nominated=nominated,
            gated=bool(form.scheduling_gates),
            deleting=meta.deletion_timestamp is not None,
            mirror=_MIRROR in annotations,
            annotations=annotations,
        )

    def pod_of(self, form: forms.PodForm) -> Pod:
        """Return the pod of a form. Raises ValueError."""
        meta, spec, status = form.metadata, form.spec, form.status or forms.PodStatusForm()
        labels, annotations = self.labels(meta.labels), self.annotations(meta.annotations)
        owner = next((o for o in meta.owner_references or () if o.controller), None)
        created_at = stamp_s(meta.creation_timestamp)
        return Pod(
            namespace=meta.namespace or "default",
            name=meta.name,
            uid=meta.uid,
            spec=self.spec(spec, meta.namespace or "default", labels, annotations),
            labels=labels,
            owner=Owner(owner.kind, owner.name, owner.uid, owner.api_version) if owner else None,
            node=spec.node_name or "",
            phase=_phase(status.phase),
            created_at=created_at,
            unschedulable_since=_since(status.conditions, created_at),
            nominated=status.nominated_node_name or "",
            gated=bool(spec.scheduling_gates),
            deleting=meta.deletion_timestamp is not None,
            mirror=_MIRROR in annotations,
            annotations=annotations,
        )

    def _read_spec(
        self, raw: bytes, form: forms.PodSpecHead, namespace: str, labels: Labels, annotations: Labels
    ) -> PodSpec:
        body = b"\0".join((form.volumes, form.init_containers, form.containers))
        token = _TOKEN_VOLUME.search(form.volumes)
        if token is not None:  # the one name in a spec that differs from pod to pod of a controller
            # only as a whole name: a claim's name may contain the same word, and what stands in its place is no JSON
            body = body.replace(b'"name":"%b"' % token[1], b'"name":"\x01"')
        rest = b"\0".join(
            (
                form.node_selector,
                form.affinity,
                form.tolerations,
                form.topology_spread_constraints,
                form.overhead,
                form.resources,
                form.priority,
                form.preemption_policy,
                form.scheduler_name,
                form.resource_claims,
                form.termination_grace_period_seconds,
            )
        )
        # what else a spec is made of: the namespace that pod affinity means, the values of matchLabelKeys, the gang
        by_label = b"abelKeys" in rest or b"\\u" in rest
        key = (
            body,
            rest,
            namespace if len(form.affinity) else "",
            tuple(labels.items()) if by_label else (),
            _gang(labels, annotations),
        )
        found = self._raw_specs.get(key)
        if found is None:
            found = self.spec(self._whole.decode(raw).spec, namespace, labels, annotations)
            if len(body) + len(rest) <= _LONGEST_KEY:
                _kept(self._raw_specs, key, found, _MOST_KEYS)
        return found

    def _read_labels(self, raw: bytes) -> Labels:
        found = self._raw_labels.get(raw)
        if found is None:
            found = self.labels(self._texts.decode(raw))
            _kept(self._raw_labels, raw, found, _MOST_KEYS)
        return found

    def _read_annotations(self, raw: msgspec.Raw) -> Labels:
        """Most pods have none that mean anything: seen without decoding them."""
        if not len(raw):
            return _NOTHING
        text = bytes(raw)
        if _MEANS_SOMETHING.search(text) is None:
            return _NOTHING
        return self.annotations(self._texts.decode(text))

    def _read_owner(self, raw: bytes) -> Owner | None:
        if raw in self._raw_owners:
            return self._raw_owners[raw]
        form = next((o for o in self._owners.decode(raw) or () if o.controller), None)
        owner = Owner(form.kind, form.name, form.uid, form.api_version) if form else None
        _kept(self._raw_owners, raw, owner, _MOST_KEYS)
        return owner

    def _word(self, word: str) -> str:
        """Return the one string of equal names of nodes and namespaces."""
        if len(self._words) >= _MOST_INTERNED:
            self._words.clear()
        return self._words.setdefault(word, word)

    def node(self, raw: bytes) -> Node:
        """Decode a node. Raises msgspec.MsgspecError or ValueError."""
        form = msgspec.json.decode(raw, type=forms.NodeForm)
        meta, spec, status = form.metadata, form.spec or forms.NodeSpecForm(), form.status or forms.NodeStatusForm()
        ready, changed = False, None
        for condition in status.conditions or ():
            if condition.type == "Ready":
                ready, changed = condition.status == "True", stamp_s(condition.last_transition_time) or None
        return Node(
            name=meta.name,
            labels=self.labels(meta.labels),
            allocatable=_resources(status.allocatable if status.allocatable is not None else status.capacity),
            taints=tuple(Taint(t.key, t.value or "", Effect(t.effect)) for t in spec.taints or ()),
            uid=meta.uid,
            ready=ready,
            ready_since=changed if ready else None,
            not_ready_since=None if ready else changed,
            unschedulable=bool(spec.unschedulable),
            deleting=meta.deletion_timestamp is not None,
            created_at=stamp_s(meta.creation_timestamp),
            provider_id=spec.provider_id or "",
            annotations=self.annotations(meta.annotations),
        )

    def daemon_set(self, raw: bytes) -> DaemonSet:
        """Decode a DaemonSet; its pods tolerate what the controller lets them. Raises like `pod`."""
        form = msgspec.json.decode(raw, type=forms.DaemonSetForm)
        template = form.spec.template
        namespace = form.metadata.namespace or "default"
        found = (template.metadata or {}).get("labels") or {}
        labels = self.labels(msgspec.convert(found, dict[str, str]))
        spec = self.spec(template.spec, namespace, labels)
        tolerated = tuple(
            Toleration(key=f"node.kubernetes.io/{name}", operator="Exists", effect=effect)
            for name, effect in _DAEMON_TOLERATES
        )
        spec = msgspec.structs.replace(spec, tolerations=(*spec.tolerations, *tolerated))
        return DaemonSet(namespace, form.metadata.name, self._interned(spec), labels)

    def budget(self, raw: bytes) -> Budget:
        """Decode a PodDisruptionBudget. Raises like `pod`."""
        form = msgspec.json.decode(raw, type=forms.BudgetForm)
        selector = selector_of(form.spec.selector) if form.spec else None
        allowed = form.status.disruptions_allowed if form.status else 0
        return Budget(form.metadata.namespace or "default", form.metadata.name, selector, max(0, allowed))

    def labels(self, given: Mapping[str, str] | None) -> Labels:
        """Return the one object for equal labels."""
        if not given:
            return _NOTHING
        key = tuple(sorted(given.items()))
        found = self._labels.get(key)
        if found is None:
            if len(self._labels) >= _MOST_INTERNED:
                self._labels.clear()
            found = self._labels[key] = dict(key)
        return found

    def annotations(self, given: Mapping[str, str] | None) -> Labels:
        """Return those that mean something here."""
        if not given:
            return _NOTHING
        return self.labels({key: value for key, value in given.items() if key.startswith(_KEPT_ANNOTATIONS)})

    def spec(
        self, form: forms.PodSpecForm, namespace: str, labels: Labels, annotations: Labels | None = None
    ) -> PodSpec:
        """Return the scheduling-relevant content of a pod's spec. Raises ValueError."""
        affinity = form.affinity or forms.AffinityForm()
        node_affinity = affinity.node_affinity.required if affinity.node_affinity else None
        terms = None
        if node_affinity is not None:
            terms = tuple(term_of(term) for term in node_affinity.node_selector_terms or ())
        gang, gang_size = _gang(labels, annotations or _NOTHING)
        return self._interned(
            PodSpec(
                requests=_requests(form),
                node_selector=tuple(sorted((form.node_selector or {}).items())),
                node_affinity=terms,
                affinity=_pod_terms(affinity.pod_affinity, namespace, labels),
                anti_affinity=_pod_terms(affinity.pod_anti_affinity, namespace, labels),
                spread=tuple(_spread(item, labels) for item in form.topology_spread_constraints or ()),
                tolerations=tuple(
                    Toleration(t.key or "", t.operator or "Equal", t.value or "", t.effect or "")
                    for t in form.tolerations or ()
                ),
                host_ports=_host_ports(form),
                volumes=tuple(_volumes(form.volumes or ())),
                priority=form.priority or 0,
                can_preempt=form.preemption_policy != "Never",
                scheduler=form.scheduler_name or "default-scheduler",
                beyond=_beyond(form),
                local_volumes=tuple(_local_volumes(form.volumes or ())),
                grace_s=30 if form.termination_grace_period_seconds is None else form.termination_grace_period_seconds,
                gang=gang,
                gang_size=gang_size,
            )
        )

    def _interned(self, spec: PodSpec) -> PodSpec:
        if len(self._specs) >= _MOST_INTERNED:
            self._specs.clear()
        return self._specs.setdefault(spec, spec)


_NOTHING: Final[Labels] = {}
_MIRROR: Final = "kubernetes.io/config.mirror"
_TOKEN_VOLUME: Final = re.compile(rb'"name":"(kube-api-access-[a-z0-9]{5})","projected":\{')
"""The service account's token, a volume that the API server adds under a random name (admission ServiceAccount)."""
_MEANS_SOMETHING: Final = re.compile(
    b"|".join([rb"\\[u/]", *(b'"' + re.escape(start.encode()) for start in _KEPT_ANNOTATIONS)])
)
"""A kept annotation, or an escape that could hide one."""
_LONGEST_KEY: Final = 16 * 1024
_MOST_KEYS: Final = 8192
"""Of each table by bytes: at 2 KiB a spec, 16 MiB at most for what ordinary clusters hold."""
# daemon controller, "Taints and tolerations" of the DaemonSet documentation
_DAEMON_TOLERATES: Final = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


_K = TypeVar("_K")


def _kept(table: dict[_K, _T], key: _K, value: _T, most: int) -> None:
    if len(table) >= most:
        table.clear()
    table[key] = value


def _phase(text: str | None) -> Phase:
    return _PHASES[text] if text in _PHASES else Phase(str(text))


_PHASES: Final[Mapping[str | None, Phase]] = {
    **{phase.value: phase for phase in Phase},
    None: Phase.PENDING,
    "": Phase.PENDING,
}


def _since(conditions: Iterable[forms.ConditionForm] | None, created_at: float) -> float | None:
    """Return since when the scheduler finds no node; None where it does not say so."""
    since = None
    for condition in conditions or ():
        if (condition.type, condition.status, condition.reason) == ("PodScheduled", "False", "Unschedulable"):
            since = stamp_s(condition.last_transition_time) or created_at
    return since


_ALONE: Final = ("", 0)


def _gang(labels: Labels, annotations: Labels) -> tuple[str, int]:
    """Return the pod's group and its size; 0 where nobody says it. Raises ValueError."""
    name = labels.get(_GANG[0]) or labels.get(_GANG[1])
    if not name:
        return _ALONE
    said = labels.get(_GANG_SIZE) or annotations.get(_GANG_SIZE) or "0"
    if not (said.isascii() and said.isdecimal() and len(said) <= _LONGEST_COUNT):
        raise ValueError(f"{_GANG_SIZE}: {said[:_LONGEST_AMOUNT]!r} is no number of pods")
    return name, int(said)


def stamp_s(text: str | None) -> float:
    """Read a time of the API as seconds since the epoch; 0.0 where there is none. Raises ValueError."""
    return _stamp(text) if text else 0.0


@lru_cache(maxsize=4096)
def _stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@lru_cache(maxsize=65536)
def _amount(name: str, value: str | float) -> int:
    amount = quantity_milli(value) if name == "cpu" else quantity_units(value)
    if amount < 0:
        raise ValueError(f"{name}: {str(value)[:_LONGEST_AMOUNT]!r} is negative")
    if amount > _MOST_AMOUNT:  # a cpu in thousandths
        raise ValueError(f"{name}: {str(value)[:_LONGEST_AMOUNT]!r} is too large")
    return amount


def _resources(given: Mapping[str, Any] | None) -> Resources:
    return {name: _amount(name, value) for name, value in (given or {}).items()}


def _added(to: dict[str, int], more: Resources) -> None:
    for name, amount in more.items():
        to[name] = to.get(name, 0) + amount


def _most(to: dict[str, int], other: Resources) -> None:
    for name, amount in other.items():
        to[name] = max(to.get(name, 0), amount)


def _of_container(container: forms.ContainerForm) -> Resources:
    resources = container.resources
    if resources is None:
        return _NO_AMOUNTS
    # the API server sets a missing request to the limit; an object from a file may not have passed it
    both = {**(resources.limits or {}), **(resources.requests or {})}
    return _resources(both)


_NO_AMOUNTS: Final[Resources] = {}


def _requests(form: forms.PodSpecForm) -> tuple[tuple[str, int], ...]:
    """Return the effective request: max(init phase, main phase with sidecars), or the pod's own, + overhead.

    Source: Kubernetes documentation, "Sidecar containers", resource sharing; KEP-2837 for pod-level resources.
    """
    total: dict[str, int] = {}
    for container in form.containers or ():
        _added(total, _of_container(container))
    sidecars: dict[str, int] = {}
    init: dict[str, int] = {}
    for container in form.init_containers or ():
        needed = dict(_of_container(container))
        if container.restart_policy == "Always":
            _added(sidecars, needed)
            needed = dict(sidecars)
        else:
            _added(needed, sidecars)
        _most(init, needed)
    _added(total, sidecars)
    _most(total, init)
    if form.resources is not None:
        # the API server sets a missing request of the pod: to what its containers ask for, else to its limit
        total = {**_resources(form.resources.limits), **total, **_resources(form.resources.requests)}
    _added(total, _resources(form.overhead))
    return tuple(sorted((name, amount) for name, amount in total.items() if amount))


def _requirement(form: forms.ExpressionForm) -> Requirement:
    return Requirement(form.key, Operator(form.operator), tuple(form.values or ()))


def selector_of(form: forms.SelectorForm | None) -> Selector | None:
    """Return a label selector; None for null. Raises ValueError for an operator that there is not."""
    if form is None:
        return None
    equal = [Requirement(key, Operator.IN, (value,)) for key, value in sorted((form.match_labels or {}).items())]
    return Selector((*equal, *(_requirement(item) for item in form.match_expressions or ())))


def term_of(form: forms.NodeTermForm) -> NodeTerm:
    """Return a term of a node selector. Raises ValueError."""
    labels = tuple(_requirement(item) for item in form.match_expressions or ())
    return NodeTerm(labels, tuple(_requirement(item) for item in form.match_fields or ()))


def _with_keys(
    selector: Selector | None, labels: Labels, match: Iterable[str], mismatch: Iterable[str] = ()
) -> Selector | None:
    """Merge matchLabelKeys and mismatchLabelKeys as the API server and the scheduler do."""
    if selector is None:
        return None
    more = [Requirement(key, Operator.IN, (labels[key],)) for key in match if key in labels]
    more += [Requirement(key, Operator.NOT_IN, (labels[key],)) for key in mismatch if key in labels]
    fresh = [item for item in more if item not in selector.requirements]
    return Selector((*selector.requirements, *fresh)) if fresh else selector


def _pod_terms(form: forms.PodAffinityForm | None, namespace: str, labels: Labels) -> tuple[PodTerm, ...]:
    made = []
    for term in (form.required or ()) if form else ():
        selector = _with_keys(
            selector_of(term.label_selector), labels, term.match_label_keys or (), term.mismatch_label_keys or ()
        )
        namespaces, wide = frozenset(term.namespaces or ()), selector_of(term.namespace_selector)
        if not namespaces and wide is None:
            namespaces = frozenset({namespace})
        made.append(PodTerm(term.topology_key, selector, namespaces, wide))
    return tuple(made)


def _spread(form: forms.SpreadForm, labels: Labels) -> Spread:
    return Spread(
        topology_key=form.topology_key,
        max_skew=form.max_skew,
        selector=_with_keys(selector_of(form.label_selector), labels, form.match_label_keys or ()),
        hard=form.when_unsatisfiable != "ScheduleAnyway",
        min_domains=form.min_domains or 1,
        honor_affinity=form.node_affinity_policy != "Ignore",
        honor_taints=form.node_taints_policy == "Honor",
    )


def _host_ports(form: forms.PodSpecForm) -> tuple[HostPort, ...]:
    sidecars = [c for c in form.init_containers or () if c.restart_policy == "Always"]
    ports = [
        HostPort(port.host_port, port.protocol or "TCP", port.host_ip or HostPort(0).ip)
        for container in (*(form.containers or ()), *sidecars)
        for port in container.ports or ()
        if port.host_port
    ]
    return tuple(dict.fromkeys(ports))


def _volumes(given: Sequence[forms.PodVolumeForm]) -> Iterable[VolumeUse]:
    for volume in given:
        if volume.persistent_volume_claim is not None:
            claim = volume.persistent_volume_claim
            yield VolumeUse("claim", claim.claim_name, bool(claim.read_only))
        elif volume.gce_persistent_disk is not None:
            disk = volume.gce_persistent_disk
            yield VolumeUse("gcePersistentDisk", disk.pd_name, bool(disk.read_only))
        elif volume.aws_elastic_block_store is not None:
            disk = volume.aws_elastic_block_store
            yield VolumeUse("awsElasticBlockStore", disk.volume_id)
        elif volume.iscsi is not None:
            disk = volume.iscsi
            yield VolumeUse("iscsi", f"{disk.iqn}:{disk.lun}", bool(disk.read_only))
        elif volume.rbd is not None:
            disk = volume.rbd
            where = ",".join(sorted(disk.monitors or ()))
            yield VolumeUse("rbd", f"{where}/{disk.pool or 'rbd'}/{disk.image}", bool(disk.read_only))


def _local_volumes(given: Sequence[forms.PodVolumeForm]) -> Iterable[tuple[str, str]]:
    for volume in given:
        if volume.host_path is not None:
            yield volume.name, "hostPath"
        elif volume.empty_dir is not None and volume.empty_dir.medium != "Memory":
            yield volume.name, "emptyDir"


def volume_terms(form: forms.VolumeForm) -> tuple[NodeTerm, ...] | None:
    """Return where a PersistentVolume is usable: its node affinity with its zone labels folded in."""
    labels = form.metadata.labels or {}
    zones = [
        Requirement(_NEW_NAMES.get(key, key), Operator.IN, tuple(labels[key].split("__")))
        for key in _ZONES
        if key in labels
    ]
    affinity = form.spec.node_affinity.required if form.spec and form.spec.node_affinity else None
    if affinity is None:
        return (NodeTerm(tuple(zones)),) if zones else None
    terms = [term_of(term) for term in affinity.node_selector_terms or ()]
    return tuple(NodeTerm((*term.labels, *zones), term.fields) for term in terms)


def decoding(kind: type[_T]) -> Callable[[bytes], _T]:
    """Return a decoder of one form."""
    return msgspec.json.Decoder(kind).decode


def _beyond(form: forms.PodSpecForm) -> tuple[str, ...]:
    found = ["resourceClaims"] if form.resource_claims else []
    if any(volume.ephemeral is not None for volume in form.volumes or ()):
        found.append("ephemeral volumes")  # their claims do not exist before the pod is bound
    return tuple(found)
