"""Virtual machines of an infrastructure of the Infrastructure Manager, over its REST API.

The API has no idempotency key, and a VM carries nothing of ours: which order made which VM is kept in a file. The
intent is written before the order is sent. Where the answer was lost, new VMs of the group are taken for the order's;
until `settle_s` have passed nothing is ordered again for it, since the server may still be at it.
"""

import fcntl
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml

from clues.options import Pool
from clues.power.base import MachineReport, Order, PowerState, Receipt
from clues.power.common import DriverSettings, own
from infracore.clock import Clock, SystemClock
from infracore.deadline import Deadline
from infracore.errors import (
    Conflict,
    InfraError,
    Locked,
    Misconfigured,
    NoCapacity,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
)
from infracore.http import Http, Unheard, parse_address
from infracore.im_rest import (
    TOSCA,
    Body,
    ImRest,
    Said,
    authorization,
    id_of,
    more_machines,
    path_of,
    uris,
    vm_of,
    vm_states,
)
from infracore.secret_source import SecretSource
from infracore.yaml_text import load_yaml

__all__ = ["ImDriver", "ImSettings"]

_STATES: Final = {
    "pending": PowerState.TURNING_ON,
    "running": PowerState.ON,
    "configured": PowerState.ON,
    "unconfigured": PowerState.ON,  # it runs; whether its node is of use is the cluster's word
    "stopped": PowerState.OFF,
    "off": PowerState.OFF,
    "failed": PowerState.FAILED,
    "deleting": PowerState.TURNING_OFF,
}


class ImSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `im`."""

    call_s: float = 300.0
    url: str
    infrastructure: str
    auth: SecretSource
    """IM's authorisation file, one line per `type = ...`."""
    state_file: str
    """Which order made which VM; kept between restarts."""
    groups: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Pool name to the system (RADL) or node template (TOSCA); missing: the pool's name."""
    language: Literal["radl", "tosca"] = "radl"
    """How nodes are added. `radl` serves infrastructures made from either; `tosca` raises `count` in the template."""
    ca_file: str = ""
    verify: bool = True
    request_s: float = 240.0
    settle_s: float = 300.0
    reconfigure_on_off: bool = False
    """Whether the others are configured anew after a removal."""


class _Intent(msgspec.Struct):
    pool: str
    before: list[str]
    at: float


class _Book(msgspec.Struct):
    intents: dict[str, _Intent] = {}
    vms: dict[str, str] = {}
    """VM id to token."""


class ImDriver:
    """Adds and removes VMs of one infrastructure."""

    def __init__(self, name: str, settings: ImSettings, pools: Sequence[Pool], clock: Clock | None = None) -> None:
        self.name = name
        self.limits = settings.limits()
        self._settings = settings
        self._pools = own(pools, name)
        self._clock = clock or SystemClock()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, str, dict[str, str]]] = {}
        settings.auth.check(f"drivers.{name}.auth")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", settings.infrastructure):
            raise Misconfigured(f"drivers.{name}.infrastructure: {settings.infrastructure!r} is no id")
        for pool in self._pools:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", self._group(pool)):
                raise Misconfigured(f"drivers.{name}.groups: {self._group(pool)!r} is no name of a system")
        self._http = Http(
            parse_address(settings.url, f"drivers.{name}.url"),
            ca_file=Path(settings.ca_file) if settings.ca_file else None,
            verify=settings.verify,
        )

    def on(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        if not orders:
            return ()
        pool = orders[0].pool
        self._serves(pool)
        deadline = self._deadline(f"add VMs to {pool}")
        with self._opened(deadline) as book:
            reports = self._look(pool, book, deadline)
            made = {report.token: report for report in reports if report.token}
            receipts = [_receipt(made[order.token]) for order in orders if order.token in made]
            missing = [order for order in orders if order.token not in made]
            now = self._clock.now()
            fresh = [
                order
                for order in missing
                if order.token not in book.intents
                or not 0 <= now - book.intents[order.token].at < self._settings.settle_s
            ]
            if fresh:
                receipts += self._add(pool, fresh, [report.machine for report in reports], book, deadline)
            elif missing:
                raise Transient("an order's answer was lost, and IM may still be at it", retry_after_s=10.0)
        return receipts

    def off(self, pool: str, machines: Sequence[str], *, token: str) -> None:  # noqa: ARG002 (the contract)
        self._serves(pool)
        deadline = self._deadline(f"remove VMs of {pool}")
        with self._opened(deadline) as book:
            there = {report.machine for report in self._look(pool, book, deadline)}
            going = [machine for machine in dict.fromkeys(machines) if machine in there]
        if going:  # IM answers when they are gone: nobody waits for the book meanwhile
            context = int(self._settings.reconfigure_on_off)
            self._ask("DELETE", f"/vms/{','.join(going)}?context={context}", deadline)

    def list(self, pool: str) -> Sequence[MachineReport]:
        self._serves(pool)
        deadline = self._deadline(f"list VMs of {pool}")
        with self._opened(deadline) as book:
            return self._look(pool, book, deadline)

    def check(self) -> Sequence[str]:
        try:
            self._ask("GET", "/state", self._deadline("ask IM"))
        except InfraError as error:
            return (error.message,)
        return ()

    def close(self) -> None:
        self._closing.set()
        self._http.close()

    # orders

    def _add(
        self, pool: str, orders: Sequence[Order], before: Sequence[str], book: _Book, deadline: Deadline
    ) -> Sequence[Receipt]:
        for order in orders:
            book.intents[order.token] = _Intent(pool, [*before], self._clock.now())
        self._write(book)
        try:
            body = self._request(pool, len(orders), len(before), deadline)
            answer = self._ask("POST", "", deadline, body)
        except (Transient, TimedOut) as error:
            if not isinstance(error, Unheard):
                raise  # it may have been done
            for order in orders:
                book.intents.pop(order.token, None)
            raise
        except InfraError:
            for order in orders:
                book.intents.pop(order.token, None)
            raise
        ids = [id_of(uri) for uri in uris(answer)]
        for order, vm in zip(orders, ids, strict=False):
            book.vms[vm] = order.token
        for order in orders:
            book.intents.pop(order.token, None)
        self._write(book)
        if len(ids) < len(orders):
            raise NoCapacity(f"IM made {len(ids)} of {len(orders)} VMs of {self._group(pool)}")
        return [Receipt(order.token, vm, self._about(vm, deadline)[1]) for order, vm in zip(orders, ids, strict=False)]

    def _request(self, pool: str, count: int, there: int, deadline: Deadline) -> Body:
        group = self._group(pool)
        if self._settings.language == "radl":
            return more_machines(self._ask("GET", "/radl", deadline).member("radl"), group, count)
        said = self._ask("GET", "/tosca", deadline)
        try:
            template = load_yaml(said.member("tosca"), aliases=True)
            node = template["topology_template"]["node_templates"][group]
            scalable = node.setdefault("capabilities", {}).setdefault("scalable", {}).setdefault("properties", {})
            scalable["count"] = there + count
            scalable.pop("removal_list", None)
        except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise Misconfigured(f"the infrastructure's template has no node {group!r}", "see `groups`") from error
        return Body(yaml.safe_dump(template, sort_keys=False), TOSCA)

    def _look(self, pool: str, book: _Book, deadline: Deadline) -> Sequence[MachineReport]:
        """Read states (one request) and what is not known of VMs yet; give lost orders their VMs."""
        _, states = vm_states(self._ask("GET", "/state", deadline))
        for vm in [vm for vm in book.vms if vm not in states]:
            del book.vms[vm]
        found = []
        for vm in sorted(states, key=lambda text: (len(text), text)):
            try:
                system, node, facts = self._about(vm, deadline)
            except NotFound:
                continue
            if system == self._group(pool):
                found.append((vm, node, facts, str(states[vm])))
        for token, intent in list_of(book.intents):
            if intent.pool == pool:
                vm = next((vm for vm, *_ in found if vm not in intent.before and vm not in book.vms), "")
                if vm:
                    book.vms[vm] = token
                    del book.intents[token]
        return tuple(
            MachineReport(vm, pool, _STATES.get(state, PowerState.UNKNOWN), node, book.vms.get(vm, ""), state, facts)
            for vm, node, facts, state in found
        )

    def _about(self, vm: str, deadline: Deadline) -> tuple[str, str, dict[str, str]]:
        """Return a VM's system, node name and addresses; asked once, and again while it has no address."""
        known = self._known.get(vm)
        if known is not None and known[2]:
            return known
        found = vm_of(vm, self._ask("GET", f"/vms/{vm}", deadline))
        if found is None:
            return "", "", {}
        name = (found.node or "vnode-#N#").replace("#N#", vm).split(".")[0].lower()
        facts = {f"net_interface.{card}.ip": address for card, address in found.cards.items()}
        self._known[vm] = found.system, name, facts
        return self._known[vm]

    # the book

    @contextmanager
    def _opened(self, deadline: Deadline) -> Iterator[_Book]:
        """Hold the book alone, against threads and other processes; what was changed is written also on an error."""
        path = Path(self._settings.state_file)
        deadline.hold(self._lock)
        try:
            try:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with path.with_name(f"{path.name}.lock").open("a") as lock:
                    while True:
                        try:
                            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                            break
                        except BlockingIOError:
                            deadline.pause(0.05)
                    book = self._read(path)
                    held = msgspec.json.encode(book)
                    try:
                        yield book
                    finally:
                        if msgspec.json.encode(book) != held:
                            self._write(book)
            except OSError as error:
                raise Locked(f"cannot use {path}: {error.strerror}", "see `state_file` of the driver") from error
        finally:
            self._lock.release()

    @staticmethod
    def _read(path: Path) -> _Book:
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Book)
        except FileNotFoundError:
            return _Book()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Misconfigured(
                f"{path} is damaged: {error}", "move it away: VMs are then adopted by `list`"
            ) from error

    def _write(self, book: _Book) -> None:
        path = Path(self._settings.state_file)
        fresh = path.with_name(f".{path.name}.new")
        with fresh.open("wb") as out:
            out.write(msgspec.json.encode(book))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)

    # HTTP

    def _ask(self, method: str, path: str, deadline: Deadline, body: Body | None = None) -> Said:
        rest = ImRest(self._http, authorization(self._settings.auth.read("auth").reveal()))
        limit_s = min(self._settings.request_s, deadline.left())
        try:
            return rest.ask(method, path_of(self._settings.infrastructure) + path, limit_s=limit_s, body=body)
        except Conflict as error:  # it was not done; later it may be
            raise Transient(error.message, error.hint) from error
        except (Unauthorised, NotFound) as error:
            setting = "auth" if isinstance(error, Unauthorised) else "infrastructure"
            error.hint = error.hint or f"see `{setting}` of the driver"
            raise

    def _deadline(self, what: str) -> Deadline:
        return Deadline(what, self.limits.call_s, self._closing)

    def _group(self, pool: str) -> str:
        return self._settings.groups.get(pool, pool)

    def _serves(self, pool: str) -> None:
        if pool not in self._pools:
            raise NotFound(f"driver {self.name} serves no pool {pool!r}")


def list_of(intents: Mapping[str, _Intent]) -> tuple[tuple[str, _Intent], ...]:
    """Return the intents, oldest first, so that they may be taken out meanwhile."""
    return tuple(sorted(intents.items(), key=lambda item: item[1].at))


def _receipt(report: MachineReport) -> Receipt:
    return Receipt(report.token, report.machine, report.node)
