"""libcloud's drivers, made to our rules: typed errors, time limits, no trying again, one thread a driver.

A driver keeps the last answer in its connection, so that two threads would read each other's: a pool hands them out.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import requests
from libcloud.common.base import JsonResponse
from libcloud.common.types import LibcloudError

from im_client.providers.cloud.lent import Lent, protect
from im_client.providers.libcloud.errors import BUSY, refusal
from infracore.errors import InfraError, Misconfigured, Transient, Unauthorised

__all__ = ["Answer", "Pool", "Target", "Wire", "driver_class"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `host` and `port` None: where the driver sends them."""

    place: str
    host: str | None
    port: int | None
    secure: bool
    request_s: float
    ca_file: str
    lent: Lent | None = None
    """Where requests of a caller may go; None: they are this computer's own."""

    @classmethod
    def of(cls, address: str, place: str, request_s: float, ca_file: str) -> "Target":
        """Read an address, `https://HOST:PORT`.

        Raises:
            Misconfigured: it is none.
        """
        if not address:
            return cls(place, None, None, True, request_s, ca_file)
        try:
            url = urlsplit(address)
            port = url.port
        except ValueError as error:
            raise Misconfigured(
                "the address of the API has no port that there is", "write it as https://HOST:PORT"
            ) from error
        if url.scheme not in {"http", "https"} or not url.hostname or url.username is not None:
            raise Misconfigured("the address of the API is not of the form https://HOST:PORT")
        secure = url.scheme == "https"
        return cls(place, url.hostname, port or (443 if secure else 80), secure, request_s, ca_file)


class Answer(JsonResponse):
    """An answer as JSON. Drivers' own classes lose the status, Retry-After or both."""

    connection: Any

    def success(self) -> bool:
        return 200 <= int(self.status) < 300

    def parse_body(self) -> Any:
        if not self.body:
            return {}
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Transient(f"{self._what()}: the answer is cut off, or no JSON", BUSY) from error

    def parse_error(self) -> Any:
        wire = self.connection
        raise refusal(int(self.status), self.headers, str(self.body), wire.what, wire.target.place)

    def _what(self) -> str:
        return f"{self.connection.what} at {self.connection.target.place}"


class Wire:
    """Mixed into a driver's connection: where it leads, how long it waits, and what it was asked last."""

    target: Target
    responseCls = Answer  # noqa: N815 - libcloud's name
    what = "the login"

    def connect(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        target, own = self.target, vars(self)
        own["timeout"] = target.request_s
        if target.host is not None:
            own |= {"host": target.host, "port": target.port, "secure": target.secure}
        super().connect()  # type: ignore[misc]  # of libcloud's class beside this one
        if target.ca_file:
            own["connection"].ca_cert = target.ca_file
        if target.lent is not None:
            is_own = target.host is None  # the driver's, and not of the line
            lent = target.lent.allowing(str(self.host)) if is_own else target.lent  # type: ignore[attr-defined]
            protect(own["connection"].session, lent)

    def request(self, action: str, *args: Any, **kwargs: Any) -> Any:
        params = kwargs.get("params") or {}
        command = params.get("command", "") if isinstance(params, Mapping) else ""
        self.what = f"{kwargs.get('method', 'GET')} {action.partition('?')[0]} {command}".rstrip()
        return super().request(action, *args, **{**kwargs, "retry_failed": False})  # type: ignore[misc]


def driver_class(path: str, target: Target, connection: type | None, more: Mapping[str, Any]) -> type:
    """Return a driver's class, `module:Class`, bound to where its requests go."""
    module, _, name = path.partition(":")
    base = getattr(import_module(f"libcloud.compute.drivers.{module}"), name)
    wired = type("Wired", (Wire, connection or base.connectionCls), {"target": target, **more})

    def bare(cls: type, *args: object, **kwargs: object) -> object:
        """libcloud 3.9.1: the classes of DigitalOcean choose a version here, and take no further arguments."""
        del args, kwargs
        return object.__new__(cls)

    return type(name, (base,), {"connectionCls": wired, "__new__": bare})


class Pool:
    """Drivers of one account; as many as are used at once."""

    def __init__(self, make: Callable[[], Any], place: str) -> None:
        self._make = make
        self._place = place
        self._lock = threading.Lock()
        self._idle: list[Any] = []

    @contextmanager
    def driver(self) -> Iterator[Any]:
        """Lend a driver.

        Raises:
            InfraError: for whatever libcloud raises within. No text of its errors is shown that may hold an address:
                CloudStack's bear the key.
        """
        with self._lock:
            driver = self._idle.pop() if self._idle else None
        with self._translated():
            if driver is None:
                driver = self._make()
            try:
                yield driver
            finally:
                with self._lock:
                    self._idle.append(driver)

    def close(self) -> None:
        """Close the connections of drivers that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for driver in idle:
            driver.connection.connection.session.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except InfraError:
            raise
        except requests.exceptions.SSLError as error:
            raise Misconfigured(
                f"the certificate of {self._place} is not trusted", "name the file that signs it: `ca_file`"
            ) from error
        except requests.exceptions.Timeout as error:
            raise Transient(f"{self._place} did not answer in time", BUSY) from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise Transient(f"{self._place} could not be reached ({type(error).__name__})", BUSY) from error
        except LibcloudError as error:
            if "auth" in type(error).__name__.lower() or "creds" in type(error).__name__.lower():
                raise Unauthorised(
                    f"the login to {self._place} cannot be made with these credentials", "look at the auth file"
                ) from error
            raise Transient(f"{self._place} answered what libcloud does not know", BUSY) from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Transient(f"{self._place} answered something unexpected ({type(error).__name__})", BUSY) from error
