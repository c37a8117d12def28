"""Machines and things that carry our mark and that no state knows: left by a crash, or another computer's.

Whoever uses the same account elsewhere marks what they make as well. So an infrastructure that this state does not know
is no proof that nobody does: what is found is told by infrastructure, and removed only of those that are named.

The sites are looked at first and the state after that: an intent is written before a machine is made, so a machine that
is being made now is known by the time the state is read.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from im_client.plan.model import Phase
from im_client.providers.base import Instance, Provider
from im_client.providers.images import ImageKeeper
from im_client.providers.registry import cloud_of
from im_client.providers.things import Keeps, Thing
from im_client.services.context import Context
from infracore.errors import Cancelled, Conflict, InfraError, NotFound, TimedOut

__all__ = ["Found", "Orphan", "find_orphans", "remove_orphans"]

_GONE_S: Final = 300.0
_FIRST_S: Final = 0.1
_MOST_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Orphan:
    """A machine or a thing that no state knows."""

    site: str
    infrastructure: str
    kind: str
    """`machine`, or the site's word for the thing."""
    id: str
    name: str
    why: str
    created_at: float | None = None
    """Seconds since the epoch; None: the site does not tell."""
    thing: Thing | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, machines before things, things in the order in which they can go."""

    orphans: tuple[Orphan, ...]
    silent: Mapping[str, InfraError] = field(default_factory=dict)
    """Site that could not be asked -> why."""
    sites: tuple[str, ...] = ()
    """Those that were looked at."""


@dataclass(slots=True)
class _Seen:
    machines: list[tuple[str, Instance]] = field(default_factory=list)
    things: list[tuple[str, Thing]] = field(default_factory=list)


def find_orphans(ctx: Context, sites: Collection[str] = ()) -> Found:
    """Look at sites, at all that are known if none is named.

    Raises:
        InvalidUsage: a site that is not there.
    """
    named = tuple(sites) or _all_sites(ctx)
    seen = _Seen()
    silent: dict[str, InfraError] = {}
    for site in named:
        provider = ctx.provider(site) if sites else _opened(ctx, site, silent)
        if provider is None:
            continue
        try:
            machines = provider.list_machines()
            things = _things(provider)
        except InfraError as error:
            silent[site] = error
            continue
        seen.machines += [(site, machine) for machine in machines if machine.phase is not Phase.GONE]
        seen.things += [(site, thing) for thing in things]
    tokens = {record.id: {node.token for node in ctx.store.nodes(record.id)} for record in ctx.store.infrastructures()}
    busy = {infra for infra in tokens if ctx.locks.holder(infra) is not None}
    return Found(tuple(_orphans(seen, tokens, busy)), silent, tuple(site for site in named if site not in silent))


def remove_orphans(
    ctx: Context,
    orphans: Sequence[Orphan],
    *,
    cancel: threading.Event,
    tell: Callable[[Orphan, str], None],
) -> bool:
    """Remove what was found, in this order, waiting until each is gone; return whether all is.

    What cannot be removed does not stop the others; `tell` says of each what became of it.
    """
    well = True
    for orphan in orphans:
        if cancel.is_set():
            raise Cancelled("interrupted; what was not removed is still there", "run the same command to go on")
        provider = ctx.provider(orphan.site)
        try:
            _refuse_known(ctx, orphan)
            if orphan.thing is None:
                provider.delete(orphan.id)
                _until_gone(ctx, provider, orphan, cancel)
            elif isinstance(provider, Keeps):
                provider.remove_thing(orphan.thing)
        except Cancelled:
            raise
        except InfraError as error:
            well = False
            tell(orphan, f"not removed: {error.message}")
        else:
            tell(orphan, "removed")
    return well


def _orphans(seen: _Seen, tokens: Mapping[str, set[str]], busy: Collection[str]) -> Iterable[Orphan]:
    """Say what is not known. What an infrastructure that is being changed makes now, is known in a moment."""
    ids: set[tuple[str, str]] = set()
    for site, machine in seen.machines:
        why = _why(machine.infrastructure, machine.token, tokens, busy, "machine")
        if why and (machine.provider_id, machine.token) not in ids:  # two names may stand for one place
            ids.add((machine.provider_id, machine.token))
            yield Orphan(
                site, machine.infrastructure, "machine", machine.provider_id, machine.name, why, machine.created_at
            )
    for site, thing in seen.things:
        why = _why(thing.infrastructure, thing.token, tokens, busy, thing.kind)
        if why and (thing.id, thing.kind) not in ids:
            ids.add((thing.id, thing.kind))
            yield Orphan(site, thing.infrastructure, thing.kind, thing.id, thing.name, why, thing=thing)


def _why(infra: str, token: str, tokens: Mapping[str, set[str]], busy: Collection[str], what: str) -> str:
    if infra not in tokens:
        return "no infrastructure of this state has this id"
    if infra in busy or token in tokens[infra] or (not token and what != "machine"):
        return ""
    return "the infrastructure has no such machine"


def _refuse_known(ctx: Context, orphan: Orphan) -> None:
    """Look again before the irreversible."""
    token = orphan.thing.token if orphan.thing is not None else None
    try:
        record = ctx.store.infrastructure(orphan.infrastructure)
    except NotFound:
        return
    if record.id != orphan.infrastructure:
        return
    nodes = ctx.store.nodes(record.id)
    ids = {node.provider_id for node in nodes}
    if ctx.locks.holder(record.id) is not None or orphan.id in ids or (token and token in {n.token for n in nodes}):
        raise Conflict(f"{record.name} is being changed, or knows it by now", "look again: im orphans")


def _things(provider: Provider) -> Sequence[Thing]:
    """List the things of a site; golden images are kept on purpose."""
    if not isinstance(provider, Keeps):
        return ()
    kept = {image.id for image in provider.list_images()} if isinstance(provider, ImageKeeper) else set()
    return [thing for thing in provider.things() if thing.id not in kept]


def _all_sites(ctx: Context) -> tuple[str, ...]:
    """Return the sites of the settings and of the records, the clouds of the auth file, and the own provider."""
    lines = [one.id for one in ctx.credentials() if one.id and cloud_of(one.type) is not None]
    recorded = [node.provider for record in ctx.store.infrastructures() for node in ctx.store.nodes(record.id)]
    return tuple(dict.fromkeys((ctx.settings.provider, *ctx.settings.sites, *lines, *recorded)))


def _opened(ctx: Context, site: str, silent: dict[str, InfraError]) -> Provider | None:
    try:
        return ctx.provider(site)
    except InfraError as error:
        silent[site] = error
        return None


def _until_gone(ctx: Context, provider: Provider, orphan: Orphan, cancel: threading.Event) -> None:
    deadline, pause = ctx.clock.monotonic() + _GONE_S, _FIRST_S
    while True:
        try:
            if provider.get(orphan.id).phase is Phase.GONE:
                return
        except NotFound:
            return
        if ctx.clock.monotonic() > deadline:
            raise TimedOut(f"{orphan.name} is still there {_GONE_S:g} s after it was to be deleted", "run it again")
        if ctx.clock.wait(cancel, pause):
            raise Cancelled(f"interrupted while waiting for the end of {orphan.name}", "run the same command to go on")
        pause = min(pause * 1.5, _MOST_S)
