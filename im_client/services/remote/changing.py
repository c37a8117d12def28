"""Changing an infrastructure of another server: one plan, or one order to machines, carried out and followed."""

import dataclasses
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from im_client.plan.model import Phase
from im_client.services.model import ApplyReport, Verb
from im_client.services.remote.following import Ended, Follower, node_reports
from im_client.services.remote.model import Infrastructure, Kind, Machine, RemotePlan
from im_client.services.remote.planning import plan_deploy, plan_destroy, plan_scale
from im_client.services.remote.reading import find, look, machine_named, outputs, radl_of
from im_client.services.remote.server import Server
from im_client.services.remote.template import Composed, same_template
from im_client.state.store import RunState
from im_client.topology.values import Value
from infracore.errors import Conflict, InvalidUsage, NotFound, Unsupported
from infracore.events import EventKind, Listener
from infracore.im_rest import Said, id_of, more_machines, path_of

__all__ = ["apply", "order", "prepare_deploy", "prepare_destroy", "prepare_scale"]

_DELETED_AT_ONCE: Final = 50
"""VMs in one address: it stays short."""
_SYSTEM: Final = re.compile(r"^\s*system\s+([\w.-]+)\s*\(", re.MULTILINE)
_STATES: Final[Mapping[Verb, frozenset[Phase]]] = {
    Verb.STOP: frozenset({Phase.STOPPED}),
    Verb.START: frozenset({Phase.CONFIGURED, Phase.UNCONFIGURED}),
    Verb.REBOOT: frozenset({Phase.CONFIGURED, Phase.UNCONFIGURED}),
    Verb.RECONFIGURE: frozenset({Phase.CONFIGURED, Phase.UNCONFIGURED, Phase.STOPPED}),
}


def prepare_deploy(server: Server, composed: Composed, *, named: bool) -> RemotePlan:
    """Plan a deployment. One of the same name is updated, where `named` says that the name was given.

    Raises:
        InvalidUsage: there is one of the template's name already, and no name was given.
    """
    try:
        infra = find(server, composed.name)
    except NotFound:
        return plan_deploy(server.address, server.kind, composed, None)
    if not named:
        raise InvalidUsage(
            f"there is an infrastructure {composed.name!r} at {server.address} already",
            f"to update it say --name {composed.name}; to make another one say --name OTHER",
        )
    seen = look(server, infra)
    same = False
    try:
        theirs = server.get(path_of(infra, "tosca")).member("tosca")
    except Unsupported:
        theirs = ""
    if bool(theirs) == composed.is_radl:
        raise InvalidUsage(f"{seen.name} was made from {'TOSCA' if theirs else 'RADL'}", "send the same language")
    same = bool(theirs) and same_template(composed.body.text, theirs)
    return plan_deploy(server.address, server.kind, composed, seen, same=same)


def prepare_scale(server: Server, infra: str, counts: Mapping[str, int], remove: Sequence[str]) -> RemotePlan:
    """Plan other numbers of machines.

    Raises:
        InvalidUsage: a group or machine that is not there.
    """
    seen = look(server, infra)
    going: list[Machine] = []
    for word in remove:
        found = machine_named(seen, word)
        if len(found) != 1:
            raise InvalidUsage(f"{word} is {len(found)} machines", f"say which: {', '.join(m.name for m in found)}")
        going += found
    systems = dict.fromkeys([*_SYSTEM.findall(radl_of(server, infra)), *(m.group for m in seen.machines)])
    return plan_scale(server.address, server.kind, seen, counts, remove=going, systems=systems)


def prepare_destroy(server: Server, infra: str, *, skip_hooks: bool) -> RemotePlan:
    """Plan the end of an infrastructure."""
    return plan_destroy(server.address, look(server, infra), skip_hooks=skip_hooks)


def apply(server: Server, plan: RemotePlan, *, listener: Listener, cancel: threading.Event) -> ApplyReport:
    """Carry a plan out, follow it to its end and report. The first request insists on the version that was planned.

    Raises:
        Conflict: somebody changed the infrastructure meanwhile. Cancelled: as `Follower.until_done`.
    """
    server.cancel = cancel
    follower = Follower(server, listener, cancel)
    follower.tell(EventKind.RUN_STARTED, text=f"im {plan.verb} {plan.infrastructure.name}")
    infra, name = plan.infrastructure.id, plan.infrastructure.name
    if plan.verb is Verb.DESTROY:
        # the original answers at once and deletes on; `force` there means another thing: forget what cannot be deleted
        force = {"force": "yes"} if plan.skip_hooks and server.kind is Kind.OURS else {}
        path = path_of(infra, **{"async": "yes", **force})
        said = server.change("DELETE", path, etag=plan.etag)
        ended = follower.until_gone(infra, said, once_more=lambda: server.change("DELETE", path))
        return _report(follower, plan.verb, ended, infra=infra, name=name)
    ended = Ended(RunState.DONE)
    etag = plan.etag
    if plan.is_new:
        where = path_of(plan.clone_of, "clone") if plan.clone_of else "/infrastructures?async=yes"
        said = server.change("POST", where, plan.body, etag=etag)
        infra = id_of(said.headers.get("infid", "") or said.member("uri"))
        ended = follower.until_done(infra, said, is_there=_has(sum(plan.wanted.values())))
    else:
        follower.know(look(server, infra))
        if plan.removals:
            ended = _remove(server, follower, infra, plan.removals, etag)
            etag = ""
        if ended.state is RunState.DONE and plan.body is not None:
            said = server.change("POST", path_of(infra) + _anew(server), plan.body, etag=etag)
            ended, etag = follower.until_done(infra, said, is_there=_has(0)), ""
        if ended.state is RunState.DONE:
            ended = _add(server, follower, infra, plan.wanted, etag) or ended
    seen = look(server, infra)
    found = _outputs(server, infra)
    return _report(follower, plan.verb, ended, infra=infra, name=name, seen=seen, found=found)


def _anew(server: Server) -> str:
    """Return the query of what may make machines anew; the original makes none anew."""
    return "?replace=yes" if server.settings.replace and server.kind is Kind.OURS else ""


def _has(count: int) -> Callable[[Mapping[str, Phase]], bool]:
    return lambda states: len(states) >= count


def _remove(server: Server, follower: Follower, infra: str, vms: Sequence[str], etag: str) -> Ended:
    ended = Ended(RunState.DONE)
    for at in range(0, len(vms), _DELETED_AT_ONCE):
        some = vms[at : at + _DELETED_AT_ONCE]
        said = server.change(
            "DELETE", f"{path_of(infra, 'vms')}/{','.join(some)}{_anew(server)}", etag=etag if at == 0 else ""
        )
        gone = frozenset(some)
        ended = follower.until_done(infra, said, is_there=lambda states, gone=gone: not gone & states.keys())  # type: ignore[misc]
        if ended.state is not RunState.DONE:
            break
    return ended


def _add(server: Server, follower: Follower, infra: str, wanted: Mapping[str, int], etag: str) -> Ended | None:
    """Add what is missing, group by group; None where nothing is."""
    ended = None
    seen = look(server, infra)
    for group, count in wanted.items():
        missing = count - sum(machine.group == group for machine in seen.machines)
        if missing <= 0:
            continue
        body = more_machines(radl_of(server, infra), group, missing)
        said = server.change("POST", path_of(infra) + _anew(server), body, etag=etag)
        etag = ""
        ended = follower.until_done(infra, said, is_there=_has(len(seen.machines) + missing))
        if ended.state is not RunState.DONE:
            return ended
        seen = look(server, infra)
    return ended


def order(
    server: Server, infra: str, verb: Verb, words: Sequence[str], *, listener: Listener, cancel: threading.Event
) -> ApplyReport:
    """Start, stop, restart or configure again: all machines, or those that are named.

    Raises:
        InvalidUsage: no machine is called so. Conflict: there are none. Cancelled: as `Follower.until_done`.
    """
    server.cancel = cancel
    seen = look(server, infra)
    found = {m.id: m for word in words for m in machine_named(seen, word)} or {m.id: m for m in seen.machines}
    if not found:
        raise Conflict(f"{seen.name} has no machines")
    follower = Follower(server, listener, cancel)
    follower.know(seen)
    follower.tell(EventKind.RUN_STARTED, text=f"im {verb} {seen.name}")
    goal = _STATES[verb]

    def is_there(states: Mapping[str, Phase]) -> bool:
        return all(states.get(vm, Phase.GONE) in goal | {Phase.FAILED} for vm in found)

    ended = Ended(RunState.DONE)
    for said in _ordered(server, seen, verb, list(found), all_of_them=not words):
        one = follower.until_done(infra, said, is_there=is_there) if said.headers.get("operation") else None
        ended = ended if one is None or ended.state is not RunState.DONE else one
    if server.kind is not Kind.OURS:
        ended = follower.until_done(infra, Said({}, {}), is_there=is_there)
    again = look(server, infra)
    mine = dataclasses.replace(again, machines=tuple(m for m in again.machines if m.id in found))
    return _report(follower, verb, ended, infra=infra, name=seen.name, seen=mine)


def _ordered(server: Server, seen: Infrastructure, verb: Verb, vms: Sequence[str], *, all_of_them: bool) -> list[Said]:
    """Send the order: in one request where the server has one for it, else one for each machine."""
    one_request = all_of_them and (verb is not Verb.REBOOT or server.kind is Kind.OURS)
    if verb is Verb.RECONFIGURE:
        query = {} if all_of_them else {"vm_list": ",".join(vms)}
        return [server.change("PUT", path_of(seen.id, "reconfigure", **query), etag=seen.etag)]
    if one_request:
        return [server.change("PUT", path_of(seen.id, verb.value), etag=seen.etag)]
    if server.kind is Kind.OURS:
        return [server.change("PUT", path_of(seen.id, verb.value, vm_list=",".join(vms)), etag=seen.etag)]
    return [server.change("PUT", path_of(seen.id, "vms", vm, verb.value)) for vm in vms]


def _outputs(server: Server, infra: str) -> Mapping[str, Value]:
    try:
        return outputs(server, infra)
    except Unsupported:
        return {}


def _report(
    follower: Follower,
    verb: Verb,
    ended: Ended,
    *,
    infra: str,
    name: str,
    seen: Infrastructure | None = None,
    found: Mapping[str, Value] | None = None,
) -> ApplyReport:
    follower.tell(EventKind.RUN_ENDED, text=f"{ended.state}: {ended.error}".rstrip(": "))
    return ApplyReport(
        infrastructure=infra,
        name=name,
        run=ended.operation,
        verb=verb,
        state=ended.state,
        nodes=tuple(node_reports(follower.server, seen)) if seen is not None else (),
        outputs=found or {},
        timings=(),
        log_dir="",
        elapsed_s=follower.elapsed_s,
    )
