"""Whether machines without a public address can be logged in to where this computer does not reach the others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from im_client.plan.model import Action, Known, Limits, Plan, Step
from infracore.errors import InfraError, Several, Unsupported

__all__ = ["Reached", "has_private_cards", "with_ways"]

_MAKING = frozenset({Action.CREATE, Action.REPLACE})


@dataclass(frozen=True, slots=True)
class Reached:
    """A plan whose machines are made where they can be logged in to."""

    plan: Plan
    notes: tuple[str, ...] = ()


def has_private_cards(step: Step) -> bool:
    """Return whether a machine gets private addresses only, as far as its template says."""
    cards = step.spec.interfaces if step.spec is not None else ()
    return bool(cards) and not any(card.public for card in cards)


def with_ways(plan: Plan, known: Known, limits: Mapping[str, Limits], own: str) -> Reached:
    """Leave out sites where nothing leads to a machine: it is hidden, and no other there has a public address.

    Raises:
        Unsupported: a machine has no site left (`Several`: of several groups).
    """
    gates = _gates(plan, known, own)
    errors: dict[str, InfraError] = {}
    notes: dict[str, None] = {}
    steps: list[Step] = []
    for step in plan.steps:
        if step.action not in _MAKING or not has_private_cards(step):
            steps.append(step)
            continue
        wanted = step.sites or (own,)
        closed = [site for site in wanted if limits[site].reachable and not limits[site].direct and site not in gates]
        if len(closed) == len(wanted):
            errors[step.group] = Unsupported(
                f"{step.group} has no public address, and no machine of this infrastructure at "
                f"{', '.join(closed)} has one through which it could be reached",
                "give one machine a public network, or let this computer reach private addresses and set `direct`",
            )
        for site in closed:
            notes[f"{site} is left out for {step.group}: no machine there has a public address to reach it by"] = None
        steps.append(replace(step, sites=tuple(s for s in wanted if s not in closed)) if closed else step)
    if errors:
        found = list(errors.values())
        raise found[0] if len(found) == 1 else Several(found)
    return Reached(replace(plan, steps=tuple(steps)) if notes else plan, tuple(notes))


def _gates(plan: Plan, known: Known, own: str) -> set[str]:
    """Return the sites where a machine has, or will have, a public address."""
    steps = {step.node: step for step in plan.steps if step.action in _MAKING | {Action.DELETE}}
    gates = {
        node.provider
        for name, node in known.nodes.items()
        if name not in steps and name in known.facts.nodes and known.facts.nodes[name].public_address
    }
    for step in steps.values():
        if step.action in _MAKING and step.spec is not None and any(card.public for card in step.spec.interfaces):
            gates.update(step.sites or (own,))
    return gates
