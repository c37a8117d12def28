"""Machines with a BMC that speaks Redfish (DMTF DSP0266), through DMTF's client. `address` is its host or URL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal

import msgspec

from clues.options import MachineOption, Pool
from clues.power.base import PowerState
from clues.power.common import DriverSettings
from clues.power.deadline import Deadline
from clues.power.individuals import Individuals, Seen
from clues.power.secret import SecretSource
from infracore.errors import CommandFailed, InfraError, Misconfigured, NotFound, Transient, Unauthorised

__all__ = ["RedfishDriver", "RedfishSettings"]

_STATES: Final = {
    "On": PowerState.ON,
    "Off": PowerState.OFF,
    "PoweringOn": PowerState.TURNING_ON,
    "PoweringOff": PowerState.TURNING_OFF,
}


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
                    end = Deadline(f"shutdown of {machine.name}", self._settings.grace_s, self._closing)
                    with suppress(InfraError):
                        while True:
                            if self._system(client, machine, end).get("PowerState") == "Off":
                                return
                            end.pause(self._settings.poll_s)
                    deadline.left()
            self._reset(client, system, ("ForceOff", "PushPowerButton"), machine, deadline)

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
        from redfish.rest.v1 import InvalidCredentialsError, SessionCreationError

        url = machine.address if "://" in machine.address else f"https://{machine.address}"
        if machine.port:
            url = f"{url}:{machine.port}"
        ca = (self._settings.ca_file or certifi.where()) if self._settings.verify else None
        password = self._settings.password.read("password").reveal()
        limit = min(self._settings.request_s, deadline.left())
        try:
            client = redfish.redfish_client(url, self._settings.user, password, timeout=limit, max_retry=1, cafile=ca)
            client.login(auth=self._settings.auth)
        except (InvalidCredentialsError, SessionCreationError) as error:
            raise Unauthorised(f"{url} refuses user {self._settings.user}", "see `user` and `password`") from error
        except Exception as error:  # the client lets requests' errors and its own out, with no common root
            raise Transient(f"{url}: {type(error).__name__}: {str(error)[:200]}") from error
        try:
            yield client
        finally:
            with suppress(Exception):  # the session ends by itself; the order stands
                client.logout()

    def _call(
        self, client: Any, path: str, deadline: Deadline, body: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        limit = min(self._settings.request_s, deadline.left())
        try:
            answer = client.post(path, body=dict(body), timeout=limit) if body else client.get(path, timeout=limit)
            status, said = answer.status, answer.dict if answer.text else {}
        except Exception as error:  # as in _client
            raise Transient(f"{path}: {type(error).__name__}: {str(error)[:200]}") from error
        if status in {401, 403}:
            raise Unauthorised(f"{path} is refused to user {self._settings.user} (HTTP {status})")
        if status == 404:
            raise NotFound(f"{path} does not exist")
        if status in {409, 429} or status >= 500:
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
        return self._call(client, paths[0], deadline)

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


def _action(system: Mapping[str, Any]) -> Mapping[str, Any]:
    actions = system.get("Actions")
    action = actions.get("#ComputerSystem.Reset") if isinstance(actions, dict) else None
    return action if isinstance(action, dict) else {}


def _link(value: object, what: str) -> str:
    path = value.get("@odata.id") if isinstance(value, dict) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise NotFound(f"the Redfish service links no {what}")
    return path
