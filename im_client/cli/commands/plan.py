"""`im plan`."""

from pathlib import Path
from typing import Any

import click

from im_client.cli.session import json_option, opened
from im_client.cli.templates import add_option, input_options, make_request, target_options, terms_options
from infracore.cli.console import print_data, print_json, say
from infracore.cli.lazy import ExampleCommand
from infracore.errors import InvalidUsage
from infracore.exitcodes import ExitCode

__all__ = ["command"]


@click.command(
    "plan",
    cls=ExampleCommand,
    short_help="Show what deploying a template would do, and change nothing.",
    examples=(
        ("im plan tosca_templates/slurm_cluster.yaml", "What would be made, changed and deleted, and why."),
        (
            "im plan cluster.yaml --name demo --out demo.plan",
            "Keep the plan; `im deploy demo.plan` does that and nothing else.",
        ),
        ("im plan --destroy demo", "What `im destroy demo` would delete."),
    ),
)
@click.argument("target", metavar="TEMPLATE")
@add_option
@input_options
@target_options
@terms_options
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Keep the plan for `im deploy FILE`.")
@click.option("--destroy", is_flag=True, help="Plan the end of an infrastructure; TEMPLATE is its name.")
@click.option("--detailed-exitcode", is_flag=True, help="End with 3 where the plan is not empty.")
@json_option
def command(target: str, out: Path | None, destroy: bool, detailed_exitcode: bool, as_json: bool, **given: Any) -> int:
    """Show what deploying TEMPLATE would do, each step with its reason, and change nothing."""
    from im_client.cli.problems import say_problems
    from im_client.services.prepare import prepare_deploy, prepare_destroy
    from im_client.services.room import with_room

    if destroy and any(given.values()):
        raise InvalidUsage("--destroy plans what is recorded: it takes no template, inputs or provider")
    if destroy and out is not None:
        raise InvalidUsage("a plan to destroy is not kept: im destroy makes it anew, and asks")
    with opened() as ctx:
        prepared = (
            prepare_destroy(ctx, target)
            if destroy
            else with_room(ctx, prepare_deploy(ctx, make_request(target, **given)))
        )
        if out is not None:
            from im_client.services.plan_file import save_plan

            save_plan(ctx, prepared, out)
            say(f"kept in {out}; to do it: im deploy {out}")
    say_problems(prepared.warnings)
    if as_json:
        from im_client.cli.shapes import plan_shape

        print_json(plan_shape(prepared))
    else:
        from im_client.cli.render import plan_view

        print_data(plan_view(prepared))
    pending = detailed_exitcode and not prepared.plan.is_empty
    return ExitCode.CHANGES_PENDING if pending else ExitCode.DONE
