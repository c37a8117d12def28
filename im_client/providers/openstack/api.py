"""Requests to the services of one cloud: openstacksdk logs in and finds them; answers are JSON, errors are ours."""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from im_client.providers.openstack.errors import refusal
from im_client.providers.openstack.session import Connect
from infracore.errors import InfraError, Misconfigured, NotFound, Transient, Unauthorised

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from openstack.config.cloud_region import CloudRegion

__all__ = ["Api", "Service"]

Service = Literal["compute", "network", "image", "block-storage"]
Query = Mapping[str, str | int | list[str]]

_T = TypeVar("_T")
_VERSIONS: Final[Mapping[str, str]] = {"compute": "2", "network": "2", "image": "2", "block-storage": "3"}
_MICROVERSIONS: Final[Mapping[str, str]] = {"compute": "2.67"}
"""Of Nova: flavors within machines (2.47), ids of snapshots (2.45), types of volumes (2.67). OpenStack Stein, 2019."""
_MOST_PAGES: Final = 200
_UNREACHED: Final = re.compile(r"(Unable to establish connection to \S+): .*\[Errno -?\d+\] ([^'\")]+)")
"""What keystoneauth says where nothing listens, with all that requests, urllib3 and the socket say in one another."""
_SDK_HINT: Final = "the cloud is busy or broken, or the way to it is: try again later"


class Api:
    """One account's requests. Safe under threads: a session logs in once for all, and again when its token has expired.

    Nothing is tried again here, save that one login.
    """

    def __init__(self, connect: Connect, place: str) -> None:
        self._connect = connect
        self._place = place
        self._lock = threading.Lock()
        self._region: CloudRegion | None = None
        self._adapters: dict[str, Adapter] = {}
        self._mine = threading.local()
        """What each thread's last request was sent with: its `region`."""

    def get(self, service: Service, path: str, query: Query | None = None) -> dict[str, Any]:
        return self.ask("GET", service, path, query=query)

    def post(self, service: Service, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.ask("POST", service, path, body=body)

    def put(self, service: Service, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.ask("PUT", service, path, body=body)

    def delete(self, service: Service, path: str) -> None:
        """Delete something. Absent: succeeds."""
        try:
            self.ask("DELETE", service, path)
        except NotFound:
            return

    def all(self, service: Service, path: str, key: str, query: Query | None = None) -> list[dict[str, Any]]:
        """List, page by page."""
        found: list[dict[str, Any]] = []
        marker: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            answer = self.get(service, path, {**(query or {}), **marker})
            items = answer.get(key)
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise Transient(f"GET {service} {path} at {self._place}: the answer has no list {key}", _SDK_HINT)
            found += items
            links = answer.get(f"{key}_links") or ()
            is_more = "next" in answer or any(isinstance(link, dict) and link.get("rel") == "next" for link in links)
            last = str(items[-1].get("id", "")) if items else ""
            if not is_more or not last or last == marker.get("marker"):
                return found
            marker = {"marker": last}
        return found

    def ask(
        self,
        method: str,
        service: Service,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Send a request; return the object that it is answered with, empty where there is none.

        Raises:
            InfraError: see `errors.refusal`; Transient where nothing, or only half an answer, comes back.
        """
        what = f"{method} {service} {path}"
        with self._translated(what):
            response = self._adapter(service).request(
                path,
                method,
                params=dict(query) if query else None,
                json=body,
                microversion=_MICROVERSIONS.get(service),
                raise_exc=False,
                redirect=False,
                headers={"Accept": "application/json"},
            )
            if response.status_code >= 300:
                raise refusal(response.status_code, response.headers, response.content, what, self._place)
            if not response.content:
                return {}
            return decode(response.content, dict[str, Any], what, self._place)

    def typed(self, value: object, kind: type[_T], what: str) -> _T:
        """Check a part of an answer. Raises Transient where it is not what it should be."""
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as error:
            raise Transient(f"{what} at {self._place} is not as expected: {error}", _SDK_HINT) from error

    def login(self) -> tuple[str, Sequence[str]]:
        """Log in, if that was not done; return the id of the project and the services that lack."""
        with self._translated("the login"):
            region = self._opened()
            session = region.get_session()
            project = session.get_project_id() or ""
            return project, [name for name in _VERSIONS if not self._is_there(name)]

    def _is_there(self, service: str) -> bool:
        from keystoneauth1.exceptions import EndpointNotFound

        try:
            return self._adapter(service).get_endpoint_data() is not None
        except EndpointNotFound:
            return False

    @property
    def project_id(self) -> str:
        """Id of the project. Logs in if that was not done."""
        with self._translated("the login"):
            return self._opened().get_session().get_project_id() or ""

    @property
    def identity(self) -> str:
        """Keystone's address, the region and the id of the project. Logs in if that was not done."""
        with self._translated("the login"):
            region = self._opened()
            session = region.get_session()
            address = str(getattr(session.auth, "auth_url", "")).rstrip("/").removesuffix("/v3")
            return " ".join(filter(None, (address, region.region_name, session.get_project_id())))

    def renew(self) -> bool:
        """Read the credentials again; False where they are those that were refused.

        True too where another thread has done so since this one's last request.
        """
        used = getattr(self._mine, "region", None)
        if used is not None and self._region is not used:
            return True
        with self._translated("the login"):
            fresh = self._connect()
        with self._lock:
            old = self._region
            if used is not None and old is not used:
                return True
            if old is not None and fresh.config.get("auth") == old.config.get("auth"):
                return False
            self._region, self._adapters = fresh, {}
            return True

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            if self._region is not None:
                self._region.get_session().session.close()
            self._region, self._adapters = None, {}

    def _opened(self) -> "CloudRegion":
        with self._lock:
            if self._region is None:
                self._region = self._connect()
            self._mine.region = self._region
            return self._region

    def _adapter(self, service: str) -> "Adapter":
        from keystoneauth1.adapter import Adapter

        region = self._opened()
        with self._lock:
            if service not in self._adapters:
                version = _VERSIONS[service]
                self._adapters[service] = Adapter(
                    region.get_session(),
                    service_type=service,
                    interface=region.get_interface(service),
                    region_name=region.get_region_name(service) or None,
                    endpoint_override=region.get_endpoint(service),
                    min_version=version,
                    max_version=f"{version}.latest",
                )
            return self._adapters[service]

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        import keystoneauth1.exceptions as gone

        text = f"{what} at {self._place}"
        try:
            yield
        except InfraError:
            raise
        except gone.HttpError as error:  # of the login or of the look for a service
            response = error.response
            if response is None:
                raise Transient(f"{text}: {error.message}", _SDK_HINT) from error
            body, headers = response.content, response.headers
            if error.http_status == 404:
                raise Misconfigured(
                    f"{text}: there is no such identity service, provider or protocol", "look at the host and its path"
                ) from error
            raise refusal(error.http_status, headers, body, f"the login for {what}", self._place) from error
        except gone.SSLError as error:
            raise Misconfigured(
                f"{text}: its certificate is not trusted", "name the file that signs it: `ca_file`"
            ) from error
        except (gone.ConnectionError, gone.InvalidResponse, json.JSONDecodeError, ConnectionError) as error:
            raise Transient(f"{text}: {_plain(error)}", _SDK_HINT) from error
        except gone.CatalogException as error:
            raise Misconfigured(
                f"{text}: the cloud offers no such service to this account, in this region", "look at `region`"
            ) from error
        except (gone.AuthorizationFailure, gone.AuthPluginException) as error:
            raise Unauthorised(f"{text}: {_plain(error)}", "the credentials are wrong or incomplete") from error
        except gone.ClientException as error:
            raise Transient(f"{text}: {_plain(error)}", _SDK_HINT) from error


def decode(content: bytes, kind: type[_T], what: str, place: str) -> _T:
    """Decode an answer. Raises Transient where it is cut off or something else."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Transient(f"{what} at {place}: the answer is cut off, or no JSON", _SDK_HINT) from error


def _plain(error: Exception) -> str:
    text = " ".join(str(error).split())
    if found := _UNREACHED.match(text):
        text = f"{found[1]}: {found[2]}"
    return text[:300]
