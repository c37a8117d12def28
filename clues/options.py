"""What people may set and `decide` reads: pools and policy. Pure. The file around it is `clues.settings`.

Every field has its unit in its name; `clues/settings.py` holds the sentence that documents it. Unknown keys are
refused wherever these are read from text.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from clues.model import Labels, Resources, Taint

__all__ = [
    "BOOTING",
    "BackOff",
    "Budgets",
    "Consolidation",
    "Expander",
    "Headroom",
    "MachineOption",
    "Policy",
    "Pool",
    "Window",
]

BOOTING: Final[Mapping[str, int]] = {"plug": 4, "poe": 4}
"""How many machines of a driver boot at once where it does not say, by its type: boards draw most while they start."""


class Expander(StrEnum):
    """How a pool is chosen where several can help; ties go to the next of `_TIES`, at last to the name."""

    PRICE = "price"
    LEAST_NODES = "least_nodes"
    LEAST_WASTE = "least_waste"
    MOST_PODS = "most_pods"
    TIERS = "tiers"


class Consolidation(StrEnum):
    """What is done with nodes whose pods fit elsewhere."""

    OFF = "off"
    """Only empty nodes go."""
    DELETE = "delete"
    REPLACE = "replace"
    """Delete, or replace: one node, or several, by one that costs less than they do together."""


class MachineOption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A machine of a pool of individually powered machines."""

    name: str
    node: str = ""
    """Its Kubernetes node name; "": the same."""
    address: str = ""
    """What the driver needs: MAC, BMC host, switch port ...; see the driver's page."""
    port: int = 0


class Headroom(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Room that is kept free beyond the demand."""

    nodes: int = 0
    """Empty nodes kept ready (in a pool) or in all (in the policy)."""
    pods: int = 0
    """Slots for pods of `cpu` and `memory` kept free."""
    cpu_m: int = 0
    memory_bytes: int = 0


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of worker node that can be ordered."""

    name: str
    driver: str = ""
    """Name under `drivers`."""
    min: int = 0
    max: int = 10
    allocatable: Resources = {}
    """What pods may request on a fresh node (units of clues.model), with `pods` (110 where missing)."""
    labels: Labels = {}
    """As registered, with zone, arch, os; `kubernetes.io/hostname` is added per node."""
    taints: tuple[Taint, ...] = ()
    startup_taints: tuple[Taint, ...] = ()
    price: float = 1.0
    """Per node-hour, in any one currency."""
    tier: int = 0
    powered: bool = False
    """Its machines are individuals (see `machines`), chosen by name."""
    machines: tuple[MachineOption, ...] = ()
    node_names: str = ""
    """Shell pattern of the names of its nodes (`wn-*`); "" with no `node_label`: label `pool` = its name."""
    node_label: str = ""
    """`key=value` that marks its nodes."""
    keep_node_object: bool | None = None
    """Whether a parked machine's Node stays (cordoned, tainted); None: for powered pools."""
    watts_off: float = 0.0
    watts_idle: float = 0.0
    watts_busy: float = 0.0
    boot_s: float = 60.0
    """Expected time from order to ready: for simulation and reports."""
    max_booting: int | None = None
    """Power-ups under way at once over all pools of its driver (a power supply's inrush, a PoE switch's budget). Read
    from text, it is the driver's `booting` where it is missing."""
    headroom: Headroom = Headroom()
    min_on_s: float = 0.0
    min_off_s: float = 0.0
    unneeded_s: float | None = None
    """Overrides the policy's."""


class BackOff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long something rests after its failures: doubled only by a failure that comes after the last rest ended."""

    initial_s: float = 300.0
    max_s: float = 1800.0
    reset_s: float = 10800.0


class Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A limit on nodes that are disrupted at once."""

    nodes: str
    """A number or a share (`20%`, rounded up) of the pool's (or all) nodes."""
    pool: str = ""
    """"": of all pools together."""
    reasons: tuple[str, ...] = ()
    """Of `empty`, `underused`; (): every reason."""
    schedule: str = ""
    """Five cron fields (UTC) of when it begins to hold; "": always."""
    duration_s: float = 0.0


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time during which a pool has other limits."""

    schedule: str
    duration_s: float
    pool: str = ""
    min: int | None = None
    max: int | None = None
    no_scale_in: bool = False


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How decisions are made. Defaults and meanings: shared/cases/elasticity/scenarios.yaml, conventions."""

    expander: Expander = Expander.PRICE
    max_nodes: int | None = None
    max_cores: float | None = None
    max_memory_bytes: int | None = None
    min_cores: float = 0.0
    balance: bool = False
    enforce_min: bool = False
    utilization_threshold: float = 0.5
    count_daemonsets: bool = True
    unneeded_s: float = 600.0
    unready_s: float = 1200.0
    remove_unready: bool = True
    delay_after_scale_up_s: float = 600.0
    delay_after_failure_s: float = 180.0
    max_drain: int = 1
    max_parallel: int = 10
    max_provision_s: float = 900.0
    max_booting: int | None = None
    """Power-ups under way at once over all pools."""
    backoff: BackOff = BackOff()
    """Of a pool whose order failed."""
    removal_backoff: BackOff = BackOff(max_s=3600.0)
    """Of a node whose removal failed."""
    expendable_below: int = -10
    ok_unready: int = 3
    max_unready_percent: float = 45.0
    block_local_storage: bool = True
    block_kube_system: bool = True
    block_unreplicated: bool = True
    consolidation: Consolidation = Consolidation.DELETE
    budgets: tuple[Budgets, ...] = ()
    schedules: tuple[Window, ...] = ()
    schedulers: tuple[str, ...] = ("default-scheduler",)
    unseen_pods_s: float = 2.0
    """A pod that the scheduler has not looked at for so long is judged without it."""
    headroom: Headroom = Headroom()
    max_stale_s: float = 60.0
    """A snapshot older than this never scales in."""
    scale_in: bool = True
    scale_out: bool = True


NO_LABELS: Final[Mapping[str, str]] = {}
