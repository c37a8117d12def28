"""What the sites of a plan know beforehand: which host each machine gets, and what a machine cannot do."""

from collections.abc import Iterable, Mapping

from im_client.plan.model import Action, Plan, Spec, Step
from im_client.providers.foretelling import Foretells
from im_client.services.sites import Sites
from im_client.state.store import NodeRecord
from infracore.errors import InfraError, NoCapacity, Several, Unsupported

__all__ = ["foretold", "refuse_impossible"]


def foretold(plan: Plan, sites: Sites) -> tuple[str, ...]:
    """Return a sentence for each new machine whose site knows more of it; steps with a choice of sites are left out.

    Raises:
        NoCapacity: a site has no room, and the plan gives none back. InfraError: it cannot be asked.
    """
    wanted: dict[str, dict[str, Spec]] = {}
    for step in plan.steps:
        if step.action is Action.CREATE and len(step.sites) <= 1:
            site = step.sites[0] if step.sites else sites.own
            wanted.setdefault(site, {})[step.node] = step.spec or Spec()
    gives_back = any(step.action in {Action.DELETE, Action.REPLACE} for step in plan.steps)
    notes: list[str] = []
    for site, machines in wanted.items():
        provider = sites.at(site)
        if isinstance(provider, Foretells):
            try:
                notes += provider.foretell(machines)
            except NoCapacity as error:
                if not gives_back:
                    raise
                notes.append(f"until others are released: {error.message}")
    return tuple(notes)


def refuse_impossible(steps: Iterable[Step], records: Mapping[str, NodeRecord], sites: Sites) -> None:
    """Refuse steps that a machine's site knows to be impossible, before anything is done for any of them.

    Raises:
        Unsupported (Several of them): a machine, and why not.
    """
    errors: list[InfraError] = []
    for step in steps:
        record = records[step.node]
        provider = sites.at(record.provider)
        if record.provider_id and isinstance(provider, Foretells):
            why = provider.refusal(record.provider_id, step.action)
            if why:
                errors.append(Unsupported(f"{step.node} cannot {step.action}: {why}", "leave it out"))
    if errors:
        raise errors[0] if len(errors) == 1 else Several(errors)
