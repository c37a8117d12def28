"""EGI's dynamic DNS: names of machines in the zones of nsupdate.fedcloud.eu.

API: docs.egi.eu, "Dynamic DNS": `/nic/domains`, `/nic/hosts`, `/nic/register`, `/nic/unregister` with a Check-in token
as bearer, and `/nic/update` of dyndns2 with it or with the name's own secret. The secret that a registration hands out
is thrown away: with the token none is needed, so that none has to be kept.

Ours are known by their comment: `im-clues INFRASTRUCTURE TOKEN MACHINE SITE`.
"""

import base64
import ipaddress
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from im_client.auth.asking import Service
from infracore.errors import CommandFailed, Conflict, Misconfigured, NotFound, Unauthorised, Unsupported
from infracore.secrets import Secret

__all__ = ["DnsName", "DynamicDns", "Mark", "parse_secrets"]

_NAME: Final = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}", re.IGNORECASE)
_MARK: Final = re.compile(r"im-clues (\S+) (\S+) (\S+) (\S+)")
_REFUSALS: Final[Mapping[str, str]] = {
    "nohost": "it is not yours, or not registered",
    "badauth": "the token or secret is not taken",
    "notfqdn": "it is no full name",
    "abuse": "it is blocked for abuse",
    "badagent": "this client is refused",
    "dnserr": "the name server failed",
    "911": "the service is broken now",
}
"""Answers of dyndns2 (help.dyn.com, "Return Codes") beside `good` and `nochg`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """For whom a name was registered."""

    infrastructure: str
    token: str
    machine: str
    """Its id at the site."""
    site: str

    def __str__(self) -> str:
        return f"im-clues {self.infrastructure} {self.token} {self.machine} {self.site}"


@dataclass(frozen=True, slots=True)
class DnsName:
    """A registered name. `mark` is None where it is not ours."""

    name: str
    address: str
    mark: Mark | None


class _Domain(msgspec.Struct):
    name: str
    available: bool = True


class _Domains(msgspec.Struct):
    private: list[_Domain] = []
    public: list[_Domain] = []


class _Host(msgspec.Struct):
    fqdn: str
    comment: str | None = None
    ipv4: str | None = None
    ipv6: str | None = None
    wildcard: bool = False


class _Hosts(msgspec.Struct):
    hosts: list[_Host] = []


class _Done(msgspec.Struct):
    status: str = ""
    message: str = ""


def parse_secrets(text: str) -> Mapping[str, Secret]:
    """Read `NAME:SECRET, NAME:SECRET` of an auth line's `dns_secrets`.

    Raises:
        Misconfigured: it is not of this form; the message quotes nothing of it.
    """
    found: dict[str, Secret] = {}
    for number, one in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        name, colon, secret = one.partition(":")
        if not colon or not secret or _NAME.fullmatch(name) is None:
            raise Misconfigured(
                f"entry {number} of dns_secrets is no NAME:SECRET", "host.vm.fedcloud.eu:SECRET, several by commas"
            )
        found[name.lower()] = Secret(secret)
    return found


@dataclass(eq=False)
class DynamicDns:
    """The service, as one user. Safe under threads."""

    service: Service
    token: Callable[[], Secret]
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Of names that were registered by hand: name -> secret."""
    _zones: tuple[str, ...] | None = None
    _set: dict[str, str] = field(default_factory=dict)
    """Names that this process has set -> address."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_ours(self, name: str) -> bool:
        """Say whether the service can hold a name: it is in one of its zones, or there is a secret for it.

        Raises:
            Unsupported: it is no name. Others: as `Service.get`.
        """
        if _NAME.fullmatch(name) is None:
            raise Unsupported(
                f"{name.rpartition('@')[2][:200]!r} is no DNS name",
                "the secret of a name stands in the auth line: dns_secrets = NAME:SECRET"
                if "@" in name
                else "write it in full, such as web.vm.fedcloud.eu",
            )
        if name.lower() in self.secrets:
            return True
        return _zone(name) in self._all_zones()

    def point(self, name: str, address: str, mark: Mark) -> None:
        """Make a name point to an address; may be repeated.

        Raises:
            Conflict: it belongs to another machine, or to somebody else. Others: as `Service.get`.
        """
        name = name.lower()
        with self._lock:
            if self._set.get(name) == address:
                return
        if name in self.secrets:
            self._update(name, address, _basic(name, self.secrets[name]))
        else:
            known = {one.name: one for one in self.names()}.get(name)
            if known is None:
                self._register(name, address, mark)
            elif known.mark is not None and known.mark.infrastructure != mark.infrastructure:
                raise Conflict(
                    f"the DNS name {name} belongs to the infrastructure {known.mark.infrastructure}",
                    "choose another name, or destroy that one (im orphans, if nothing knows it any more)",
                )
            elif known.mark is not None and known.mark.machine != mark.machine:
                self._unregister(name)  # of a machine that was replaced; its comment cannot be changed
                self._register(name, address, mark)
            elif known.address != address:
                self._update(name, address, self._bearer())
        with self._lock:
            self._set[name] = address

    def names(self) -> Sequence[DnsName]:
        """List the user's names. Raises as `Service.get`."""
        said = self.service.get("/nic/hosts", _Hosts, authorization=self._bearer())
        return [_name(host) for host in said.hosts]

    def remove(self, name: str) -> None:
        """Remove a name that carries our mark; absent: succeeds, and so does one that was made by hand."""
        found = next((one for one in self.names() if one.name == name.lower()), None)
        with self._lock:
            self._set.pop(name.lower(), None)
        if found is not None and found.mark is not None:
            self._unregister(found.name)

    def _register(self, name: str, address: str, mark: Mark) -> None:
        wildcard = name.startswith("*.")
        query = {"fqdn": name.removeprefix("*."), "ip": address, "comment": str(mark)}
        query |= {"wildcard": "true"} if wildcard else {}
        try:
            done = self.service.get("/nic/register", _Done, query=query, authorization=self._bearer())
        except CommandFailed as error:  # 400: formerr (taken, or not allowed), nxdomain
            raise Conflict(
                f"{error.message}: the DNS name {name} is taken, or cannot be had", "choose another name"
            ) from error
        if done.status != "ok":
            raise Conflict(f"the DNS name {name} was not registered: {done.message[:200]}", "choose another name")

    def _unregister(self, name: str) -> None:
        try:
            query = {"fqdn": name.removeprefix("*.")}
            self.service.get("/nic/unregister", _Done, query=query, authorization=self._bearer())
        except NotFound:
            return

    def _update(self, name: str, address: str, authorization: Secret) -> None:
        query = {"hostname": name.removeprefix("*."), "myip": str(ipaddress.ip_address(address))}
        answer = self.service.ask("GET", "/nic/update", query=query, authorization=authorization)
        said = answer.body.decode(errors="replace").split()
        word = said[0] if said else ""
        if word not in {"good", "nochg"}:
            kind = Unauthorised if word in {"badauth", "nohost"} else CommandFailed
            raise kind(
                f"the DNS name {name} cannot be set: {_REFUSALS.get(word, repr(word[:40]))}",
                "register it with this account, or give its secret: dns_secrets in the auth line",
            )

    def _all_zones(self) -> tuple[str, ...]:
        with self._lock:
            if self._zones is not None:
                return self._zones
        said = self.service.get("/nic/domains", _Domains, authorization=self._bearer())
        zones = tuple(one.name.lower() for one in (*said.private, *said.public) if one.available)
        with self._lock:
            self._zones = zones
        return zones

    def _bearer(self) -> Secret:
        return Secret(f"Bearer {self.token().reveal()}")


def _zone(name: str) -> str:
    """Return the zone that the service looks for: all behind the first dot."""
    return name.lower().removeprefix("*.").partition(".")[2]


def _name(host: _Host) -> DnsName:
    found = _MARK.fullmatch(host.comment or "")
    name = f"*.{host.fqdn}" if host.wildcard else host.fqdn
    return DnsName(name.lower(), host.ipv4 or host.ipv6 or "", Mark(*found.groups()) if found else None)


def _basic(name: str, secret: Secret) -> Secret:
    text = base64.b64encode(f"{name.removeprefix('*.')}:{secret.reveal()}".encode()).decode()
    return Secret(f"Basic {text}")
