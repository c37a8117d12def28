"""What a plan would make and cost, for people."""

from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from im_client.cli.shapes import HOURS_A_MONTH, time_shape
from im_client.providers.offers import Offer
from im_client.providers.quotas import Quota, Share
from im_client.services.model import Choice, Cost, Forecast
from im_client.state.store import Budget, Terms
from infracore.cli.tables import bare_table, cell, counted
from infracore.cli.text import clean
from infracore.units import format_bytes

__all__ = ["budget_text", "forecast_view", "lease_text"]

_NAMED: Final = 3


def forecast_view(forecast: Forecast, terms: Terms, now: float | None = None) -> RenderableType | None:
    """Return what machines would be made of, where, what they cost and what room there is; None: nothing is known."""
    told = [choice for choice in forecast.choices if choice.offer != Offer()]
    parts: list[RenderableType] = []
    if told:
        parts.append(_choices_table(told))
    if forecast.made.per_hour:
        parts.append(Text(f"Price: {_cost_text(forecast.made)} for what is made", style="bold"))
        if forecast.total != forecast.made:
            parts.append(
                Text(f"       {_cost_text(forecast.total)} for all machines then, at the dearest of their sites")
            )
    if terms.budget is not None:
        parts.append(Text(f"Budget: {budget_text(terms.budget)}"))
    if terms.expires_at is not None:
        parts.append(Text(f"Lease: {lease_text(terms.expires_at, now)}"))
    parts += [Text(text) for site, quota in forecast.quotas.items() if (text := _quota_text(site, quota))]
    return Group(*parts) if parts else None


def lease_text(expires_at: float, now: float | None = None) -> str:
    """Say when an infrastructure is destroyed."""
    said = f"destroyed at {time_shape(expires_at)}"
    return f"{said} (due)" if now is not None and expires_at <= now else said


def budget_text(budget: Budget) -> str:
    """Say what an infrastructure may cost."""
    said = f"{budget.per_hour:.4g} {budget.currency}".strip() + " an hour"
    return f"{said}; machines of unknown price count as nothing" if budget.allows_unknown else said


def _choices_table(choices: list[Choice]) -> RenderableType:
    table = bare_table("SITE", "MACHINES", "SIZE", "IMAGE", "ZONE", "PER HOUR")
    for choice in choices:
        offer = choice.offer
        price = offer.price
        table.add_row(
            cell(choice.site if choice.rank == 0 else f"else {choice.site}"),
            cell(_machines_text(choice.machines)),
            cell(_size_text(offer)),
            cell(offer.image),
            cell(offer.zone),
            cell("unknown" if price is None else f"{price.per_hour:.4g} {price.currency} each ({price.source})"),
        )
    notes = dict.fromkeys((choice.site, note) for choice in choices for note in choice.offer.notes)
    return Group(table, *(Text(f"  {clean(site)}: {clean(note)}", "dim") for site, note in notes))


def _machines_text(names: tuple[str, ...]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{names[0]} ... {names[-1]} ({len(names)})"


def _size_text(offer: Offer) -> str:
    parts = [counted(offer.num_cpus, "CPU")] if offer.num_cpus else []
    parts += [format_bytes(offer.mem_bytes)] if offer.mem_bytes else []
    parts += [f"disk {format_bytes(offer.disk_bytes)}"] if offer.disk_bytes else []
    parts += [counted(offer.num_gpus, "GPU")] if offer.num_gpus else []
    return f"{offer.size} ({', '.join(parts)})" if parts else offer.size


def _cost_text(cost: Cost) -> str:
    said = ", ".join(
        f"{amount:.4g} {clean(currency)} an hour, {amount * HOURS_A_MONTH:.2f} {clean(currency)} a month"
        for currency, amount in cost.per_hour.items()
    )
    return f"{said} and {counted(len(cost.unpriced), 'machine')} of unknown price" if cost.unpriced else said


def _quota_text(site: str, quota: Quota) -> str:
    said = [
        _share_text(quota.machines, "machines"),
        _share_text(quota.cpus, "CPUs"),
        _share_text(quota.memory_bytes, "memory"),
        _share_text(quota.disk_bytes, "disk"),
    ]
    known = [text for text in said if text]
    return f"Room at {clean(site)}: {', '.join(known)}" if known else ""


def _share_text(share: Share, what: str) -> str:
    if share.limit is None:
        return ""
    is_size = what in {"memory", "disk"}
    used, limit = (
        (format_bytes(share.used or 0), format_bytes(share.limit)) if is_size else (share.used or 0, share.limit)
    )
    return f"{used} of {limit} {what} used"
