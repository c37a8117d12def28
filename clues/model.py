"""What the scheduler sees, as values: pods, nodes, budgets, daemon sets, volumes. Pure; no I/O, no clock.

Terms and meanings are those of the Kubernetes API reference v1.36. Quantities are integers: `cpu` in millicores,
`memory` and `ephemeral-storage` in bytes, everything else as counted. The objects that exist once a pod are
`msgspec.Struct(gc=False)`: a cluster holds 100,000 of them, and frozen dataclasses cost five times as much to make
and are walked by every garbage collection (docs/decisions/0013).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

__all__ = [
    "ARCH",
    "HOSTNAME",
    "OS",
    "ZONE",
    "Budget",
    "Claim",
    "DaemonSet",
    "Effect",
    "HostPort",
    "Labels",
    "Node",
    "NodeTerm",
    "Operator",
    "Owner",
    "Phase",
    "Pod",
    "PodGroup",
    "PodRef",
    "PodSpec",
    "PodTerm",
    "Requirement",
    "Resources",
    "Selector",
    "Spread",
    "Taint",
    "Toleration",
    "VolumeUse",
]

HOSTNAME: Final = "kubernetes.io/hostname"
ZONE: Final = "topology.kubernetes.io/zone"
ARCH: Final = "kubernetes.io/arch"
OS: Final = "kubernetes.io/os"

Labels: TypeAlias = Mapping[str, str]
"""Never changed after it was made; equal label sets of a cluster are one object (interned), so `is` is a quick test."""
Resources: TypeAlias = Mapping[str, int]
"""Resource name -> amount (see the module's docstring for the units). A name that is missing is 0."""


class Operator(StrEnum):
    """Of a label or field requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


class Effect(StrEnum):
    """Of a taint."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Phase(StrEnum):
    """Of a pod."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class Requirement(msgspec.Struct, frozen=True, gc=False):
    """One expression over labels (or, in `NodeTerm.fields`, over `metadata.name`)."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


class Selector(msgspec.Struct, frozen=True, gc=False):
    """A label selector: all requirements hold (`matchLabels` are `In` with one value). Empty: matches everything.

    Where the API has a null selector, which matches nothing, the field is None.
    """

    requirements: tuple[Requirement, ...] = ()


class NodeTerm(msgspec.Struct, frozen=True, gc=False):
    """One term of a node selector: all labels and fields hold. A term with neither matches no node."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


class Taint(msgspec.Struct, frozen=True, gc=False):
    key: str
    value: str
    effect: Effect


class Toleration(msgspec.Struct, frozen=True, gc=False):
    """`operator` is `Exists`, `Equal`, `Lt` or `Gt`; an empty key with `Exists` is every taint, an empty effect all."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class PodTerm(msgspec.Struct, frozen=True, gc=False):
    """A required term of pod affinity or anti-affinity; `matchLabelKeys` are already merged into the selector.

    It looks at pods of `namespaces` and of the namespaces that `namespace_selector` matches (None: of none; empty:
    of all). Where the API gives neither, `namespaces` holds the pod's own.
    """

    topology_key: str
    selector: Selector | None
    namespaces: frozenset[str] = frozenset()
    namespace_selector: Selector | None = None


class Spread(msgspec.Struct, frozen=True, gc=False):
    """A topology spread constraint over pods of the pod's own namespace; `matchLabelKeys` are already merged."""

    topology_key: str
    max_skew: int
    selector: Selector | None
    hard: bool = True
    """whenUnsatisfiable: DoNotSchedule. Soft ones are no filter."""
    min_domains: int = 1
    honor_affinity: bool = True
    """nodeAffinityPolicy: Honor (the default)."""
    honor_taints: bool = False
    """nodeTaintsPolicy: Ignore is the default."""


class HostPort(msgspec.Struct, frozen=True, gc=False):
    port: int
    protocol: str = "TCP"
    ip: str = "0.0.0.0"  # noqa: S104 (the API's word for every address)


class VolumeUse(msgspec.Struct, frozen=True, gc=False):
    """A volume of a pod that can keep it from a node."""

    kind: str
    """`claim` (name: the PersistentVolumeClaim), or an in-tree device that one node at a time may hold
    (`gcePersistentDisk`, `awsElasticBlockStore`, `iscsi`, `rbd`; name: its identity)."""
    name: str
    read_only: bool = False


class PodSpec(msgspec.Struct, frozen=True, gc=False):
    """The scheduling-relevant content of a pod, but for namespace and labels. Interned: equal specs are one object.

    `requests` is the effective request as NodeResourcesFit counts it: max(init phase, main phase with sidecars) +
    overhead, or the pod-level resources where given; without the slot that every pod takes.
    """

    requests: tuple[tuple[str, int], ...] = ()
    """Sorted by name; zero amounts are left out."""
    node_selector: tuple[tuple[str, str], ...] = ()
    node_affinity: tuple[NodeTerm, ...] | None = None
    """requiredDuringScheduling: one of the terms; None: no requirement; empty: matches no node."""
    affinity: tuple[PodTerm, ...] = ()
    anti_affinity: tuple[PodTerm, ...] = ()
    spread: tuple[Spread, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    volumes: tuple[VolumeUse, ...] = ()
    priority: int = 0
    can_preempt: bool = True
    """preemptionPolicy is not Never."""
    scheduler: str = "default-scheduler"
    node_name: str = ""
    """spec.nodeName of a pod that asks for a node by name while it is still pending: never set for bound pods."""
    beyond: tuple[str, ...] = ()
    """What in it no new node's template can answer, such as `resourceClaims`: order one node, then look."""
    local_volumes: tuple[tuple[str, str], ...] = ()
    """(volume name, `emptyDir` | `hostPath`) whose content is lost with the node; memory-backed ones are not here."""
    grace_s: int = 30
    gang: str = ""
    """All-or-nothing group (namespace-local), from the pod-group label or annotation; "" for none."""
    gang_size: int = 0
    """Members that it needs; 0: the pod does not say it."""


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The controller of a pod (ownerReferences with `controller: true`)."""

    kind: str
    name: str
    uid: str = ""
    api_version: str = ""
    """Whose kind it is: `Job` of `batch/v1` is not the one of another controller."""


class PodRef(msgspec.Struct, frozen=True, gc=False, order=True):
    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Pod(msgspec.Struct, frozen=True, gc=False):
    """One pod."""

    namespace: str
    name: str
    uid: str
    spec: PodSpec
    labels: Labels
    owner: Owner | None = None
    node: str = ""
    """Where it is bound; "" while it is pending."""
    phase: Phase = Phase.PENDING
    created_at: float = 0.0
    unschedulable_since: float | None = None
    """Since when the scheduler says PodScheduled=False, Unschedulable; None: it has not looked yet."""
    nominated: str = ""
    """status.nominatedNodeName: room is being made for it there."""
    gated: bool = False
    deleting: bool = False
    mirror: bool = False
    """A static pod's mirror: it lives and dies with its node."""
    annotations: Labels = {}
    """Only those that mean something here: safe-to-evict, do-not-disrupt, pod-deletion-cost and our own."""

    @property
    def ref(self) -> PodRef:
        return PodRef(self.namespace, self.name, self.uid)

    @property
    def is_finished(self) -> bool:
        phase = self.phase  # asked for every event: twice as quick as a set
        return phase is Phase.SUCCEEDED or phase is Phase.FAILED

    @property
    def is_daemon(self) -> bool:
        return self.owner is not None and self.owner.kind == "DaemonSet"

    @property
    def stays_with_node(self) -> bool:
        """Whether it never moves: DaemonSet, static and finished pods neither hold a node nor are evicted first."""
        owner, phase = self.owner, self.phase  # asked for every pod in every pass: no calls in it
        if owner is not None and (owner.kind == "DaemonSet" or owner.kind == "Node"):  # noqa: PLR1714 (twice as quick)
            return True
        return self.mirror or phase is Phase.SUCCEEDED or phase is Phase.FAILED


class Node(msgspec.Struct, frozen=True, gc=False):
    """One node, as registered or as a pool's template says that it will be."""

    name: str
    labels: Labels
    allocatable: Resources
    """With `pods`: the slots."""
    taints: tuple[Taint, ...] = ()
    uid: str = ""
    ready: bool = True
    ready_since: float | None = None
    """When Ready last became True; None: unknown, or it is not."""
    not_ready_since: float | None = None
    unschedulable: bool = False
    """spec.unschedulable: cordoned."""
    deleting: bool = False
    created_at: float = 0.0
    provider_id: str = ""
    annotations: Labels = {}
    """Only those that mean something here: scale-down-disabled, do-not-disrupt and our own."""
    attached_limits: Resources = {}
    """CSI driver -> volumes that may be attached (CSINode); a driver that is missing has no known limit."""


class DaemonSet(msgspec.Struct, frozen=True, gc=False):
    """Its pods run on every node that `spec` lets them."""

    namespace: str
    name: str
    spec: PodSpec
    labels: Labels
    """Of its pods."""


class Budget(msgspec.Struct, frozen=True, gc=False):
    """A PodDisruptionBudget with what its status allows right now."""

    namespace: str
    name: str
    selector: Selector | None
    allowed: int


class PodGroup(msgspec.Struct, frozen=True, gc=False):
    """A gang as its scheduler keeps it: a PodGroup of coscheduling or Volcano."""

    size: int = 0
    """spec.minMember: pods that must run at once; 0: it says none."""
    succeeded: int = 0
    """status.succeeded: members that have ended well, whose pods are in no picture any more."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A PersistentVolumeClaim with what its volume and class say about places."""

    namespace: str
    name: str
    found: bool = True
    bound: bool = False
    node_affinity: tuple[NodeTerm, ...] | None = None
    """Of the bound PersistentVolume; None: usable anywhere. Zone and region labels of the volume are folded in."""
    waits_for_consumer: bool = False
    """Unbound, volumeBindingMode WaitForFirstConsumer; else an unbound claim keeps its pod pending."""
    provisionable: bool = True
    """Whether the class has a provisioner that makes volumes (not kubernetes.io/no-provisioner)."""
    topologies: tuple[NodeTerm, ...] | None = None
    """allowedTopologies of the class; None: anywhere."""
    candidates: tuple[tuple[NodeTerm, ...] | None, ...] = ()
    """Node affinities of the unbound PersistentVolumes that it could bind to."""
    driver: str = ""
    """CSI driver, for attach limits."""
    handle: str = ""
    """Identity of the volume, so that one shared by two pods counts once."""
    only_one_pod: bool = False
    """ReadWriteOncePod."""
