"""What the use cases are asked and what they answer: frozen values that `cli` and `api` render."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from im_client.configure.model import Failure
from im_client.plan.model import Phase, Plan
from im_client.providers.base import Finding
from im_client.providers.offers import Offer
from im_client.providers.quotas import Quota
from im_client.remote.access import Access
from im_client.state.store import Budget, InfrastructureRecord, NodeRecord, RunRecord, RunState, Source
from im_client.template.problems import Problem
from im_client.topology.model import Topology
from im_client.topology.values import Value
from infracore.exitcodes import ExitCode

__all__ = [
    "ApplyReport",
    "Choice",
    "Cost",
    "DeployRequest",
    "Forecast",
    "InfrastructureView",
    "LogView",
    "NodeReport",
    "Prepared",
    "SshTarget",
    "Timing",
    "ValidateReport",
    "Verb",
]

from enum import StrEnum


class Verb(StrEnum):
    """The commands that change an infrastructure; also the verb of its runs and its lock."""

    DEPLOY = "deploy"
    DESTROY = "destroy"
    SCALE = "scale"
    RECONFIGURE = "reconfigure"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """A template and what the user said with it. Paths may be relative to the context's folder."""

    template: str
    add_ons: tuple[str, ...] = ()
    inputs: Mapping[str, Value] = field(default_factory=dict)
    name: str | None = None
    """The infrastructure's name; None: the template's name. One that exists is updated."""
    provider: str | None = None
    """None: the recorded one, or the settings' default."""
    provider_settings: Mapping[str, Value] = field(default_factory=dict)
    """Settings of the provider for this infrastructure (`--set KEY=VALUE`); recorded, sealed."""
    configure: bool = True
    fresh: bool = False
    """Whether a new infrastructure is made in any case: its name gets the beginning of its id."""
    lease_s: float | None = None
    """How long it may live from now on; None: as recorded, infinite: for ever."""
    budget: Budget | None = None
    """None: as recorded; an infinite one: none."""


@dataclass(frozen=True, slots=True)
class ValidateReport:
    """`im validate`. Machines per node template at its default count, groups of none left out."""

    problems: tuple[Problem, ...]
    machines: Mapping[str, int]
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What machines of one kind would be made of at one of their sites."""

    site: str
    machines: tuple[str, ...]
    offer: Offer
    """Empty where the site does not tell."""
    rank: int = 0
    """0: it is asked first; others where those before have no room."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What machines cost while they run."""

    per_hour: Mapping[str, float] = field(default_factory=dict)
    """By currency."""
    unpriced: tuple[str, ...] = ()
    """Machines whose price nobody tells."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a plan would make, and what that would cost."""

    choices: tuple[Choice, ...] = ()
    made: Cost = Cost()
    """Of what is made, at the sites that are asked first."""
    total: Cost = Cost()
    """Of all machines then, each that is made at the dearest of its sites."""
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    """Site -> how much room there is."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan with all that applying it needs. Made without changing anything."""

    verb: Verb
    infrastructure: InfrastructureRecord
    """As recorded, or as it will be (revision 0 and `is_new`)."""
    is_new: bool
    plan: Plan
    topology: Topology
    source: Source
    warnings: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """What the user should know besides the plan: interrupted runs, a provider that did not answer."""
    configure: bool = True
    source_changed: bool = False
    terms_changed: bool = False
    lease_s: float | None = None
    """As it was asked for now, and `budget`; None: as recorded."""
    budget: Budget | None = None
    skip_hooks: bool = False
    scrub: tuple[str, ...] | None = None
    """Patterns of what is removed from machines before they stop, for images of them; None: nothing is."""
    forecast: Forecast = Forecast()


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one phase of a run took, over all nodes together (wall seconds)."""

    phase: str
    """`prepare`, `create`, `wait`, `configure`, `delete` ..."""
    seconds: float


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What became of one machine in a run."""

    name: str
    ok: bool
    phase: Phase
    error: str = ""
    hint: str = ""
    failure: Failure | None = None
    """Set where its configuration failed: the task, file and line."""
    exit_code: ExitCode = ExitCode.FAILED
    """What its error stands for, where it failed."""


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """How a run ended."""

    infrastructure: str
    name: str
    run: str
    verb: Verb
    state: RunState
    nodes: tuple[NodeReport, ...]
    outputs: Mapping[str, Value]
    timings: tuple[Timing, ...]
    log_dir: str
    elapsed_s: float
    left: tuple[str, ...] = ()
    """Of DESTROY: what machines shared and could not be removed, a line each. The infrastructure is not forgotten."""


@dataclass(frozen=True, slots=True)
class InfrastructureView:
    """One infrastructure for `im list` and `im show`."""

    record: InfrastructureRecord
    counts: Mapping[Phase, int]
    nodes: tuple[NodeRecord, ...] = ()
    """Empty in a listing."""
    last_run: RunRecord | None = None
    busy_with: str = ""
    """Who is changing it now (`im deploy, process 1234`), or ""."""


@dataclass(frozen=True, slots=True)
class LogView:
    """One run's story: its events, and the full Ansible logs (path -> text) in order."""

    run: RunRecord
    lines: tuple[str, ...]
    ansible: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SshTarget:
    """How to reach a machine."""

    node: str
    access: Access


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """`im doctor`: findings by area (`program`, `settings`, `state`, provider names)."""

    findings: Mapping[str, tuple[Finding, ...]]
