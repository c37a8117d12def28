"""Whether there is room for what a plan makes, as far as the places tell."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from im_client.plan.model import Action, Plan, Spec
from im_client.providers.base import Provider
from im_client.providers.offers import Offer
from im_client.providers.quotas import Quota, Quotas, Share
from im_client.services.context import Context
from im_client.services.model import Choice, Prepared
from im_client.services.sites import Sites
from infracore.errors import InfraError
from infracore.units import format_bytes

__all__ = ["Needs", "as_offered", "has_room", "needs_of", "quota_at", "quota_told", "shortages", "with_room"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What machines ask for, added up."""

    machines: int = 0
    cpus: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    gpus: int = 0
    addresses: int = 0
    """Public ones."""


def needs_of(plan: Plan, choices: Iterable[Choice] = ()) -> Needs:
    """Add up what the machines that a plan makes take: what was chosen for them, else what they ask for."""
    chosen = {name: choice.offer for choice in choices if choice.rank == 0 for name in choice.machines}
    makes = ((step.node, step.spec) for step in plan.steps if step.action is Action.CREATE)
    return _added(as_offered(spec, chosen.get(name)) for name, spec in makes if spec is not None)


def as_offered(spec: Spec, offer: Offer | None) -> Spec:
    """Return a spec with CPUs, memory and GPUs of the size that was chosen for it: a quota counts those."""
    if offer is None:
        return spec
    return replace(
        spec,
        num_cpus=offer.num_cpus or spec.num_cpus,
        mem_bytes=offer.mem_bytes or spec.mem_bytes,
        num_gpus=max(offer.num_gpus, spec.num_gpus),
    )


def quota_at(provider: Provider) -> Quota | None:
    """Return how much room there is, None where the provider does not know. Raises what the provider raises."""
    return provider.quotas() if isinstance(provider, Quotas) else None


def quota_told(provider: Provider) -> Quota | None:
    """Do as `quota_at`; None also where the provider cannot say it now: no plan fails for that."""
    try:
        return quota_at(provider)
    except InfraError:
        return None


def shortages(ctx: Context, prepared: Prepared) -> tuple[str, ...]:
    """Return, in words, what there is not enough of for the machines that a plan makes.

    Machines that may be made at several sites are left out: the next one is asked where there is no room. Of what is
    used beyond its limit already it is told at every site that the plan speaks of.
    """
    specs: dict[str, list[Spec]] = {}
    offers = {(one.site, name): one.offer for one in prepared.forecast.choices for name in one.machines}
    for step in prepared.plan.steps:
        if step.action is Action.CREATE and step.spec is not None and len(step.sites) <= 1:
            site = next(iter(step.sites), prepared.infrastructure.provider)
            specs.setdefault(site, []).append(as_offered(step.spec, offers.get((site, step.node))))
    for choice in prepared.forecast.choices:
        specs.setdefault(choice.site, [])
    sites = Sites(ctx, prepared.infrastructure)
    found: list[str] = []
    for site, wanted in specs.items():
        quota = quota_told(sites.at(site))
        if quota is not None:
            needs = _added(wanted)
            found += [*_short(site, quota, needs), *_over(site, quota, needs)]
    return tuple(found)


def with_room(ctx: Context, prepared: Prepared) -> Prepared:
    """Return a plan that says how much room there is, and whose notes say what there is not enough of."""
    sites = Sites(ctx, prepared.infrastructure)
    told = {site: quota_told(sites.at(site)) for site in dict.fromkeys(c.site for c in prepared.forecast.choices)}
    quotas = {site: quota for site, quota in told.items() if quota is not None}
    forecast = replace(prepared.forecast, quotas=quotas)
    return replace(prepared, notes=(*prepared.notes, *shortages(ctx, prepared)), forecast=forecast)


def has_room(quota: Quota, specs: Iterable[Spec]) -> bool:
    """Return whether machines fit into what is left of a quota."""
    return not any(True for _ in _short("", quota, _added(specs)))


def _short(site: str, quota: Quota, needs: Needs) -> Iterable[str]:
    for share, need, what in _firm(quota, needs):
        left = share.left
        if left is not None and need > left:
            yield (
                f"{site} has room for {_amount(left, what)} {what}, and this makes {_amount(need, what)}: "
                "it will not fit as it is"
            )


def _over(site: str, quota: Quota, needs: Needs) -> Iterable[str]:
    """Say what is used beyond its limit, where `_short` is silent since nothing more is asked for."""
    for share, need, what in _firm(quota, needs):
        if share.limit is not None and (share.used or 0) > share.limit and not need:
            yield (
                f"{site} uses {_amount(share.used or 0, what)} {what} and allows {_amount(share.limit, what)}: "
                "nothing more will fit"
            )


def _firm(quota: Quota, needs: Needs) -> Iterable[tuple[Share, int, str]]:
    told = (
        (quota.machines, needs.machines, "machines"),
        (quota.cpus, needs.cpus, "CPUs"),
        (quota.memory_bytes, needs.memory_bytes, "of memory"),
        (quota.disk_bytes, needs.disk_bytes, "of disk"),
    )
    return (one for one in told if one[0].is_firm)


def _amount(number: int, what: str) -> str:
    return format_bytes(number) if what.startswith("of ") else str(number)


def _added(specs: Iterable[Spec]) -> Needs:
    known = list(specs)
    return Needs(
        machines=len(known),
        cpus=sum(spec.num_cpus or 1 for spec in known),
        memory_bytes=sum(spec.mem_bytes or 0 for spec in known),
        disk_bytes=sum((spec.disk_bytes or 0) + sum(v.size_bytes or 0 for v in spec.volumes) for spec in known),
        gpus=sum(spec.num_gpus for spec in known),
        addresses=sum(1 for spec in known for card in spec.interfaces if card.public),
    )
