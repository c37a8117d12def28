"""The parts of Kubernetes objects that are read, as msgspec decodes them from JSON; everything else is skipped.

Field names are the API's own (Kubernetes API reference v1.36). Lenient where the API is: a null is as good as absent.
"""

from typing import Any

import msgspec

__all__ = [
    "BudgetForm",
    "ClaimForm",
    "ControllerForm",
    "CsiNodeForm",
    "DaemonSetForm",
    "Meta",
    "NamespaceForm",
    "NodeForm",
    "PodForm",
    "PodHead",
    "PodSpecForm",
    "PodSpecHead",
    "PodStatusHead",
    "SelectorForm",
    "StorageClassForm",
    "VolumeForm",
]


class _Form(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pass


Texts = dict[str, str] | None
Amounts = dict[str, str | int | float] | None


class OwnerForm(_Form, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Meta(_Form, frozen=True):
    name: str
    namespace: str = ""
    uid: str = ""
    labels: Texts = None
    annotations: Texts = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    owner_references: list[OwnerForm] | None = None


class ExpressionForm(_Form, frozen=True):
    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class SelectorForm(_Form, frozen=True):
    match_labels: Texts = None
    match_expressions: list[ExpressionForm] | None = None


class NodeTermForm(_Form, frozen=True):
    match_expressions: list[ExpressionForm] | None = None
    match_fields: list[ExpressionForm] | None = None


class NodeSelectorForm(_Form, frozen=True):
    node_selector_terms: list[NodeTermForm] | None = None


class NodeAffinityForm(_Form, frozen=True):
    required: NodeSelectorForm | None = msgspec.field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class PodTermForm(_Form, frozen=True):
    topology_key: str = ""
    label_selector: SelectorForm | None = None
    namespaces: list[str] | None = None
    namespace_selector: SelectorForm | None = None
    match_label_keys: list[str] | None = None
    mismatch_label_keys: list[str] | None = None


class PodAffinityForm(_Form, frozen=True):
    required: list[PodTermForm] | None = msgspec.field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )


class AffinityForm(_Form, frozen=True):
    node_affinity: NodeAffinityForm | None = None
    pod_affinity: PodAffinityForm | None = None
    pod_anti_affinity: PodAffinityForm | None = None


class TolerationForm(_Form, frozen=True):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None


class SpreadForm(_Form, frozen=True):
    topology_key: str = ""
    max_skew: int = 1
    when_unsatisfiable: str = "DoNotSchedule"
    label_selector: SelectorForm | None = None
    min_domains: int | None = None
    match_label_keys: list[str] | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None


class PortForm(_Form, frozen=True):
    host_port: int | None = None
    host_ip: str | None = msgspec.field(default=None, name="hostIP")
    protocol: str | None = None


class ResourcesForm(_Form, frozen=True):
    requests: Amounts = None
    limits: Amounts = None
    claims: list[Any] | None = None


class ContainerForm(_Form, frozen=True):
    name: str = ""
    resources: ResourcesForm | None = None
    ports: list[PortForm] | None = None
    restart_policy: str | None = None


class NamedForm(_Form, frozen=True):
    name: str = ""


class ClaimSourceForm(_Form, frozen=True):
    claim_name: str = ""
    read_only: bool | None = None


class EmptyDirForm(_Form, frozen=True):
    medium: str | None = None


class DeviceForm(_Form, frozen=True):
    """An in-tree device: the fields of all kinds that one node at a time may hold."""

    pd_name: str = ""
    volume_id: str = msgspec.field(default="", name="volumeID")
    iqn: str = ""
    lun: int = 0
    target_portal: str = ""
    image: str = ""
    pool: str = ""
    monitors: list[str] | None = None
    read_only: bool | None = None


class PodVolumeForm(_Form, frozen=True):
    name: str = ""
    persistent_volume_claim: ClaimSourceForm | None = None
    ephemeral: Any = None
    empty_dir: EmptyDirForm | None = None
    host_path: Any = None
    gce_persistent_disk: DeviceForm | None = None
    aws_elastic_block_store: DeviceForm | None = None
    iscsi: DeviceForm | None = None
    rbd: DeviceForm | None = None


class PodSpecForm(_Form, frozen=True):
    node_name: str | None = None
    node_selector: Texts = None
    affinity: AffinityForm | None = None
    tolerations: list[TolerationForm] | None = None
    topology_spread_constraints: list[SpreadForm] | None = None
    containers: list[ContainerForm] | None = None
    init_containers: list[ContainerForm] | None = None
    overhead: Amounts = None
    resources: ResourcesForm | None = None
    volumes: list[PodVolumeForm] | None = None
    priority: int | None = None
    preemption_policy: str | None = None
    scheduler_name: str | None = None
    scheduling_gates: list[NamedForm] | None = None
    resource_claims: list[Any] | None = None
    host_network: bool | None = None
    termination_grace_period_seconds: int | None = None


class ConditionForm(_Form, frozen=True):
    type: str = ""
    status: str = ""
    reason: str | None = None
    last_transition_time: str | None = None


class ContainerStatusForm(_Form, frozen=True):
    name: str = ""
    resources: ResourcesForm | None = None
    allocated_resources: Amounts = None


class PodStatusForm(_Form, frozen=True):
    phase: str | None = None
    conditions: list[ConditionForm] | None = None
    nominated_node_name: str | None = None
    container_statuses: list[ContainerStatusForm] | None = None
    init_container_statuses: list[ContainerStatusForm] | None = None
    resources: ResourcesForm | None = None
    allocated_resources: Amounts = None


class PodForm(_Form, frozen=True):
    metadata: Meta
    spec: PodSpecForm
    status: PodStatusForm | None = None


class MetaHead(_Form, frozen=True):
    """Metadata with what pods of one controller share left as bytes."""

    name: str
    namespace: str = ""
    uid: str = ""
    labels: msgspec.Raw = msgspec.Raw()
    annotations: msgspec.Raw = msgspec.Raw()
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    owner_references: msgspec.Raw = msgspec.Raw()


class PodSpecHead(_Form, frozen=True):
    """A spec whose scheduling-relevant fields are left as bytes: together they are its key."""

    node_name: str | None = None
    scheduling_gates: list[NamedForm] | None = None
    volumes: msgspec.Raw = msgspec.Raw()
    init_containers: msgspec.Raw = msgspec.Raw()
    containers: msgspec.Raw = msgspec.Raw()
    node_selector: msgspec.Raw = msgspec.Raw()
    affinity: msgspec.Raw = msgspec.Raw()
    tolerations: msgspec.Raw = msgspec.Raw()
    topology_spread_constraints: msgspec.Raw = msgspec.Raw()
    overhead: msgspec.Raw = msgspec.Raw()
    resources: msgspec.Raw = msgspec.Raw()
    priority: msgspec.Raw = msgspec.Raw()
    preemption_policy: msgspec.Raw = msgspec.Raw()
    scheduler_name: msgspec.Raw = msgspec.Raw()
    resource_claims: msgspec.Raw = msgspec.Raw()
    termination_grace_period_seconds: msgspec.Raw = msgspec.Raw()


class ContainerStatusHead(_Form, frozen=True):
    name: str = ""
    resources: msgspec.Raw = msgspec.Raw()
    allocated_resources: msgspec.Raw = msgspec.Raw()


class PodStatusHead(_Form, frozen=True):
    phase: str | None = None
    conditions: msgspec.Raw = msgspec.Raw()
    nominated_node_name: str | None = None
    container_statuses: list[ContainerStatusHead] | None = None
    init_container_statuses: list[ContainerStatusHead] | None = None
    resources: msgspec.Raw = msgspec.Raw()
    allocated_resources: msgspec.Raw = msgspec.Raw()


class PodHead(_Form, frozen=True):
    """A pod as a watch's events are first looked at: most of it has been seen before."""

    metadata: MetaHead
    spec: msgspec.Raw
    """A `PodSpecHead`, read only where its bytes are new."""
    status: PodStatusHead | None = None


class PodTop(_Form, frozen=True):
    """A pod up to its spec."""

    metadata: MetaHead


class TaintForm(_Form, frozen=True):
    key: str
    effect: str
    value: str | None = None


class NodeSpecForm(_Form, frozen=True):
    taints: list[TaintForm] | None = None
    unschedulable: bool | None = None
    provider_id: str | None = msgspec.field(default=None, name="providerID")


class NodeStatusForm(_Form, frozen=True):
    allocatable: Amounts = None
    capacity: Amounts = None
    conditions: list[ConditionForm] | None = None


class NodeForm(_Form, frozen=True):
    metadata: Meta
    spec: NodeSpecForm | None = None
    status: NodeStatusForm | None = None


class NamespaceForm(_Form, frozen=True):
    metadata: Meta


class TemplateForm(_Form, frozen=True):
    spec: PodSpecForm
    metadata: dict[str, Any] | None = None


class DaemonSetSpecForm(_Form, frozen=True):
    template: TemplateForm


class DaemonSetForm(_Form, frozen=True):
    metadata: Meta
    spec: DaemonSetSpecForm


class ControllerSpecForm(_Form, frozen=True):
    replicas: int | None = None
    parallelism: int | None = None


class ControllerForm(_Form, frozen=True):
    metadata: Meta
    spec: ControllerSpecForm | None = None


class BudgetSpecForm(_Form, frozen=True):
    selector: SelectorForm | None = None


class BudgetStatusForm(_Form, frozen=True):
    disruptions_allowed: int = 0


class BudgetForm(_Form, frozen=True):
    metadata: Meta
    spec: BudgetSpecForm | None = None
    status: BudgetStatusForm | None = None


class PodGroupSpecForm(_Form, frozen=True):
    min_member: int | None = None


class PodGroupStatusForm(_Form, frozen=True):
    succeeded: int | None = None


class PodGroupForm(_Form, frozen=True):
    metadata: Meta
    spec: PodGroupSpecForm | None = None
    status: PodGroupStatusForm | None = None


class ClaimSpecForm(_Form, frozen=True):
    volume_name: str | None = None
    storage_class_name: str | None = None
    access_modes: list[str] | None = None


class ClaimStatusForm(_Form, frozen=True):
    phase: str | None = None


class ClaimForm(_Form, frozen=True):
    metadata: Meta
    spec: ClaimSpecForm | None = None
    status: ClaimStatusForm | None = None


class CsiForm(_Form, frozen=True):
    driver: str = ""
    volume_handle: str = ""


class VolumeAffinityForm(_Form, frozen=True):
    required: NodeSelectorForm | None = None


class VolumeSpecForm(_Form, frozen=True):
    node_affinity: VolumeAffinityForm | None = None
    storage_class_name: str | None = None
    claim_ref: NamedForm | None = None
    csi: CsiForm | None = None


class VolumeForm(_Form, frozen=True):
    metadata: Meta
    spec: VolumeSpecForm | None = None


class TopologyForm(_Form, frozen=True):
    match_label_expressions: list[ExpressionForm] | None = None


class StorageClassForm(_Form, frozen=True):
    metadata: Meta
    provisioner: str = ""
    volume_binding_mode: str | None = None
    allowed_topologies: list[TopologyForm] | None = None


class CsiLimitForm(_Form, frozen=True):
    count: int | None = None


class CsiDriverForm(_Form, frozen=True):
    name: str = ""
    allocatable: CsiLimitForm | None = None


class CsiNodeSpecForm(_Form, frozen=True):
    drivers: list[CsiDriverForm] | None = None


class CsiNodeForm(_Form, frozen=True):
    metadata: Meta
    spec: CsiNodeSpecForm | None = None
