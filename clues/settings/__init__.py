"""The settings of cluesd: what may be set, what it means, where it is looked for, and what is refused.

May import what `decide` needs (`clues.policy`, `clues.options`) and infracore; never a source, a driver or the daemon.
Tests: `tests/clues/settings/`.
"""

from clues.settings.docs import DOCS, describe, reference
from clues.settings.load import files, load_settings, warnings
from clues.settings.model import (
    HOOKS,
    ActionOptions,
    ClusterKind,
    CommandOptions,
    DaemonOptions,
    Hook,
    HookOptions,
    KubernetesOptions,
    LeaseOptions,
    LoopOptions,
    PodGroups,
    ReportOptions,
    Settings,
    SlurmOptions,
)

__all__ = [
    "DOCS",
    "HOOKS",
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
    "describe",
    "files",
    "load_settings",
    "reference",
    "warnings",
]
