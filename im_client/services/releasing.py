"""The end of `im destroy`: what machines shared at their sites goes after them."""

from collections.abc import Callable, Iterable

from im_client.providers.things import Keeps
from im_client.services.sites import Sites
from infracore.errors import InfraError, InvalidUsage, Misconfigured

__all__ = ["release"]


def release(sites: Sites, used: Iterable[str], named: Iterable[str], note: Callable[[str], None]) -> list[str]:
    """Remove all that is no machine at the sites where machines were and at those that a template names.

    Blocks until it is gone: minutes where a cloud is slow to let go of a network. May be repeated.

    Returns:
        What could not be removed, a line each, so that the infrastructure must not be forgotten.
    """
    kept: list[str] = []
    must = set(used)
    for site in dict.fromkeys((*used, *named)):
        try:
            provider = sites.at(site)
            if isinstance(provider, Keeps):
                kept += provider.release(sites.infrastructure.id)
        except (InvalidUsage, Misconfigured) as error:
            if site in must:
                kept.append(f"{site} cannot be asked: {error.message}")
            else:  # a template may name what is not set up here, and nothing was made there then
                note(f"{site} is not looked at: {error.message}")
        except InfraError as error:
            kept.append(f"{site} cannot be asked: {error.message}")
    return kept
