"""The provider of machines of a libvirt host."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Instance, MachineRequest, Progress
from im_client.providers.images import ImageRequest, SavedImage
from im_client.providers.libvirt.base_images import Base, BaseImages
from im_client.providers.libvirt.checks import SLOW, checks, kvm_problem
from im_client.providers.libvirt.domain import Domain, phase_of, resized
from im_client.providers.libvirt.domains import Domains
from im_client.providers.libvirt.golden import GoldenImages
from im_client.providers.libvirt.left import Left
from im_client.providers.libvirt.making import Host, make, unmake
from im_client.providers.libvirt.marks import DELETED, MADE, uuid_of, volume_prefix
from im_client.providers.libvirt.networks import USER, Networks
from im_client.providers.libvirt.room import room_of
from im_client.providers.libvirt.seed import has_read_seed, without_secret
from im_client.providers.libvirt.settings import LibvirtSettings
from im_client.providers.libvirt.storage import Storage
from im_client.providers.libvirt.virsh import Virsh
from im_client.providers.offers import Offer
from im_client.providers.quotas import Quota
from im_client.providers.things import Thing
from im_client.remote.access import Access
from im_client.remote.hostkeys import new_host_key
from infracore.clock import Clock, SystemClock
from infracore.errors import Conflict, InfraError, NoCapacity, NotFound, Unsupported

__all__ = ["LibvirtProvider"]

_UNSUPPORTED: Final = frozenset(
    {"instance_type", "num_gpus", "gpu_vendor", "gpu_model", "disk_type", "preemptible", "availability_zone"}
)
_MOST_DISKS: Final = 20
_LOOK_S: Final = 0.2


class LibvirtProvider:
    """Machines of one host. Safe under threads: `virsh` is asked anew each time."""

    name = "libvirt"
    scrubs_images = True

    def __init__(self, settings: LibvirtSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._never = threading.Event()
        self._virsh = Virsh(settings.uri, settings.request_s)
        self._storage = Storage(self._virsh, settings.pool, settings.upload_s)
        self._domains = Domains(self._virsh)
        self._networks = Networks(self._virsh, settings)
        pool = Storage(self._virsh, settings.image_pool, settings.upload_s) if settings.image_pool else None
        self._images = BaseImages(self._storage, pool, settings)
        self._golden = GoldenImages(self._storage)
        self._host = Host(self._domains, self._storage, self._networks, settings)
        self._left = Left(self._host)
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._shared = threading.Lock()
        """Held while what machines share is made: images and networks."""
        self._kvm_fault: str | None = None
        self._seen: set[str] = set()
        """Machines whose seed may still hold a secret."""

    # what it is

    def identity(self) -> str:
        """Return the host's address."""
        return f"libvirt {self._settings.uri}"

    def limits(self) -> Limits:
        """CPUs and memory change while a machine is stopped."""
        return Limits(self.name, in_place_stopped=frozenset({"num_cpus", "mem_bytes"}), unsupported=_UNSUPPORTED)

    def check(self) -> Sequence[Finding]:
        """Connect and look; KVM is tried."""
        return checks(self._virsh, self._storage, self._networks, self._settings)

    def prepare(self, on_progress: Progress) -> None:
        """Upload the default image, and warn where machines will be slow."""
        self._storage.room()
        if not self._kvm():
            on_progress(f"{self._kvm_fault or 'emulation is set'}: {SLOW}")
        if self._settings.image:
            with self._shared:
                self._images.ready(self._images.choose(Spec()), on_progress)

    def offer(self, spec: Spec) -> Offer:
        """Choose the image and the networks."""
        notes = [] if self._kvm() else [SLOW]
        if spec.golden_image is not None:
            image = self._golden.load(spec.golden_image).name
        else:
            image = self._images.choose(spec).name
            if spec.image is None and not spec.os_distribution:
                notes.append(f"image {image}: the template names none")
        notes += [f"{card.kind} {card.source}" for card in self._networks.cards(spec, "", "")]
        return Offer(
            image=image,
            num_cpus=spec.num_cpus or 1,
            mem_bytes=spec.mem_bytes or self._settings.memory_bytes,
            disk_bytes=spec.disk_bytes or self._settings.disk_bytes,
            notes=tuple(notes),
        )

    def quotas(self) -> Quota:
        """Look at the host, its pool and our machines."""
        return room_of(self._virsh, self._storage, self._domains.all())

    def _kvm(self) -> bool:
        with self._guard:
            if self._kvm_fault is None:
                is_tried = self._settings.accelerate == "auto"
                self._kvm_fault = kvm_problem(self._virsh) if is_tried else ""
            return self._settings.accelerate == "kvm" or (self._settings.accelerate == "auto" and not self._kvm_fault)

    # machines

    def create(self, request: MachineRequest) -> Instance:
        """Make and start a machine. Blocks for minutes where its image is not in the pool yet; else for seconds."""
        volume_prefix(request.infrastructure, request.token)
        uuid = uuid_of(request.token)
        with self._alone(uuid):
            try:
                earlier = self._domains.get(uuid)
            except NotFound:
                earlier = None
            if earlier is not None and earlier.mark.state == DELETED:
                raise Conflict(f"the machine {request.name} is being deleted", "delete it again, then create")
            if (
                earlier is not None and earlier.mark.state != MADE and earlier.is_running
            ):  # killed just before it was noted
                self._domains.put_mark(earlier, replace(earlier.mark, state=MADE))
            elif earlier is None or earlier.mark.state != MADE:
                self._make(request)
            self._seen.add(uuid)
            return self._instance(self._domains.get(uuid))

    def _make(self, request: MachineRequest) -> None:
        self._refuse(request)
        base = self._base(request.spec)
        key = request.host_key if request.host_key and request.host_key.private else new_host_key()
        try:
            with self._shared:
                self._networks.ready(
                    request.spec,
                    self._networks.cards(request.spec, request.token, request.infrastructure),
                    request.infrastructure,
                )
            with self._shared if self._settings.network == USER else nullcontext():  # ports are chosen by looking
                make(self._host, request, base, key, kvm=self._kvm)
        except InfraError:
            with suppress(InfraError):  # what cannot be removed now stays listed
                uuid = uuid_of(request.token)
                unmake(self._host, self._domains.get(uuid).mark)
            raise

    def _base(self, spec: Spec) -> Base:
        with self._shared:
            if spec.golden_image is not None:
                return self._golden.base(spec.golden_image)
            return self._images.ready(self._images.choose(spec), lambda _text: None)

    def _refuse(self, request: MachineRequest) -> None:
        spec = request.spec
        for field in _UNSUPPORTED:
            if getattr(spec, field):
                raise Unsupported(f"a libvirt host cannot honour {field} of {request.name}", "leave it out")
        if any(volume.volume_id for volume in spec.volumes):
            raise Unsupported("volumes of a libvirt host are made anew", "leave volume_id out")
        if len(spec.volumes) > _MOST_DISKS:
            raise Unsupported(f"{request.name} shall have {len(spec.volumes)} disks; {_MOST_DISKS} is the most")
        if spec.mem_bytes:
            limit = room_of(self._virsh, self._storage, ()).memory_bytes.limit
            if limit is not None and spec.mem_bytes > limit:
                raise NoCapacity(f"{request.name} shall have {spec.mem_bytes} bytes of memory and the host has {limit}")

    def get(self, provider_id: str) -> Instance:
        """Look at one machine; quick."""
        return self._instance(self._domains.get(provider_id))

    def list_machines(self, infrastructure: str | None = None) -> Sequence[Instance]:
        """List our domains of the host, half-made ones too."""
        return [
            self._instance(domain)
            for domain in self._domains.all()
            if infrastructure is None or domain.mark.infrastructure == infrastructure
        ]

    def _instance(self, domain: Domain) -> Instance:
        mark = domain.mark
        if domain.is_running and 0 < mark.stop_by < self._clock.now():  # nobody else watches it
            self._domains.end(domain.uuid)
            domain = replace(domain, state="shut off", reason="destroyed")
        if mark.holds_secret:
            self._seen.add(domain.uuid)
        phase, fault = phase_of(domain)
        addresses = ["127.0.0.1" if card.port else card.address for card in mark.cards]
        if phase is Phase.RUNNING and addresses and not addresses[0]:
            addresses[0] = self._seen_address(domain, mark.cards[0].mac)
        address = addresses[0] if addresses else ""
        if phase is Phase.RUNNING and not address:
            phase = Phase.PENDING
        public = next((a for a, card in zip(addresses, mark.cards, strict=True) if card.is_public and a), None)
        access = None
        if address:
            is_root = mark.user == "root"
            port = mark.cards[0].port or 22
            access = Access(
                address, mark.user, port=port, host_key=mark.host_key or None, become=not is_root, jump=self._jump()
            )
        return Instance(
            provider_id=domain.uuid,
            name=mark.name,
            token=mark.token,
            infrastructure=mark.infrastructure,
            phase=phase,
            private_address=address or None,
            public_address=public,
            access=access,
            spec={"num_cpus": domain.num_cpus, "mem_bytes": domain.mem_bytes, "image": mark.image},
            fault=fault,
        )

    def _jump(self) -> Access | None:
        """Return the host as the way to machines behind it."""
        parts = urlsplit(self._settings.uri)
        if self._settings.jump == "none" or not parts.scheme.endswith("ssh") or not parts.hostname:
            return None
        return Access(parts.hostname, parts.username or "root", port=parts.port or 22)

    def _seen_address(self, domain: Domain, mac: str) -> str:
        """Ask the host where a card without reservation is: by lease, by agent, by ARP."""
        for source in ("lease", "agent", "arp"):
            try:
                said = self._virsh("domifaddr", f"--domain={domain.uuid}", f"--source={source}")
            except InfraError:  # no agent, no lease: another source may know
                continue
            for line in said.splitlines():
                words = line.split()
                if len(words) >= 4 and words[1].lower() == mac and words[2] == "ipv4":
                    return words[3].partition("/")[0]
        return ""

    def start(self, provider_id: str) -> None:
        """Start a machine; one that is still shutting down is waited for, `stop_timeout_s` at most."""
        with self._alone(provider_id):
            domain = self._finished(provider_id)
            limit = self._clock.monotonic() + self._settings.stop_timeout_s
            while domain.is_running and domain.mark.stop_by:
                if self._clock.monotonic() > limit:
                    self._domains.end(provider_id)
                self._clock.wait(self._never, _LOOK_S)
                domain = self._domains.get(provider_id)
            self._forget_secret(domain)
            domain = self._domains.get(provider_id)
            if domain.mark.stop_by:
                self._domains.put_mark(domain, replace(domain.mark, stop_by=0.0))
            if domain.state == "paused":
                self._domains.ask("resume", provider_id)
            else:
                self._domains.start(provider_id)

    def _finished(self, provider_id: str) -> Domain:
        domain = self._domains.get(provider_id)
        if domain.mark.state != MADE:
            raise Conflict(f"the machine {domain.mark.name} is not complete", "create it again, or delete it")
        return domain

    def stop(self, provider_id: str) -> None:
        """Press the power button; who looks after `stop_timeout_s` pulls the plug."""
        with self._alone(provider_id):
            domain = self._finished(provider_id)
            if not domain.is_running or domain.mark.stop_by:
                return
            self._forget_secret(domain)
            domain = self._domains.get(provider_id)
            self._domains.put_mark(
                domain, replace(domain.mark, stop_by=self._clock.now() + self._settings.stop_timeout_s)
            )
            if domain.state == "paused":
                self._domains.end(provider_id)
                return
            with suppress(Conflict):  # it has ended meanwhile
                self._domains.ask("shutdown", provider_id)

    def reboot(self, provider_id: str) -> None:
        """Ask for a restart."""
        with self._alone(provider_id):
            domain = self._finished(provider_id)
            if not domain.is_running or domain.mark.stop_by:
                raise Conflict(f"{domain.mark.name} does not run", "start it")
            self._domains.ask("reboot", provider_id)

    def resize(self, provider_id: str, spec: Spec) -> None:
        """Change CPUs and memory from the next start on."""
        with self._alone(provider_id):
            domain = self._finished(provider_id)
            xml = resized(domain, self._domains.stored_xml(provider_id), spec)
            if xml is not None:
                self._domains.define(xml)

    def delete(self, provider_id: str) -> None:
        """Remove the machine, its disks, its seed and its addresses."""
        with self._alone(provider_id):
            try:
                domain = self._domains.get(provider_id)
            except NotFound:
                return
            self._domains.put_mark(domain, replace(domain.mark, state=DELETED))
            unmake(self._host, domain.mark)
            self._seen.discard(provider_id)

    def console(self, provider_id: str) -> str:
        """Return the end of its serial line."""
        mark = self._domains.get(provider_id).mark
        return self._storage.tail(self._host.console_of(mark)).decode(errors="replace")

    def close(self) -> None:
        """Take secrets out of the seeds of machines that have read them."""
        for uuid in sorted(self._seen):
            with suppress(InfraError), self._alone(uuid):  # the next who looks tries again
                self._forget_secret(self._domains.get(uuid))

    def _forget_secret(self, domain: Domain) -> None:
        """Blank the private host key in the seed, once the console shows that the machine has it."""
        mark = domain.mark
        if not mark.holds_secret or mark.state != MADE:
            return
        if not has_read_seed(self.console(domain.uuid), mark.host_key):
            return
        seed = f"{volume_prefix(mark.infrastructure, mark.token)}seed.img"
        self._storage.write(seed, without_secret(self._storage.read(seed)))
        self._domains.put_mark(domain, replace(mark, holds_secret=False))

    @contextmanager
    def _alone(self, uuid: str) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(uuid, threading.Lock())
        with lock:
            yield

    # what else there is

    def save_image(self, request: ImageRequest) -> SavedImage:
        """Copy, scrub and keep the root disk of a stopped machine. Blocks for minutes."""
        with self._alone(request.provider_id):
            domain = self._finished(request.provider_id)
            if domain.is_running:
                raise Conflict(f"the machine {domain.mark.name} runs", "stop it first")
            return self._golden.save(request, domain).saved()

    def list_images(self) -> Sequence[SavedImage]:
        """List the golden images of the pool, the newest first."""
        return [image.saved() for image in self._golden.all()]

    def check_image(self, image_id: str) -> str:
        """Compare an image's bytes with what was noted when it was saved."""
        return self._golden.check(image_id)

    def delete_image(self, image_id: str) -> None:
        """Delete an image that no machine needs."""
        with self._shared:
            self._golden.delete(image_id, [domain.mark for domain in self._domains.all()])

    def things(self, infrastructure: str | None = None) -> Sequence[Thing]:
        """List volumes and reservations whose machine is gone, and networks that we made."""
        return self._left.things(infrastructure)

    def remove_thing(self, thing: Thing) -> None:
        """Remove one."""
        self._left.remove(thing)

    def release(self, infrastructure: str) -> Sequence[str]:
        """Remove all of an infrastructure whose machines are gone."""
        kept = []
        for thing in self.things(infrastructure):
            try:
                self.remove_thing(thing)
            except InfraError as error:
                kept.append(f"{thing.kind} {thing.name} at {self._settings.uri}: {error.message}")
        return kept
