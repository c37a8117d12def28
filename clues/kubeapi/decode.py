"""From the JSON of Kubernetes objects to the values of `clues.model`, equal specs and labels made one object.

Quantities, requests and defaults as kube-scheduler 1.36 counts them. A value that is none raises ValueError, which
the cache turns into an object set aside.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from xxhash import xxh3_64_intdigest

from clues.kubeapi import forms
from clues.kubeapi.amounts import requests_of, resources_of
from clues.kubeapi.terms import selector_of, term_of
from clues.kubeapi.volumes import local_volumes_of, volumes_of
from clues.model import (
    Budget,
    DaemonSet,
    Effect,
    HostPort,
    Labels,
    Node,
    Operator,
    Owner,
    Phase,
    Pod,
    PodGroup,
    PodSpec,
    PodTerm,
    Requirement,
    Selector,
    Spread,
    Taint,
    Toleration,
)

__all__ = ["Decoder", "Glance", "glance_of", "selector_of", "stamp_s", "term_of"]

_T = TypeVar("_T")
_KEPT_ANNOTATIONS: Final = (
    "cluster-autoscaler.kubernetes.io/",
    "karpenter.sh/",
    "clues.",
    "controller.kubernetes.io/pod-deletion-cost",
    "kubernetes.io/config.mirror",
    "scheduling.k8s.io/group-name",
    "kueue.x-k8s.io/pod-group-",
)
_GANG: Final = (
    "scheduling.x-k8s.io/pod-group",
    "pod-group.scheduling.sigs.k8s.io",
    "kueue.x-k8s.io/pod-group-name",
    "scheduling.k8s.io/group-name",
)
"""Labels or annotations that name a pod's gang, the first that is there: coscheduling's two, Kueue's, Volcano's."""
_GANG_SIZE: Final = ("clues.im-clues/gang-size", "kueue.x-k8s.io/pod-group-total-count")
"""Those that say its size. Volcano and coscheduling keep it in the PodGroup: see `Decoder.pod_group`."""
_MOST_INTERNED: Final = 200_000
_LONGEST_COUNT: Final = 6


class Glance(msgspec.Struct, frozen=True, gc=False):
    """A pod as it is first looked at, small: most of it has been seen before, and many may wait for the loop."""

    uid: str
    fingerprint: int
    """A hash of 64 bits, seeded, of all that is read but what follows here; only compared with the same pod's."""
    phase: Phase
    nominated: str
    conditions: bytes
    """As they came, where the scheduler says that it is unschedulable; else empty."""
    deleting: bool


_HEAD: Final = msgspec.json.Decoder(forms.PodHead)
_TOP: Final = msgspec.json.Decoder(forms.PodTop)
_STATUS: Final = msgspec.json.Decoder(forms.PodStatusHead)
_BEFORE_SPEC: Final = b'},"spec":{'
_BEFORE_STATUS: Final = b'},"status":{'
_TO_STATUS: Final = len(_BEFORE_STATUS) - 1
_SEED: Final = int.from_bytes(os.urandom(8))


def glance_of(text: bytes, at: int = 0, to: int = sys.maxsize) -> Glance:
    """Look at a pod that stands in a text, without copying it.

    As API servers write a pod, its two ends are enough: that what comes before the spec is whole JSON once its brace
    is closed shows that the spec stands where it should, and likewise of the status. What is between the two is not
    read but hashed: it was read where its hash is known, and is read as a whole where it is not.

    Safe in any thread: best in the one that got the bytes, while they are in its processor's cache.

    Raises msgspec.MsgspecError or ValueError.
    """
    to = min(to, len(text))
    start, end = text.find(_BEFORE_SPEC, at, to), text.rfind(_BEFORE_STATUS, at, to)
    if at < start < end:
        try:
            top = _TOP.decode(text[at : start + 1] + b"}")
            tail = text[end + _TO_STATUS : to - 1]
            status = _STATUS.decode(tail)
        except msgspec.MsgspecError:
            pass
        else:
            return _glance(top.metadata, memoryview(text)[start:end], status, tail)
    whole = text[at:to]
    head = _HEAD.decode(whole)
    return _glance(head.metadata, head.spec, head.status, whole)


def _glance(
    meta: forms.MetaHead, spec: memoryview | msgspec.Raw, status: forms.PodStatusHead | None, tail: bytes
) -> Glance:
    """`tail` is a text that has the status: what is not even a word in it is not looked for."""
    said, phase, nominated, conditions = b"", Phase.PENDING, "", b""
    if status is not None:
        nominated = status.nominated_node_name or ""
        if b'"resources"' in tail:
            said = _said_of_resources(status)
        phase = _PHASES.get(status.phase) or _phase(status.phase)
        if phase is Phase.PENDING and b"Unschedulable" in tail and b"Unschedulable" in bytes(status.conditions):
            conditions = bytes(status.conditions)
    rest = b"\0".join((meta.labels, meta.annotations, meta.owner_references, said))
    fingerprint = xxh3_64_intdigest(rest, xxh3_64_intdigest(spec, _SEED))
    return Glance(meta.uid, fingerprint, phase, nominated, conditions, meta.deletion_timestamp is not None)


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
        self._spec_head = msgspec.json.Decoder(forms.PodSpecHead)
        self._whole = msgspec.json.Decoder(forms.PodForm)
        self._texts = msgspec.json.Decoder(dict[str, str] | None)
        self._owners = msgspec.json.Decoder(list[forms.OwnerForm] | None)
        self._conditions = msgspec.json.Decoder(list[forms.ConditionForm] | None)

    def pod(self, raw: bytes) -> Pod:
        """Decode a pod. Raises msgspec.MsgspecError or ValueError.

        Specs, labels and owners are looked up by their bytes: a pod like others costs a third of one that is new.
        """
        return self.pod_again(raw, {}, {})[0]

    def pod_again(
        self, raw: bytes, known: Mapping[Any, Pod], prints: Mapping[Any, int], glance: Glance | None = None
    ) -> tuple[Pod, int]:
        """Decode a pod that may be known, by uid, with the fingerprint that it had; return it with its fingerprint.

        Nearly all events of a pod change its status alone: a fingerprint that is the same spares reading the rest
        again, and half of the time. Raises like `pod`.
        """
        if glance is None:
            glance = glance_of(raw)
        before = known.get(glance.uid)
        if before is None or prints.get(glance.uid) != glance.fingerprint:
            head = _HEAD.decode(raw)
            before = self._read(raw, head, b"" if head.status is None else _said_of_resources(head.status))
        return self.seen_again(before, glance), glance.fingerprint

    def seen_again(self, before: Pod, glance: Glance) -> Pod:
        """Return a pod whose fingerprint is as before as it is now; the same object where nothing changed.

        Raises msgspec.MsgspecError or ValueError.
        """
        phase, nominated = glance.phase, glance.nominated
        since = None
        if glance.conditions and not before.node:
            since = _since(self._conditions.decode(glance.conditions), before.created_at)
        deleting = glance.deleting
        if (
            phase is before.phase
            and since == before.unschedulable_since
            and nominated == before.nominated
            and deleting is before.deleting
        ):
            return before
        # by position: one for every event, and names cost as much again
        return Pod(
            before.namespace,
            before.name,
            before.uid,
            before.spec,
            before.labels,
            before.owner,
            before.node,
            phase,
            before.created_at,
            since,
            nominated,
            before.gated,
            deleting,
            before.mirror,
            before.annotations,
        )

    def _read(self, raw: bytes, head: forms.PodHead, said: bytes) -> Pod:
        """Return a pod without what changes from event to event."""
        meta = head.metadata
        form = self._spec_head.decode(head.spec)
        namespace = self._word(meta.namespace or "default")
        labels = self._read_labels(bytes(meta.labels)) if len(meta.labels) else _NOTHING
        annotations = self._read_annotations(meta.annotations)
        return Pod(
            namespace=namespace,
            name=meta.name,
            uid=meta.uid,
            spec=self._read_spec(raw, form, said, namespace=namespace, labels=labels, annotations=annotations),
            labels=labels,
            owner=self._read_owner(bytes(meta.owner_references)) if len(meta.owner_references) else None,
            node=self._word(form.node_name) if form.node_name else "",
            created_at=stamp_s(meta.creation_timestamp),
            gated=bool(form.scheduling_gates),
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
            spec=self.spec(spec, meta.namespace or "default", labels, annotations, status),
            labels=labels,
            owner=Owner(owner.kind, owner.name, owner.uid, owner.api_version) if owner else None,
            node=spec.node_name or "",
            phase=_phase(status.phase),
            created_at=created_at,
            unschedulable_since=None if spec.node_name else _since(status.conditions, created_at),
            nominated=status.nominated_node_name or "",
            gated=bool(spec.scheduling_gates),
            deleting=meta.deletion_timestamp is not None,
            mirror=_MIRROR in annotations,
            annotations=annotations,
        )

    def _read_spec(
        self,
        raw: bytes,
        form: forms.PodSpecHead,
        said: bytes,
        *,
        namespace: str,
        labels: Labels,
        annotations: Labels,
    ) -> PodSpec:
        text = b"\0".join(
            (
                form.volumes,
                form.init_containers,
                form.containers,
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
                said,
            )
        )
        token = _TOKEN_VOLUME.search(form.volumes)
        if token is not None:  # the one name in a spec that differs from pod to pod of a controller
            # only as a whole name: a claim's name may contain the same word, and what stands in its place is no JSON
            text = text.replace(b'"name":"%b"' % token[1], b'"name":"\x01"')
        # what else a spec is made of: the namespace that pod affinity means, the values of matchLabelKeys, the gang
        wide = b"\0".join((form.affinity, form.topology_spread_constraints))
        by_label = b"abelKeys" in wide or b"\\u" in wide
        key = (
            text,
            namespace if len(form.affinity) else "",
            tuple(labels.items()) if by_label else (),
            _gang(labels, annotations),
        )
        found = self._raw_specs.get(key)
        if found is None:
            whole = self._whole.decode(raw)
            found = self.spec(whole.spec, namespace, labels, annotations, whole.status)
            if len(text) <= _LONGEST_KEY:
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
            allocatable=resources_of(status.allocatable if status.allocatable is not None else status.capacity),
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

    def pod_group(self, raw: bytes) -> PodGroup:
        """Decode a PodGroup of coscheduling (scheduling.x-k8s.io) or Volcano. Raises like `pod`."""
        form = msgspec.json.decode(raw, type=forms.PodGroupForm)
        size = form.spec.min_member if form.spec else None
        succeeded = form.status.succeeded if form.status else None
        return PodGroup(max(0, size or 0), max(0, succeeded or 0))

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
        self,
        form: forms.PodSpecForm,
        namespace: str,
        labels: Labels,
        annotations: Labels | None = None,
        status: forms.PodStatusForm | None = None,
    ) -> PodSpec:
        """Return the scheduling-relevant content of a pod's spec, and of its status where that counts too.

        Raises ValueError.
        """
        affinity = form.affinity or forms.AffinityForm()
        node_affinity = affinity.node_affinity.required if affinity.node_affinity else None
        terms = None
        if node_affinity is not None:
            terms = tuple(term_of(term) for term in node_affinity.node_selector_terms or ())
        gang, gang_size = _gang(labels, annotations or _NOTHING)
        return self._interned(
            PodSpec(
                requests=requests_of(form, status),
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
                volumes=tuple(volumes_of(form.volumes or ())),
                priority=form.priority or 0,
                can_preempt=form.preemption_policy != "Never",
                scheduler=form.scheduler_name or "default-scheduler",
                beyond=_beyond(form),
                local_volumes=tuple(local_volumes_of(form.volumes or ())),
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


def _said_of_resources(status: forms.PodStatusHead) -> bytes:
    """Return what the kubelet says of resources, as far as a resize in place could make it matter; else nothing."""
    if not (status.container_statuses or status.init_container_statuses or len(status.resources)):
        return b""
    containers = [
        part
        for found in (*(status.container_statuses or ()), *(status.init_container_statuses or ()))
        if len(found.resources)
        for part in (found.name.encode(), found.resources, found.allocated_resources)
    ]
    if not containers and not len(status.resources):
        return b""
    pending = b"PodResizePending" in bytes(status.conditions)
    return b"\0".join(
        (*containers, status.resources, status.allocated_resources, status.conditions if pending else b"")
    )


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
_GANG_KEYS: Final = frozenset(_GANG)


def _gang(labels: Labels, annotations: Labels) -> tuple[str, int]:
    """Return the pod's group and its size; 0 where nobody says it. Raises ValueError."""
    if _GANG_KEYS.isdisjoint(labels) and _GANG_KEYS.isdisjoint(annotations):  # nearly all
        return _ALONE
    name = next((found for key in _GANG if (found := labels.get(key) or annotations.get(key))), "")
    if not name:
        return _ALONE
    for key in _GANG_SIZE:
        said = labels.get(key) or annotations.get(key)
        if said:
            if not (said.isascii() and said.isdecimal() and len(said) <= _LONGEST_COUNT):
                raise ValueError(f"{key}: {said[:40]!r} is no number of pods")
            return name, int(said)
    return name, 0


def stamp_s(text: str | None) -> float:
    """Read a time of the API as seconds since the epoch; 0.0 where there is none. Raises ValueError."""
    return _stamp(text) if text else 0.0


@lru_cache(maxsize=4096)
def _stamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


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


def decoding(kind: type[_T]) -> Callable[[bytes], _T]:
    """Return a decoder of one form."""
    return msgspec.json.Decoder(kind).decode


def _beyond(form: forms.PodSpecForm) -> tuple[str, ...]:
    found = ["resourceClaims"] if form.resource_claims else []
    if any(volume.ephemeral is not None for volume in form.volumes or ()):
        found.append("ephemeral volumes")  # their claims do not exist before the pod is bound
    return tuple(found)
