"""The house as one caller sees it: with the clouds that they have credentials for."""

import dataclasses

from im_client.providers.registry import is_cloud
from im_client.services.server.callers import Caller
from im_client.services.server.clouds import is_lent, lent_lines, offered
from im_client.services.server.house import House
from im_client.services.server.vault import with_vault

__all__ = ["known_caller", "of_caller"]


def known_caller(house: House, caller: Caller) -> Caller:
    """Return the caller with all lines that may be used: those that came along, and those of the vault.

    Where workers carry changes out on other machines, credentials of clouds that came along do not reach them.
    """
    if not house.purse.reaches_operations:
        caller = dataclasses.replace(caller, credentials=tuple(one for one in caller.credentials if not is_lent(one)))
    return with_vault(house.vault, caller)


def of_caller(house: House, caller: Caller) -> House:
    """Return the house as one caller sees it: their own clouds are among the sites."""
    if house.ctx.lent or not any(is_cloud(site) for site in offered(house.ctx)):
        return house
    if caller.is_own and caller.infrastructure is not None:
        lines = house.purse.of_owners(caller.infrastructure, house.ctx)
    else:
        lines = lent_lines(house.ctx, caller.name, known_caller(house, caller).credentials)
    return dataclasses.replace(house, ctx=house.ctx.lending(lines)) if lines else house
