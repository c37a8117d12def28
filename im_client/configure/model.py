"""What a run of Ansible is asked, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from im_client.remote.access import Access
from im_client.topology.model import Artifact
from im_client.topology.values import Value

__all__ = ["AnsibleSettings", "Failure", "Host", "NodeResult", "Play", "PlayEvent", "RunResult", "Strategy"]


class Strategy(StrEnum):
    """How Ansible reaches the machines."""

    AUTO = "auto"
    """mitogen where it supports the installed ansible-core, else plain."""
    MITOGEN = "mitogen"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class AnsibleSettings:
    """How `ansible-playbook` is run."""

    program: str = ""
    """Path of `ansible-playbook`; empty: the one beside this Python, else the one on PATH."""
    forks: int = 20
    strategy: Strategy = Strategy.AUTO
    timeout_s: float = 3600.0
    """Limit of one run."""
    connect_timeout_s: float = 20.0
    verbosity: int = 0
    roles_path: tuple[str, ...] = ()
    """Folders of roles in front of ours."""
    collections_path: tuple[str, ...] = ()
    offline: bool = False
    """Whether Galaxy roles and https artifacts come from the cache only."""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine in the inventory. Every machine of the infrastructure is there, so that plays can look at others."""

    name: str
    group: str
    access: Access
    variables: Mapping[str, Value] = field(default_factory=dict)
    """Resolved values only."""


@dataclass(frozen=True, slots=True)
class Play:
    """One operation on some machines. Plays run in order; a machine that fails takes part in no later play."""

    id: str
    """The operation's id."""
    component: str
    operation: str
    hosts: tuple[str, ...]
    implementation: Artifact
    inputs: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Machine -> resolved inputs, which become variables of the play on that machine."""
    requires: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """The first task that failed on a machine."""

    node: str
    play: str
    task: str
    file: str
    line: int
    message: str
    last_lines: tuple[str, ...] = ()
    """The end of its stdout and stderr, ten lines at most."""
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one machine. `ended` names the plays that succeeded on it, in order."""

    name: str
    ok: bool
    changed: int = 0
    tasks: int = 0
    ended: tuple[str, ...] = ()
    failure: Failure | None = None
    outputs: Mapping[str, Mapping[str, Mapping[str, Value]]] = field(default_factory=dict)
    """`im_outputs` that plays set by set_fact: component -> operation -> name -> value."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The whole run."""

    nodes: Mapping[str, NodeResult]
    log: Path
    elapsed_s: float
    strategy: Strategy
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class PlayEvent:
    """Something happened while Ansible ran. `node` is "" for the run as a whole."""

    kind: str
    """`play`, `task`, `ok`, `changed`, `failed`, `unreachable`, `skipped`, `retry`, `end`."""
    node: str
    text: str
    play: str = ""
