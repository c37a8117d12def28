"""What a plan would make, where, and what that would cost; asked before anything is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from im_client.plan.model import Action, Limits, Plan
from im_client.plan.reach import with_ways
from im_client.services.costs import check_budget, cost_of_all, cost_of_made
from im_client.services.foretelling import foretold
from im_client.services.known import Observed
from im_client.services.model import Forecast
from im_client.services.placing import Asked, place
from im_client.services.sites import Sites
from im_client.topology.model import Topology

__all__ = ["Foreseen", "foresee"]

_COSTLY: Final = frozenset({Action.CREATE, Action.REPLACE, Action.UPDATE})


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A plan whose machines can be had and reached, with what is known of them beforehand."""

    plan: Plan
    forecast: Forecast = Forecast()  # noqa: RUF009 (frozen)
    notes: tuple[str, ...] = ()


def foresee(plan: Plan, topology: Topology, sites: Sites, observed: Observed, limits: Mapping[str, Limits]) -> Foreseen:
    """Ask the sites of the machines that a plan makes or changes; where there are none, nobody is asked.

    Raises:
        Unsupported: a machine cannot be had, or not be reached. NoCapacity: there is no room for one.
        OverBudget: it would cost too much.
        InfraError: the only site of a machine cannot be asked.
    """
    if not any(step.action in _COSTLY for step in plan.steps):
        return Foreseen(plan)
    asked = Asked(sites)
    reached = with_ways(plan, observed.known, limits, sites.own)
    placed = place(reached.plan, topology, sites, asked)
    total = cost_of_all(placed.plan, placed.choices, observed.records, asked)
    check_budget(sites.infrastructure.terms.budget, total)
    forecast = Forecast(placed.choices, cost_of_made(placed.choices), total)
    return Foreseen(placed.plan, forecast, (*reached.notes, *placed.notes, *foretold(placed.plan, sites)))
