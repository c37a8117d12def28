"""Reading templates of strangers: only what comes with this program, and public https addresses.

A template over the network is given a location below `https://template.invalid/`, so that the TOSCA front end refuses
every path of this computer in it (`im_client.tosca.locations`); this reader refuses them again. An https address must
lead to a public address of the internet, also after redirects, and the connection goes to the very address that was
looked at: a name that is resolved anew could point at a metadata service the second time (DNS rebinding).
"""

import hashlib
import http.client
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

from im_client.services.templates import FETCH_TIMEOUT_S, MAX_FILE_BYTES, FileReader
from im_client.tosca.locations import SENT
from infracore.addresses import addresses_of, is_public
from infracore.content import content_folder
from infracore.errors import Misconfigured, NotFound, Transient, Unauthorised

__all__ = ["TEMPLATES", "GuardedReader", "public_addresses"]

TEMPLATES: Final = SENT
"""Where the templates of callers stand."""
_OURS: Final = ("tosca_templates", "playbooks")
_MOST_REDIRECTS: Final = 5


@dataclass(slots=True)
class GuardedReader:
    """Reads what a stranger's template may name. One object serves one analysis; can be handed to a child process."""

    cache_dir: Path
    hosts: tuple[str, ...] = ("*",)
    """Patterns of the hosts that may be fetched from."""
    offline: bool = False

    def read(self, location: str, /) -> bytes:
        """Return the bytes of one of our files or of a public https address; see `tosca.front.Reader`."""
        if location.startswith(TEMPLATES):
            raise NotFound(f"{location.rsplit('/', 1)[-1]} did not come with the template", "send one whole template")
        if location.startswith("https://"):
            return self._fetch(location)
        if not _is_ours(location):
            raise Unauthorised("a template over the network reads no file of the server", "use an https address")
        return FileReader(self.cache_dir, offline=True).read(location)

    def digest(self, location: str, /) -> str:
        """Return the digest of one of our playbooks; of an address what is cached of it counts."""
        if location.startswith("https://"):
            cached = self._cached(location)
            return hashlib.sha256(cached.read_bytes()).hexdigest() if cached.is_file() else ""
        return FileReader(self.cache_dir, offline=True).digest(location) if _is_ours(location) else ""

    def _cached(self, url: str) -> Path:
        """Not the cache of `im`: that may hold what only this computer's own people may read."""
        return self.cache_dir / "served-imports" / hashlib.sha256(url.encode()).hexdigest()

    def _fetch(self, url: str) -> bytes:
        cached = self._cached(url)
        if cached.is_file():
            return cached.read_bytes()
        if self.offline:
            raise NotFound(f"{url} is not in the cache, and fetching is off (offline)")
        text = self._follow(url)
        cached.parent.mkdir(parents=True, exist_ok=True)
        fresh = cached.with_name(f".{cached.name}.{os.getpid()}")
        fresh.write_bytes(text)
        fresh.replace(cached)
        return text

    def _follow(self, url: str) -> bytes:
        at = url
        for _ in range(_MOST_REDIRECTS):
            try:
                parts = urlsplit(at)
                port = parts.port or 443
            except ValueError as error:
                raise Unauthorised(f"{url} leads to an address that is none: {error}") from error
            host = parts.hostname or ""
            if parts.scheme != "https" or not host or parts.username is not None:
                raise Unauthorised(f"{url} leads to an address that is not plain https")
            if not any(fnmatchcase(host, pattern) for pattern in self.hosts):
                raise Unauthorised(f"{host} is none of the hosts that templates may import from")
            status, headers, text = _get(host, port, f"{parts.path or '/'}?{parts.query}".rstrip("?"))
            if status in {301, 302, 303, 307, 308} and "location" in headers:
                try:
                    at = urljoin(at, headers["location"])
                except ValueError as error:
                    raise Unauthorised(f"{url} leads to an address that is none: {error}") from error
                continue
            if status == 200:
                return text
            kind = {401: Unauthorised, 403: Unauthorised, 404: NotFound, 410: NotFound}.get(status, Transient)
            raise kind(f"{url}: the server answered {status}")
        raise Misconfigured(f"{url} redirects more than {_MOST_REDIRECTS} times")


def _is_ours(location: str) -> bool:
    path = Path(os.path.realpath(location))
    return any(path.is_relative_to(content_folder() / folder) for folder in _OURS)


def public_addresses(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, all of which are public.

    Raises:
        Unauthorised: one of them is private, of this computer, of a link (metadata services), or shared otherwise.
        Transient: the name is not known now.
    """
    addresses = addresses_of(host, port)
    if not all(is_public(address) for address in addresses):
        raise Unauthorised(f"{host} is not a public address of the internet", "templates import public files")
    return addresses


class _Pinned(http.client.HTTPSConnection):
    """Connects to an address that was looked at, and checks the certificate against the name."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=FETCH_TIMEOUT_S, context=context)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), FETCH_TIMEOUT_S)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def _get(host: str, port: int, path: str) -> tuple[int, Mapping[str, str], bytes]:
    address = public_addresses(host, port)[0]
    connection = _Pinned(host, port, address, ssl.create_default_context())
    try:
        connection.request("GET", path, headers={"User-Agent": "im-clues"})
        answer = connection.getresponse()
        text = answer.read(MAX_FILE_BYTES + 1)
        headers = {name.lower(): value for name, value in answer.getheaders()}
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Transient(f"cannot fetch from {host}: {error}") from error
    finally:
        connection.close()
    if len(text) > MAX_FILE_BYTES:
        raise Misconfigured(f"a file of {host} is larger than {MAX_FILE_BYTES >> 20} MiB")
    return answer.status, headers, text
