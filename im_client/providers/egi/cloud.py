"""The adapter: the project of a VO at one site, an OpenStack that is entered with a token of Check-in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from im_client.auth.asking import safe_url
from im_client.plan.model import Phase, Spec
from im_client.providers.base import Finding, Severity
from im_client.providers.cloud.lent import Lent
from im_client.providers.cloud.model import CloudImage, ImageQuery, Layout, Order, Server
from im_client.providers.egi.account import Account
from im_client.providers.egi.dns import Mark
from im_client.providers.egi.settings import EgiSettings
from im_client.providers.egi.sites import SiteImage, find_image
from im_client.providers.openstack.cloud import OpenStackCloud
from im_client.providers.openstack.session import region
from im_client.providers.openstack.sizes_images import find_images
from im_client.providers.things import Thing
from infracore.clock import Clock
from infracore.errors import InfraError, NotFound, TimedOut, Transient

if TYPE_CHECKING:
    from openstack.config.cloud_region import CloudRegion

__all__ = ["EgiCloud", "image_in_glance"]

_DNS_MARK: Final = "im-clues-dns"
"""On machines with names in the dynamic DNS, so that nobody else's removal asks for them."""
_NAME: Final = "DNS name"


class EgiCloud(OpenStackCloud):
    """See `OpenStackCloud`. Beside it: who logs in where, images of the registry, names of machines."""

    def __init__(self, account: Account, settings: EgiSettings, clock: Clock, lent: Lent | None = None) -> None:
        schemes = frozenset({"ost", "appdb"})
        super().__init__(self._connect, settings, account.place, kind="egi", schemes=schemes, clock=clock)
        self.account = account
        self._own = settings
        self._lent = lent
        self._clock = clock
        self._named: dict[str, bool] = {}
        """Id of a machine -> whether it has names. Written by threads, each of which writes the same."""

    def check(self) -> Sequence[Finding]:
        """Look for the site, the token and the VO's project, then as in any OpenStack; ends at the first error."""
        found: list[Finding] = []
        try:
            for look in (self._check_site, self._check_token, self.account.membership, super().check):
                found += look()
        except InfraError as error:
            found.append(Finding(self.place, Severity.ERROR, error.message, error.hint))
        return found

    def _check_site(self) -> Sequence[Finding]:
        where = self.account.where()
        notes = [Finding("information service", Severity.WARNING, note) for note in self.account.information.notes]
        return [
            *notes,
            Finding("site", Severity.OK, f"{where.site.name} ({where.site.endpoint}), project {where.project}"),
        ]

    def _check_token(self) -> Sequence[Finding]:
        claims = self.account.tokens.claims
        text = f"of {claims.subject or 'an owner whom it does not name'}"
        if claims.expires_at is not None:
            text += f", for {(claims.expires_at - self._clock.now()) / 60:.0f} min"
        return [Finding("access token", Severity.OK, text)]

    def renew(self) -> bool:
        """Get another token; those who were refused together share it."""
        if not self.account.tokens.renew():
            return False
        super().renew()  # False where another thread was quicker
        return True

    # choosing

    def images(self, query: ImageQuery) -> Sequence[CloudImage]:
        """List images of the site; one that it has under another name is looked for as the registry calls it."""
        found = find_images(self._api, query)
        if found or not query.name:
            return found
        images = self._glance_of(query.name)
        return [replace(image, name=query.name) for image in images]

    def _glance_of(self, name: str) -> Sequence[CloudImage]:
        where = self.account.where()
        failure: InfraError | None = None
        try:
            known = find_image(self.account.information.images(where.site, self.account.vo), name)
        except InfraError as error:  # the site's own images may tell as well
            known, failure = None, error
        found = find_images(self._api, ImageQuery(name=known.id)) if known is not None else ()
        if not found:
            raw = self._api.all("image", "/images", "images", {"status": "active", "limit": 500})
            known = find_image([image_in_glance(one) for one in raw], name)
            found = find_images(self._api, ImageQuery(name=known.id)) if known is not None else ()
        if not found and failure is not None:
            raise failure
        return found

    def layout(self, spec: Spec, infrastructure: str | None) -> Layout:
        layout = super().layout(spec, infrastructure)
        return replace(layout, notes=(*layout.notes, *self._notes(spec)))

    def _notes(self, spec: Spec) -> Sequence[str]:
        """Say what becomes of the names of machines."""
        names = _names(spec)
        if not names or self.account.dns is None:
            return [f"{name}: no service sets it, point it to the machine yourself" for name in names]
        if not any(card.public for card in spec.interfaces):
            return [f"{name}: not set, for the machine has no public address" for name in names]
        try:
            ours = {name: self.account.dns.is_ours(name) for name in names}
        except (Transient, TimedOut) as error:  # no plan fails for it
            return [f"{name}: {error.message}" for name in names]
        return [
            f"{name}: {'set in the dynamic DNS' if is_ours else 'in none of its zones, set it yourself'}"
            for name, is_ours in ours.items()
        ]

    # machines

    def create(self, order: Order) -> Server:
        if _names(order.spec) and self.account.dns is not None:
            order = replace(order, spec=replace(order.spec, tags={**order.spec.tags, _DNS_MARK: "yes"}))
        return self._noted(super().create(order))

    def settle(self, server: Server, order: Order) -> Server:
        """Give it its address, then its names."""
        settled = super().settle(server, order)
        dns = self.account.dns
        if dns is None or settled.phase is not Phase.RUNNING or not settled.public_addresses:
            return settled
        for name in _names(order.spec):
            if dns.is_ours(name):
                site = self.account.where().site.name
                mark = Mark(order.infrastructure, order.token, settled.id, site)
                dns.point(name, settled.public_addresses[0], mark)
        return settled

    def server(self, server_id: str) -> Server:
        return self._noted(super().server(server_id))

    def servers(self, infrastructure: str | None) -> Sequence[Server]:
        return [self._noted(server) for server in super().servers(infrastructure)]

    def _noted(self, server: Server) -> Server:
        self._named[server.id] = _DNS_MARK in server.marks
        return server

    def delete(self, server_id: str) -> None:
        """Delete a machine, then its names: one that costs money does not wait for a name server."""
        if server_id not in self._named:
            try:
                self.server(server_id)
            except NotFound:  # its names may be there still
                self._named[server_id] = True
        super().delete(server_id)
        dns = self.account.dns
        if dns is None or not self._named[server_id]:
            return
        for name in dns.names():
            if name.mark is not None and name.mark.machine == server_id:
                dns.remove(name.name)

    # what is no machine

    def things(self, infrastructure: str | None) -> Sequence[Thing]:
        """List also the names that machines of this site have in the dynamic DNS, where there may be some."""
        return [*self._dns_things(infrastructure), *super().things(infrastructure)]

    def _dns_things(self, infrastructure: str | None) -> Sequence[Thing]:
        dns = self.account.dns
        if dns is None or (infrastructure is not None and not any(self._named.values())):
            return ()
        site = self.account.where().site.name
        marked = [(one.name, one.mark) for one in dns.names() if one.mark is not None and one.mark.site == site]
        return [
            Thing(name, _NAME, name, mark.infrastructure, mark.token, mark.machine)
            for name, mark in marked
            if infrastructure in {None, mark.infrastructure}
        ]

    def remove(self, thing: Thing) -> None:
        if thing.kind != _NAME:
            super().remove(thing)
        elif self.account.dns is not None:
            self.account.dns.remove(thing.id)

    def _connect(self) -> "CloudRegion":
        where = self.account.where()
        site = where.site
        safe_url(site.endpoint, f"the endpoint of {site.name}")
        auth = {
            "auth_url": _identity(site.endpoint),
            "identity_provider": site.identity_provider or self._own.identity_provider,
            "protocol": site.protocol or self._own.protocol,
            "access_token": self.account.tokens.get().reveal(),
            "project_id": where.project,
        }
        return region("v3oidcaccesstoken", auth, self._own.region or site.region, self._own, self._lent)


def image_in_glance(raw: Mapping[str, Any]) -> SiteImage:
    """Return an image of a site as the registry knows it, by the properties that atrope and cloudkeeper write."""
    try:
        more = json.loads(raw.get("APPLIANCE_ATTRIBUTES") or "{}")
    except (ValueError, TypeError):
        more = {}
    said = {**(more if isinstance(more, dict) else {}), **raw}

    def text(*keys: str) -> str:
        return next((value for key in keys if isinstance(value := said.get(key), str) and value), "")

    name = text("name")
    title = name.removeprefix("Image for ").partition("[")[0].strip()
    also = (text("appdb_id"), text("ad:appid"), title.replace(" ", ".").lower())
    return SiteImage(
        egi_id=text("eu.egi.cloud.image_ref"),
        id=text("id"),
        name=name,
        version=text("eu.egi.cloud.tag", "hv:version", "vmcatcher_event_hv_version"),
        mpuri=text("vmcatcher_event_ad_mpuri", "ad:mpuri", "marketplace"),
        also=tuple(filter(None, also)),
    )


def _names(spec: Spec) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for card in spec.interfaces for name in card.dns_names))


def _identity(endpoint: str) -> str:
    url = endpoint.rstrip("/").removesuffix("/v2.0")
    return url if url.endswith("/v3") else f"{url}/v3"
