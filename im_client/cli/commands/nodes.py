"""`im nodes`: Raspberry Pis on the network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from im_client.cli.session import json_option, setting_overrides
from infracore.cli.console import print_data, print_json, say
from infracore.cli.lazy import ExampleCommand, ExampleGroup
from infracore.cli.options import FiniteRange
from infracore.cli.text import clean
from infracore.errors import InvalidUsage

if TYPE_CHECKING:
    from im_client.flash.discover.model import Finding, Wanted
    from im_client.services.nodes import Report

__all__ = ["command"]


@click.group(
    "nodes",
    cls=ExampleGroup,
    short_help="Find Raspberry Pis on the network.",
    examples=(
        ("im nodes discover", "The Raspberry Pis near this computer, and whether their host keys are known."),
        ("im nodes discover -i inventories/raspberry_pi --wait", "Wait until all boards of an inventory are there."),
    ),
)
def command() -> None:
    """Find Raspberry Pis on the network."""


@command.command(
    "discover",
    cls=ExampleCommand,
    short_help="Find Raspberry Pis, and check who they are.",
    examples=(
        ("im nodes discover", "By the neighbour table, DHCP leases and multicast DNS."),
        (
            "im nodes discover -i inventories/raspberry_pi --sweep 192.168.1.0/24 --write",
            "And note where each board is.",
        ),
    ),
)
@click.option(
    "-i", "--inventory", type=click.Path(path_type=Path), metavar="PATH", help="The fleet: an Ansible inventory."
)
@click.option("--board", "names", multiple=True, metavar="NAME", help="Look for this board of the inventory alone.")
@click.option("--sweep", metavar="NETWORK", help="Ask each address of this network too, 1,024 at most: 192.168.1.0/24.")
@click.option("--leases", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="Read these leases too.")
@click.option("--prefix", "prefixes", multiple=True, metavar="MAC", help="MACs that begin so are boards' too.")
@click.option("--all", "everything", is_flag=True, help="Show machines that are no Raspberry Pi too.")
@click.option("--write", is_flag=True, help="Put ansible_host into the host_vars of the inventory; known keys only.")
@click.option("--wait", is_flag=True, help="Look until all boards of the inventory are there and known.")
@click.option("--timeout", "limit_s", type=FiniteRange(1, 3600), default=60.0, metavar="SECONDS", help="At most (60).")
@click.option("--port", type=click.IntRange(1, 65535), default=22, help="SSH port of the machines (22).")
@click.option("--key", "key_file", metavar="FILE", default="", help="Log in with this private key to read the serial.")
@json_option
def discover_command(
    *,
    inventory: Path | None,
    names: tuple[str, ...],
    sweep: str | None,
    leases: tuple[Path, ...],
    prefixes: tuple[str, ...],
    everything: bool,
    write: bool,
    wait: bool,
    limit_s: float,
    port: int,
    key_file: str,
    as_json: bool,
) -> int:
    """Find Raspberry Pis on the networks of this computer, and say which board of the inventory each is.

    A machine is a known board when it has the host key that `im flash` put on its card. One that shows another key is
    an impostor, or was flashed elsewhere: it is shown, never written, and the exit code is 1. The exit code is 4 where
    a board of the inventory was not found.
    """
    import os

    from im_client.cli.interrupt import interruptible
    from im_client.flash.discover.look import Places
    from im_client.flash.discover.sweep import parse_network
    from im_client.services.nodes import Search, discover_nodes
    from im_client.settings import load_settings
    from infracore.clock import SystemClock

    if write and inventory is None:
        raise InvalidUsage("--write needs the inventory that is written to", "add -i INVENTORY")
    settings = load_settings(overrides=setting_overrides(), environ=os.environ, cwd=Path.cwd()).value
    places = Places(
        leases=leases,
        sweep=None if sweep is None else parse_network(sweep),
        prefixes=_plain_prefixes(prefixes),
        everything=everything,
        port=port,
        key_file=key_file,
    )
    if names and inventory is None:
        raise InvalidUsage("--board needs the inventory that names it", "add -i INVENTORY")
    fleet = None if inventory is None else _chosen(_fleet(inventory, settings.ansible), names)
    search = Search(places, limit_s=limit_s, wait=wait, write_to=inventory if write else None)
    with interruptible(say, again="im nodes discover") as cancel:
        report = discover_nodes(
            fleet,
            search,
            state_dir=settings.state_dir,
            clock=SystemClock(),
            cancel=cancel,
            tell=lambda t: say(clean(t)),
        )
    if as_json:
        print_json(_shape(report))
    else:
        _show(report)
    return report.exit_code


def _fleet(inventory: Path, ansible: Any) -> Any:
    from im_client.configure.program import find_program
    from im_client.flash.fleet import read_fleet
    from im_client.services.nodes import wanted_of

    return wanted_of(read_fleet(inventory, program=Path(find_program(ansible)).with_name("ansible-inventory")))


def _chosen(fleet: "tuple[Wanted, ...]", names: tuple[str, ...]) -> "tuple[Wanted, ...]":
    known = [board.name for board in fleet]
    for name in names:
        if name not in known:
            raise InvalidUsage(f"no board is called {name}", f"boards of the inventory: {', '.join(known) or 'none'}")
    return tuple(board for board in fleet if not names or board.name in names)


def _plain_prefixes(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    import re

    plain = tuple(prefix.strip().lower().replace("-", ":") for prefix in prefixes)
    for prefix in plain:
        if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){0,5}", prefix):
            raise InvalidUsage(f"{prefix!r} is not how a MAC address begins", "such as 52:54:00")
    return plain


def _show(report: "Report") -> None:
    if report.findings:
        print_data(_table(report.findings))
    else:
        say("no Raspberry Pi was found; --sweep NETWORK asks every address of a network")
    for board in report.missing:
        known = ", ".join(word for word in (board.hostname, board.mac, board.serial) if word and word != board.name)
        say(clean(f"not found: {board.name}{f' ({known})' if known else ''}"))
    for name, change in report.changes:
        said = f"{change.path}: ansible_host: {change.after}" if change.is_new else f"{change.path} says so already"
        say(clean(f"{name}: {said}"))
    for name, why in report.unwritten:
        say(clean(f"{name}: not written: {why}"))
    for one in report.impostors:
        say(clean(f"warning: {one.address} is not {one.board}, or was flashed elsewhere: its host key is another"))


def _table(findings: "tuple[Finding, ...]") -> Any:
    from infracore.cli.tables import bare_table, cell

    styles = {"known": "green", "changed": "bold red"}
    table = bare_table("BOARD", "ADDRESS", "MAC", "CALLED", "KEY", "SERIAL", "BY", "SEEN IN", "NOTE")
    for one in findings:
        table.add_row(
            cell(one.board or "-", "bold"),
            cell(one.address),
            cell(one.mac, "dim"),
            cell(one.hostname),
            cell(_key_text(one), styles.get(one.key.value, "")),
            cell(one.serial),
            cell(one.by),
            cell(", ".join(one.sources), "dim"),
            cell(one.note),
        )
    return table


def _key_text(one: "Finding") -> str:
    from im_client.flash.discover.model import KeyState

    return "CHANGED" if one.key is KeyState.CHANGED else one.key.value


def _shape(report: "Report") -> dict[str, Any]:
    return {
        "machines": [
            {
                "board": one.board or None,
                "address": one.address,
                "mac": one.mac or None,
                "hostname": one.hostname or None,
                "key": one.key.value,
                "shown_key": one.shown_key or None,
                "serial": one.serial or None,
                "matched_by": one.by or None,
                "sources": list(one.sources),
                "note": one.note,
            }
            for one in report.findings
        ],
        "missing": [board.name for board in report.missing],
        "written": [
            {"board": name, "file": str(change.path), "ansible_host": change.after, "changed": change.is_new}
            for name, change in report.changes
        ],
        "unwritten": [{"board": name, "why": why} for name, why in report.unwritten],
    }
