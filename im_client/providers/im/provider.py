"""The provider itself: one infrastructure at the server for each machine, found again by the mark in its name."""

import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from im_client.auth.server import TOKEN_VARIABLE, credentials, safe_address
from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Instance, MachineRequest, Progress, Severity
from im_client.providers.im.request import UNSUPPORTED, Mark, body_of
from im_client.providers.im.settings import ImSettings
from im_client.providers.registry import decode_settings
from im_client.remote.access import Access
from im_client.remote.first_use import kept_key
from im_client.remote.vms import access_of_vm, phase_of
from infracore.clock import Clock, SystemClock
from infracore.errors import Conflict, InfraError, Misconfigured, NotFound, TimedOut, Transient, Unsupported
from infracore.http import Http
from infracore.im_rest import Body, ImRest, Said, Vm, id_of, names_of, path_of, uris, vm_of, vm_states
from infracore.retry import Backoff, retrying

__all__ = ["ImProvider", "open_provider"]

_AT_ONCE: Final = 8
_CONSOLE_BYTES: Final = 64 * 1024
_AGAIN: Final[Mapping[type[InfraError], Backoff]] = {Transient: Backoff(attempts=3, first_s=0.5)}
_NOT_YET: Final[Mapping[type[InfraError], Backoff]] = {Conflict: Backoff(attempts=6, first_s=0.5), **_AGAIN}
_LOOK_AGAIN_S: Final = (0.5, 1.5, 3.0)
_RUNS: Final = frozenset({Phase.RUNNING, Phase.CONFIGURED, Phase.UNCONFIGURED})


def open_provider(settings: Mapping[str, Any]) -> "ImProvider":
    """Open the provider with its section of the settings. Raises Misconfigured, Unauthorised."""
    return ImProvider(decode_settings("im", settings, ImSettings), os.environ.get(TOKEN_VARIABLE, ""))


class ImProvider:
    """See `Provider` in `im_client.providers.base`, and the package."""

    name = "im"

    def __init__(self, settings: ImSettings, token: str = "", clock: Clock | None = None) -> None:
        if not settings.server:
            raise Misconfigured("providers.im.server is not set", "the address of an Infrastructure Manager")
        self._settings = settings
        address = safe_address(settings.server, "providers.im.server", insecure_http=settings.insecure_http)
        ca_file = Path(settings.ca_file).expanduser() if settings.ca_file else None
        auth = credentials(settings.auth_file, settings.token_file, token)
        self._rest = ImRest(Http(address, ca_file=ca_file), auth)
        self._clock = clock or SystemClock()
        self._never = threading.Event()
        self._lock = threading.Lock()
        self._marks: dict[str, Mark | None] = {}
        """Id at the server to our mark; None: somebody else's. Names do not change."""
        self._gone: set[str] = set()
        """Ids that were deleted: one that the server has again is deleted again when it is seen."""
        self._alone: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def identity(self) -> str:
        """Return the server's address."""
        return f"im {self._rest.http.address}"

    def limits(self) -> Limits:
        """Nothing is changed in place: the original does so for some clouds only."""
        return Limits(provider=self.name, reachable=self._settings.reachable, unsupported=UNSUPPORTED)

    def check(self) -> Sequence[Finding]:
        """Ask for the version, then for what our credentials may see."""
        address = self._rest.http.address
        try:
            version = self._get("/version").member("version")
            found = [Finding("server", Severity.OK, f"{address} says that it is {version}")]
            found.append(Finding("credentials", Severity.OK, f"they are taken; {len(self._ids())} are seen"))
        except InfraError as error:
            return (Finding("server", Severity.ERROR, error.message, error.hint or "see docs/howto/remote-im.md"),)
        return found

    def prepare(self, on_progress: Progress) -> None:
        """Nothing is shared by the machines; the server is asked, so that what is wrong shows early."""
        on_progress(f"{self._rest.http.address}: {len(self._ids())} infrastructures")

    def create(self, request: MachineRequest) -> Instance:
        """Ask for an infrastructure of one VM. Blocks until the server has taken it down, not until it is made."""
        body = body_of(request, image=self._settings.image, cloud=self._settings.cloud)
        with self._lock:
            alone = self._alone[request.token]
        with alone:  # two at once would both find nothing
            infra = next((infra for infra, mark in self._marked().items() if mark.token == request.token), None)
            if infra is None:
                infra = self._ask_for(request.token, body)
                with self._lock:
                    self._marks[infra] = Mark(request.infrastructure, request.name, request.token)
        return self.get(infra)

    def _ask_for(self, token: str, body: Body) -> str:
        said = self._rest.ask(
            "POST", "/infrastructures?async=yes", limit_s=self._settings.request_s, body=body,
            headers={"Idempotency-Key": token},
        )  # fmt: skip
        infra = id_of(said.headers.get("infid", "") or said.member("uri"))
        if "idempotency-replayed" in said.headers and infra not in self._ids():  # of a machine that was deleted since
            said = self._rest.ask("POST", "/infrastructures?async=yes", limit_s=self._settings.request_s, body=body)
            infra = id_of(said.headers.get("infid", "") or said.member("uri"))
        return infra

    def get(self, provider_id: str) -> Instance:
        """Look at one machine: two or three requests."""
        mark = self._mark(provider_id)
        if mark is None:
            raise NotFound(f"no machine of ours is {provider_id} at {self._rest.http.address}")
        return self._instance(provider_id, mark)

    def list_machines(self, infrastructure: str | None = None) -> Sequence[Instance]:
        """List what carries our mark."""
        mine = {i: mark for i, mark in self._marked().items() if infrastructure in {None, mark.infrastructure}}

        def one(infra: str) -> Instance | None:
            try:
                return self._instance(infra, mine[infra])
            except NotFound:
                return None

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="im-look") as pool:
            return [instance for instance in pool.map(one, mine) if instance is not None]

    def start(self, provider_id: str) -> None:
        """Ask for it; ours answers when it is done, in a minute or two."""
        if self.get(provider_id).phase is Phase.STOPPED:
            self._change("PUT", path_of(provider_id, "start"))

    def stop(self, provider_id: str) -> None:
        """Ask for it; ours answers when it is done, in a minute or two."""
        if self.get(provider_id).phase is not Phase.STOPPED:
            self._change("PUT", path_of(provider_id, "stop"))

    def reboot(self, provider_id: str) -> None:
        """Ask for it."""
        for vm in self._states(provider_id)[1]:
            self._change("PUT", path_of(provider_id, "vms", vm, "reboot"))

    def resize(self, provider_id: str, spec: Spec) -> None:
        """Refuse what is not equal already."""
        got = self.get(provider_id).spec
        wanted = {"num_cpus": spec.num_cpus, "mem_bytes": spec.mem_bytes}
        differs = [name for name, value in wanted.items() if value is not None and got.get(name, value) != value]
        if differs:
            raise Unsupported(f"{', '.join(differs)} of a machine at another server is not changed in place")

    def delete(self, provider_id: str) -> None:
        """Destroy its infrastructure. Blocks until the server has done it, a minute or so.

        IM 2.0.0 answers 409 while the machine is being made, or deletes it and has it again when it is made (or
        configured): such a one is looked at again for some seconds, and whenever machines are listed.
        """

        def ask() -> None:
            try:
                state, _ = self._states(provider_id)
                self._change("DELETE", path_of(provider_id))
            except NotFound:
                return
            for pause_s in _LOOK_AGAIN_S if state in {"pending", "running"} else ():
                self._clock.wait(self._never, pause_s)
                if provider_id in self._ids():
                    raise Conflict(f"{self._rest.http.address} has {provider_id} still, or again", "delete it again")

        retrying(ask, rules=_NOT_YET, clock=self._clock, cancel=self._never)
        with self._lock:
            self._gone.add(provider_id)

    def console(self, provider_id: str) -> str:
        """Return what the server tells of it: no server has consoles."""
        try:
            text = self._get(path_of(provider_id, "contmsg")).member("contmsg")
        except NotFound:
            return ""
        return text.encode()[-_CONSOLE_BYTES:].decode(errors="replace")

    def close(self) -> None:
        self._rest.http.close()

    # the server

    def _get(self, path: str) -> Said:
        def ask() -> Said:
            return self._rest.ask("GET", path, limit_s=self._settings.request_s)

        return retrying(ask, rules=_AGAIN, clock=self._clock, cancel=self._never)

    def _change(self, method: str, path: str) -> None:
        """Send an order that may be repeated; one that takes long goes on without us."""
        try:
            self._rest.ask(method, path, limit_s=self._settings.request_s)
        except TimedOut as error:
            raise Transient(error.message, error.hint) from error

    def _ids(self) -> list[str]:
        return [id_of(uri) for uri in uris(self._get("/infrastructures?limit=1000"))]

    def _mark(self, infra: str) -> Mark | None:
        """Return our mark on an infrastructure; asked once.

        Raises:
            NotFound: there is none of this id.
        """
        with self._lock:
            if infra in self._marks:
                return self._marks[infra]
        mark = Mark.read(names_of(self._get(path_of(infra, "radl")).member("radl"))[0])
        with self._lock:
            self._marks[infra] = mark
        return mark

    def _marked(self) -> dict[str, Mark]:
        """Return what carries our mark. Of two with one token one goes (an answer was lost), and so do deleted ones."""

        def one(infra: str) -> Mark | None:
            try:
                return self._mark(infra)
            except NotFound:
                return None

        ids = self._ids()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="im-marks") as pool:
            marks = {infra: mark for infra, mark in zip(ids, pool.map(one, ids), strict=True) if mark is not None}
        kept: dict[str, Mark] = {}
        for infra in sorted(marks):
            if infra in self._gone:
                with suppress(Conflict, Transient):  # it cannot be deleted just now: the next look tries again
                    self.delete(infra)
            elif any(mark.token == marks[infra].token for mark in kept.values()):
                self.delete(infra)
            else:
                kept[infra] = marks[infra]
        return kept

    def _states(self, infra: str) -> tuple[str, Mapping[str, str]]:
        """Raises NotFound, also where the original shows a destroyed one as empty."""
        state, states = vm_states(self._get(path_of(infra, "state")))
        if not states and infra not in self._ids():
            raise NotFound(f"there is no {infra} at {self._rest.http.address}")
        return state, states

    def _instance(self, infra: str, mark: Mark) -> Instance:
        state, states = self._states(infra)
        number = min(states, key=lambda vm: (len(vm), vm), default="")
        vm: Vm | None = None
        if number:
            try:
                vm = vm_of(number, self._get(path_of(infra, "vms", number)))
            except NotFound:
                vm = None
        phase = phase_of(states[number]) if number else _phase_without_vm(state)
        phase = Phase.RUNNING if phase in _RUNS else phase
        access = self._access(infra, vm) if phase is Phase.RUNNING and vm is not None else None
        if phase is Phase.RUNNING and access is None:
            phase = Phase.PENDING  # it runs, and cannot be logged in to yet
        size = {"num_cpus": vm.num_cpus, "mem_bytes": vm.mem_bytes} if vm is not None else {}
        return Instance(
            provider_id=infra,
            name=mark.name,
            token=mark.token,
            infrastructure=mark.infrastructure,
            phase=phase,
            private_address=(vm.private_address or None) if vm is not None else None,
            public_address=(vm.public_address or None) if vm is not None else None,
            access=access,
            spec={name: value for name, value in size.items() if value is not None},
            fault=self._fault(infra) if phase is Phase.FAILED else "",
        )

    def _access(self, infra: str, vm: Vm) -> Access | None:
        """Return how to log in, with the host key that it has shown first; None while it does not answer."""
        address = vm.public_address or vm.private_address
        if not address:
            return None
        access = access_of_vm(vm, address)
        if not self._settings.reachable:
            return access
        folder = Path(self._settings.state_dir).expanduser() if self._settings.state_dir else _default_folder()
        return kept_key(access, folder / "host-keys" / infra)

    def _fault(self, infra: str) -> str:
        lines = [line.strip() for line in self.console(infra).splitlines() if line.strip()]
        return lines[-1][:500] if lines else ""


def _phase_without_vm(state: str) -> Phase:
    found = phase_of(state)
    return found if found in {Phase.FAILED, Phase.DELETING} else Phase.PENDING


def _default_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path("/var/lib/im-clues/im") if os.geteuid() == 0 else Path(base) / "im-clues" / "im"
