"""The life of one machine during a run: every step writes its intent before it acts and saves what came of it."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from im_client.plan.digest import configured_digest
from im_client.plan.model import Phase, Spec, Step
from im_client.plan.reach import has_private_cards
from im_client.providers.base import Instance, MachineRequest, Provider
from im_client.providers.placed import identity_of
from im_client.providers.settling import Settles
from im_client.remote.access import Access, HostKey
from im_client.remote.hostkeys import new_host_key
from im_client.services.configuring import Target
from im_client.services.context import Context
from im_client.services.known import Stray, access_of
from im_client.services.scrubbing import scrub_machine
from im_client.services.sites import Sites
from im_client.services.ways import Ways, is_hidden
from im_client.state.store import InfrastructureRecord, NodeRecord
from infracore.errors import (
    Cancelled,
    CommandFailed,
    Conflict,
    InfraError,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    TimedOut,
)
from infracore.ids import new_token

__all__ = ["Machines"]

POLL_FIRST_S: Final = 0.1
POLL_MOST_S: Final = 2.0
DELETE_LIMIT_S: Final = 300.0
_NOT_YET: Final = frozenset({Phase.CREATING, Phase.PENDING, Phase.STOPPED})
"""Phases of a record that a running machine is to leave."""


class Machines:
    """The machines of one infrastructure during one run. Safe under threads: each machine has one step at a time."""

    def __init__(
        self,
        ctx: Context,
        infrastructure: InfrastructureRecord,
        sites: Sites,
        records: Mapping[str, NodeRecord],
        *,
        cancel: threading.Event,
        note: Callable[[str, str], None],
    ) -> None:
        """`note(node, text)` tells what the user should know; the node is "" where it is about all."""
        self._ctx = ctx
        self._infrastructure = infrastructure
        self._sites = sites
        self._cancel = cancel
        self._note = note
        self._lock = threading.Lock()
        self._site_lock = threading.Lock()
        self._ready: set[str] = set()
        """Sites that are prepared."""
        self._full: set[tuple[str, str]] = set()
        """Site and group for whose machines it had no room during this run."""
        self._records = dict(records)
        self._targets: dict[str, Target] = {}
        self._seen: dict[str, Instance] = {}
        """Machines that were seen to run by the step before `ready`, which need not look again."""
        self._ways = Ways(
            ctx,
            sites,
            cancel=cancel,
            records=lambda: self.records,
            access=self._access,
            learned=lambda name, key: self.save(name, host_key_public=key, host_key_private=None),
        )

    @property
    def records(self) -> Mapping[str, NodeRecord]:
        """The machines as they stand now."""
        with self._lock:
            return dict(self._records)

    @property
    def targets(self) -> Mapping[str, Target]:
        """The machines that answered on SSH during this run."""
        with self._lock:
            return {name: dataclasses.replace(t, record=self._records[name]) for name, t in self._targets.items()}

    def save(self, name: str, **changes: object) -> NodeRecord:
        """Change one record, here and in the store."""
        with self._lock:
            record = dataclasses.replace(self._records[name], updated_at=self._ctx.clock.now(), **changes)  # type: ignore[arg-type]
            self._records[name] = record
        self._ctx.store.put_node(record)
        return record

    def make_ready(self, site: str) -> None:
        """Make what the machines of a site share, once a run. May take minutes."""
        with self._site_lock:
            if site not in self._ready:
                self._sites.at(site).prepare(lambda text: self._note("", text))
                self._ready.add(site)

    def create(self, step: Step, *, has_operations: bool) -> None:
        """Make the machine of a step, or find the one that an interrupted run has made; wait until it runs.

        Where a site has no room, the next one of the step is asked, for this machine and those of its group that
        come later in this run.

        Raises:
            NoCapacity, QuotaExceeded: no site of the step has room.
        """
        spec = step.spec or Spec()
        known = self._records.get(step.node)
        if known is not None:
            # the same token: the provider returns what it made for it, unless that was broken off half-way
            is_begun = known.phase is Phase.CREATING and dataclasses.replace(known.spec, golden_image=None) == spec
            if is_begun and self._is_made(known, has_operations=has_operations):
                return
            self._delete_at_provider(known)
        refusals: dict[str, InfraError] = {}
        for site in self._order(step):
            if refusals:
                self._note(step.node, f"{'; '.join(_refusals(refusals))}: {site} is asked")
            self.make_ready(site)
            record = self._intent(step, dataclasses.replace(spec, golden_image=step.images.get(site)), site)
            try:
                request = self._request(record, is_new=True)
                self._make(record, self._at(record).create(request), has_operations=has_operations)
                return
            except (NoCapacity, QuotaExceeded) as error:
                refusals[site] = error
                with self._lock:
                    self._full.add((site, step.group))
                if len(step.sites) > 1:
                    self._delete_at_provider(self._records[step.node])
        if len(refusals) == 1:
            raise next(iter(refusals.values()))
        self._intent(step, spec, step.sites[0])  # the next run asks in the same order
        raise NoCapacity(
            f"no site has room for {step.node}: {'; '.join(_refusals(refusals))}",
            "run it again later, or give the group another site",
        )

    def _order(self, step: Step) -> list[str]:
        """Return the sites to ask; where all are full, all of them once more."""
        sites = list(step.sites or (self._infrastructure.provider,))
        with self._lock:
            return [site for site in sites if (site, step.group) not in self._full] or sites

    def _is_made(self, known: NodeRecord, *, has_operations: bool) -> bool:
        """Go on with what an interrupted run began; False where it must be begun anew."""
        self.make_ready(known.provider)
        try:
            machine = self._at(known).create(self._request(known))
            if machine.phase is Phase.FAILED:
                return False
            self._make(known, machine, has_operations=has_operations)
        except (NoCapacity, QuotaExceeded, NotFound):  # NotFound: its golden image is gone
            return False
        return True

    def _make(self, record: NodeRecord, machine: Instance, *, has_operations: bool) -> None:
        is_end = not self.is_reachable(record.name) and not has_operations
        if machine.phase is Phase.RUNNING and isinstance(self._at(record), Settles):
            machine = dataclasses.replace(machine, phase=Phase.PENDING)  # it may lack addresses and disks
        self._took(record.name, machine, is_end=is_end)
        machine = self._until_running(record.name, machine, is_end=is_end)
        with self._lock:
            self._seen[record.name] = machine

    def may_be_hidden(self, step: Step) -> bool:
        """Whether the machine of a step may have to be reached through another one."""
        known = self._records.get(step.node)
        if step.spec is None and known is not None:
            return is_hidden(known, self._sites)
        places = step.sites or (known.provider if known is not None else self._infrastructure.provider,)
        return has_private_cards(step) and not all(self._sites.at(site).limits().direct for site in places)

    def is_reachable(self, name: str) -> bool:
        """Whether a recorded machine can be logged in to."""
        return self._at(self.records[name]).limits().reachable

    def _at(self, record: NodeRecord) -> Provider:
        """Return the provider of the site where a machine is."""
        return self._sites.at(record.provider)

    def replace(self, step: Step, *, has_operations: bool) -> None:
        """Delete the machine and make it anew under the same name."""
        self.delete(step.node, forget=False)
        self.create(step, has_operations=has_operations)

    def update(self, step: Step) -> None:
        """Change the machine in place, and wait while it restarts because of it."""
        record = self._records[step.node]
        if step.spec is None or record.provider_id is None:
            raise Conflict(f"{step.node} has nothing to be changed")
        self._sure()
        provider = self._at(record)
        provider.resize(record.provider_id, step.spec)
        if provider.get(record.provider_id).phase is Phase.PENDING:
            limit_s = self._ctx.settings.timeouts.create_s
            self._until(step.node, lambda machine: machine.phase is not Phase.PENDING, "be changed", limit_s)
        self.save(step.node, spec=dataclasses.replace(step.spec, golden_image=record.spec.golden_image))

    def start(self, name: str) -> None:
        """Start a stopped machine and wait until it runs."""
        record = self._existing(name)
        self._sure()
        provider = self._at(record)
        provider.start(record.provider_id or "")
        self._until_running(name, self._settled(record))

    def stop(self, name: str, *, scrub: Sequence[str] | None = None) -> None:
        """Stop a machine and wait until it is off. It must be configured again when it is started.

        With `scrub`, what these patterns name is removed from it before; it will show another host key then. That is
        recorded first: a run that is broken off leaves a machine whose host key nobody knows (`saving.save_image`).
        """
        record = self._existing(name)
        self._sure()
        if scrub is not None:
            instance = self._at(record).get(record.provider_id or "")
            self.save(name, host_key_public=None, host_key_private=None, configured_digest=None, operation_digests={})
            scrub_machine(access_of(self._infrastructure, record, instance), name, scrub)
        self._at(record).stop(record.provider_id or "")
        self._until(name, lambda machine: machine.phase is Phase.STOPPED, "stop", self._ctx.settings.timeouts.stop_s)
        self.save(name, phase=Phase.STOPPED, configured_digest=None, operation_digests={})

    def reboot(self, name: str) -> None:
        """Restart a machine; `ready` waits for it."""
        self._sure()
        record = self._existing(name)
        self._at(record).reboot(record.provider_id or "")

    def ready(self, name: str, *, has_operations: bool) -> None:
        """Wait until the machine runs and answers on SSH with the host key that it must have.

        Raises:
            TimedOut: with the last reason. Conflict: it shows another host key.
        """
        record = self._records[name]
        with self._lock:
            machine = self._seen.pop(name, None)
        if machine is None:
            machine = self._until_running(name, self._settled(record))
            record = self._records[name]
        access = access_of(self._infrastructure, record, machine)
        if not self.is_reachable(name) or access is None:
            if not has_operations and record.phase is not Phase.CONFIGURED:
                self._nothing_to_configure(name)
            return
        access = self._ways.wait(record, access)
        with self._lock:
            self._targets[name] = Target(self._records[name], access)
        if not has_operations:
            self._nothing_to_configure(name)

    def find(self, name: str) -> None:
        """Note how to log in to a machine that runs, without waiting for it."""
        record = self._records[name]
        if record.provider_id is None:
            return
        try:
            if not self.is_reachable(name):
                return
            machine = self._at(record).get(record.provider_id)
        except NotFound:
            return
        except InfraError as error:
            if record.provider == self._sites.own:
                raise
            self._note(name, f"{record.provider} cannot be asked: {error.message}")
            return
        access = access_of(self._infrastructure, record, machine)
        if machine.phase is Phase.RUNNING and access is not None:
            way = self._ways.without_waiting(record, access)
            if way is None:
                self._note(name, "nothing leads to it now: it takes no part")
                return
            with self._lock:
                self._targets[name] = Target(record, way)

    def _access(self, record: NodeRecord) -> Access | None:
        """Return how a machine is logged in to directly; None where it does not run or has no address."""
        if record.provider_id is None:
            return None
        try:
            machine = self._at(record).get(record.provider_id)
        except NotFound:
            return None
        access = access_of(self._infrastructure, record, machine)
        return access if machine.phase is Phase.RUNNING else None

    def delete(self, name: str, *, forget: bool = True) -> None:
        """Remove the machine, wait until it is gone, then forget it."""
        record = self._records[name]
        record = self.save(name, phase=Phase.DELETING)
        self._delete_at_provider(record)
        with self._lock:
            self._targets.pop(name, None)
            if forget:
                del self._records[name]
        if forget:
            self._ctx.store.remove_node(self._infrastructure.id, name, self._ctx.clock.now())

    def delete_stray(self, stray: Stray) -> None:
        """Remove a machine of the infrastructure that no record knows."""
        self._sure()
        self._sites.at(stray.site).delete(stray.instance.provider_id)

    def _delete_at_provider(self, record: NodeRecord) -> None:
        provider = self._at(record)
        ids = {record.provider_id} if record.provider_id else set()
        if not ids:  # an interrupted creation: only the token tells whether a machine was made
            listed = provider.list_machines(self._infrastructure.id)
            ids = {machine.provider_id for machine in listed if machine.token == record.token}
        for provider_id in ids:
            self._sure()
            provider.delete(provider_id)
            self._until_gone(record.name, provider, provider_id)

    def _nothing_to_configure(self, name: str) -> None:
        self.save(
            name, phase=Phase.CONFIGURED, configured_digest=configured_digest({}), operation_digests={}, failure=""
        )

    def _intent(self, step: Step, spec: Spec, site: str) -> NodeRecord:
        now = self._ctx.clock.now()
        key = new_host_key() if self._sites.at(site).limits().injects_host_key else None
        record = NodeRecord(
            infrastructure=self._infrastructure.id,
            name=step.node,
            group=step.group,
            index=step.index,
            token=new_token(),
            provider=site,
            phase=Phase.CREATING,
            spec=spec,
            created_at=now,
            updated_at=now,
            host_key_public=key.public if key is not None else None,
            host_key_private=key.private if key is not None else None,
            place=identity_of(self._sites.at(site)),
        )
        with self._lock:
            self._records[step.node] = record
        self._ctx.store.put_node(record)
        return record

    def _sure(self) -> None:
        """Make sure, before the provider is asked to change something, that this process is still the one that may.

        Raises:
            LostLock: it was taken for dead, and another goes on.
        """
        self._ctx.locks.check(self._infrastructure.id)

    def _request(self, record: NodeRecord, *, is_new: bool = False) -> MachineRequest:
        self._sure()
        key = HostKey(record.host_key_public, record.host_key_private) if record.host_key_public else None
        return MachineRequest(
            infrastructure=self._infrastructure.id,
            name=record.name,
            token=record.token,
            spec=record.spec,
            authorized_keys=(self._infrastructure.ssh_public_key,),
            host_key=key,
            is_new=is_new,
        )

    def _took(self, name: str, machine: Instance, *, is_end: bool = False) -> NodeRecord:
        """Record what the provider says of a machine; with `is_end` there is nothing to do once it runs."""
        changes: dict[str, object] = {
            "phase": machine.phase if machine.phase in {Phase.RUNNING, Phase.FAILED} else Phase.PENDING,
            "provider_id": machine.provider_id,
            "private_address": machine.private_address,
            "public_address": machine.public_address,
            "failure": machine.fault if machine.phase is Phase.FAILED else "",
        }
        if is_end and machine.phase is Phase.RUNNING:
            changes |= {"phase": Phase.CONFIGURED, "configured_digest": configured_digest({}), "operation_digests": {}}
        if machine.access is not None:
            changes["user"] = machine.access.user
            changes["port"] = machine.access.port
            if machine.access.host_key:
                changes["host_key_public"] = machine.access.host_key
        return self.save(name, **changes)

    def _until_running(self, name: str, machine: Instance, *, is_end: bool = False) -> Instance:
        if machine.phase is Phase.RUNNING and (machine.private_address or machine.public_address):
            record = self._records[name]
            addresses = {"private_address": machine.private_address, "public_address": machine.public_address}
            if record.phase in _NOT_YET:
                self._took(name, machine, is_end=is_end)
            elif any(getattr(record, field) != value for field, value in addresses.items()):
                self.save(name, **addresses)
            return machine
        machine = self._until(
            name,
            lambda m: m.phase is Phase.RUNNING and bool(m.private_address or m.public_address),
            "run",
            self._ctx.settings.timeouts.create_s,
            look=self._settled,
        )
        self._took(name, machine, is_end=is_end)
        return machine

    def _settled(self, record: NodeRecord) -> Instance:
        """Look at a machine, and do what is left to do for it where its provider has such things."""
        provider, provider_id = self._at(record), record.provider_id or ""
        if isinstance(provider, Settles):
            return provider.settle(provider_id, self._request(record))
        return provider.get(provider_id)

    def _until(
        self,
        name: str,
        done: Callable[[Instance], bool],
        verb: str,
        limit_s: float,
        *,
        look: Callable[[NodeRecord], Instance] | None = None,
    ) -> Instance:
        """Poll the provider, quickly at first, until a machine is as wanted."""
        clock = self._ctx.clock
        record = self._existing(name)
        provider, provider_id = self._at(record), record.provider_id or ""
        deadline = clock.monotonic() + limit_s
        pause = POLL_FIRST_S
        while True:
            machine = look(record) if look is not None else provider.get(provider_id)
            if done(machine):
                return machine
            if machine.phase is Phase.FAILED:
                self.save(name, phase=Phase.FAILED, failure=machine.fault)
            if machine.phase is Phase.FAILED and machine.has_no_room:
                raise NoCapacity(f"{name}: {machine.fault}", "run it again later, or give the group another site")
            if machine.phase is Phase.FAILED:
                console = provider.console(provider_id).strip().splitlines()[-3:]
                raise CommandFailed(
                    f"{name} failed at the provider: {machine.fault or 'it says no reason'}",
                    "the end of its console: " + " | ".join(console) if console else "run the command again",
                )
            if clock.monotonic() > deadline:
                raise TimedOut(f"{name} did not {verb} within {limit_s:g} s; it is {machine.phase}", "run it again")
            if clock.wait(self._cancel, pause):
                raise Cancelled(f"interrupted while waiting for {name} to {verb}", "run the same command to go on")
            pause = min(pause * 1.5, POLL_MOST_S)

    def _until_gone(self, name: str, provider: Provider, provider_id: str) -> None:
        clock = self._ctx.clock
        deadline = clock.monotonic() + DELETE_LIMIT_S
        pause = POLL_FIRST_S
        while True:
            try:
                machine = provider.get(provider_id)
            except NotFound:
                return
            if machine.phase is Phase.GONE:
                return
            if clock.monotonic() > deadline:
                raise TimedOut(f"{name} is still there {DELETE_LIMIT_S:g} s after it was to be deleted", "run it again")
            clock.wait(threading.Event(), pause)  # not cancelled half-way: deleting ends soon
            pause = min(pause * 1.5, POLL_MOST_S)

    def _existing(self, name: str) -> NodeRecord:
        record = self._records[name]
        if record.provider_id is None:
            raise Conflict(f"{name} was never made", "run: im deploy")
        return record


def _refusals(refusals: Mapping[str, InfraError]) -> list[str]:
    return [f"{site} has no room ({error.message})" for site, error in refusals.items()]
