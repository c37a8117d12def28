"""What machines cost, added up, and whether that is within the budget."""

from collections.abc import Iterable, Mapping

from im_client.plan.model import Action, Plan, Spec
from im_client.providers.offers import Price
from im_client.services.model import Choice, Cost
from im_client.services.placing import Asked
from im_client.state.store import Budget, NodeRecord
from infracore.errors import InfraError
from infracore.exitcodes import ExitCode

__all__ = ["OverBudget", "check_budget", "cost_of_all", "cost_of_made"]


class OverBudget(InfraError):
    """What a plan makes would cost more than was allowed, or nobody says what it costs."""

    code = "over-budget"
    exit_code = ExitCode.INVALID


def cost_of_made(choices: Iterable[Choice]) -> Cost:
    """Add up what the machines of a plan cost at the sites that are asked first."""
    return _added((name, choice.offer.price) for choice in choices if choice.rank == 0 for name in choice.machines)


def cost_of_all(plan: Plan, choices: Iterable[Choice], nodes: Mapping[str, NodeRecord], asked: Asked) -> Cost:
    """Add up what all machines cost once a plan is carried out; each that is made at the dearest of its sites."""
    dearest: dict[str, Price | None] = {}
    for choice in choices:
        for name in choice.machines:
            dearest[name] = _dearer(dearest[name], choice.offer.price) if name in dearest else choice.offer.price
    going = {step.node for step in plan.steps if step.action is Action.DELETE}
    changed = {step.node: step.spec for step in plan.steps if step.action is Action.UPDATE and step.spec is not None}
    kept = {
        name: _price(node.provider, changed.get(name, node.spec), asked)
        for name, node in nodes.items()
        if name not in going and name not in dearest
    }
    return _added([*dearest.items(), *kept.items()])


def check_budget(budget: Budget | None, cost: Cost) -> None:
    """Refuse what would cost more than the budget, also where it comes to the dearest of its sites.

    Raises:
        OverBudget: it would, or a price is not known or in another currency.
    """
    if budget is None:
        return
    if cost.unpriced and not budget.allows_unknown:
        names = ", ".join(cost.unpriced[:5]) + (f" and {len(cost.unpriced) - 5} more" if len(cost.unpriced) > 5 else "")
        raise OverBudget(
            f"there is a budget, and nobody says what {names} would cost",
            "set prices of the provider, or let them count as nothing: --unknown-prices allow",
        )
    currency = budget.currency.upper() or next(iter(cost.per_hour), "")
    others = sorted(set(cost.per_hour) - {currency})
    if others:
        raise OverBudget(
            f"the budget is in {currency}, and there are prices in {', '.join(others)}, which are not compared",
            "give a budget in the currency of the prices: --budget 'AMOUNT CURRENCY'",
        )
    wanted = cost.per_hour.get(currency, 0.0)
    if not wanted <= budget.per_hour * (1 + 1e-9):  # this way round: nan is within no budget
        raise OverBudget(
            f"all machines together would cost {wanted:.4g} {currency} an hour, and the budget is "
            f"{budget.per_hour:.4g}",
            "ask for less, or raise it: im deploy ... --budget AMOUNT",
        )


def _added(prices: Iterable[tuple[str, Price | None]]) -> Cost:
    per_hour: dict[str, float] = {}
    unpriced: list[str] = []
    for name, price in prices:
        if price is None:
            unpriced.append(name)
        else:
            currency = price.currency.upper()
            per_hour[currency] = per_hour.get(currency, 0.0) + price.per_hour
    return Cost(per_hour, tuple(unpriced))


def _dearer(one: Price | None, other: Price | None) -> Price | None:
    """Return the dearer of two prices; none where one of them is not known, or they cannot be compared."""
    if one is None or other is None or one.currency != other.currency:
        return None
    return max(one, other, key=lambda price: price.per_hour)


def _price(site: str, spec: Spec, asked: Asked) -> Price | None:
    try:
        return asked.offer(site, spec).price
    except InfraError:  # a machine that is there already is no reason to refuse
        return None
