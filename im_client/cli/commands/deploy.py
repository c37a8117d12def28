"""`im deploy`."""

from typing import TYPE_CHECKING, Any

import click

from im_client.cli.change import SEE_PLAN, carry_out, wait_option
from im_client.cli.session import opened, stream_option, yes_option
from im_client.cli.templates import add_option, input_options, make_request, target_options, terms_options
from infracore.cli.console import needs_answer
from infracore.cli.lazy import ExampleCommand
from infracore.errors import InvalidUsage

if TYPE_CHECKING:
    from im_client.services.context import Context
    from im_client.services.model import Prepared

__all__ = ["command"]


@click.command(
    "deploy",
    cls=ExampleCommand,
    short_help="Make the machines of a template and configure them.",
    examples=(
        (
            "im deploy tosca_templates/slurm_cluster.yaml --name demo",
            "Show the plan, ask, then make a cluster on this computer.",
        ),
        (
            "im deploy base.yaml --add elastic.yaml -i wn_num=3 -y",
            "With an add-on and an input, without a question. The same command again resumes or updates.",
        ),
        ("im deploy demo.plan -y --json", "Do a plan that was kept, and print events as JSON lines."),
        (
            "im deploy cluster.yaml --name demo --expire 8h --budget 0.50",
            "For eight hours, and only if all machines together cost no more than that in an hour.",
        ),
    ),
)
@click.argument("target", metavar="TEMPLATE|PLANFILE")
@add_option
@input_options
@target_options
@terms_options
@yes_option
@wait_option
@stream_option
def command(target: str, yes: bool, wait_s: float | None, as_json: bool, **given: Any) -> int:
    """Make the machines of TEMPLATE and configure them, or bring what is there to what TEMPLATE says now.

    The plan is shown first, and a question asked. Deploying again resumes what was interrupted or failed.
    """
    needs_answer(yes, also=SEE_PLAN)
    with opened() as ctx:
        prepared = _prepare(ctx, target, given)
        return carry_out(
            ctx,
            prepared,
            again=_again(target, prepared.infrastructure.name, given),
            question=f"Do this to {prepared.infrastructure.name}?",
            yes=yes,
            as_json=as_json,
            wait_s=wait_s,
        )


def _prepare(ctx: "Context", target: str, given: dict[str, Any]) -> "Prepared":
    from im_client.services.plan_file import is_plan_file, prepare_from_plan
    from im_client.services.prepare import prepare_deploy
    from im_client.services.room import with_room

    path = ctx.cwd / target
    if is_plan_file(path):
        if any(given.values()):
            raise InvalidUsage(f"{target} is a plan, made of its template and inputs: it takes no others")
        return prepare_from_plan(ctx, path)
    return with_room(ctx, prepare_deploy(ctx, make_request(target, **given)))


def _again(target: str, name: str, given: dict[str, Any]) -> str:
    """Return the command that resumes. Inputs are recorded, and are not repeated: they may be secret."""
    import shlex

    words = ["im", "deploy", target, *(word for add_on in given["add_ons"] for word in ("--add", add_on))]
    if given["name"]:
        words += ["--name", name]
    if given["provider"]:
        words += ["--provider", given["provider"]]
    if given["no_configure"]:
        words.append("--no-configure")
    if given["budget"]:
        words += ["--budget", given["budget"]]
    if given["unknown_prices"]:
        words += ["--unknown-prices", given["unknown_prices"]]
    return shlex.join(words)
