"""`clues poweroff`."""

import click

from clues.cli.session import client, names_argument, tell
from infracore.cli.console import ask, say
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option, yes_option
from infracore.exitcodes import ExitCode

__all__ = ["command"]


@click.command(
    "poweroff",
    cls=ExampleCommand,
    short_help="Drain machines by hand and turn them off.",
    examples=(
        ("clues poweroff wn-3", "Drain it, honouring disruption budgets, and turn it off."),
        ("clues poweroff wn-3 --force -y", "Go on where a budget or a pod that blocks would stop it."),
    ),
)
@names_argument
@click.option("--force", is_flag=True, help="Pass over disruption budgets and pods that block; asks first.")
@yes_option
@json_option
def command(names: tuple[str, ...], force: bool, yes: bool, as_json: bool) -> int:
    """Drain machines and turn them off. They come back if pods need them; clues disable prevents that."""
    if force:
        which = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        question = f"Evict all pods of {which}, whatever protects them, and turn off?"
        if not ask(question, yes, also="; without --force nothing is asked"):
            say("nothing was changed")
            return ExitCode.FAILED
    tell(client().power_off(names, force=force), as_json=as_json)
    return ExitCode.DONE
