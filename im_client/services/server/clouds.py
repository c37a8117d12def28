"""Which provider a caller's credentials stand for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from im_client.services.context import Context
from im_client.services.server.callers import Caller
from infracore.errors import InvalidUsage, NotFound, Unauthorised

__all__ = ["chosen_provider", "known_clouds", "provider_of_cloud"]

_TYPES: Final[Mapping[str, str]] = MappingProxyType({"dummy": "fake"})
"""Types of the Infrastructure Manager's auth file that are called otherwise here; the others by their own name."""


def chosen_provider(ctx: Context, caller: Caller) -> str:
    """Return the provider of the caller's first line that this server offers, else the server's own default.

    Raises:
        Unauthorised: none of the lines is for a provider that this server offers.
    """
    offered = ctx.settings.server.providers or (ctx.settings.provider,)
    kinds = [_provider(credential.type) for credential in caller.credentials]
    for kind in kinds:
        if kind in offered:
            return kind
    if kinds and ctx.settings.provider not in offered:
        raise Unauthorised(
            "none of your credentials is for a cloud of this server", f"it offers: {', '.join(sorted(offered))}"
        )
    return ctx.settings.provider if ctx.settings.provider in offered else offered[0]


def provider_of_cloud(ctx: Context, caller: Caller, cloud: str) -> str:
    """Return the provider of a cloud that the caller names by the id of a line, or as `known_clouds` calls it.

    Raises:
        NotFound: no line has this id. InvalidUsage: its type is none that this server offers.
    """
    credential = next((c for c in caller.credentials if c.id == cloud), None)
    if credential is None and cloud in (known := known_clouds(ctx, caller)):
        return known[cloud]
    if credential is None:
        raise NotFound(f"your Authorization header has no line with the id {cloud!r}")
    kind = _provider(credential.type)
    if kind not in (ctx.settings.server.providers or (ctx.settings.provider,)):
        raise InvalidUsage(f"this server offers no provider for the type of {cloud!r}")
    return kind


def known_clouds(ctx: Context, caller: Caller) -> Mapping[str, str]:
    """Return id -> provider, for the caller's lines of clouds that this server offers.

    Without such a line there is the provider that machines come from then, by its own name.
    """
    offered = ctx.settings.server.providers or (ctx.settings.provider,)
    found = {c.id: _provider(c.type) for c in caller.credentials if c.id and _provider(c.type) in offered}
    if found:
        return found
    try:
        own = chosen_provider(ctx, caller)
    except Unauthorised:
        return {}
    return {own: own}


def _provider(kind: str) -> str:
    return _TYPES.get(kind.lower(), kind.lower())
