"""The provider itself: reserving, looking, rebooting, releasing."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Instance, MachineRequest, Progress, Severity
from im_client.providers.existing.hosts import read_hosts
from im_client.providers.existing.settings import ExistingSettings, default_state_dir
from im_client.providers.hosts.account import add_keys, remove_keys
from im_client.providers.hosts.choose import UNSUPPORTED, choose, refusal, unsupported_fields
from im_client.providers.hosts.host import Host
from im_client.providers.hosts.reaching import addresses, answers, command_as_root
from im_client.providers.hosts.reservations import Reservation, Reservations, slot_of
from im_client.providers.registry import decode_settings
from im_client.remote.shell import open_shell
from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)

__all__ = ["ExistingProvider", "open_provider"]

_COMMAND_S: Final = 15.0
_LOOKERS: Final = 16
_NOT_NOW: Final = (Transient, TimedOut, Unauthorised, Conflict, CommandFailed, Misconfigured)
"""What makes a host unfit for now: the next one is tried."""


def open_provider(settings: Mapping[str, Any]) -> "ExistingProvider":
    """Open the provider with its section of the settings. Raises Misconfigured."""
    return ExistingProvider(decode_settings("existing", settings, ExistingSettings))


class ExistingProvider:
    """See `Provider` in `im_client.providers.base`, and the package."""

    name = "existing"

    def __init__(self, settings: ExistingSettings) -> None:
        self._settings = settings
        folder = Path(settings.state_dir).expanduser() if settings.state_dir else default_state_dir()
        self._reservations = Reservations(folder, Reservation)

    def limits(self) -> Limits:
        """Nothing is changed in place; what needs a machine to be made is refused."""
        return Limits(provider=self.name, can_stop=False, unsupported=UNSUPPORTED)

    def check(self) -> Sequence[Finding]:
        """Look at the file of hosts and at the SSH port of each."""
        try:
            hosts = self._hosts()
        except Misconfigured as error:
            return (Finding("hosts file", Severity.ERROR, error.message, error.hint or "correct the file"),)
        findings = [Finding("hosts file", Severity.OK, f"{self._settings.hosts_file}: {len(hosts)} hosts")]
        with ThreadPoolExecutor(_LOOKERS, thread_name_prefix="existing-look") as pool:
            answers = list(pool.map(self._answers, hosts))
        for host, answers_now in zip(hosts, answers, strict=True):
            where = f"{host.access.address}:{host.access.port}"
            if host.fault:
                findings.append(Finding(host.name, Severity.ERROR, host.fault, "see docs/howto/existing.md"))
            elif not answers_now:
                text = f"{where} does not answer"
                findings.append(Finding(host.name, Severity.WARNING, text, "switch it on, or look at the network"))
            else:
                findings.append(Finding(host.name, Severity.OK, f"{where} answers"))
        return findings

    def prepare(self, on_progress: Progress) -> None:
        """Nothing is shared by the hosts; the file of hosts is read, so that what is wrong shows early."""
        on_progress(f"{len(self._hosts())} hosts")

    def create(self, request: MachineRequest) -> Instance:
        """Reserve the host that fits best and let the request's keys log in.

        Blocks for as long as a login takes; a host that cannot be reached is passed over, after the connect timeout.
        """
        wrong = unsupported_fields(request.spec)
        if wrong:
            raise Unsupported(f"hosts that exist cannot be given {', '.join(wrong)}", "leave it out of the template")
        hosts = self._hosts()
        refused: dict[str, str] = {}
        while True:
            host, reservation = self._reserve(request, hosts, refused)
            try:
                self._let_in(host, request)
            except _NOT_NOW as error:
                self._release(reservation.token)
                refused[host.name] = error.message
                continue
            return self._instance(reservation, host)

    def get(self, provider_id: str) -> Instance:
        """Look whether the host's SSH port answers."""
        reservation = self._reservations.by_id(provider_id)
        if reservation is None:
            raise NotFound(f"no host is reserved as {provider_id}")
        return self._instance(reservation, self._host_of(reservation))

    def list_machines(self, infrastructure: str | None = None) -> Sequence[Instance]:
        """List the reserved hosts."""
        mine = [r for r in self._reservations.all() if infrastructure in (None, r.infrastructure)]
        with ThreadPoolExecutor(_LOOKERS, thread_name_prefix="existing-look") as pool:
            return list(pool.map(lambda r: self._instance(r, self._host_of(r)), mine))

    def start(self, provider_id: str) -> None:
        """Succeeds for a host that runs; one that is off is switched on by hand."""
        if self.get(provider_id).phase is not Phase.RUNNING:
            raise Unsupported(f"{provider_id} does not answer, and hosts that exist are switched on by hand")

    def stop(self, provider_id: str) -> None:
        """Refused: nobody could start it again."""
        self.get(provider_id)
        raise Unsupported("hosts that exist are not switched off", "release them: im destroy, or im scale")

    def reboot(self, provider_id: str) -> None:
        """Restart the host by a command over SSH."""
        reservation = self._reservations.by_id(provider_id)
        host = self._host_of(reservation) if reservation is not None else None
        if host is None:
            raise NotFound(f"no host is reserved as {provider_id}")
        command, stdin = command_as_root(host.access, "systemctl reboot || reboot")
        with open_shell(host.access, connect_timeout_s=self._settings.connect_timeout_s) as shell:
            shell.run(command, timeout_s=_COMMAND_S, stdin=stdin)

    def resize(self, provider_id: str, spec: Spec) -> None:
        """Nothing is changed: succeeds where the host is large enough already."""
        reservation = self._reservations.by_id(provider_id)
        if reservation is None:
            raise NotFound(f"no host is reserved as {provider_id}")
        host = self._host_of(reservation)
        why = refusal(host, spec) if host is not None else "it is no longer in the hosts file"
        if why:
            raise Unsupported(f"the host {reservation.host} cannot be changed: {why}")

    def delete(self, provider_id: str) -> None:
        """Remove our keys from the account and release the host; nothing else on it is touched.

        A host that cannot be reached is released all the same: its key is removed when it is reserved next.
        """
        reservation = self._reservations.by_id(provider_id)
        if reservation is None:
            return
        host = self._host_of(reservation)
        if host is not None:
            slot = slot_of(host)
            tokens = (*self._reservations.left_tokens(slot), reservation.token)
            try:
                with open_shell(host.access, connect_timeout_s=self._settings.connect_timeout_s) as shell:
                    remove_keys(shell, tokens, timeout_s=_COMMAND_S)
                tokens = ()
            except _NOT_NOW:
                pass
            with self._reservations.locked():
                self._reservations.leave(slot, tokens)
        self._release(reservation.token)

    def console(self, provider_id: str) -> str:
        """Hosts that exist have none that we could read."""
        self.get(provider_id)
        return ""

    def close(self) -> None:
        """Nothing is kept open."""

    def _hosts(self) -> tuple[Host, ...]:
        if not self._settings.hosts_file:
            raise Misconfigured(
                "the provider existing has no hosts file",
                "im deploy --set hosts_file=FILE, or hosts_file in its settings; see inventories/existing/hosts.yaml",
            )
        return read_hosts(Path(self._settings.hosts_file).expanduser())

    def _reserve(
        self, request: MachineRequest, hosts: Sequence[Host], refused: dict[str, str]
    ) -> tuple[Host, Reservation]:
        with self._reservations.locked():
            found = self._reservations.by_token(request.token)
            known = next((h for h in hosts if found is not None and h.name == found.host), None)
            if found is not None and known is not None:
                return known, found
            slots = self._reservations.taken_slots()
            taken = {host.name for host in hosts if slot_of(host) in slots}
            host = choose(request.name, request.spec, hosts, taken, refused)
            if host is None:
                reasons = (f"{h.name}: {refused[h.name]}" for h in hosts if h.name in refused)
                why = "; ".join(reasons) or "the hosts file is empty"
                raise NoCapacity(f"no host is free for {request.name} ({why})", "release one, or add one to the file")
            access = host.access
            reservation = Reservation(
                host=host.name,
                token=request.token,
                infrastructure=request.infrastructure,
                name=request.name,
                address=access.address,
                port=access.port,
                user=access.user,
            )
            self._reservations.put(slot_of(host), reservation)
            return host, reservation

    def _let_in(self, host: Host, request: MachineRequest) -> None:
        slot = slot_of(host)
        left = tuple(t for t in self._reservations.left_tokens(slot) if t != request.token)
        with open_shell(host.access, connect_timeout_s=self._settings.connect_timeout_s) as shell:
            if left:
                remove_keys(shell, left, timeout_s=_COMMAND_S)
                with self._reservations.locked():
                    self._reservations.leave(slot, ())
            add_keys(shell, request.authorized_keys, request.token, timeout_s=_COMMAND_S)

    def _release(self, token: str) -> None:
        with self._reservations.locked():
            self._reservations.remove(token)

    def _host_of(self, reservation: Reservation) -> Host | None:
        """Return the host of a reservation, None where the file no longer has it."""
        try:
            hosts = self._hosts()
        except InfraError:
            return None
        return next((host for host in hosts if host.name == reservation.host), None)

    def _answers(self, host: Host) -> bool:
        return answers(host.access, self._settings.connect_timeout_s)

    def _instance(self, reservation: Reservation, host: Host | None) -> Instance:
        if host is None:
            return Instance(
                provider_id=reservation.provider_id,
                name=reservation.name,
                token=reservation.token,
                infrastructure=reservation.infrastructure,
                phase=Phase.UNKNOWN,
                private_address=reservation.address,
                fault=f"the host {reservation.host} is not in {self._settings.hosts_file or 'the hosts file'} any more",
            )
        is_there = self._answers(host)
        private, public = addresses(host)
        sizes = (("num_cpus", host.cpus), ("mem_bytes", host.mem_bytes), ("disk_bytes", host.disk_bytes))
        spec: dict[str, int | str] = {name: size for name, size in sizes if size is not None}
        return Instance(
            provider_id=reservation.provider_id,
            name=reservation.name,
            token=reservation.token,
            infrastructure=reservation.infrastructure,
            phase=Phase.RUNNING if is_there else Phase.UNKNOWN,
            private_address=private,
            public_address=public,
            access=host.access if not host.fault else None,
            spec=spec,
            fault="" if is_there else f"{host.access.address}:{host.access.port} does not answer",
        )
