"""`im clone`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from im_client.cli.change import SEE_PLAN, carry_out, wait_option
from im_client.cli.session import complete_infrastructure, opened, split_pairs, stream_option, yes_option
from im_client.cli.templates import input_options, read_inputs
from infracore.cli.console import needs_answer, print_data, print_json
from infracore.cli.lazy import ExampleCommand
from infracore.errors import InvalidUsage
from infracore.exitcodes import ExitCode

if TYPE_CHECKING:
    from im_client.services.context import Context
    from im_client.services.model import Prepared
    from im_client.topology.values import Value

__all__ = ["command"]


@click.command(
    "clone",
    cls=ExampleCommand,
    short_help="Make another infrastructure from the template and inputs of one.",
    examples=(
        ("im clone demo test --plan", "What it would make; nothing is changed."),
        ("im clone demo test -i worker_count=1 --ask-secrets", "With another input; passwords are asked for."),
    ),
)
@click.argument("infra", shell_complete=complete_infrastructure)
@click.argument("name")
@input_options
@click.option("--ask-secrets", is_flag=True, help="Ask for each secret input instead of taking it from INFRA.")
@click.option("--provider", metavar="NAME", help="Where its machines come from (default: where those of INFRA do).")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the provider for the clone.")
@click.option("--no-configure", is_flag=True, help="Make the machines and run no playbook on them.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be made, and change nothing.")
@yes_option
@wait_option
@stream_option
def command(
    *,
    infra: str,
    name: str,
    pairs: tuple[str, ...],
    files: tuple[Path, ...],
    ask_secrets: bool,
    provider: str | None,
    settings: tuple[str, ...],
    no_configure: bool,
    only_plan: bool,
    yes: bool,
    wait_s: float | None,
    as_json: bool,
) -> int:
    """Make an infrastructure NAME from the template and inputs that are recorded of INFRA, which stays as it is.

    Secret inputs are taken from the sealed record and never shown; generated passwords are made anew. Numbers set by
    im scale and outputs are not taken over.
    """
    import shlex

    from im_client.services.clone import CloneRequest, prepare_clone

    if not only_plan:
        needs_answer(yes, also=SEE_PLAN)
    given = read_inputs(pairs, files)
    with opened() as ctx:
        if ask_secrets:
            given = {**_asked(ctx, infra, given), **given}
        request = CloneRequest(
            infra=infra,
            name=name,
            inputs=given,
            provider=provider,
            provider_settings=split_pairs(settings, "--set"),
            configure=not no_configure,
        )
        prepared = prepare_clone(ctx, request)
        if only_plan:
            return _show(prepared, as_json=as_json)
        source = prepared.source
        add_ons = [word for add_on in source.add_ons for word in ("--add", add_on)]
        return carry_out(
            ctx,
            prepared,
            again=shlex.join(["im", "deploy", source.template, *add_ons, "--name", name]),
            question=f"Make {name} so?",
            yes=yes,
            as_json=as_json,
            wait_s=wait_s,
        )


def _asked(ctx: "Context", infra: str, given: "Mapping[str, Value]") -> "dict[str, Value]":
    """Ask on the terminal for the secret inputs that the command line does not give."""
    import sys

    from im_client.services.clone import secret_inputs

    missing = [one for one in secret_inputs(ctx, infra) if one.name not in given]
    if missing and not (sys.stdin is not None and sys.stdin.isatty()):
        names = ", ".join(one.name for one in missing)
        raise InvalidUsage(f"there is no terminal to ask for {names} on", "give them in a file: --inputs FILE")
    return {one.name: click.prompt(one.description or one.name, hide_input=True, err=True) for one in missing}


def _show(prepared: "Prepared", *, as_json: bool) -> int:
    from im_client.cli.problems import say_problems

    say_problems(prepared.warnings)
    if as_json:
        from im_client.cli.shapes import plan_shape

        print_json(plan_shape(prepared))
    else:
        from im_client.cli.render import plan_view

        print_data(plan_view(prepared))
    return ExitCode.DONE
