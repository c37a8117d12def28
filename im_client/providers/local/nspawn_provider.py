"""Root's machines: systemd-nspawn on an overlay, each in a network namespace on our bridge."""

import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from im_client.plan.model import Limits, Spec
from im_client.providers.base import Finding, MachineRequest, Progress
from im_client.providers.images import ImageRequest, SavedImage
from im_client.providers.local import nspawn
from im_client.providers.local.base_image import ensure_base
from im_client.providers.local.cgroups import GroupTree, find_groups
from im_client.providers.local.checks import check_nspawn
from im_client.providers.local.golden import GoldenImages
from im_client.providers.local.kernel import raise_limits
from im_client.providers.local.mirror import choose_release, host_release, read_sources
from im_client.providers.local.network import Bridge, BridgeRecord, link_name
from im_client.providers.local.outbound import Outbound, WayOut
from im_client.providers.local.process import is_running, signal_holder
from im_client.providers.local.provider import UNSUPPORTED, LocalProvider
from im_client.providers.local.records import Manifest, VolumeRecord
from im_client.providers.local.settings import LocalSettings
from im_client.remote.access import HostKey
from infracore.clock import boot_id
from infracore.errors import Conflict, NotFound, Unsupported

__all__ = ["NspawnProvider", "wanted_volumes"]

_FILE_SYSTEMS: Final = ("ext2", "ext3", "ext4")


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


class NspawnProvider(LocalProvider):
    """systemd-nspawn machines."""

    kind = "nspawn"
    scrubs_images = True

    def __init__(self, settings: LocalSettings) -> None:
        super().__init__(settings)
        self._bridge = Bridge(settings.root, settings.bridge, settings.network)
        self._outbound = Outbound(settings.root, settings)
        self._golden = GoldenImages(settings.root)
        self._connection: tuple[BridgeRecord, WayOut] | None = None
        self._tree: GroupTree | None = None
        self._lock = threading.Lock()

    def limits(self) -> Limits:
        """CPUs and memory change on a running machine; GPUs, flavors and zones there are none."""
        return Limits(self.name, in_place=frozenset({"num_cpus", "mem_bytes"}), unsupported=UNSUPPORTED)

    def check(self) -> Sequence[Finding]:
        """Look at programs, kernel, control groups, disk, network and packages."""
        return check_nspawn(self._settings)

    def prepare(self, on_progress: Progress) -> None:
        """Make the base image of the default release, the bridge and the way to packages."""
        self._demand(self.kind)
        try:
            with self._records.network_lock():
                _, way_out = self._connect()
            self._base(Spec(), way_out, on_progress)
        finally:
            self._tidy()

    def _connect(self) -> tuple[BridgeRecord, WayOut]:
        """Bring bridge and way out up; to be called under the network lock.

        It takes some twenty programs: what was found is used again as long as bridge and proxy are there.
        """
        known = self._connection
        if known is not None and self._bridge.chosen() == known[0] and self._outbound.stands(*known):
            return known
        record = self._bridge.ensure()
        self._connection = record, self._outbound.ensure(record)
        return self._connection

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

    def _refuse(self, request: MachineRequest) -> None:
        if request.user_data:
            raise Unsupported("local systemd-nspawn machines have no cloud-init", "set kind = qemu, or use a playbook")
        wanted_volumes(request.spec)
        release = choose_release(request.spec, self._settings, host_release())
        if request.spec.golden_image is not None:
            system = self._golden.load(request.spec.golden_image).system
            if system != str(release):
                raise Unsupported(
                    f"{request.name} shall run {release}, and the golden image {request.spec.golden_image} is {system}",
                    "save a machine of that release, or go without: im scale --image none",
                )

    def _reserve(self, request: MachineRequest, host_key: str) -> Manifest:
        """Choose the address and write the manifest, before anything of the machine is made."""
        fixed = next((i.fixed_address for i in request.spec.interfaces if i.fixed_address), None)
        with self._records.network_lock():
            record, _ = self._connect()
            used = {other.address for other in self._records.all() if other.token != request.token}
            try:
                address = self._records.load(request.token).address
            except NotFound:
                address = self._bridge.free_address(record.network, used, fixed)
            manifest = Manifest(
                token=request.token,
                infrastructure=request.infrastructure,
                name=request.name,
                kind=self.kind,
                address=address,
                link=link_name(self._records.root, request.token),
                public=any(interface.public for interface in request.spec.interfaces),
                num_cpus=request.spec.num_cpus,
                mem_bytes=request.spec.mem_bytes,
                volumes=wanted_volumes(request.spec),
                tags=dict(request.spec.tags),
                host_key=host_key,
            )
            self._records.save(manifest)
        return manifest

    def _furnish(self, manifest: Manifest, request: MachineRequest, key: HostKey) -> Manifest:
        with self._records.network_lock():
            _, way_out = self._connect()
        if request.spec.golden_image is not None:
            with self._golden.lock():  # recorded before anybody could delete it
                golden = self._golden.load(request.spec.golden_image)
                layers = self._golden.layers(golden)
                manifest = replace(manifest, base=layers, image=golden.system, golden=golden.name)
                self._records.save(manifest)
        else:
            base, image = self._base(request.spec, way_out, _silent)
            manifest = replace(manifest, base=str(base), image=image)
        nspawn.put_files(self._folder(manifest), manifest, request, key)
        return manifest

    def save_image(self, request: ImageRequest) -> SavedImage:
        """Save a stopped machine: its own layer, copied and scrubbed. Its further disks are not in it."""
        with self._records.machine_lock(request.provider_id):
            manifest = self._finished(request.provider_id)
            folder = self._folder(manifest)
            if is_running(folder):
                raise Conflict(f"{manifest.name} runs, and its files may change meanwhile", "stop it, then save it")
            return self._golden.save(request, manifest, folder / "upper").saved()

    def list_images(self) -> Sequence[SavedImage]:
        """List the images of the state folder, the newest first."""
        return [image.saved() for image in self._golden.all()]

    def check_image(self, image_id: str) -> str:
        """Compare all files of an image with the digest that was taken when it was saved."""
        return self._golden.check(image_id)

    def delete_image(self, image_id: str) -> None:
        """Delete an image that no machine and no other image stands on."""
        with self._golden.lock():
            users = [manifest.name for manifest in self._records.all() if manifest.golden == image_id]
            self._golden.delete(image_id, users)

    def _launch(self, manifest: Manifest) -> None:
        folder = self._folder(manifest)
        with self._records.network_lock():
            record, way_out = self._connect()
        nspawn.put_connections(folder, way_out)
        self._bridge.attach(record, manifest.link, manifest.address)
        self._resized(manifest)
        raise_limits()
        nspawn.launch(
            folder,
            manifest,
            self._groups(),
            durable=self._settings.durable,
            stop_timeout_s=self._settings.stop_timeout_s,
        )

    def _resized(self, manifest: Manifest) -> None:
        self._groups().limit(
            manifest.link,
            num_cpus=manifest.num_cpus,
            mem_bytes=manifest.mem_bytes,
            offset=int(manifest.address.rpartition(".")[2]),
        )

    def _halt(self, manifest: Manifest) -> None:
        signal_holder(self._folder(manifest), signal.SIGTERM)

    def _restart(self, manifest: Manifest) -> bool:
        return signal_holder(self._folder(manifest), signal.SIGUSR1)

    def _kill(self, manifest: Manifest) -> None:
        nspawn.kill(self._folder(manifest), manifest, self._groups())

    def _release(self, manifest: Manifest) -> None:
        self._bridge.detach(manifest.link)

    def _fault(self, manifest: Manifest) -> str:
        fault = nspawn.fault_of(self._folder(manifest))
        if fault is None and manifest.boot == boot_id() and manifest.wanted == "running":
            return "its supervisor is gone: it was killed, or never started"
        return fault or ""

    def _tidy(self) -> None:
        """Without machines there is no bridge and no process of ours."""
        with self._records.network_lock():
            if not self._records.all():
                self._outbound.remove(self._bridge.chosen())
                self._bridge.remove()


def _silent(_text: str) -> None:
    """Say nothing: `create` has no progress to report to."""
