"""At which of several sites machines are made: by the template's word, by what each could make, by price.

A Placement's `cloud_id` is a site of its own: the line of the auth file with that id. For every machine that a plan
makes its sites are asked beforehand: one that has no image or size for it is left out, and where none is left the plan
is refused.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from im_client.plan.model import Action, Plan, Spec, Step
from im_client.providers.offers import Offer, Offers
from im_client.services.model import Choice
from im_client.services.room import as_offered, has_room, quota_told
from im_client.services.sites import Sites
from im_client.topology.model import Choose, Group, Topology
from infracore.errors import InfraError, InvalidUsage, NotFound, Several, Unsupported

__all__ = ["Asked", "Placed", "place", "with_clouds"]

MAKING: Final = frozenset({Action.CREATE, Action.REPLACE})
_CANNOT: Final = (NotFound, Unsupported)


def with_clouds(topology: Topology, sites: Sites) -> Topology:
    """Return a topology in which a Placement's cloud is the first of its sites.

    A site that is an Infrastructure Manager chooses among its own clouds: there `cloud_id` stays what it is.

    Raises:
        InvalidUsage: no line of the auth file, site or provider is called so.
    """
    groups = dict(topology.groups)
    for name, group in topology.groups.items():
        said = group.placement
        own = tuple(sites.ctx.site_of(site) for site in said.sites)
        if said.cloud_id is None or any(sites.ctx.kind(site) == "im" for site in (sites.own, *own)):
            groups[name] = _at(group, own)
            continue
        cloud = sites.ctx.site_of(said.cloud_id)
        try:
            sites.ctx.kind(cloud)
        except InvalidUsage as error:
            if not sites.ctx.needs_known_clouds:
                continue
            raise InvalidUsage(
                f"{name} is placed at the cloud {said.cloud_id!r}, and no line of the auth file has this id", error.hint
            ) from error
        groups[name] = _at(group, (cloud, *own))
    return dataclasses.replace(topology, groups=groups)


def _at(group: Group, sites: tuple[str, ...]) -> Group:
    return dataclasses.replace(group, placement=dataclasses.replace(group.placement, sites=tuple(dict.fromkeys(sites))))


class Asked:
    """What sites say of machines; each is asked once of each kind of machine. For one thread."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._told: dict[tuple[str, str], Offer | InfraError] = {}
        self._silent: dict[str, InfraError] = {}

    def offer(self, site: str, spec: Spec) -> Offer:
        """Return what a machine would be made of; empty where the site does not tell.

        Raises:
            NotFound, Unsupported: it cannot be made there. InfraError: the site cannot be asked.
        """
        if site in self._silent:  # and for as long as all tries took, which need not be waited for again
            raise self._silent[site]
        key = (site, kind_of(spec))
        if key not in self._told:
            provider = self._sites.at(site)
            try:
                self._told[key] = provider.offer(spec) if isinstance(provider, Offers) else Offer()
            except _CANNOT as error:
                self._told[key] = error
            except InfraError as error:
                self._silent[site] = error
                raise
        found = self._told[key]
        if isinstance(found, InfraError):
            raise found
        return found


@dataclass(frozen=True, slots=True)
class Placed:
    """A plan whose machines are asked for where they can be had, in the best order."""

    plan: Plan
    choices: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()


def place(plan: Plan, topology: Topology, sites: Sites, asked: Asked) -> Placed:
    """Ask the sites of all machines that a plan makes what they would be made of.

    Raises:
        Unsupported: no site of a group can make its machines (`Several`: of several groups).
        InfraError: the only site that could, cannot be asked.
    """
    kinds: dict[tuple[str, str, tuple[str, ...]], list[Step]] = {}
    for step in plan.steps:
        if step.action in MAKING and step.spec is not None:
            kinds.setdefault((step.group, kind_of(step.spec), step.sites), []).append(step)
    choices: list[Choice] = []
    notes: list[str] = []
    errors: list[InfraError] = []
    ordered: dict[str, tuple[str, ...]] = {}
    for steps in kinds.values():
        found = _asked(steps[0], sites.own, asked)
        if not found.offers:
            errors.append(_refusal(steps[0], found.refusals))
            continue
        group = topology.groups.get(steps[0].group)
        how = (group.placement.choose if group is not None else None) or sites.ctx.settings.placement
        order = list(found.offers)
        if how is Choose.CHEAPEST and len(order) > 1:
            order = _by_price(steps, found.offers, sites)
        notes += [f"{site} is left out for {steps[0].group}: {error.message}" for site, error in found.refusals.items()]
        names = tuple(step.node for step in steps)
        choices += [Choice(site, names, found.offers[site], rank) for rank, site in enumerate(order)]
        if steps[0].sites:
            ordered.update((step.id, tuple(order)) for step in steps)
    if errors:
        several = list({id(error): error for error in errors}.values())  # a site that cannot be asked says it once
        raise several[0] if len(several) == 1 else Several(several)
    steps_now = tuple(
        dataclasses.replace(step, sites=ordered[step.id], images=_kept(step.images, ordered[step.id]))
        if step.id in ordered and ordered[step.id] != step.sites
        else step
        for step in plan.steps
    )
    return Placed(dataclasses.replace(plan, steps=steps_now), tuple(choices), tuple(dict.fromkeys(notes)))


def kind_of(spec: Spec) -> str:
    """Return the same word for machines that are made of the same: names and tags do not count."""
    cards = tuple(dataclasses.replace(card, dns_names=()) for card in spec.interfaces)
    return repr(dataclasses.replace(spec, tags={}, interfaces=cards))


@dataclass(slots=True)
class _Answers:
    """What the sites of one kind of machine say, in the order in which they were asked."""

    offers: dict[str, Offer] = field(default_factory=dict)
    refusals: dict[str, InfraError] = field(default_factory=dict)


def _asked(step: Step, own: str, asked: Asked) -> _Answers:
    found = _Answers()
    for site in step.sites or (own,):
        spec = dataclasses.replace(step.spec or Spec(), golden_image=step.images.get(site))
        try:
            found.offers[site] = asked.offer(site, spec)
        except InfraError as error:
            found.refusals[site] = error
    return found


def _refusal(step: Step, refusals: Mapping[str, InfraError]) -> InfraError:
    """Say why the machines of a group cannot be made; a site that could not be asked may be able to, later."""
    unknown = next((error for error in refusals.values() if not isinstance(error, _CANNOT)), None)
    if unknown is not None:
        return unknown
    said = "; ".join(f"{site}: {error.message}" for site, error in refusals.items())
    hint = next((error.hint for error in refusals.values() if error.hint), "")
    return Unsupported(f"{step.group} cannot be made: {said}", hint or "change what the template asks for")


def _by_price(steps: Sequence[Step], offers: Mapping[str, Offer], sites: Sites) -> list[str]:
    """Sort sites by room, price and order; prices in several currencies are not compared."""
    prices = [offer.price for offer in offers.values() if offer.price is not None]
    same = len({price.currency for price in prices}) <= 1
    specs = [step.spec for step in steps if step.spec is not None]

    def rank(item: tuple[int, str]) -> tuple[bool, bool, float, int]:
        number, site = item
        quota = quota_told(sites.at(site))
        price = offers[site].price if same else None
        return (
            quota is not None and not has_room(quota, (as_offered(spec, offers[site]) for spec in specs)),
            price is None,
            price.per_hour if price is not None else 0.0,
            number,
        )

    return [site for _, site in sorted(enumerate(offers), key=rank)]


def _kept(images: Mapping[str, str], sites: Iterable[str]) -> dict[str, str]:
    wanted = set(sites)
    return {site: image for site, image in images.items() if site in wanted}
