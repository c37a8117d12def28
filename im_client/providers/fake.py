"""Machines that are only written down: for tests, plans, crashes and benchmarks, with scripted delays and faults.

The world is a folder with one small file a machine, so that processes one after another (and one that is killed)
see the same machines; without a folder it is in memory. Every call costs the same, however many machines there are,
save for `list_machines`. Nothing can log in to these machines, save to those for which an SSH server stands.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import msgspec

from im_client.auth.credentials import Credential
from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Instance, MachineRequest, Progress, Severity
from im_client.providers.cloud.credentials import the_credential
from im_client.providers.cloud.lent import Lent
from im_client.providers.fake_offers import offer_of
from im_client.providers.fake_settings import FakeSettings, Fault, Op
from im_client.providers.fake_world import FolderWorld, Image, Machine, MemoryWorld, World
from im_client.providers.images import ImageRequest, SavedImage
from im_client.providers.offers import Offer
from im_client.providers.quotas import Quota, Share
from im_client.providers.registry import decode_settings
from im_client.providers.things import Thing
from im_client.remote.access import Access
from infracore.clock import Clock, SystemClock
from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)

__all__ = ["Call", "FakeProvider", "FakeSettings", "Fault", "open_provider"]

_ERRORS: Final[Mapping[str, type[InfraError]]] = {
    kind.__name__: kind
    for kind in (
        CommandFailed,
        Conflict,
        Misconfigured,
        NoCapacity,
        NotFound,
        QuotaExceeded,
        TimedOut,
        Transient,
        Unauthorised,
    )
}


class Call(msgspec.Struct, frozen=True):
    """One call that was made, for tests."""

    op: str
    node: str


def open_provider(
    settings: Mapping[str, Any], credentials: Sequence[Credential] = (), lent: Lent | None = None
) -> "FakeProvider":
    """Make the provider from its section of the settings, and the line of the auth file that they name.

    Raises:
        Misconfigured: with the path of what is wrong. Unauthorised: the line has not the password.
    """
    del lent  # there is nothing that could complete a line, and it leads nowhere
    known = decode_settings("fake", settings, FakeSettings)
    if known.password:
        line = the_credential(known.credential, credentials, "fake")
        if line is None or "password" not in line.fields or line.fields["password"].reveal() != known.password:
            raise Unauthorised("fake does not take this password", "look at its line of the auth file")
    return FakeProvider(known)


class FakeProvider:
    """The provider. Safe under threads."""

    name = "fake"

    def __init__(self, settings: FakeSettings | None = None, clock: Clock | None = None) -> None:
        self._settings = settings or FakeSettings()
        self.scrubs_images = self._settings.scrubs_images
        self._clock = clock or SystemClock()
        unknown = sorted({f.error for f in self._settings.faults} - _ERRORS.keys())
        if unknown:
            raise Misconfigured(f"fake knows no error {', '.join(unknown)}", f"known: {', '.join(sorted(_ERRORS))}")
        self._world: World = FolderWorld(Path(self._settings.state_dir)) if self._settings.state_dir else MemoryWorld()
        self._never = threading.Event()
        self._room = threading.Lock()
        self.calls: list[Call] = []
        """Every call in the order of its beginning."""

    def identity(self) -> str:
        """Return what is set; "": the provider tells no place."""
        return self._settings.place

    def limits(self) -> Limits:
        return Limits(
            provider=self.name,
            in_place=frozenset(self._settings.in_place),
            in_place_stopped=frozenset(self._settings.in_place_stopped),
            unsupported=frozenset(self._settings.unsupported),
            reachable=self._settings.reachable,
            direct=self._settings.direct,
            injects_host_key=self._settings.injects_host_key,
        )

    def check(self) -> Sequence[Finding]:
        where = self._settings.state_dir or "in memory"
        return (Finding("fake", Severity.OK, f"{len(self._world.all())} machines that are only written down, {where}"),)

    def prepare(self, on_progress: Progress) -> None:
        self._begin("prepare", "")
        on_progress("nothing to prepare")

    def create(self, request: MachineRequest) -> Instance:
        self._refuse(request.spec)
        fault = self._begin("create", request.name, keep=True)
        if fault is not None and not fault.made:
            raise _error(fault, request.name)
        with self._room:
            machine = self._world.by_id(_id_of(request.token)) or self._world.add(self._new(request))
            self._add_things(machine)
        self._pause("created")
        if fault is not None:
            raise _error(fault, request.name)
        return self._instance(machine)

    def get(self, provider_id: str) -> Instance:
        machine = self._find(provider_id)
        self._begin("get", machine.name)
        return self._instance(machine)

    def list_machines(self, infrastructure: str | None = None) -> Sequence[Instance]:
        self._begin("list", "")
        found = [m for m in self._world.all() if infrastructure in {None, m.infrastructure}]
        return [self._instance(m) for m in sorted(found, key=lambda m: m.number)]

    def start(self, provider_id: str) -> None:
        machine = self._find(provider_id)
        self._begin("start", machine.name)
        if machine.stopped:
            self._world.put(msgspec.structs.replace(machine, stopped=False, ready_at=self._ready_at()))

    def stop(self, provider_id: str) -> None:
        machine = self._find(provider_id)
        self._begin("stop", machine.name)
        if not machine.stopped:
            self._world.put(msgspec.structs.replace(machine, stopped=True))

    def reboot(self, provider_id: str) -> None:
        machine = self._find(provider_id)
        self._begin("reboot", machine.name)
        if machine.stopped:
            raise Conflict(f"{machine.name} is stopped and cannot be rebooted", "start it")
        self._world.put(msgspec.structs.replace(machine, ready_at=self._ready_at()))

    def resize(self, provider_id: str, spec: Spec) -> None:
        machine = self._find(provider_id)
        self._begin("resize", machine.name)
        wanted = {k: v for k, v in _really(spec).items() if k not in {"image", "golden_image"}}
        if any(machine.got.get(key) != value for key, value in wanted.items()):
            self._world.put(msgspec.structs.replace(machine, got={**machine.got, **wanted}))

    def delete(self, provider_id: str) -> None:
        machine = self._world.by_id(provider_id)
        self._begin("delete", machine.name if machine else "")
        for kind in self._settings.extras:
            self._world.remove_thing(f"{provider_id}.{_word(kind)}")
        self._world.remove(provider_id)

    def console(self, provider_id: str) -> str:
        machine = self._find(provider_id)
        if machine.name in self._settings.hosts:
            return self._settings.hosts[machine.name].console
        return f"{machine.name} is only written down\n" + (f"{machine.fault}\n" if machine.fault else "")

    def offer(self, spec: Spec) -> Offer:
        self._begin("offer", "")
        self._refuse(spec)
        return offer_of(self._settings, spec)

    def things(self, infrastructure: str | None = None) -> Sequence[Thing]:
        self._begin("things", "")
        found = [thing for thing in self._world.things() if infrastructure in {None, thing.infrastructure}]
        return sorted(found, key=lambda thing: (not thing.token, thing.kind, thing.id))

    def remove_thing(self, thing: Thing) -> None:
        self._begin("remove", thing.name)
        users = [machine.name for machine in self._world.all() if machine.infrastructure == thing.infrastructure]
        if thing.used_by and self._world.by_id(thing.used_by) is not None:
            raise Conflict(f"{thing.name} is used by {thing.used_by}")
        if not thing.token and users:
            raise Conflict(f"{thing.name} is used by {', '.join(users)}")
        self._world.remove_thing(thing.id)

    def release(self, infrastructure: str) -> Sequence[str]:
        kept = []
        for thing in self.things(infrastructure):
            try:
                self.remove_thing(thing)
            except InfraError as error:
                kept.append(f"{thing.kind} {thing.name}: {error.message}")
        return kept

    def save_image(self, request: ImageRequest) -> SavedImage:
        machine = self._find(request.provider_id)
        self._begin("save", machine.name)
        if not machine.stopped:
            raise Conflict(f"{machine.name} runs", "stop it, then save it")
        image = Image(
            f"fake-{request.name}",
            request.name,
            request.group,
            request.infrastructure,
            request.machine,
            request.now,
        )
        if any(other.id == image.id for other in self._world.images()):
            raise Conflict(f"there is an image {request.name!r} already", "choose another name, or delete it")
        self._world.put_image(image)
        return _saved(image)

    def list_images(self) -> Sequence[SavedImage]:
        self._begin("images", "")
        return [_saved(image) for image in sorted(self._world.images(), key=lambda i: -i.created_at)]

    def check_image(self, image_id: str) -> str:
        if all(image.id != image_id for image in self._world.images()):
            raise NotFound(f"there is no image {image_id}")
        return ""

    def delete_image(self, image_id: str) -> None:
        used = [machine.name for machine in self._world.all() if machine.got.get("golden_image") == image_id]
        if used:
            raise Conflict(f"{', '.join(used)} started from the image {image_id}", "delete these machines first")
        self._world.remove_image(image_id)

    def quotas(self) -> Quota:
        machines = self._world.all()

        def used(name: str) -> Share:
            return Share(sum(int(machine.got.get(name, 0)) for machine in machines))

        return Quota(
            cpus=replace(used("num_cpus"), limit=self._settings.most_cpus),
            memory_bytes=used("mem_bytes"),
            machines=Share(len(machines), self._settings.capacity),
            disk_bytes=used("disk_bytes"),
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _add_things(self, machine: Machine) -> None:
        home = machine.infrastructure
        for kind in self._settings.shared:
            self._world.put_thing(Thing(f"{home}.{_word(kind)}", kind, f"im-{home[:8]}", home))
        for kind in self._settings.extras:
            ident = f"{machine.id}.{_word(kind)}"
            self._world.put_thing(Thing(ident, kind, machine.name, home, machine.token, used_by=machine.id))

    def _begin(self, op: Op, node: str, *, keep: bool = False) -> Fault | None:
        """Note a call, take its time, and raise the fault that is due (or return it)."""
        self.calls.append(Call(op, node))
        self._pause(op)
        fault = self._due(op, node)
        if fault is not None and not keep:
            raise _error(fault, node)
        return fault

    def _due(self, op: Op, node: str) -> Fault | None:
        for number, fault in enumerate(self._settings.faults):
            if fault.op == op and fnmatchcase(node, fault.node) and self._world.count(number, fault.times):
                return fault
        return None

    def _pause(self, op: str) -> None:
        if seconds := self._settings.delay_s.get(op, 0.0):
            self._clock.wait(self._never, seconds)

    def _ready_at(self) -> float:
        delay = self._settings.delay_s.get("boot", 0.0)
        return self._clock.now() + delay if delay else 0.0

    def _refuse(self, spec: Spec) -> None:
        nothing = Spec()
        for name in self._settings.unsupported:
            if getattr(spec, name, None) != getattr(nothing, name, None):
                raise Unsupported(f"fake was told that it cannot honour {name}")

    def _find(self, provider_id: str) -> Machine:
        machine = self._world.by_id(provider_id)
        if machine is None:
            raise NotFound(f"there is no fake machine {provider_id}")
        return machine

    def _new(self, request: MachineRequest) -> Machine:
        capacity, golden = self._settings.capacity, request.spec.golden_image
        if capacity is not None and len(self._world.all()) >= capacity:
            raise NoCapacity(f"there is room for {capacity} machines, and they are there")
        most, wanted = self._settings.most_cpus, request.spec.num_cpus or 0
        if most is not None and wanted + sum(int(m.got.get("num_cpus", 0)) for m in self._world.all()) > most:
            raise QuotaExceeded(f"the quota allows {most} CPUs")
        if golden is not None and all(image.id != golden for image in self._world.images()):
            raise NotFound(f"there is no image {golden}", "make the plan again")
        number = self._world.next_number()
        fault = self._due("boot", request.name)
        return Machine(
            id=_id_of(request.token),
            name=request.name,
            token=request.token,
            infrastructure=request.infrastructure,
            number=number,
            ready_at=self._ready_at(),
            private_address=_address(18, number),
            public_address=_address(19, number) if any(i.public for i in request.spec.interfaces) else None,
            user=request.spec.user or "root",
            host_key=request.host_key.public if request.host_key else None,
            got=_really(request.spec),
            fault=_error(fault, request.name).message if fault else "",
            has_no_room=fault is not None and fault.error in {"NoCapacity", "QuotaExceeded"},
            created_at=self._clock.now(),
        )

    def _instance(self, machine: Machine) -> Instance:
        if machine.fault:
            phase = Phase.FAILED
        elif machine.stopped:
            phase = Phase.STOPPED
        elif machine.ready_at and self._clock.now() < machine.ready_at:
            phase = Phase.PENDING
        else:
            phase = Phase.RUNNING
        host = self._settings.hosts.get(machine.name)
        private, public = machine.private_address, machine.public_address
        if host is not None:
            private, public = host.address, host.address if host.public else None
        address = public or private
        told = machine.host_key if self._settings.injects_host_key else None
        return Instance(
            provider_id=machine.id,
            name=machine.name,
            token=machine.token,
            infrastructure=machine.infrastructure,
            phase=phase,
            private_address=private,
            public_address=public,
            access=Access(
                address=address,
                user=host.user if host is not None else machine.user,
                port=host.port if host is not None else 22,
                host_key=told,
                become=host is None and machine.user != "root",
            ),
            spec=machine.got,
            fault=machine.fault,
            has_no_room=machine.has_no_room,
            created_at=machine.created_at or None,
        )


def _id_of(token: str) -> str:
    return f"fake-{token}"


def _word(kind: str) -> str:
    return kind.replace(" ", "-")


def _address(second: int, number: int) -> str:
    """Return an address of 198.18.0.0/15, set aside for benchmarks (RFC 2544): room for 65,534 machines at once."""
    place = number % 65534 + 1
    return f"198.{second}.{place // 256}.{place % 256}"


def _really(spec: Spec) -> dict[str, int | str]:
    wanted = {
        "num_cpus": spec.num_cpus,
        "mem_bytes": spec.mem_bytes,
        "disk_bytes": spec.disk_bytes,
        "image": spec.image,
        "golden_image": spec.golden_image,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _error(fault: Fault, node: str) -> InfraError:
    return _ERRORS[fault.error](f"a scripted fault of {fault.op} of {node}" if node else f"a scripted {fault.op} fault")


def _saved(image: Image) -> SavedImage:
    return SavedImage(
        id=image.id,
        name=image.name,
        group=image.group,
        infrastructure=image.infrastructure,
        machine=image.machine,
        created_at=image.created_at,
        size_bytes=0,
        system="written down",
    )
