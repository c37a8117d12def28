"""The adapter of all clouds behind libcloud: what differs is in their descriptors."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from im_client.auth.credentials import Credential
from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Provider, Severity
from im_client.providers.cloud.choose import rules_of
from im_client.providers.cloud.credentials import the_credential
from im_client.providers.cloud.kept import Kept
from im_client.providers.cloud.lent import Lent
from im_client.providers.cloud.model import CloudImage, ImageQuery, Layout, Order, Server, Size
from im_client.providers.cloud.provider import CloudProvider
from im_client.providers.libcloud.descriptor import Descriptor, Key, Keys, Login, New, Power, Priced
from im_client.providers.libcloud.drivers import Pool, Target, driver_class
from im_client.providers.libcloud.marks import named_for, owner_of, unique
from im_client.providers.libcloud.settings import LibcloudSettings
from im_client.providers.libcloud.units import tag_words
from im_client.providers.offers import Price
from im_client.providers.quotas import Quota, Share
from im_client.providers.registry import decode_settings
from im_client.providers.things import Thing
from infracore.clock import Clock, SystemClock
from infracore.errors import Conflict, InvalidUsage, Misconfigured, NotFound, Unauthorised, Unsupported

__all__ = ["LibcloudCloud", "open_cloud"]

_T = TypeVar("_T")
_ANYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})
_REACHED: Final[Mapping[Power, Phase]] = {"start": Phase.RUNNING, "stop": Phase.STOPPED}


def open_cloud(
    descriptor: Descriptor, settings: Mapping[str, Any], credentials: Sequence[Credential], lent: Lent | None = None
) -> Provider:
    """Open the provider of one cloud; nobody is asked yet.

    Raises:
        Misconfigured: a setting or a field of the auth file is wrong. Unauthorised: there are no credentials.
    """
    own = decode_settings(descriptor.kind, settings, LibcloudSettings)
    credential = the_credential(own.credential, credentials, descriptor.title)
    if credential is None:
        raise Unauthorised(
            f"there are no credentials for {descriptor.title}",
            f"add a line `type = {descriptor.title}; ...` to the auth file (docs/reference/clouds.md)",
        )
    cloud = LibcloudCloud(descriptor, own, descriptor.login(credential.fields, own), lent=lent)
    return CloudProvider(cloud, own)


class LibcloudCloud:
    """See `Cloud`."""

    schemes: frozenset[str] = frozenset()

    def __init__(
        self,
        descriptor: Descriptor,
        settings: LibcloudSettings,
        login: Login,
        clock: Clock | None = None,
        lent: Lent | None = None,
    ) -> None:
        self.kind = descriptor.kind
        self._own = descriptor
        self._network = settings.network
        self._region = settings.region or login.region
        self.place = ", ".join(word for word in (descriptor.title, login.account, self._region) if word)
        self._kept = Kept(clock or SystemClock())
        target = Target.of(settings.address or login.address, self.place, settings.request_s, settings.ca_file)
        words = (self.kind, f"{target.host}:{target.port}" if target.host else "", login.account, self._region)
        self._identity = " ".join(filter(None, words))
        if lent is not None:
            if settings.address:
                lent = lent.allowing(target.host or "")
            elif login.address:
                lent.check(login.address)
            target = replace(target, lent=lent)
        more = login.wire(target, clock or SystemClock()) if login.wire is not None else {}

        def make() -> Any:
            cls = driver_class(descriptor.driver, target, descriptor.connection, more)
            words = [login.key.reveal()] + ([login.secret.reveal()] if login.secret is not None else [])
            return cls(*words, **login.options)

        self._pool = Pool(make, self.place)

    # what it is

    def identity(self) -> str:
        """Return address, account (where the login names one) and region."""
        return self._identity

    def limits(self) -> Limits:
        return Limits(self.kind, unsupported=self._own.unsupported)

    def check(self) -> Sequence[Finding]:
        """List regions, and machines: some clouds tell their regions to anybody."""
        known = self._with(self._own.regions)
        if self._region not in known:
            text = f"{self._own.title} has no region {self._region!r}" if self._region else "no region is set"
            return (Finding("region", Severity.ERROR, text, f"set `region` to one of: {', '.join(sorted(known))}"),)
        count = len(self._with(lambda driver: self._own.servers(driver, self._region)))
        return (Finding("login", Severity.OK, f"{self.place}, {count} machines"),)

    def renew(self) -> bool:
        return False

    def close(self) -> None:
        self._pool.close()

    # choosing

    def sizes(self) -> Sequence[Size]:
        return [one.size for one in self._priced()]

    def _priced(self) -> Sequence[Priced]:
        region = self._somewhere()
        return self._kept.get("sizes", lambda: self._with(lambda driver: self._own.sizes(driver, region)))

    def images(self, query: ImageQuery) -> Sequence[CloudImage]:
        region = self._somewhere()
        return self._with(lambda driver: self._own.images(driver, region, query))

    def layout(self, spec: Spec, infrastructure: str | None) -> Layout:
        """Say what is so of every machine here; refuse networks of one's own, and what no firewall would keep out."""
        del infrastructure
        inner = [card for card in spec.interfaces if not card.public]
        for card in spec.interfaces:
            if card.fixed_address or card.provider_name or (card.cidr and not card.public):
                raise Unsupported(
                    f"{self.place} gives no fixed address, range or network by name (interface on {card.network})",
                    "leave them out, or choose another provider",
                )
        if len(inner) > 1:
            raise Unsupported(f"{self.place} gives a machine one private network at most", "use one private network")
        self._check_tags(spec)
        notes = []
        if self._own.firewall is None and "ports" not in self._own.unsupported:
            narrow = [rule.remote_cidr for rule in rules_of(spec.ports) if rule.remote_cidr not in _ANYWHERE]
            if narrow:
                raise Unsupported(
                    f"{self.place} has no firewall here, so that ports cannot be opened to {narrow[0]} only",
                    "open them to all, or choose another provider",
                )
            notes.append("no firewall: every port of its machines is open")
        if inner and not self._own.has_private:
            notes.append("no private network: its machines reach each other at their public addresses")
        return Layout(networks=(self._network,) if self._network else (), notes=tuple(notes))

    def _check_tags(self, spec: Spec) -> None:
        for word in tag_words(spec.tags):
            if self._own.tags is not None and re.fullmatch(self._own.tags, word) is None:
                raise Unsupported(f"{self.place} has no tags like {word!r}", "change or remove it in the template")

    def price(self, size: Size, spec: Spec) -> Price | None:
        del spec
        cost = next((one.per_hour for one in self._priced() if one.size.id == size.id), None)
        return Price(cost, "USD", f"{self._own.title} now") if cost is not None else None

    def quotas(self) -> Quota:
        """Count the machines of the account, ours and others."""
        used = len([s for s in self._with(lambda d: self._own.servers(d, self._region)) if s.phase is not Phase.GONE])
        asked = self._own.machines
        limit = self._with(lambda driver: asked(driver, self._somewhere())) if asked is not None else Share()
        return Quota(machines=replace(limit, used=used))

    # machines

    def create(self, order: Order) -> Server:
        """One request, and before it those for what its infrastructure shares, once."""
        self.layout(order.spec, order.infrastructure)
        try:
            return self._create(order)
        except (NotFound, Unsupported):
            # the key or firewall that was kept may be gone, by another process: once more with what is there now
            if not self._forget(order.infrastructure):
                raise
            return self._create(order)
        except Conflict:  # its name is made of the token: an earlier try has made it, whose answer was lost
            there = next((one for one in self.servers(order.infrastructure) if one.token == order.token), None)
            if there is None:
                raise
            return there

    def _create(self, order: Order) -> Server:
        new = New(
            order=order,
            name=unique(order.name, order.token),
            region=self._somewhere(),
            network=self._network,
            wall=self._wall(order),
            key_id=self._key(order),
        )
        return self._with(lambda driver: self._own.create(driver, new))

    def settle(self, server: Server, order: Order) -> Server:
        del order
        return server

    def server(self, server_id: str) -> Server:
        found = self._with(lambda driver: self._own.server(driver, _checked(server_id), self._region))
        if found.phase is Phase.GONE:
            raise NotFound(f"the machine {server_id} is gone")
        return found

    def servers(self, infrastructure: str | None) -> Sequence[Server]:
        found = self._with(lambda driver: self._own.servers(driver, self._region))
        return [
            server
            for server in found
            if server.token and infrastructure in {None, server.infrastructure} and server.phase is not Phase.GONE
        ]

    def start(self, server_id: str) -> None:
        self._act(server_id, "start")

    def stop(self, server_id: str) -> None:
        self._act(server_id, "stop")

    def reboot(self, server_id: str) -> None:
        self._act(server_id, "reboot")

    def _act(self, server_id: str, power: Power) -> None:
        """Look, then ask: these clouds refuse what is so already."""
        if self.server(server_id).phase is not _REACHED.get(power):
            self._with(lambda driver: self._own.act(driver, server_id, self._region, power))

    def resize(self, server_id: str, size: Size, spec: Spec) -> None:
        """Nothing is changed in place, as `limits` says."""
        del spec
        if self.server(server_id).size not in {size.id, size.name}:
            raise Unsupported(f"{self.place} makes no machine larger here", "it must be made anew")

    def delete(self, server_id: str) -> None:
        try:
            self._with(lambda driver: self._own.delete(driver, _checked(server_id), self._region))
        except NotFound:
            return

    def console(self, server_id: str) -> str:
        asked = self._own.console
        return self._with(lambda driver: asked(driver, _checked(server_id), self._region)) if asked is not None else ""

    # what machines share

    def _key(self, order: Order) -> str:
        keys = self._own.keys
        if keys is None:
            return ""
        name = named_for(order.infrastructure, f"key{_digest(order.public_key)}")
        return self._kept.get(
            ("key", order.infrastructure, name), lambda: self._found_or_made_key(keys, name, order.public_key)
        )

    def _found_or_made_key(self, keys: Keys, name: str, public_key: str) -> str:
        """A key that the account has under another name serves too: DigitalOcean takes none twice."""
        found = _the_key(self._with(keys.every), name, public_key)
        if found is None:
            try:
                found = self._with(lambda driver: keys.add(driver, name, public_key))
            except (Conflict, Unsupported):
                found = _the_key(self._with(keys.every), name, public_key)
                if found is None:
                    raise
        return found.id

    def _wall(self, order: Order) -> str:
        build = self._own.firewall
        if build is None:
            return ""
        words = [f"{rule.protocol}/{rule.first}-{rule.last}@{rule.remote_cidr}" for rule in order.rules]
        name = f"im-clues-{_digest(order.infrastructure, *words)}"

        def made() -> str:
            self._with(lambda driver: build(driver, order.infrastructure, name, order.rules, self._network))
            return name

        return self._kept.get(("wall", order.infrastructure, name), made)

    def things(self, infrastructure: str | None) -> Sequence[Thing]:
        found: list[Thing] = []
        if self._own.things is not None:
            found += self._with(self._own.things)
        if self._own.keys is not None:
            for key in self._with(self._own.keys.every):
                if owner := owner_of(key.name):
                    found.append(Thing(key.id, "key pair", key.name, owner))
        return [thing for thing in found if infrastructure in {None, thing.infrastructure}]

    def remove(self, thing: Thing) -> None:
        self._forget(thing.infrastructure)
        keys, remove = self._own.keys, self._own.remove
        try:
            if thing.kind == "key pair" and keys is not None:
                self._with(lambda driver: keys.remove(driver, thing.id))
            elif remove is not None:
                self._with(lambda driver: remove(driver, thing))
            else:
                raise InvalidUsage(f"{self._own.title} has no {thing.kind} of ours")
        except NotFound:
            return

    def _forget(self, infrastructure: str) -> bool:
        return self._kept.forget(lambda key: isinstance(key, tuple) and key[1] == infrastructure)

    def _somewhere(self) -> str:
        if not self._region:
            raise Misconfigured(
                f"{self._own.title}: where machines are made is not set",
                f"set `region` of {self.kind}; im doctor lists what there is",
            )
        return self._region

    def _with(self, call: Callable[[Any], _T]) -> _T:
        with self._pool.driver() as driver:
            return call(driver)


def _the_key(keys: Sequence[Key], name: str, public_key: str) -> Key | None:
    """Return the key of this content, else of this name, which is made of the content."""
    body = public_key.split()[:2]
    same = [key for key in keys if key.name == name or (key.public_key and key.public_key.split()[:2] == body)]
    return min(same, key=lambda key: (key.name != name, key.id), default=None)


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def _checked(server_id: str) -> str:
    """Return an id that goes into the path of a request.

    Raises:
        NotFound: no machine can have it.
    """
    if re.fullmatch(r"[A-Za-z0-9_-]{1,128}", server_id) is None:
        raise NotFound(f"there is no machine {server_id[:60]!r}")
    return server_id
