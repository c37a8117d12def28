"""What another server shows: its infrastructures, their machines, outputs and logs, and how to log in."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from im_client.remote.access import Access
from im_client.remote.first_use import first_use
from im_client.remote.vms import access_of_vm, phase_of
from im_client.services.model import SshTarget
from im_client.services.remote.hiding import hidden
from im_client.services.remote.model import Infrastructure, Kind, Machine
from im_client.services.remote.server import Server
from infracore.errors import Conflict, InvalidUsage, NotFound, Unsupported
from infracore.im_rest import Vm, id_of, names_of, path_of, uris, vm_of, vm_states

__all__ = [
    "accesses",
    "find",
    "ids",
    "listing",
    "log",
    "look",
    "machine_named",
    "operation_log",
    "operations",
    "outputs",
    "radl_of",
    "ssh_target",
    "state_of",
]

_AT_ONCE: Final = 8
_LEAST_BEGINNING: Final = 4
_PAGES: Final = 1000
_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,252}")
"""What a machine may be called: inventories hold names, and a line of them is more than a name."""


def ids(server: Server) -> list[str]:
    """Return the ids of all infrastructures, newest first."""
    found: list[str] = []
    path = "/infrastructures"
    for _ in range(_PAGES):
        said = server.get(path)
        page = [id_of(uri) for uri in uris(said)]
        found += page
        following = re.search(r'after=([0-9A-Za-z-]+)[^>]*>; rel="next"', said.headers.get("link", ""))
        if following is None or not page or following[1] in found[: -len(page)]:
            break
        path = f"/infrastructures?after={following[1]}"
    return found


def listing(server: Server) -> tuple[Infrastructure, ...]:
    """Return all infrastructures with their states and names; three requests each, some at once."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="remote-list") as pool:
        found = pool.map(lambda infra: _seen(server, infra), ids(server))
        return tuple(one for one in found if one is not None)


def _seen(server: Server, infra: str) -> Infrastructure | None:
    """Return what a listing shows of one; None where it went away meanwhile."""
    try:
        said = server.get(path_of(infra, "state"))
        state, states = vm_states(said)
        name, aliases = names_of(radl_of(server, infra))
    except NotFound:
        return None
    return Infrastructure(infra, name or infra, state, states, aliases=aliases, etag=said.headers.get("etag", ""))


def radl_of(server: Server, infra: str) -> str:
    """Return the RADL of an infrastructure."""
    return server.get(path_of(infra, "radl")).member("radl")


def find(server: Server, word: str | None) -> str:
    """Return the id of the infrastructure that is meant: by its id, the beginning of one, or its name. Never a guess.

    Raises:
        NotFound: there is none. InvalidUsage: several are called so, or none is named and there are several.
    """
    known = ids(server)
    if word is None:
        if len(known) > 1:
            raise InvalidUsage("there are several infrastructures: say which one", "im list shows them")
        if not known:
            raise NotFound(f"there is no infrastructure at {server.address}", "im deploy TEMPLATE makes one")
        return known[0]
    if word in known:
        return word
    begin = [one for one in known if len(word) >= _LEAST_BEGINNING and one.startswith(word)]
    called = [one.id for one in listing(server) if word in one.aliases]
    for found in (called, begin):
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidUsage(f"{len(found)} infrastructures are called {word!r}", f"say the id: {', '.join(found)}")
    raise _absent(server, word)


def _absent(server: Server, word: str) -> NotFound:
    hint = "im list shows those that there are"
    return NotFound(f"there is no infrastructure {word!r} at {server.address}", hint)


def look(server: Server, infra: str) -> Infrastructure:
    """Return one infrastructure with its machines: a request each, some at once.

    Raises:
        NotFound: there is none.
    """
    found = _seen(server, infra)
    if found is None or (not found.states and infra not in ids(server)):  # the original shows a destroyed one as empty
        raise NotFound(
            f"there is no infrastructure {infra!r} at {server.address}", "im list shows those that there are"
        )

    def one(vm: str) -> Vm | None:
        try:
            return vm_of(vm, server.get(path_of(infra, "vms", vm)))
        except NotFound:
            return None

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="remote-look") as pool:
        vms = dict(zip(found.states, pool.map(one, found.states), strict=True))
    called = Counter(_said_name(vm) for vm in vms.values() if vm is not None)
    machines = [
        Machine(
            id=number,
            name=_name(number, vm, called),
            group=vm.system if vm is not None else "",
            phase=phase_of(found.states[number]),
            vm=vm,
        )
        for number, vm in vms.items()
    ]
    return dataclasses.replace(found, machines=tuple(sorted(machines, key=lambda machine: machine.number)))


def _said_name(vm: Vm) -> str:
    return vm.node.replace("#N#", vm.id).split(".")[0].lower()


def _name(number: str, vm: Vm | None, called: Mapping[str, int]) -> str:
    if vm is None:
        return f"vm-{number}"
    said, system = _said_name(vm), vm.system.lower()
    if _NAME.fullmatch(said) and called[said] == 1:
        return said
    return f"{system if _NAME.fullmatch(system) else 'vm'}-{number}"


def machine_named(infra: Infrastructure, word: str) -> list[Machine]:
    """Return the machine with this name or VM id, or all of the group that is called so.

    Raises:
        InvalidUsage: there is none.
    """
    for name in ("name", "id", "group"):
        found = [machine for machine in infra.machines if getattr(machine, name) == word]
        if found:
            return found
    there = ", ".join(machine.name for machine in infra.machines) or "none"
    raise InvalidUsage(f"{infra.name} has no machine {word!r}", f"its machines: {there}")


def outputs(server: Server, infra: str, *, reveal: bool = False) -> Mapping[str, Any]:
    """Return the outputs; a server says all in clear, so what looks like a secret is hidden here unless `reveal`.

    Raises:
        Unsupported: the infrastructure was made from RADL, which has none.
    """
    try:
        found = server.get(path_of(infra, "outputs")).data.get("outputs")
    except Unsupported as error:
        raise Unsupported("this infrastructure was made from RADL, which has no outputs", error.hint) from error
    if not isinstance(found, dict):
        return {}
    return found if reveal else {name: hidden(value, name) for name, value in found.items()}


def log(server: Server, infra: str, vm: str = "") -> str:
    """Return the story of the last configuration, of all machines or of one."""
    return server.get(path_of(infra, *(("vms", vm) if vm else ()), "contmsg")).member("contmsg")


def state_of(server: Server, infra: str) -> str:
    """Return the state of an infrastructure, in the server's words."""
    return vm_states(server.get(path_of(infra, "state")))[0]


def operations(server: Server, infra: str) -> Sequence[Mapping[str, Any]]:
    """Return the changes of an infrastructure, newest first.

    Raises:
        Unsupported: the server keeps none.
    """
    if server.kind is not Kind.OURS:
        raise Unsupported(
            f"{server.address} runs the {server.kind}, which keeps the log of the last configuration only",
            "im logs INFRA prints it",
        )
    found = server.get(path_of(infra, "operations")).data.get("operations")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def operation_log(server: Server, operation: str) -> tuple[str, ...]:
    """Return the lines of one change of our server."""
    if not re.fullmatch(r"[0-9a-f-]{1,64}", operation):
        raise InvalidUsage(f"{operation!r} is no id of a run", "im logs INFRA --list shows them")
    events = server.rest.events(f"/operations/{operation}/events", limit_s=server.settings.request_s)
    return tuple(f"{kind}\t{data.get('node', '')}\t{data.get('text', '')}" for _, kind, data in events if kind != "end")


def ssh_target(server: Server, infra: str, word: str | None, known: Path | None) -> SshTarget:
    """Return how to log in to a machine. `known` is the folder where host keys are kept from their first use on;
    without it nothing is connected to, and no host key told.

    Raises:
        InvalidUsage: no machine is called so. Conflict: it has no address (yet). Unsupported: the server does not
            say how to log in.
    """
    seen = look(server, infra)
    if not seen.machines:
        raise Conflict(f"{seen.name} has no machines")
    found = machine_named(seen, word) if word else [seen.machines[0]]
    if len(found) > 1:
        raise InvalidUsage(f"{word} has {len(found)} machines", f"say which: {', '.join(m.name for m in found)}")
    access = accesses(seen).get(found[0].name)
    if access is None:
        raise Conflict(f"{found[0].name} has no address yet, or the server does not show how to log in to it")
    if known is not None:
        access = with_host_key(access, infra, found[0].id, known)
    return SshTarget(found[0].name, access)


def with_host_key(access: Access, infra: str, vm: str, known: Path) -> Access:
    """Return the access with the host key of the first time: no server tells it."""
    jump = None if access.jump is None else with_host_key(access.jump, infra, "jump", known)
    access = dataclasses.replace(access, jump=jump)
    return first_use(access, known / infra / vm)


def accesses(seen: Infrastructure) -> Mapping[str, Access]:
    """Return how to log in to the machines that have an address; by way of a public one where theirs is private."""
    door = next((m for m in seen.machines if m.vm is not None and m.vm.public_address), None)
    found: dict[str, Access] = {}
    for machine in seen.machines:
        vm = machine.vm
        if vm is None:
            continue
        address = vm.public_address or vm.private_address
        if not address or not (vm.private_key or vm.password):
            continue
        jump = None
        if not vm.public_address and door is not None and door.vm is not None:
            jump = access_of_vm(door.vm, door.vm.public_address)
        found[machine.name] = dataclasses.replace(access_of_vm(vm, address), jump=jump)
    return found
