"""An ordinary user's machines: QEMU with a cloud-init seed, no rights needed.

ssh is forwarded from a loopback port; the machines see each other on a network of their own (10.77.0.0/24 unless
set otherwise), which this computer itself is not on. Without KVM they are emulated: minutes until ssh answers.
"""

import signal
import socket
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, MachineRequest, Progress, Severity
from im_client.providers.local import qemu
from im_client.providers.local.checks import check_programs, check_space
from im_client.providers.local.mirror import choose_release, host_release, read_sources
from im_client.providers.local.network import Bridge
from im_client.providers.local.outbound import host_proxy
from im_client.providers.local.process import is_running, signal_holder
from im_client.providers.local.provider import UNSUPPORTED, LocalProvider
from im_client.providers.local.qemu_image import DiskImage, ensure_disk
from im_client.providers.local.records import Manifest
from im_client.providers.local.settings import LocalSettings
from im_client.remote.access import HostKey
from infracore.errors import NoCapacity, NotFound, Transient, Unsupported

__all__ = ["SLOW", "QemuProvider"]

SLOW: Final = "machines are emulated: 1 to 8 minutes until ssh answers, and everything 10 to 20 times slower"
"""Measured on two cores, QEMU 7.2."""
_LOOPBACK: Final = "127.0.0.1"
_PORTS: Final = range(22100, 23100)


class QemuProvider(LocalProvider):
    """QEMU machines."""

    kind = "qemu"

    def __init__(self, settings: LocalSettings) -> None:
        super().__init__(settings)
        self._network = settings.network or "10.77.0.0/24"

    def limits(self) -> Limits:
        """CPUs and memory change while a machine is stopped; disks beside the root disk there are none."""
        return Limits(
            self.name,
            in_place_stopped=frozenset({"num_cpus", "mem_bytes"}),
            unsupported=UNSUPPORTED | {"volumes"},
        )

    def check(self) -> Sequence[Finding]:
        """Look at programs, KVM and disk."""
        found = [Finding("account", Severity.OK, "an ordinary user: QEMU machines")]
        found += check_programs(self.kind)
        problem = qemu.kvm_problem()
        if problem is not None:
            remedy = "run: adduser $USER kvm; or run as root"
            found.append(Finding("kvm", Severity.WARNING, f"{problem}: {SLOW}", remedy))
        else:
            found.append(Finding("kvm", Severity.OK, "works"))
        found.append(check_space(self._settings.root))
        return found

    def prepare(self, on_progress: Progress) -> None:
        """Make the disk image of the default release, and warn where machines will be slow."""
        self._demand(self.kind)
        problem = qemu.kvm_problem()
        if problem is not None:
            on_progress(f"{problem}: {SLOW}")
        self._image(Spec(), on_progress)

    def _image(self, spec: Spec, on_progress: Progress) -> tuple[DiskImage, str]:
        host = host_release()
        release = choose_release(spec, self._settings, host)
        sources = () if self._settings.cloud_image else read_sources(release, host, self._settings)
        name = self._settings.cloud_image or str(release)
        return ensure_disk(release, sources, self._settings, host_proxy(), on_progress), name

    def _guest_proxy(self) -> str | None:
        """Return the machines' apt proxy: 10.0.2.2 is this computer's loopback, as QEMU's user network has it."""
        wanted = self._settings.apt_proxy
        proxy = host_proxy() if wanted == "auto" else None if wanted == "none" else wanted
        return proxy.replace("localhost", "10.0.2.2").replace(_LOOPBACK, "10.0.2.2") if proxy is not None else None

    def _refuse(self, request: MachineRequest) -> None:
        if any(volume.size_bytes > 0 for volume in request.spec.volumes):
            raise Unsupported("local QEMU machines have no further disks", "leave volumes out, or run as root")
        choose_release(request.spec, self._settings, host_release())

    def _reserve(self, request: MachineRequest, host_key: str) -> Manifest:
        fixed = next((i.fixed_address for i in request.spec.interfaces if i.fixed_address), None)
        with self._records.network_lock():
            others = [other for other in self._records.all() if other.token != request.token]
            try:
                earlier = self._records.load(request.token)
                address, port = earlier.address, earlier.port
            except NotFound:
                address = Bridge.free_address(self._network, {other.address for other in others}, fixed)
                port = _free_port({other.port for other in others})
            manifest = Manifest(
                token=request.token,
                infrastructure=request.infrastructure,
                name=request.name,
                kind=self.kind,
                address=address,
                port=port,
                ssh_address=_LOOPBACK,
                public=any(interface.public for interface in request.spec.interfaces),
                num_cpus=request.spec.num_cpus,
                mem_bytes=request.spec.mem_bytes,
                disk_bytes=request.spec.disk_bytes,
                tags=dict(request.spec.tags),
                host_key=host_key,
            )
            self._records.save(manifest)
        return manifest

    def _furnish(self, manifest: Manifest, request: MachineRequest, key: HostKey) -> Manifest:
        image, name = self._image(request.spec, lambda _text: None)
        qemu.put_files(self._folder(manifest), manifest, request, key, image=image, proxy=self._guest_proxy())
        return replace(manifest, base=str(image.disk), image=name)

    def _launch(self, manifest: Manifest) -> None:
        folder = self._folder(manifest)
        argv = qemu.command_line(
            folder,
            manifest,
            DiskImage.at(Path(manifest.base)),
            kvm=qemu.kvm_problem() is None,
            group_port=20000 + zlib.crc32(str(self._records.root).encode()) % 20000,
            memory=manifest.mem_bytes or self._settings.qemu_memory_bytes,
        )
        qemu.launch(folder, argv)

    def _halt(self, manifest: Manifest) -> None:
        if qemu.power_button(self._folder(manifest)) and manifest.stop_by == 0.0:
            self._records.save(replace(manifest, stop_by=time.time() + self._settings.stop_timeout_s))

    def _phase(self, manifest: Manifest) -> tuple[Phase, str]:
        """Look; nobody watches a machine that shuts down, so who looks after its time limit powers it off."""
        if manifest.wanted == "stopped" and 0 < manifest.stop_by < time.time():
            qemu.quit_now(self._folder(manifest))
        return super()._phase(manifest)

    def _restart(self, manifest: Manifest) -> bool:
        return is_running(self._folder(manifest)) and qemu.reset(self._folder(manifest))

    def _kill(self, manifest: Manifest) -> None:
        folder = self._folder(manifest)
        limit = time.monotonic() + 10.0
        while signal_holder(folder, signal.SIGKILL, "qemu.pid") or is_running(folder):
            if time.monotonic() > limit:
                raise Transient(f"QEMU of {manifest.name} does not end", "try again", retry_after_s=10)
            time.sleep(0.02)

    def _release(self, manifest: Manifest) -> None:
        """Nothing lies outside of the folder."""

    def _fault(self, manifest: Manifest) -> str:  # noqa: ARG002
        """A machine that powered itself off and one whose QEMU was killed look alike: stopped."""
        return ""

    def _resized(self, manifest: Manifest) -> None:
        """A running machine keeps what it has until it is started anew."""

    def _tidy(self) -> None:
        """Nothing is shared but images."""


def _free_port(used: set[int]) -> int:
    """Find a loopback port that nobody listens on, below those that the kernel gives to connections.

    Raises:
        NoCapacity: there is none.
    """
    for port in _PORTS:
        if port in used:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
            return port
    raise NoCapacity(f"no loopback port of {_PORTS.start} to {_PORTS.stop - 1} is free")
