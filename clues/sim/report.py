"""The figures of a simulation."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Result", "percentile", "result_shape"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a workload fared under some settings. Times are virtual."""

    name: str
    jobs: int
    finished: int
    never_ran: int
    wait_mean_s: float
    wait_p50_s: float
    wait_p95_s: float
    wait_max_s: float
    node_hours: float
    """From the order of a machine to its power-off."""
    utilisation: float
    """Share of the nodes' cpu time (ready to off) that jobs had requested."""
    energy_kwh: float
    """Machines that are on, boot, or stand by."""
    cost: float
    """Node hours by the pools' prices, and energy by `report.price_per_kwh`."""
    most_nodes: int
    power_ons: int
    power_offs: int
    failed_power_ons: int
    evictions: int
    hours: float
    """From the first arrival until nothing more happened."""
    decisions: int
    pools: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Pool -> its node_hours, energy_kwh, cost and power_ons."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted values; 0 where there are none."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


def result_shape(result: Result) -> dict[str, Any]:
    """Return a result as plain data."""
    return dataclasses.asdict(result)
