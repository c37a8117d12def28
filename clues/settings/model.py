"""The settings as values. Every field is documented in `clues.settings.docs`, with its unit in its name."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from clues.options import Policy, Pool

__all__ = [
    "HOOKS",
    "VETOES",
    "ActionOptions",
    "ClusterKind",
    "CommandOptions",
    "DaemonOptions",
    "Hook",
    "HookOptions",
    "KubernetesOptions",
    "LeaseOptions",
    "LoopOptions",
    "PodGroups",
    "ReportOptions",
    "Settings",
    "SlurmOptions",
]


class PodGroups(StrEnum):
    """Whose PodGroups are read: programs that start gangs."""

    COSCHEDULING = "coscheduling"
    VOLCANO = "volcano"


class KubernetesOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the API server is reached and watched."""

    kubeconfig: str = ""
    context: str = ""
    connect_s: float = 5.0
    request_s: float = 30.0
    page: int = 500
    watch_s: float = 300.0
    idle_s: float = 90.0
    backoff_first_s: float = 0.5
    backoff_most_s: float = 30.0
    pod_groups: tuple[PodGroups, ...] = ()


class ClusterKind(StrEnum):
    """Whose nodes and work are looked at."""

    KUBERNETES = "kubernetes"
    SLURM = "slurm"
    COMMAND = "command"


class SlurmOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How Slurm is asked."""

    folder: str = ""
    config: str = ""
    read: str = "auto"
    restd: str = ""
    restd_token: str = ""
    restd_ca_file: str = ""
    poll_s: float = 2.0
    partitions_s: float = 60.0
    call_s: float = 30.0
    power_saving: bool = False


class CommandOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The programs of another batch system."""

    nodes: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    poll_s: float = 5.0
    call_s: float = 30.0


class LoopOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a pass is made."""

    burst_window_s: float = 0.05
    tick_s: float = 5.0


class ActionOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How machines are turned on and off."""

    workers: int = 16
    look_again_s: float = 2.0
    drain_s: float = 900.0
    evict_request_s: float = 10.0
    evict_pause_s: float = 5.0
    off_s: float = 600.0
    list_s: float = 60.0
    attempts: int = 4
    retry_first_s: float = 2.0
    retry_most_s: float = 60.0


class LeaseOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which of several daemons acts."""

    enabled: bool = False
    name: str = "cluesd"
    namespace: str = "kube-system"
    identity: str = ""
    duration_s: float = 15.0
    renew_s: float = 10.0
    retry_s: float = 2.0


class DaemonOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The process itself."""

    state_dir: Path = Path("/var/lib/clues")
    socket: Path = Path("/run/clues/clues.sock")
    socket_group: str = ""
    metrics_listen: str = "127.0.0.1:9808"
    dry_run: bool = False
    log_level: str = "info"
    log_json: bool = False
    events: bool = True
    events_per_minute: float = 60.0
    status_config_map: str = "kube-system/cluesd-status"
    stop_s: float = 8.0


class Hook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program that is told of an event."""

    command: tuple[str, ...] = ()
    timeout_s: float = 180.0
    veto: bool = False


class HookOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fourteen events of CLUES."""

    working_folder: Path = Path("/")
    pre_poweron: Hook = Hook()
    post_poweron: Hook = Hook()
    pre_poweroff: Hook = Hook()
    post_poweroff: Hook = Hook()
    poweredon: Hook = Hook()
    poweredoff: Hook = Hook()
    unexpected_poweron: Hook = Hook()
    unexpected_poweroff: Hook = Hook()
    onerr: Hook = Hook()
    offerr: Hook = Hook()
    unknown: Hook = Hook()
    idle: Hook = Hook()
    used: Hook = Hook()
    request: Hook = Hook()


HOOKS: Final = tuple(name for name in HookOptions.__struct_fields__ if name != "working_folder")
VETOES: Final = frozenset({"pre_poweron", "pre_poweroff", "request"})
"""Hooks that come before something and may forbid it by a status other than 0."""


class ReportOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept for reports, and in which money they are drawn."""

    currency: str = "EUR"
    price_per_kwh: float = 0.0
    retention_days: float = 90.0
    recordings_bytes: int = 64 * 1024 * 1024


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of cluesd."""

    cluster: ClusterKind = ClusterKind.KUBERNETES
    kubernetes: KubernetesOptions = KubernetesOptions()
    slurm: SlurmOptions = SlurmOptions()
    command: CommandOptions = CommandOptions()
    pools: tuple[Pool, ...] = ()
    drivers: Mapping[str, Mapping[str, Any]] = {}
    policy: Policy = Policy()
    loop: LoopOptions = LoopOptions()
    actions: ActionOptions = ActionOptions()
    lease: LeaseOptions = LeaseOptions()
    daemon: DaemonOptions = DaemonOptions()
    hooks: HookOptions = HookOptions()
    report: ReportOptions = ReportOptions()
