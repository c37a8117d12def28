"""`im orphans`."""

from typing import TYPE_CHECKING, Any

import click

from im_client.cli.session import json_option, opened, yes_option
from infracore.cli.console import ask, needs_answer, print_data, print_json, say
from infracore.cli.lazy import ExampleCommand
from infracore.cli.text import clean
from infracore.errors import InvalidUsage
from infracore.exitcodes import ExitCode

if TYPE_CHECKING:
    from im_client.services.context import Context
    from im_client.services.orphans import Found, Orphan

__all__ = ["command"]


@click.command(
    "orphans",
    cls=ExampleCommand,
    short_help="Find machines and things at sites that no state knows.",
    examples=(
        ("im orphans", "List them, at all sites that are set up."),
        ("im orphans --remove", "Remove them, asking for each infrastructure."),
        ("im orphans --remove --infrastructure 3f0c1d2e-7a55-4b0e-9a44-0d4f5a1b2c3d -y", "Only those of one, unasked."),
    ),
)
@click.option("--at", "sites", multiple=True, metavar="SITE", help="Look there only; may be repeated.")
@click.option("--remove", is_flag=True, help="Remove what is found, machines first.")
@click.option(
    "--infrastructure",
    "infras",
    multiple=True,
    metavar="ID",
    help="Only what carries the mark of this infrastructure; may be repeated.",
)
@yes_option
@json_option
def command(*, sites: tuple[str, ...], remove: bool, infras: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Find machines, addresses, disks, keys and networks that carry our mark and that no state knows.

    Other computers that use the same account mark theirs too: they look like orphans from here. So removal asks for
    each infrastructure, and -y needs --infrastructure.
    """
    from im_client.services.orphans import find_orphans

    if yes and not remove:
        raise InvalidUsage("-y answers what --remove asks", "im orphans --remove")
    if yes and not infras:
        raise InvalidUsage(
            "other computers may know what this state does not: -y removes nothing that is not named",
            "say which: --infrastructure ID; im orphans lists them",
        )
    if remove:
        needs_answer(yes, also="; `im orphans` only lists")
    with opened() as ctx:
        found = find_orphans(ctx, sites)
        chosen = [orphan for orphan in found.orphans if not infras or orphan.infrastructure in infras]
        for site, error in found.silent.items():
            say(f"{site} cannot be asked: {error.message}")
        if not remove:
            _show(found, chosen, ctx.clock.now(), as_json=as_json)
            return ExitCode.FAILED if found.silent else ExitCode.DONE
        return _remove(ctx, found, chosen, yes=yes, as_json=as_json)


def _show(found: "Found", orphans: "list[Orphan]", now: float, *, as_json: bool) -> None:
    if as_json:
        print_json(_whole(found, [_shape(orphan) for orphan in orphans]))
    elif orphans:
        print_data(_table(orphans, now))
    else:
        say(f"nothing is left at {', '.join(found.sites) or 'any site'} that no state knows")


def _remove(ctx: "Context", found: "Found", orphans: "list[Orphan]", *, yes: bool, as_json: bool) -> int:
    from im_client.cli.interrupt import interruptible
    from im_client.services.orphans import remove_orphans
    from infracore.cli.console import say_rendered

    results: list[dict[str, Any]] = []

    def tell(orphan: "Orphan", what: str) -> None:
        results.append({**_shape(orphan), "result": what})
        say(clean(f"{orphan.kind} {orphan.name} ({orphan.id}) at {orphan.site}: {what}"))

    well = not found.silent
    with interruptible(say, again="im orphans --remove") as cancel:
        for infra in dict.fromkeys(orphan.infrastructure for orphan in orphans):
            mine = [orphan for orphan in orphans if orphan.infrastructure == infra]
            say_rendered(_table(mine, ctx.clock.now()))
            if not ask(clean(f"Remove these {len(mine)} of the infrastructure {infra}?"), yes):
                say("left alone")
                continue
            well &= remove_orphans(ctx, mine, cancel=cancel, tell=tell)
    if as_json:
        print_json(_whole(found, results))
    elif not orphans:
        say("nothing to remove")
    return ExitCode.DONE if well else ExitCode.FAILED


def _whole(found: "Found", orphans: list[dict[str, Any]]) -> dict[str, Any]:
    silent = [{"site": site, "error": error.message, "hint": error.hint} for site, error in found.silent.items()]
    return {"sites": list(found.sites), "silent": silent, "orphans": orphans}


def _shape(orphan: "Orphan") -> dict[str, Any]:
    from im_client.cli.shapes import time_shape

    return {
        "site": orphan.site,
        "infrastructure": orphan.infrastructure,
        "kind": orphan.kind,
        "id": orphan.id,
        "name": orphan.name,
        "why": orphan.why,
        "created_at": time_shape(orphan.created_at),
    }


def _table(orphans: "list[Orphan]", now: float) -> Any:
    from infracore.cli.tables import bare_table, cell
    from infracore.units import format_duration

    table = bare_table("SITE", "KIND", "NAME", "AGE", "INFRASTRUCTURE", "ID", "WHY")
    for orphan in orphans:
        age = "" if orphan.created_at is None else format_duration(max(0.0, now - orphan.created_at))
        table.add_row(
            cell(orphan.site),
            cell(orphan.kind),
            cell(orphan.name, "bold"),
            cell(age),
            cell(orphan.infrastructure),
            cell(orphan.id, "dim"),
            cell(orphan.why),
        )
    return table
