"""`clues pods`."""

import click

from clues.cli.session import client
from infracore.cli.console import print_data, print_json, say
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "pods",
    cls=ExampleCommand,
    short_help="List pending pods, and what becomes of them.",
    examples=(
        ("clues pods", "Pending pods, those that are alike in one line."),
        ("clues pods --outcome unschedulable --json", "Those that no node can help, for a program."),
    ),
)
@click.option("--outcome", "outcomes", multiple=True, metavar="WORD", help="Only with this outcome; may be repeated.")
@json_option
def command(outcomes: tuple[str, ...], as_json: bool) -> None:
    """List pending pods, and what becomes of them.

    Outcomes: fits, ordered, upcoming, unschedulable, resting, limit, ignored, waiting.
    """
    import msgspec

    found = [verdict for verdict in client().pods() if not outcomes or verdict.outcome in outcomes]
    if as_json:
        print_json(msgspec.to_builtins(found))
    elif not found:
        say("no pending pods" + (" with that outcome" if outcomes else ""))
    else:
        from clues.cli.tables import pods_table

        print_data(pods_table(found))
