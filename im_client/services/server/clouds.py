"""Which provider a caller's credentials stand for, and the clouds that a caller lends credentials for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from im_client.auth.credentials import Credential
from im_client.providers.registry import cloud_of, is_cloud
from im_client.services.context import LENT, Context
from im_client.services.server.callers import Caller
from infracore.errors import InvalidUsage, NotFound, Unauthorised

__all__ = ["chosen_provider", "is_lent", "known_clouds", "lent_lines", "needs_line", "offered", "provider_of_cloud"]

_TYPES: Final[Mapping[str, str]] = MappingProxyType({"dummy": "fake"})
"""Types of the Infrastructure Manager's auth file that are called otherwise here and need no credential; the others are
clouds, or providers by their own name."""


def needs_line(site: str) -> bool:
    """Return whether callers use a provider with credentials of their own only."""
    return is_cloud(site) and site not in _TYPES.values()


def is_lent(line: Credential) -> bool:
    """Return whether a line is a credential of a cloud; others only say which provider of this server is meant."""
    return line.type.lower() not in _TYPES and cloud_of(line.type) is not None


def lent_lines(ctx: Context, account: str, credentials: tuple[Credential, ...]) -> dict[str, Credential]:
    """Return site -> line, for the lines of an account that are for clouds which this server lets callers use."""
    allowed = offered(ctx)
    return {
        f"{line.id}{LENT}{account}": line
        for line in credentials
        if line.id and is_lent(line) and cloud_of(line.type) in allowed
    }


def chosen_provider(ctx: Context, caller: Caller) -> str:
    """Return the provider or cloud of the caller's first line that this server offers, else the server's own default.

    Raises:
        Unauthorised: none of the lines is for a provider that this server offers.
    """
    allowed = offered(ctx)
    for line in caller.credentials:
        site = _site(ctx, caller, line)
        if _may_use(ctx, site):
            return site
    own = ctx.settings.provider if ctx.settings.provider in allowed else allowed[0]
    if needs_line(own) or (caller.credentials and ctx.settings.provider not in allowed):
        raise Unauthorised(
            "none of your credentials is for a cloud of this server", f"it offers: {', '.join(sorted(allowed))}"
        )
    return own


def provider_of_cloud(ctx: Context, caller: Caller, cloud: str) -> str:
    """Return the provider or site of a cloud that the caller names by the id of a line, or as `known_clouds` does.

    Raises:
        NotFound: no line has this id. InvalidUsage: its type is none that this server offers.
    """
    credential = next((c for c in caller.credentials if c.id == cloud), None)
    if credential is None and cloud in (known := known_clouds(ctx, caller)):
        return known[cloud]
    if credential is None:
        raise NotFound(f"your Authorization header has no line with the id {cloud!r}")
    site = _site(ctx, caller, credential)
    if not _may_use(ctx, site):
        raise InvalidUsage(f"this server offers no provider for the type of {cloud!r}")
    return site


def known_clouds(ctx: Context, caller: Caller) -> Mapping[str, str]:
    """Return id -> provider or site, for the caller's lines of clouds that this server offers.

    Without such a line there is the provider that machines come from then, by its own name.
    """
    found = {c.id: site for c in caller.credentials if c.id and _may_use(ctx, site := _site(ctx, caller, c))}
    if found:
        return found
    try:
        own = chosen_provider(ctx, caller)
    except Unauthorised:
        return {}
    return {own: own}


def offered(ctx: Context) -> tuple[str, ...]:
    """Return the providers and sites that callers may use; of clouds, those that they may bring credentials for."""
    return ctx.settings.server.providers or (ctx.settings.provider,)


def _site(ctx: Context, caller: Caller, line: Credential) -> str:
    """Return the site of a line that is lent, else the provider of its type."""
    lent = f"{line.id}{LENT}{caller.name}"
    kind = line.type.lower()
    return lent if lent in ctx.lent else _TYPES.get(kind, cloud_of(kind) or kind)


def _may_use(ctx: Context, site: str) -> bool:
    return site in ctx.lent or (site in offered(ctx) and not needs_line(site))
