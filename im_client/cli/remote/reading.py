"""The commands that look, asked of a server."""

import threading
from pathlib import Path
from typing import Final

import click

from im_client.cli.remote.session import Session, opened
from im_client.cli.remote.shapes import infrastructure_shape, operation_shape
from im_client.cli.remote.tables import infrastructure_table, operations_table, show_view
from im_client.services.remote import reading
from im_client.services.remote.model import Kind
from infracore.cli.console import print_data, print_json, print_text, say
from infracore.cli.lazy import UntilDashes
from infracore.cli.text import clean, clean_lines
from infracore.errors import InfraError, InvalidUsage, NotFound, Unauthorised

__all__ = ["doctor_", "inventory_", "list_", "logs_", "outputs_", "refresh_", "show_", "ssh_"]

_LOOK_AGAIN_S: Final = 2.0


def list_(*, as_json: bool) -> None:
    """`im list`."""
    with opened() as session:
        found = reading.listing(session.server)
        address = session.server.address
    if as_json:
        print_json({"infrastructures": [infrastructure_shape(one, with_nodes=False) for one in found]})
    elif found:
        print_data(infrastructure_table(found))
    else:
        say(f"there is no infrastructure at {address}; im deploy TEMPLATE makes one")


def show_(*, infra: str | None, as_json: bool) -> None:
    """`im show`: a server asks its clouds when somebody looks."""
    with opened() as session:
        seen = reading.look(session.server, reading.find(session.server, infra))
        address = session.server.address
    if as_json:
        print_json(infrastructure_shape(seen, with_nodes=True))
    else:
        print_data(show_view(seen, address))


def refresh_(*, infra: str | None, wait_s: float | None, as_json: bool) -> None:
    """`im refresh`: looking makes a server ask its clouds; nothing is recorded here."""
    if wait_s is not None:
        raise InvalidUsage("--wait is for a lock of this computer; a server has its own", "leave it out")
    show_(infra=infra, as_json=as_json)


def outputs_(*, infra: str | None, name: str | None, reveal: bool, as_json: bool) -> None:
    """`im outputs`."""
    from im_client.cli.found import print_outputs

    with opened() as session:
        found = reading.outputs(session.server, reading.find(session.server, infra), reveal=reveal)
    print_outputs(found, name, as_json=as_json)


def logs_(*, infra: str | None, run: str | None, only_list: bool, follow: bool, ansible: bool, as_json: bool) -> None:
    """`im logs`: the server's story with Ansible's log in it; ours has the other runs too."""
    if follow and (as_json or only_list or run):
        raise InvalidUsage("--follow goes with neither --json, --list nor --run")
    with opened() as session:
        server = session.server
        found = reading.find(server, infra)
        if only_list:
            operations = reading.operations(server, found)
            if as_json:
                print_json({"runs": [operation_shape(one) for one in operations]})
            else:
                print_data(operations_table(operations))
        elif run is not None:
            reading.operations(server, found)  # says so where the server has none
            if ansible:
                raise InvalidUsage("a server keeps Ansible's log of the last run only", "leave --run out")
            lines = reading.operation_log(server, run)
            if as_json:
                print_json({"run": {"id": run}, "lines": list(lines), "ansible": {}})
            for line in () if as_json else lines:
                kind, node, text = [*line.split("\t", 2), "", ""][:3]
                print_text(f"{clean(kind):<12} {clean(node):<12} {clean(text)}".rstrip())
        elif as_json:
            text = reading.log(server, found)
            print_json({"run": None, "lines": text.splitlines(), "ansible": {}})
        else:
            _print_log(session, found, follow=follow)


def _print_log(session: Session, infra: str, *, follow: bool) -> None:
    never = threading.Event()
    shown = 0
    while True:
        state = reading.state_of(session.server, infra)
        text = reading.log(session.server, infra)
        shown = shown if len(text) >= shown else 0  # a new configuration begins a new log
        fresh = text[shown:].rstrip("\n")
        if fresh:
            print_text(clean_lines(fresh.lstrip("\n")))
        shown = len(text)
        if not follow or state not in {"pending", "running", "deleting"}:
            return
        session.server.clock.wait(never, _LOOK_AGAIN_S)


def inventory_(*, infra: str | None, as_json: bool) -> None:
    """`im inventory`."""
    from im_client.cli.found import print_inventory
    from im_client.remote.options import destination

    with opened() as session:
        seen = reading.look(session.server, reading.find(session.server, infra))
    accesses = reading.accesses(seen)
    for access in accesses.values():
        destination(access)  # refuses what Ansible would take for more than a user or an address
    groups = {machine.name: machine.group for machine in seen.machines}
    print_inventory(groups, accesses, comment=clean(f"{seen.name} ({seen.id})"), as_json=as_json, with_python=False)


def ssh_(*, words: tuple[str, ...], only_print: bool, key_file: Path | None) -> int:
    """`im ssh`; the key comes from the server, and is a file only as long as ssh runs."""
    from im_client.cli.login import log_in, ssh_command_line

    if len(words) > 2:
        raise InvalidUsage(f"too many words: {' '.join(words[2:])}", "a command for the machine follows after --")
    if key_file is not None and not only_print:
        raise InvalidUsage("--key-file goes with --print")
    with opened() as session:
        infra, node = _split(session, words)
        known = None if only_print and key_file is None else session.known_hosts
        target = reading.ssh_target(session.server, infra, node, known)
    remote = UntilDashes.command_words(click.get_current_context())
    if not only_print:
        return log_in(target.access, remote)
    text, note = ssh_command_line(target.access, remote, key_file)
    print_text(text)
    if note:
        say(note.replace("is sealed in the state", "is kept by the server"))
    return 0


def scp_(*, words: tuple[str, ...], recursive: bool) -> int:
    """`im scp`; the key comes from the server, and is a file only as long as scp runs."""
    from im_client.cli.commands.scp import read_words
    from im_client.cli.login import copy_files

    with opened() as session:

        def is_infra(word: str) -> bool:
            try:
                reading.find(session.server, word)
            except NotFound:
                return False
            return True

        job = read_words(words, is_infra)
        infra = reading.find(session.server, job.infra)
        access = reading.ssh_target(session.server, infra, job.machine, session.known_hosts).access
    return copy_files(access, job.sources, job.target, recursive=recursive)


def _split(session: Session, words: tuple[str, ...]) -> tuple[str, str | None]:
    """Tell infrastructure and machine apart: a word alone is an infrastructure if there is one called so."""
    if len(words) != 1:
        return reading.find(session.server, words[0] if words else None), words[1] if words else None
    try:
        return reading.find(session.server, words[0]), None
    except NotFound:
        return reading.find(session.server, None), words[0]


def doctor_(*, providers: tuple[str, ...], as_json: bool) -> int:
    """`im doctor`: whether the server answers, who it is, and whether it takes our credentials."""
    from im_client.cli.shapes import doctor_shape
    from im_client.cli.tables import doctor_table
    from im_client.providers.base import Finding, Severity
    from im_client.services.model import DoctorReport
    from infracore.exitcodes import ExitCode

    if providers:
        raise InvalidUsage("--provider examines this computer, not a server", "leave --server or --provider out")
    found = []
    with opened() as session:
        server = session.server
        try:
            version, kind = server.version, server.kind
            found.append(Finding("server", Severity.OK, f"{server.address} runs {kind} {version}"))
            if not server.rest.http.address.is_tls:
                remedy = "use https where others share the way"
                found.append(Finding("tls", Severity.WARNING, "credentials travel without TLS", remedy))
            number = len(reading.ids(server))
            found.append(Finding("credentials", Severity.OK, f"they are taken; {number} infrastructures are seen"))
            if kind is Kind.ORIGINAL:
                text = "its changes are followed by asking; they cannot be cancelled"
                found.append(Finding("progress", Severity.OK, text))
        except InfraError as error:
            check = "credentials" if isinstance(error, Unauthorised) else "server"
            found.append(Finding(check, Severity.ERROR, error.message, error.hint or "see docs/howto/remote-im.md"))
    report = DoctorReport({"server": tuple(found)})
    if as_json:
        print_json(doctor_shape(report))
    else:
        print_data(doctor_table(report))
    return ExitCode.FAILED if any(one.severity is Severity.ERROR for one in found) else ExitCode.DONE
