"""`im logs`."""

from typing import TYPE_CHECKING

import click

from im_client.cli.session import infra_argument, json_option, opened, which
from infracore.cli.console import print_json, print_text
from infracore.cli.lazy import ExampleCommand
from infracore.errors import InvalidUsage

if TYPE_CHECKING:
    from im_client.services.context import Context

__all__ = ["command"]

_LOOK_AGAIN_S = 1.0


@click.command(
    "logs",
    cls=ExampleCommand,
    short_help="Print what happened in a run, with Ansible's own log.",
    examples=(
        ("im logs demo --ansible", "The last run, with the full log of Ansible."),
        ("im logs demo --follow", "New lines as they come, until the run ends."),
        ("im logs demo --list", "The runs of an infrastructure."),
    ),
)
@infra_argument
@click.option("--run", metavar="ID", help="Another run than the last.")
@click.option("--list", "only_list", is_flag=True, help="List the runs instead.")
@click.option("--follow", is_flag=True, help="Go on until the run ends.")
@click.option("--ansible", is_flag=True, help="Print Ansible's own log too.")
@json_option
def command(  # noqa: PLR0917 - click passes them by name
    infra: str | None, run: str | None, only_list: bool, follow: bool, ansible: bool, as_json: bool
) -> None:
    """Print what happened in the last run of an infrastructure, or in another one."""
    from im_client.services.reading import logs, runs

    if follow and (as_json or only_list):
        raise InvalidUsage("--follow goes with neither --json nor --list")
    with opened() as ctx:
        name = which(ctx, infra)
        if only_list:
            from im_client.cli.shapes import run_shape
            from im_client.cli.tables import runs_table

            found = runs(ctx, name)
            if as_json:
                print_json({"runs": [run_shape(one) for one in found]})
            else:
                from infracore.cli.console import print_data

                print_data(runs_table(found))
        elif as_json:
            from im_client.cli.shapes import log_shape

            print_json(log_shape(logs(ctx, name, run=run)))
        else:
            _print(ctx, name, run, follow=follow, ansible=ansible)


def _print(ctx: "Context", name: str, run: str | None, *, follow: bool, ansible: bool) -> None:
    import threading

    from im_client.services.reading import logs
    from im_client.state.store import RunState
    from infracore.cli.text import clean, clean_lines

    never = threading.Event()
    view = logs(ctx, name, run=run)
    shown = 0
    said: dict[str, int] = {}
    while True:
        for line in view.lines[shown:]:
            kind, node, text = [*line.split("\t", 2), "", ""][:3]
            print_text(f"{clean(kind):<12} {clean(node):<12} {clean(text)}".rstrip())
        shown = len(view.lines)
        for path, text in view.ansible.items() if ansible else ():
            new = text[said.get(path, 0) :]
            if new.strip():
                print_text(f"\n{path}\n{clean_lines(new)}" if path not in said else clean_lines(new))
                said[path] = len(text)
        if not follow or view.run.state is not RunState.RUNNING:
            return
        ctx.clock.wait(never, _LOOK_AGAIN_S)
        view = logs(ctx, name, run=view.run.id)
