"""A provider of machines on any cloud that has an adapter."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from im_client.plan.model import Limits, Phase, Spec
from im_client.providers.base import Finding, Instance, MachineRequest, Progress, Severity
from im_client.providers.cloud.base import Cloud
from im_client.providers.cloud.choose import (
    choose_image,
    choose_size,
    image_address,
    image_query,
    rules_of,
)
from im_client.providers.cloud.kept import Kept
from im_client.providers.cloud.looks import Looks
from im_client.providers.cloud.model import CloudImage, ImageQuery, Order, Server, Size
from im_client.providers.cloud.settings import CloudSettings
from im_client.providers.cloud.together import together
from im_client.providers.cloudinit import account, merged
from im_client.providers.offers import Offer, Price
from im_client.providers.prices import set_price
from im_client.providers.quotas import Quota
from im_client.providers.things import Thing
from im_client.remote.access import Access
from infracore.clock import Clock, SystemClock
from infracore.errors import (
    Conflict,
    InfraError,
    InvalidUsage,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)
from infracore.retry import Backoff, retrying

__all__ = ["CloudProvider"]

_T = TypeVar("_T")
_GONE_S: Final = 120.0
"""How long is waited until a thing that was removed is gone, or is free to be removed."""
_MOST_ASKED_S: Final = 300.0
"""How long a pause that a cloud asks for may be: after a longer one nobody waits for the answer any more."""
_USERS: Final = {"debian": "debian", "ubuntu": "ubuntu", "centos": "centos", "rocky": "rocky", "fedora": "fedora"}


class CloudProvider:
    """The provider. Safe under threads."""

    looks_at_once = 1
    """How many looks at an infrastructure's machines go on at once; who asks meanwhile shares the next."""

    def __init__(self, cloud: Cloud, settings: CloudSettings, clock: Clock | None = None) -> None:
        self.name = cloud.kind
        self._cloud = cloud
        self._settings = settings
        self._clock = clock or SystemClock()
        self._never = threading.Event()
        self._kept = Kept(self._clock)
        self._lock = threading.Lock()
        self._homes: dict[str, str] = {}
        """Id of a machine -> its infrastructure, so that looks can be shared."""
        self._looks: dict[str, Looks] = {}
        self._orders: dict[str, threading.Lock] = {}
        self._rules: Mapping[type[InfraError], Backoff] = {
            Transient: Backoff(max(1, settings.attempts), first_s=1.0, most_s=30.0, most_asked_s=_MOST_ASKED_S)
        }

    # what it is

    def identity(self) -> str:
        """Return which place it is."""
        return self._call(self._cloud.identity)

    def limits(self) -> Limits:
        """Return the adapter's, with what is set."""
        return replace(
            self._cloud.limits(),
            provider=self.name,
            reachable=self._settings.reachable,
            direct=self._settings.direct,
            injects_host_key=False,
        )

    def check(self) -> Sequence[Finding]:
        """Log in, once: what is wrong is a finding."""
        try:
            return self._cloud.check()
        except InfraError as error:
            return (Finding(self._cloud.place, Severity.ERROR, error.message, error.hint),)

    def prepare(self, on_progress: Progress) -> None:
        """Machines share nothing until an infrastructure is known; the account is tried, so that errors come early."""
        count = len(self._sizes())
        on_progress(f"{self._cloud.place}: {count} sizes")

    def offer(self, spec: Spec) -> Offer:
        """Choose image, size and networks. One or two requests the first time."""
        (image, size), layout = together(
            lambda: self._choose(spec), lambda: self._call(lambda: self._cloud.layout(spec, None))
        )
        rules_of(spec.ports)
        notes = list(layout.notes)
        if spec.image is None and not spec.os_distribution:
            notes.append(f"image {image.name}: the newest that fits")
        return Offer(
            size=size.name,
            image=image.name if image.name == image.id else f"{image.name} ({image.id})",
            zone=spec.availability_zone or "",
            price=self._price(size, spec),
            num_cpus=size.num_cpus,
            mem_bytes=size.mem_bytes,
            disk_bytes=max(size.disk_bytes, spec.disk_bytes or 0) or None,
            num_gpus=size.num_gpus,
            notes=tuple(notes),
        )

    def quotas(self) -> Quota:
        """Ask the account's limits."""
        return self._call(self._cloud.quotas)

    # machines

    def create(self, request: MachineRequest) -> Instance:
        """Ask for a machine, after a look whether an earlier try has made it (not needed the first time)."""
        order = self._order(request)
        with self._lock:
            alone = self._orders.setdefault(request.token, threading.Lock())

        may_be_there = not request.is_new

        def ask() -> Server:
            nonlocal may_be_there
            made = self._by_token(request.infrastructure, request.token) if may_be_there else None
            may_be_there = True  # an answer may be lost on its way
            return made or self._cloud.create(order)

        with alone:
            return self._instance(self._noted(self._call(ask)))

    def settle(self, provider_id: str, request: MachineRequest) -> Instance:
        """Give a running machine its addresses and disks."""
        server = self._look(provider_id)
        if server.phase is Phase.RUNNING:
            order = _order_of(server, request)
            server = self._call(lambda: self._cloud.settle(server, order))
        return self._instance(server)

    def get(self, provider_id: str) -> Instance:
        """Look at one machine; those who ask at once share a request."""
        return self._instance(self._look(provider_id))

    def list_machines(self, infrastructure: str | None = None) -> Sequence[Instance]:
        """List what carries our mark."""
        return [self._instance(server) for server in self._servers(infrastructure)]

    def start(self, provider_id: str) -> None:
        self._call(lambda: self._cloud.start(provider_id))

    def stop(self, provider_id: str) -> None:
        self._call(lambda: self._cloud.stop(provider_id))

    def reboot(self, provider_id: str) -> None:
        self._call(lambda: self._cloud.reboot(provider_id))

    def resize(self, provider_id: str, spec: Spec) -> None:
        _, size = self._choose(spec)
        self._call(lambda: self._cloud.resize(provider_id, size, spec))

    def delete(self, provider_id: str) -> None:
        self._call(lambda: self._cloud.delete(provider_id))

    def console(self, provider_id: str) -> str:
        """Return what the cloud keeps of it; "" where it keeps none."""
        try:
            text = self._call(lambda: self._cloud.console(provider_id))
        except (NotFound, Unsupported):
            return ""
        return text.encode()[-64 * 1024 :].decode(errors="replace")

    # what is no machine

    def things(self, infrastructure: str | None = None) -> Sequence[Thing]:
        return self._call(lambda: self._cloud.things(infrastructure))

    def remove_thing(self, thing: Thing) -> None:
        """Remove one; while it is still in use it is tried again for two minutes."""
        deadline = self._clock.monotonic() + _GONE_S
        pause = 0.2
        while True:
            try:
                self._call(lambda: self._cloud.remove(thing))
                return
            except Conflict:
                if self._clock.monotonic() > deadline:
                    raise
            self._clock.wait(self._never, pause)
            pause = min(pause * 1.5, 5.0)

    def release(self, infrastructure: str) -> Sequence[str]:
        """Remove all that the machines of an infrastructure shared, and wait until it is gone."""
        kept: list[str] = []
        for thing in self.things(infrastructure):
            try:
                self.remove_thing(thing)
            except InfraError as error:
                kept.append(f"{thing.kind} {thing.name} ({thing.id}) at {self._cloud.place}: {error.message}")
        return kept

    def close(self) -> None:
        self._cloud.close()

    # choosing

    def _order(self, request: MachineRequest) -> Order:
        spec = request.spec
        rules = rules_of(spec.ports)
        image, size = self._choose(spec)
        user = spec.user or image.user or self._settings.user or _USERS.get(image.distribution, "") or "cloudadm"
        keys = request.authorized_keys
        if not keys:
            raise InvalidUsage(f"{request.name} has no key that may log in")
        return Order(
            infrastructure=request.infrastructure,
            name=request.name,
            token=request.token,
            spec=spec,
            image=image,
            size=size,
            rules=rules,
            user_data=merged(account(request.name, user, keys), request.user_data),
            public_key=keys[0],
            user=user,
        )

    def _choose(self, spec: Spec) -> tuple[CloudImage, Size]:
        image = self._image(spec)
        return image, self._size(spec, image)

    def _size(self, spec: Spec, image: CloudImage) -> Size:
        return choose_size(self._sizes(), spec, image, lambda size: self._hourly(size, spec))

    def _image(self, spec: Spec) -> CloudImage:
        scheme, _, _ = image_address(spec.image or "")
        if scheme and scheme not in self._cloud.schemes:
            raise Unsupported(
                f"the image {spec.image} is not one of {self._cloud.place}",
                f"its images are named {', '.join(f'{s}://HOST/ID' for s in sorted(self._cloud.schemes))}; "
                "or describe it by distribution and version",
            )
        query = image_query(spec, self._settings.image)
        if spec.golden_image is not None:
            query = ImageQuery(name=spec.golden_image)
        images = self._kept.get(("images", query), lambda: self._call(lambda: self._cloud.images(query)))
        return choose_image(images, query)

    def _sizes(self) -> Sequence[Size]:
        return self._kept.get("sizes", lambda: self._call(self._cloud.sizes))

    def _hourly(self, size: Size, spec: Spec) -> float | None:
        """Return a price that is known without asking for each size."""
        del spec
        return set_price(self._settings.prices, size.name)

    def _price(self, size: Size, spec: Spec) -> Price | None:
        hourly = self._hourly(size, spec)
        if hourly is not None:
            return Price(hourly, self._settings.currency, "settings")
        try:
            return self._call(lambda: self._cloud.price(size, spec))
        except InfraError:  # no plan fails for a price that cannot be had
            return None

    # looking

    def _by_token(self, infrastructure: str, token: str) -> Server | None:
        return next((s for s in self._cloud.servers(infrastructure) if s.token == token), None)

    def _servers(self, infrastructure: str | None) -> Sequence[Server]:
        servers = self._call(lambda: self._cloud.servers(infrastructure))
        return [self._noted(server) for server in servers if server.token]

    def _several(self, infrastructure: str, ids: Sequence[str]) -> Sequence[Server]:
        """Look at some machines of an infrastructure, or at all of them, by one request."""
        del ids
        return self._servers(infrastructure)

    def _noted(self, server: Server) -> Server:
        with self._lock:
            self._homes[server.id] = server.infrastructure
        return server

    def _look(self, server_id: str) -> Server:
        with self._lock:
            home = self._homes.get(server_id)
            looks = self._looks.get(home) if home is not None else None
            if home is not None and looks is None:
                looks = self._looks[home] = Looks(
                    lambda one: self._call(lambda: self._cloud.server(one)),
                    lambda ids: self._several(home, ids),
                    self.looks_at_once,
                )
        if looks is None:
            return self._noted(self._call(lambda: self._cloud.server(server_id)))
        return looks.get(server_id)

    def _instance(self, server: Server) -> Instance:
        private = server.private_addresses[0] if server.private_addresses else None
        public = server.public_addresses[0] if server.public_addresses else None
        address = public or private
        user = server.user or "root"
        access = Access(address=address, user=user, become=user != "root") if address is not None else None
        got: dict[str, int | str] = {}
        for name in ("num_cpus", "mem_bytes", "disk_bytes", "image"):
            value = getattr(server, name)
            if value:
                got[name] = value
        return Instance(
            provider_id=server.id,
            name=server.name,
            token=server.token,
            infrastructure=server.infrastructure,
            phase=server.phase if server.phase is not Phase.RUNNING or address is not None else Phase.PENDING,
            private_address=private,
            public_address=public,
            access=access,
            spec=got,
            fault=server.fault,
            has_no_room=server.has_no_room,
            created_at=server.created_at,
        )

    def _call(self, call: Callable[[], _T]) -> _T:
        """Call the cloud: again where that may help, and once more with fresh credentials where they were refused."""

        def renewing() -> _T:
            try:
                return call()
            except Unauthorised:
                if not self._cloud.renew():
                    raise
            return call()

        try:
            return retrying(renewing, rules=self._rules, clock=self._clock, cancel=self._never, jitter=random.random)
        except Transient as error:
            asked = error.retry_after_s or 0.0
            if asked > _MOST_ASKED_S:
                words = f"{asked / 3600:.0f} h" if asked >= 7200 else f"{asked / 60:.0f} min"
                raise TimedOut(f"{error.message} (it asks to wait {words})", "run it again then") from error
            raise TimedOut(f"{error.message} (tried {self._settings.attempts} times)", error.hint) from error


def _order_of(server: Server, request: MachineRequest) -> Order:
    """Return the order of a machine that is there: image and size are what it has, wherever its image is by now."""
    return Order(
        infrastructure=request.infrastructure,
        name=request.name,
        token=request.token,
        spec=request.spec,
        image=CloudImage(server.image, server.image),
        size=Size(server.size, server.size, server.num_cpus or 0, server.mem_bytes or 0, server.disk_bytes or 0),
        rules=rules_of(request.spec.ports),
        user_data="",
        public_key=next(iter(request.authorized_keys), ""),
        user=server.user,
    )
