"""Root's machines on this computer, behind the protocol of `base.py`."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Instance, MachineRequest, Progress
from im_client.providers.local import nspawn
from im_client.providers.local.base_image import ensure_base
from im_client.providers.local.cgroups import GroupTree, find_groups
from im_client.providers.local.checks import check_nspawn
from im_client.providers.local.hostkey import new_host_key
from im_client.providers.local.mirror import choose_release, host_release, read_sources
from im_client.providers.local.network import Bridge, BridgeRecord, link_name
from im_client.providers.local.outbound import Outbound, WayOut
from im_client.providers.local.packages import missing_programs
from im_client.providers.local.records import Manifest, Records, VolumeRecord, boot_id
from im_client.providers.local.settings import LocalSettings
from im_client.remote.access import Access
from infracore.errors import Conflict, Misconfigured, NoCapacity, NotFound, Transient, Unsupported

__all__ = ["UNSUPPORTED", "NspawnProvider", "wanted_volumes"]

UNSUPPORTED: Final = frozenset(
    {"instance_type", "num_gpus", "gpu_vendor", "gpu_model", "disk_type", "preemptible", "availability_zone"}
)
_CONSOLE_BYTES: Final = 64 * 1024
_FILE_SYSTEMS: Final = ("ext2", "ext3", "ext4", "xfs", "btrfs")


def wanted_volumes(spec: Spec) -> tuple[VolumeRecord, ...]:
    """Return the disks that are asked for.

    Raises:
        Unsupported: one exists already somewhere else, has no mount path, or a file system that we cannot make.
    """
    found = []
    for number, volume in enumerate(spec.volumes):
        if volume.volume_id is not None:
            raise Unsupported(f"the local provider has no existing volume {volume.volume_id}", "leave the id out")
        if volume.size_bytes <= 0:
            continue
        if volume.mount_path is None or not volume.mount_path.startswith("/"):
            raise Unsupported(f"the volume {volume.name} of a local machine needs a mount path", "give it a location")
        if volume.fs_type not in _FILE_SYSTEMS:
            raise Unsupported(f"a local volume cannot have the file system {volume.fs_type}", "use ext4")
        found.append(VolumeRecord(f"disk{number}", volume.size_bytes, volume.mount_path, volume.fs_type))
    return tuple(found)


class NspawnProvider:
    """systemd-nspawn machines. `create` builds a missing base image first, which takes a minute or two."""

    name = "local"

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._records = Records(settings.root)
        self._bridge = Bridge(settings.root, settings.bridge, settings.network)
        self._outbound = Outbound(settings.root, settings)
        self._tree: GroupTree | None = None
        self._way_out: tuple[BridgeRecord, WayOut] | None = None
        self._lock = threading.Lock()

    def limits(self) -> Limits:
        """CPUs and memory change on a running machine; GPUs, flavors and zones there are none."""
        return Limits(self.name, in_place=frozenset({"num_cpus", "mem_bytes"}), unsupported=UNSUPPORTED)

    def check(self) -> Sequence[Finding]:
        """Look at programs, kernel, control groups, disk, network and packages."""
        return check_nspawn(self._settings)

    def prepare(self, on_progress: Progress) -> None:
        """Make the base image of the default release, the bridge and the way to packages."""
        missing = missing_programs("nspawn")
        if missing:
            raise Misconfigured(
                f"local machines need {', '.join(program.name for program in missing)}",
                "run: apt-get install " + " ".join(sorted({program.package for program in missing})),
            )
        with self._records.network_lock():
            _, way_out = self._connect()
            in_use = bool(self._records.all())
        try:
            self._base(Spec(), way_out, on_progress)
        finally:
            if not in_use:
                self._tidy()

    def _connect(self) -> tuple[BridgeRecord, WayOut]:
        """Bring bridge and way out up; to be called under the network lock."""
        record = self._bridge.ensure()
        return record, self._outbound.ensure(record)

    def _base(self, spec: Spec, way_out: WayOut, on_progress: Progress) -> tuple[Path, str]:
        host = host_release()
        release = choose_release(spec, self._settings, host)
        sources = read_sources(release, host, self._settings)
        return ensure_base(release, sources, self._settings, way_out.apt_proxy, on_progress), str(release)

    def _groups(self) -> GroupTree:
        with self._lock:
            if self._tree is None:
                self._tree = find_groups()
            return self._tree

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
                manifest = self._make(request)
            return self._instance(manifest)

    def _make(self, request: MachineRequest) -> Manifest:
        spec = request.spec
        if request.user_data:
            raise Unsupported("local systemd-nspawn machines have no cloud-init", "set kind = qemu, or use a playbook")
        volumes = wanted_volumes(spec)
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if spec.mem_bytes is not None and spec.mem_bytes > total:
            raise NoCapacity(
                f"{request.name} shall have {spec.mem_bytes} bytes of memory and this computer has {total}",
                "ask for less in the template's inputs",
            )
        folder = self._records.folder(request.token)
        choose_release(spec, self._settings, host_release())
        key = request.host_key if request.host_key and request.host_key.private else new_host_key()
        with self._records.network_lock():
            record = self._bridge.ensure()
            manifest = self._reserve(request, record, volumes, key.public)
            way_out = self._outbound.ensure(record)
        base, image = self._base(spec, way_out, _silent)
        manifest = replace(manifest, base=str(base), image=image)
        self._records.save(manifest)
        nspawn.put_files(folder, manifest, request, key)
        manifest = replace(manifest, made=True)
        self._records.save(manifest)
        return self._launch(manifest, record, way_out)

    def _reserve(
        self, request: MachineRequest, record: BridgeRecord, volumes: tuple[VolumeRecord, ...], host_key: str
    ) -> Manifest:
        """Choose the address and write the manifest, before anything of the machine is made."""
        fixed = next((i.fixed_address for i in request.spec.interfaces if i.fixed_address), None)
        used = {other.address for other in self._records.all() if other.token != request.token}
        try:
            address = self._records.load(request.token).address
        except NotFound:
            address = ""
        manifest = Manifest(
            token=request.token,
            infrastructure=request.infrastructure,
            name=request.name,
            kind="nspawn",
            base="",
            image="",
            address=address or self._bridge.free_address(record.network, used, fixed),
            link=link_name(self._records.root, request.token),
            public=any(interface.public for interface in request.spec.interfaces),
            num_cpus=request.spec.num_cpus,
            mem_bytes=request.spec.mem_bytes,
            volumes=volumes,
            tags=dict(request.spec.tags),
            host_key=host_key,
        )
        self._records.save(manifest)
        return manifest

    def _launch(self, manifest: Manifest, record: BridgeRecord, way_out: WayOut) -> Manifest:
        folder = self._records.folder(manifest.token)
        tree = self._groups()
        manifest = replace(manifest, wanted="running", boot=boot_id())
        self._records.save(manifest)
        (folder / "exit.json").unlink(missing_ok=True)
        nspawn.put_connections(folder, way_out)
        self._bridge.attach(record, manifest.link, manifest.address)
        self._limit(manifest)
        nspawn.launch(
            folder,
            manifest,
            tree,
            durable=self._settings.durable,
            stop_timeout_s=self._settings.stop_timeout_s,
        )
        return manifest

    def _limit(self, manifest: Manifest) -> None:
        self._groups().limit(
            manifest.link,
            num_cpus=manifest.num_cpus,
            mem_bytes=manifest.mem_bytes,
            offset=int(manifest.address.rpartition(".")[2]),
        )

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
            access=Access(manifest.address, host_key=manifest.host_key),
            spec=granted,
            fault=fault,
        )

    def _phase(self, manifest: Manifest) -> tuple[Phase, str]:
        folder = self._records.folder(manifest.token)
        if manifest.wanted == "deleted":
            return Phase.DELETING, ""
        if not manifest.made:
            return Phase.PENDING, ""
        if nspawn.is_running(folder):
            return Phase.RUNNING, ""
        fault = nspawn.fault_of(folder)
        if fault:
            return Phase.FAILED, f"{fault}; see the console"
        if fault is None and manifest.boot == boot_id() and manifest.wanted == "running":
            return Phase.FAILED, "its supervisor is gone: it was killed, or never started"
        return Phase.STOPPED, ""

    def start(self, provider_id: str) -> None:
        """Start a machine; waits while it is still shutting down (`stop_timeout_s` at most)."""
        with self._records.machine_lock(provider_id):
            manifest = self._finished(provider_id)
            folder = self._records.folder(provider_id)
            if nspawn.is_running(folder) and manifest.wanted == "running":
                return
            limit = time.monotonic() + self._settings.stop_timeout_s + 5.0
            while nspawn.is_running(folder):
                if time.monotonic() > limit:
                    raise Transient(f"{manifest.name} is still shutting down", retry_after_s=5)
                time.sleep(0.05)
            nspawn.kill(folder, manifest, self._groups())
            with self._records.network_lock():
                record, way_out = self._connect()
            self._launch(manifest, record, way_out)

    def _finished(self, provider_id: str) -> Manifest:
        manifest = self._records.load(provider_id)
        if not manifest.made or manifest.wanted == "deleted":
            raise Conflict(f"the machine {manifest.name} is not complete", "create it again, or delete it")
        return manifest

    def stop(self, provider_id: str) -> None:
        """Ask for a clean shutdown; after `stop_timeout_s` the supervisor powers it off."""
        with self._records.machine_lock(provider_id):
            manifest = self._finished(provider_id)
            self._records.save(replace(manifest, wanted="stopped"))
            nspawn.signal_supervisor(self._records.folder(provider_id), signal.SIGTERM)

    def reboot(self, provider_id: str) -> None:
        """Ask for a clean restart."""
        with self._records.machine_lock(provider_id):
            manifest = self._finished(provider_id)
            if not nspawn.signal_supervisor(self._records.folder(provider_id), signal.SIGUSR1):
                raise Conflict(f"{manifest.name} does not run", "start it")

    def resize(self, provider_id: str, spec: Spec) -> None:
        """Change CPUs and memory at once, running or not."""
        with self._records.machine_lock(provider_id):
            manifest = self._finished(provider_id)
            wanted = replace(manifest, num_cpus=spec.num_cpus, mem_bytes=spec.mem_bytes)
            if wanted != manifest:
                if nspawn.is_running(self._records.folder(provider_id)):
                    self._limit(wanted)
                self._records.save(wanted)

    def delete(self, provider_id: str) -> None:
        """Kill and remove the machine; with the last one go bridge, rules and package cache's server."""
        with self._records.machine_lock(provider_id):
            try:
                manifest = self._records.load(provider_id)
            except NotFound:
                self._records.remove(provider_id)
                return
            self._records.save(replace(manifest, wanted="deleted"))
            nspawn.kill(self._records.folder(provider_id), manifest, self._groups())
            self._bridge.detach(manifest.link)
            self._records.remove(provider_id)
        self._tidy()

    def _tidy(self) -> None:
        """Without machines there is no bridge and no process of ours."""
        with self._records.network_lock():
            if not self._records.all():
                self._outbound.remove(self._bridge.chosen())
                self._bridge.remove()

    def console(self, provider_id: str) -> str:
        """Return the end of what the machine's systemd and our supervisor printed."""
        self._records.load(provider_id)
        path = self._records.folder(provider_id) / "console.log"
        if not path.exists():
            return ""
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _CONSOLE_BYTES))
            return log.read().decode(errors="replace")

    def close(self) -> None:
        """Nothing is held open."""


def _silent(_text: str) -> None:
    """Say nothing: `create` has no progress to report to."""
