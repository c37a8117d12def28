"""The format of scenarios, as values: a cluster's state in a few lines, and what is expected of a decision on it.

Its conventions stand at the top of every scenario file (`conventions: |`). Lines of scheduler verdicts use the same
nodes and pods. Unknown keys are refused.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

__all__ = [
    "AffinityText",
    "Amounts",
    "BackOffText",
    "BudgetText",
    "DaemonSetText",
    "DisruptionText",
    "Duration",
    "ExpressionText",
    "FitCase",
    "HistoryText",
    "LocalText",
    "MachineText",
    "NodeText",
    "PartitionText",
    "PodText",
    "PoolText",
    "PortText",
    "Quantity",
    "Scenario",
    "SettingsText",
    "SlurmJobText",
    "SlurmNodeText",
    "SlurmText",
    "SpreadText",
    "TaintText",
    "TermText",
    "TolerationText",
    "VolumeText",
    "Word",
]

Quantity: TypeAlias = str | int | float
Word: TypeAlias = str | int | bool
"""A label's value; numbers and truth values are written as Kubernetes would have them quoted."""
Duration: TypeAlias = str | int | float


class _Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class TaintText(_Text, frozen=True):
    key: str
    value: Word = ""
    effect: str = "NoSchedule"


class TolerationText(_Text, frozen=True):
    key: str = ""
    operator: str = "Equal"
    value: Word = ""
    effect: str = ""


class PoolText(_Text, frozen=True):
    name: str
    cpu: Quantity = 0
    memory: Quantity = 0
    min: int = 0
    max: int = 10
    gpu: int = 0
    max_pods: int = 110
    labels: Mapping[str, Word] = {}
    taints: tuple[TaintText, ...] = ()
    startup_taints: tuple[TaintText, ...] = ()
    price: float = 1.0
    zone: str = ""
    arch: str = "amd64"
    tier: int = 0
    powered: bool = False


class NodeText(_Text, frozen=True):
    name: str
    pool: str = ""
    cpu: Quantity | None = None
    memory: Quantity | None = None
    gpu: int | None = None
    max_pods: int | None = None
    labels: Mapping[str, Word] | None = None
    taints: tuple[TaintText, ...] | None = None
    zone: str | None = None
    arch: str | None = None
    state: str = "ready"
    since: Duration | None = None
    unneeded_for: Duration = "1h"
    annotations: Mapping[str, Word] = {}
    cordoned: bool = False


class Amounts(_Text, frozen=True):
    cpu: Quantity = 0
    memory: Quantity = 0
    gpu: int = 0


class ExpressionText(_Text, frozen=True):
    key: str
    op: str
    values: tuple[Word, ...] = ()


class TermText(_Text, frozen=True):
    match: Mapping[str, Word]
    topology: str


class AffinityText(_Text, frozen=True):
    node: tuple[tuple[ExpressionText, ...], ...] = ()
    node_preferred: tuple[tuple[ExpressionText, ...], ...] = ()
    pod: tuple[TermText, ...] = ()
    anti: tuple[TermText, ...] = ()
    pod_preferred: tuple[TermText, ...] = ()
    anti_preferred: tuple[TermText, ...] = ()


class SpreadText(_Text, frozen=True):
    match: Mapping[str, Word]
    topology: str
    max_skew: int = 1
    when: str = "hard"
    min_domains: int | None = None


class PortText(_Text, frozen=True):
    port: int
    protocol: str = "TCP"


class VolumeText(_Text, frozen=True):
    pv_zone: str = ""
    pv_node: str = ""
    class_zones: tuple[str, ...] | None = None


class LocalText(_Text, frozen=True):
    name: str
    kind: str = "emptyDir"


class PodText(_Text, frozen=True):
    name: str
    count: int | None = None
    namespace: str = "default"
    labels: Mapping[str, Word] = {}
    cpu: Quantity = 0
    memory: Quantity = 0
    gpu: int = 0
    init: Amounts | None = None
    overhead: Amounts | None = None
    selector: Mapping[str, Word] = {}
    tolerations: tuple[TolerationText, ...] = ()
    affinity: AffinityText = AffinityText()
    spread: tuple[SpreadText, ...] = ()
    host_ports: tuple[PortText, ...] = ()
    volumes: tuple[VolumeText, ...] = ()
    local_storage: tuple[LocalText, ...] = ()
    priority: int = 0
    owner: str = "ReplicaSet"
    annotations: Mapping[str, Word] = {}
    phase: str = ""
    node: str = ""
    nominated_node: str = ""
    gated: bool = False
    deleting: bool = False
    scheduler: str = "default-scheduler"
    pending_for: Duration = "1m"


class DaemonSetText(_Text, frozen=True):
    name: str
    namespace: str = "default"
    cpu: Quantity = 0
    memory: Quantity = 0
    selector: Mapping[str, Word] = {}
    tolerations: tuple[TolerationText, ...] = ()
    labels: Mapping[str, Word] = {}
    priority: int = 0


class BudgetText(_Text, frozen=True):
    name: str
    match: Mapping[str, Word]
    allowed: int
    namespace: str = "default"


class BackOffText(_Text, frozen=True):
    initial: Duration = "5m"
    max: Duration = "30m"
    reset: Duration = "3h"


class DisruptionText(_Text, frozen=True):
    nodes: str | int
    pool: str = ""
    reasons: tuple[str, ...] = ()
    schedule: str = ""
    duration: Duration = 0


class SettingsText(_Text, frozen=True):
    expander: str = "price"
    max_nodes: int | None = None
    max_cores: Quantity | None = None
    max_memory: Quantity | None = None
    min_cores: Quantity = 0
    balance: bool = False
    enforce_min: bool = False
    utilization_threshold: float = 0.5
    count_daemonsets: bool = True
    unneeded_time: Duration = "10m"
    unready_time: Duration = "20m"
    remove_unready: bool = True
    delay_after_scale_up: Duration = "10m"
    last_scale_up: Duration | None = "1h"
    delay_after_failure: Duration = "3m"
    max_drain: int = 1
    max_parallel: int = 10
    max_provision_time: Duration = "15m"
    max_booting: int | None = None
    backoff: BackOffText = BackOffText()
    expendable_below: int = -10
    ok_unready: int = 3
    max_unready_percent: float = 45.0
    block_local_storage: bool = True
    block_kube_system: bool = True
    block_unreplicated: bool = True
    consolidation: str = "delete"
    budgets: tuple[DisruptionText, ...] | None = None
    schedulers: tuple[str, ...] = ("default-scheduler",)
    exclude: tuple[str, ...] = ()
    """Names (nodes or machines) that are never turned off."""


class HistoryText(_Text, frozen=True):
    event: str
    ago: Duration
    pool: str = ""


class MachineText(_Text, frozen=True):
    name: str
    pool: str
    state: str = "powered_off"
    since: Duration | None = None
    failures: int = 0
    cpu: Quantity | None = None
    memory: Quantity | None = None
    power_ons: int = 0
    unneeded_for: Duration = "1h"


class PartitionText(_Text, frozen=True):
    name: str
    nodes: tuple[str, ...]


class SlurmNodeText(_Text, frozen=True):
    name: str
    cpus: int = 1
    mem_mb: int = 0
    features: tuple[str, ...] | str = ()
    state: str = "idle"
    since: Duration | None = None
    free_cpus: int | None = None
    weight: int = 1


class SlurmJobText(_Text, frozen=True):
    id: int
    partition: str
    nodes: int = 1
    cpus_per_node: int = 1
    mem_per_node_mb: int = 0
    constraint: str = ""
    state: str = "pending"
    reason: str = ""
    priority: int = 0


class SlurmText(_Text, frozen=True):
    partitions: tuple[PartitionText, ...] = ()
    nodes: tuple[SlurmNodeText, ...] = ()
    jobs: tuple[SlurmJobText, ...] = ()
    exclude: tuple[str, ...] = ()
    """Names of nodes that are never turned on or off, as `settings.exclude`."""


class Scenario(_Text, frozen=True):
    """One scenario, as written."""

    id: str
    title: str = ""
    source: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    note: str = ""
    pools: tuple[PoolText, ...] = ()
    nodes: tuple[NodeText, ...] = ()
    pods: tuple[PodText, ...] = ()
    daemonsets: tuple[DaemonSetText, ...] = ()
    pdbs: tuple[BudgetText, ...] = ()
    settings: SettingsText = SettingsText()
    history: tuple[HistoryText, ...] = ()
    machines: tuple[MachineText, ...] = ()
    slurm: SlurmText | None = None
    expect: Mapping[str, Any] = {}


class FitCase(_Text, frozen=True):
    """A line of scheduler verdicts: pods with `node` run there, every other one is judged alone."""

    id: str
    nodes: tuple[NodeText, ...]
    pods: tuple[PodText, ...]
    verdict: Mapping[str, Mapping[str, str]] = {}
