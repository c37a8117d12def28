"""What root's and an ordinary user's machines have in common, behind the protocol of `base.py`."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Instance, MachineRequest, Progress
from im_client.providers.local.hostkey import new_host_key
from im_client.providers.local.packages import install_command, missing_programs
from im_client.providers.local.process import is_running
from im_client.providers.local.records import Manifest, Records
from im_client.providers.local.room import room_here
from im_client.providers.local.settings import LocalSettings
from im_client.providers.quotas import Quota
from im_client.remote.access import Access, HostKey
from infracore.clock import boot_id
from infracore.errors import Conflict, Misconfigured, NoCapacity, NotFound, Transient

__all__ = ["UNSUPPORTED", "LocalProvider"]

UNSUPPORTED: Final = frozenset(
    {"instance_type", "num_gpus", "gpu_vendor", "gpu_model", "disk_type", "preemptible", "availability_zone"}
)
"""Fields of `Spec` that no machine on this computer can honour."""
_CONSOLE_BYTES: Final = 64 * 1024


class LocalProvider(ABC):
    """The life of a machine: its manifest, its lock, its phases. `create` builds a missing base image first."""

    name = "local"
    kind: str

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._records = Records(settings.root)

    @abstractmethod
    def limits(self) -> Limits: ...

    @abstractmethod
    def check(self) -> Sequence[Finding]: ...

    @abstractmethod
    def prepare(self, on_progress: Progress) -> None: ...

    @abstractmethod
    def _refuse(self, request: MachineRequest) -> None:
        """Raise what can never be honoured, before anything is written."""

    @abstractmethod
    def _reserve(self, request: MachineRequest, host_key: str) -> Manifest:
        """Choose addresses and save the manifest."""

    @abstractmethod
    def _furnish(self, manifest: Manifest, request: MachineRequest, key: HostKey) -> Manifest:
        """Make the machine's files; return the manifest with its base image."""

    @abstractmethod
    def _launch(self, manifest: Manifest) -> None:
        """Start a machine that does not run; the manifest is saved."""

    @abstractmethod
    def _halt(self, manifest: Manifest) -> None:
        """Ask for a clean shutdown; a machine that does not run is left alone."""

    @abstractmethod
    def _restart(self, manifest: Manifest) -> bool:
        """Ask for a restart; False where it does not run."""

    @abstractmethod
    def _kill(self, manifest: Manifest) -> None:
        """End all that runs for the machine."""

    @abstractmethod
    def _release(self, manifest: Manifest) -> None:
        """Give back what the machine holds outside of its folder."""

    @abstractmethod
    def _tidy(self) -> None:
        """Take away what no machine needs any more."""

    @abstractmethod
    def _fault(self, manifest: Manifest) -> str:
        """Say why a machine that should run does not; "" where it ended cleanly."""

    @abstractmethod
    def _resized(self, manifest: Manifest) -> None:
        """Apply new limits to a running machine, where that can be done."""

    def _demand(self, kind: str) -> None:
        missing = missing_programs(kind)
        if missing:
            raise Misconfigured(
                f"local machines need {', '.join(program.name for program in missing)}",
                f"run: {install_command(missing)}",
            )

    def create(self, request: MachineRequest) -> Instance:
        """Make and start a machine; finish one that an earlier call with the token left half-made."""
        with self._records.machine_lock(request.token):
            try:
                manifest = self._records.load(request.token)
            except NotFound:
                manifest = None
            if manifest is not None and manifest.wanted == "deleted":
                raise Conflict(f"the machine {manifest.name} is being deleted", "delete it again, then create")
            if manifest is None or not manifest.made:
                manifest = self._make(request, manifest)
            return self._instance(manifest)

    def _make(self, request: MachineRequest, earlier: Manifest | None) -> Manifest:
        if earlier is not None and is_running(self._folder(earlier)):  # killed just before it was noted
            return self._noted(earlier)
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory = request.spec.mem_bytes
        if memory is not None and memory > total:
            raise NoCapacity(
                f"{request.name} shall have {memory} bytes of memory and this computer has {total}",
                "ask for less in the template's inputs",
            )
        self._refuse(request)
        key = request.host_key if request.host_key and request.host_key.private else new_host_key()
        if earlier is not None:
            self._kill(earlier)
        manifest = self._furnish(self._reserve(request, key.public), request, key)
        return self._noted(self._started(manifest))

    def _noted(self, manifest: Manifest) -> Manifest:
        manifest = replace(manifest, made=True)
        self._records.save(manifest)
        return manifest

    def _started(self, manifest: Manifest) -> Manifest:
        manifest = replace(manifest, wanted="running", boot=boot_id(), stop_by=0.0)
        self._records.save(manifest)
        (self._folder(manifest) / "exit.json").unlink(missing_ok=True)
        self._launch(manifest)
        return manifest

    def _folder(self, manifest: Manifest) -> Path:
        return self._records.folder(manifest.token)

    def get(self, provider_id: str) -> Instance:
        """Look at one machine; quick."""
        return self._instance(self._records.load(provider_id))

    def list_machines(self, infrastructure: str | None = None) -> Sequence[Instance]:
        """List the machines of the state folder, half-made ones too."""
        return [
            self._instance(manifest)
            for manifest in self._records.all()
            if infrastructure is None or manifest.infrastructure == infrastructure
        ]

    def _instance(self, manifest: Manifest) -> Instance:
        phase, fault = self._phase(manifest)
        granted: dict[str, int | str] = {"image": manifest.image}
        if manifest.num_cpus is not None:
            granted["num_cpus"] = min(manifest.num_cpus, os.cpu_count() or 1)
        if manifest.mem_bytes is not None:
            granted["mem_bytes"] = manifest.mem_bytes
        return Instance(
            provider_id=manifest.token,
            name=manifest.name,
            token=manifest.token,
            infrastructure=manifest.infrastructure,
            phase=phase,
            private_address=manifest.address,
            public_address=manifest.address if manifest.public else None,
            access=Access(manifest.ssh_address or manifest.address, port=manifest.port, host_key=manifest.host_key),
            spec=granted,
            fault=fault,
        )

    def _phase(self, manifest: Manifest) -> tuple[Phase, str]:
        if manifest.wanted == "deleted":
            return Phase.DELETING, ""
        if not manifest.made:
            return Phase.PENDING, ""
        is_busy = self._records.is_busy(manifest.token)  # before the next look: a start may end in between
        if is_running(self._folder(manifest)):
            return Phase.RUNNING, ""
        if is_busy and manifest.wanted == "running":
            return Phase.PENDING, ""
        fault = self._fault(manifest)
        return (Phase.FAILED, f"{fault}; see the console") if fault else (Phase.STOPPED, "")

    def start(self, provider_id: str) -> None:
        """Start a machine; waits while it is still shutting down (`stop_timeout_s` at most)."""
        with self._records.machine_lock(provider_id):
            manifest = self._finished(provider_id)
            folder = self._folder(manifest)
            if is_running(folder) and manifest.wanted == "running":
                return
            limit = time.monotonic() + self._settings.stop_timeout_s + 5.0
            while is_running(folder):
                if time.monotonic() > limit:
                    raise Transient(f"{manifest.name} is still shutting down", retry_after_s=5)
                time.sleep(0.05)
            self._kill(manifest)
            self._started(manifest)

    def _finished(self, provider_id: str) -> Manifest:
        manifest = self._records.load(provider_id)
        if not manifest.made or manifest.wanted == "deleted":
            raise Conflict(f"the machine {manifest.name} is not complete", "create it again, or delete it")
        return manifest

    def stop(self, provider_id: str) -> None:
        """Ask for a clean shutdown; it is powered off if it takes longer than `stop_timeout_s`."""
        with self._records.machine_lock(provider_id):
            manifest = replace(self._finished(provider_id), wanted="stopped")
            self._records.save(manifest)
            self._halt(manifest)

    def reboot(self, provider_id: str) -> None:
        """Ask for a restart."""
        with self._records.machine_lock(provider_id):
            manifest = self._finished(provider_id)
            if not self._restart(manifest):
                raise Conflict(f"{manifest.name} does not run", "start it")

    def resize(self, provider_id: str, spec: Spec) -> None:
        """Change CPUs and memory: at once where the kind of machine can, else with the next start."""
        with self._records.machine_lock(provider_id):
            manifest = self._finished(provider_id)
            wanted = replace(manifest, num_cpus=spec.num_cpus, mem_bytes=spec.mem_bytes)
            if wanted != manifest:
                if is_running(self._folder(manifest)):
                    self._resized(wanted)
                self._records.save(wanted)

    def delete(self, provider_id: str) -> None:
        """Kill and remove the machine; with the last one goes what all share, save images and packages."""
        with self._records.machine_lock(provider_id):
            try:
                manifest = self._records.load(provider_id)
            except NotFound:
                pass
            else:
                self._records.save(replace(manifest, wanted="deleted"))
                self._kill(manifest)
                self._release(manifest)
            self._records.remove(provider_id)
        self._tidy()

    def console(self, provider_id: str) -> str:
        """Return the end of what the machine and its supervisor printed."""
        path = self._folder(self._records.load(provider_id)) / "console.log"
        if not path.exists():
            return ""
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _CONSOLE_BYTES))
            return log.read().decode(errors="replace")

    def quotas(self) -> Quota:
        """Look at this computer and at the machines of the state folder."""
        return room_here(self._settings.root, self._records.all())

    def close(self) -> None:  # noqa: B027 - complete as it is
        """Nothing is held open."""
