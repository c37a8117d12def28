"""Machines with a BMC that speaks Redfish (DMTF DSP0266), through DMTF's client. `address` is its host or URL."""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from clues.options import MachineOption, Pool
from clues.power.base import PowerState
from clues.power.common import DriverSettings
from clues.power.individuals import Individuals, Seen
from infracore.deadline import Deadline
from infracore.errors import CommandFailed, InfraError, Misconfigured, NotFound, TimedOut, Transient, Unauthorised
from infracore.secret_source import SecretSource

__all__ = ["RedfishDriver", "RedfishSettings"]

_STATES: Final = {
    "On": PowerState.ON,
    "Off": PowerState.OFF,
    "PoweringOn": PowerState.TURNING_ON,
    "PoweringOff": PowerState.TURNING_OFF,
}
_HTTP: Final = re.compile(r"HTTP (\d{3})")
_BUSY: Final = frozenset({409, 429, 500, 502, 503, 504})


class RedfishSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `redfish`."""

    call_s: float = 120.0
    user: str
    password: SecretSource
    auth: Literal["session", "basic"] = "session"
    ca_file: str = ""
    """Of the certificate authorities that are trusted; "": those that `requests` brings."""
    verify: bool = True
    systems: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Machine name to the Id of its ComputerSystem, for a BMC with several."""
    request_s: float = 10.0
    grace_s: float = 60.0
    """How long GracefulShutdown may take before ForceOff; 0: ForceOff at once."""
    poll_s: float = 2.0


class RedfishDriver(Individuals):
    """Turns machines on and off by ComputerSystem.Reset."""

    def __init__(self, name: str, settings: RedfishSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings.limits(), pools)
        self._settings = settings
        settings.password.check(f"drivers.{name}.password")
        if settings.grace_s >= settings.call_s:
            raise Misconfigured(f"drivers.{name}: grace_s must be shorter than call_s")

    def _turn_on(self, machine: MachineOption, deadline: Deadline) -> None:
        with self._client(machine, deadline) as client:
            system = self._system(client, machine, deadline)
            if system.get("PowerState") not in {"On", "PoweringOn"}:
                self._reset(client, system, ("On", "ForceOn"), machine, deadline)

    def _turn_off(self, machine: MachineOption, deadline: Deadline) -> None:
        with self._client(machine, deadline) as client:
            system = self._system(client, machine, deadline)
            if system.get("PowerState") == "Off":
                return
            if self._settings.grace_s > 0 and "GracefulShutdown" in self._allowed(client, system, deadline):
                with suppress(CommandFailed):
                    self._reset(client, system, ("GracefulShutdown",), machine, deadline)
                    if self._went_off(client, system, machine, deadline):
                        return
            self._reset(client, system, ("ForceOff", "PushPowerButton"), machine, deadline)

    def _went_off(self, client: Any, system: Mapping[str, Any], machine: MachineOption, deadline: Deadline) -> bool:
        """Wait for the grace; a BMC that does not answer once, while its machine goes down, ends no grace."""
        end = Deadline(f"shutdown of {machine.name}", self._settings.grace_s, self._closing)
        path = _link(system, "a system")
        with suppress(TimedOut):
            while True:
                with suppress(Transient):
                    if self._call(client, path, end).get("PowerState") == "Off":
                        return True
                end.pause(self._settings.poll_s)
        deadline.left()
        return False

    def _look(self, machine: MachineOption, deadline: Deadline) -> Seen:
        with self._client(machine, deadline) as client:
            system = self._system(client, machine, deadline)
        power = system.get("PowerState")
        health = system.get("Status")
        detail = str(health.get("Health") or "") if isinstance(health, dict) else ""
        return _STATES.get(power, PowerState.UNKNOWN) if isinstance(power, str) else PowerState.UNKNOWN, detail

    @contextmanager
    def _client(self, machine: MachineOption, deadline: Deadline) -> Iterator[Any]:
        """Log in, and out again: BMCs have few sessions."""
        import certifi
        import redfish

        from clues.power.timed_https import timed_https

        url = machine.address if "://" in machine.address else f"https://{machine.address}"
        if machine.port:
            url = f"{url}:{machine.port}"
        ca = (self._settings.ca_file or certifi.where()) if self._settings.verify else None
        password = self._settings.password.read("password").reveal()
        with timed_https(deadline) as adapter:
            try:
                # No second try: a second PushPowerButton would turn the machine on again.
                client = redfish.redfish_client(
                    url,
                    self._settings.user,
                    password,
                    timeout=min(self._settings.request_s, deadline.left()),
                    max_retry=0,
                    cafile=ca,
                    https_adapter=adapter,
                )
                client.login(auth=self._settings.auth)
            except InfraError:
                raise
            except Exception as error:  # the client lets requests' errors and its own out, with no common root
                raise _translated(url, error, self._settings.user, deadline) from error
            try:
                yield client
            finally:
                self._log_out(client, deadline)

    def _log_out(self, client: Any, deadline: Deadline) -> None:
        location = client.get_session_location()
        with suppress(Exception):  # the session ends by itself; the order stands
            if location:
                client.delete(urlsplit(location).path, timeout=min(self._settings.request_s, deadline.left()))

    def _call(
        self, client: Any, path: str, deadline: Deadline, body: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        limit = min(self._settings.request_s, deadline.left())
        try:
            answer = client.post(path, body=dict(body), timeout=limit) if body else client.get(path, timeout=limit)
            status, said = answer.status, answer.dict if answer.text else {}
        except Exception as error:  # as in _client
            raise _translated(path, error, self._settings.user, deadline) from error
        if status in {401, 403}:
            raise Unauthorised(f"{path} is refused to user {self._settings.user} (HTTP {status})")
        if status == 404:
            raise NotFound(f"{path} does not exist")
        if status in {409, 429} or (status >= 500 and status != 501):
            raise Transient(f"{path}: HTTP {status}: {str(said)[:200]}")
        if status >= 400:
            raise CommandFailed(f"{path}: HTTP {status}: {str(said)[:200]}", status=status)
        return said if isinstance(said, dict) else {}

    def _system(self, client: Any, machine: MachineOption, deadline: Deadline) -> dict[str, Any]:
        root = self._call(client, "/redfish/v1/", deadline)
        members = self._call(client, _link(root.get("Systems"), "Systems"), deadline).get("Members")
        paths = [_link(member, "a system") for member in members] if isinstance(members, list) else []
        wanted = self._settings.systems.get(machine.name)
        if wanted is not None:
            paths = [path for path in paths if path.rstrip("/").rsplit("/", 1)[-1] == wanted]
        if len(paths) != 1:
            raise Misconfigured(
                f"{machine.address} has {len(paths)} systems for machine {machine.name}", "name one under `systems`"
            )
        return {**self._call(client, paths[0], deadline), "@odata.id": paths[0]}

    def _allowed(self, client: Any, system: Mapping[str, Any], deadline: Deadline) -> list[str]:
        """Return the reset types that it takes: beside the action, or in its ActionInfo."""
        action = _action(system)
        values = action.get("ResetType@Redfish.AllowableValues")
        info = action.get("@Redfish.ActionInfo")
        if not isinstance(values, list) and isinstance(info, str):
            parameters = self._call(client, info, deadline).get("Parameters")
            for parameter in parameters if isinstance(parameters, list) else []:
                if isinstance(parameter, dict) and parameter.get("Name") == "ResetType":
                    values = parameter.get("AllowableValues")
        return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []

    def _reset(
        self, client: Any, system: Mapping[str, Any], kinds: Sequence[str], machine: MachineOption, deadline: Deadline
    ) -> None:
        allowed = self._allowed(client, system, deadline)
        kind = next((kind for kind in kinds if kind in allowed), kinds[0] if not allowed else None)
        target = _action(system).get("target")
        if kind is None or not isinstance(target, str):
            raise CommandFailed(f"{machine.name}: its BMC takes none of {', '.join(kinds)}, but {', '.join(allowed)}")
        self._call(client, target, deadline, {"ResetType": kind})

    def _faults(self) -> list[str]:
        self._settings.password.read("password")
        machines = [machine for pool in self._pools.values() for machine in pool.machines]
        return [f"machine {machine.name}: no address of a BMC" for machine in machines if not machine.address]


def _translated(what: str, error: Exception, user: str, deadline: Deadline) -> InfraError:
    """Return what an exception of the client means.

    Raises:
        TimedOut, Cancelled: the call's time is over, which is why.
    """
    from redfish.rest.v1 import InvalidCredentialsError, RedfishPasswordChangeRequiredError, SessionCreationError
    from requests.exceptions import InvalidURL

    if isinstance(error, RedfishPasswordChangeRequiredError):
        return Unauthorised(f"{what} lets user {user} in only to change the password", "change it there, then here")
    status = _HTTP.match(str(error)) if isinstance(error, SessionCreationError) else None
    if status is not None and int(status[1]) in _BUSY:
        return Transient(f"{what} opens no session now: {str(error)[:200]}")
    if isinstance(error, (InvalidCredentialsError, SessionCreationError)):
        return Unauthorised(f"{what} refuses user {user}", "see `user` and `password`")
    deadline.left()
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Misconfigured(f"{what}: its certificate is not trusted: {cause.verify_message}", "see `ca_file`")
        unknown = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
        if unknown or isinstance(cause, InvalidURL) or type(cause) is UnicodeError:  # a name that cannot be one
            return Misconfigured(f"{what}: no such host", "see the machine's `address`")
    last = next((cause for cause in reversed(causes) if str(cause)), error)
    return Transient(f"{what}: {type(last).__name__}: {str(last)[:200]}")


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception and those that it came of; requests and urllib3 also keep them as `reason` or in `args`."""
    found: list[BaseException] = []
    new: list[object] = [error]
    while new:
        one = new.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            new += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def _action(system: Mapping[str, Any]) -> Mapping[str, Any]:
    actions = system.get("Actions")
    action = actions.get("#ComputerSystem.Reset") if isinstance(actions, dict) else None
    return action if isinstance(action, dict) else {}


def _link(value: object, what: str) -> str:
    path = value.get("@odata.id") if isinstance(value, dict) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise NotFound(f"the Redfish service links no {what}")
    return path
