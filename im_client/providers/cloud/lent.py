"""Lines that callers of a server lend: nothing of the server's own completes them, and they lead to few places.

Who may use a server may not reach, through it, what only the server reaches: services of its own computer, machines of
its network, the metadata service that knows the server's own credentials. The rules are the setting
`server.cloud_hosts`. `protect` keeps a session of requests to them, wherever a cloud's catalog or a redirect points.
"""

import ipaddress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from infracore.addresses import addresses_of, is_public
from infracore.errors import Misconfigured, Unauthorised

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

__all__ = ["Lent", "protect"]

_HINT: Final = "who runs the server allows hosts and networks: server.cloud_hosts"


@dataclass(frozen=True, slots=True)
class Lent:
    """That a line is a caller's, and where it may lead."""

    hosts: tuple[str, ...] = ("*",)
    """Names with wildcards, addresses and networks. Only a whole name, an address or a network allows what is not
    public."""

    def allowing(self, host: str) -> "Lent":
        """Return the same with one host more: one that is not of the line."""
        return replace(self, hosts=(*self.hosts, host.lower().rstrip(".")))

    def check(self, url: str) -> None:
        """Look where an address leads; asks the resolver.

        Raises:
            Unauthorised: to a place that is not allowed. Misconfigured: it is no address. Transient: it is not known.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or (80 if parts.scheme == "http" else 443)
        except ValueError as error:
            raise Misconfigured("the cloud's address is none", "https://HOST[:PORT][/PATH]") from error
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme not in {"http", "https"} or not host:
            raise Misconfigured("the cloud's address is none", "https://HOST[:PORT][/PATH]")
        if host in self.hosts:
            return
        for address in addresses_of(host, port):
            self.check_address(host, address)

    def check_address(self, host: str, address: str) -> None:
        """Look at an address that a name has. Raises Unauthorised: it is not allowed."""
        if host.rstrip(".") in self.hosts or _is_in(address, self.hosts):
            return
        if not any(fnmatchcase(host, pattern) for pattern in self.hosts):
            raise Unauthorised(f"{host} is none of the hosts of clouds that this server goes to", _HINT)
        if not is_public(address):
            raise Unauthorised(
                f"{host} is not a public address of the internet: this server goes there for no caller", _HINT
            )


def protect(session: "Session", lent: Lent) -> None:
    """Keep a session to the allowed hosts, and from what ~/.netrc says of them.

    Each request's address is looked at, and each connection's before anything is sent on it, so that a name which
    changes its address between the two leads nowhere. Behind a proxy, whose connections are to itself, only the first.
    """
    adapter = _adapter(lent)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = _unchanged  # without one, requests asks ~/.netrc


def _unchanged(request: "PreparedRequest") -> "PreparedRequest":
    return request


def _adapter(lent: Lent) -> Any:
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

    class Looking(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            pools = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
            self.poolmanager.pool_classes_by_scheme = {key: _looking(pool, lent) for key, pool in pools.items()}

        def send(self, request: "PreparedRequest", *args: Any, **kwargs: Any) -> "Response":
            lent.check(request.url or "")
            return super().send(request, *args, **kwargs)

    return Looking()


def _looking(pool: Any, lent: Lent) -> Any:
    """Return a pool whose connections look whom they have reached."""

    def connected(self: Any) -> Any:
        made = super(connection, self)._new_conn()
        try:
            lent.check_address(self.host, str(made.getpeername()[0]))
        except Unauthorised:
            made.close()
            raise
        return made

    connection: Any = type("Looking", (pool.ConnectionCls,), {"_new_conn": connected})
    return type("Looking", (pool,), {"ConnectionCls": connection})


def _is_in(address: str, networks: tuple[str, ...]) -> bool:
    """Say whether one of these is a network, or an address, that has it."""
    one = ipaddress.ip_address(address.partition("%")[0])
    return any(network is not None and one in network for network in map(_network, networks))


def _network(pattern: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return None
