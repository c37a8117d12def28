"""`im validate`."""

from pathlib import Path

import click

from im_client.cli.session import json_option, opened
from im_client.cli.templates import add_option, input_options, read_inputs
from infracore.cli.console import print_data, print_json
from infracore.cli.lazy import ExampleCommand
from infracore.exitcodes import ExitCode

__all__ = ["command"]


@click.command(
    "validate",
    cls=ExampleCommand,
    short_help="Check a template and say all that is wrong with it.",
    examples=(
        ("im validate tosca_templates/slurm_cluster.yaml", "Check a template; nothing is made."),
        ("im validate base.yaml --add elastic.yaml --json", "Check a template with an add-on, for a program to read."),
    ),
)
@click.argument("template")
@add_option
@input_options
@json_option
def command(
    template: str, add_ons: tuple[str, ...], pairs: tuple[str, ...], files: tuple[Path, ...], as_json: bool
) -> int:
    """Check TEMPLATE and say all that is wrong with it. It may be TOSCA, or RADL as text or JSON.

    Every problem is shown with file, line and column. Inputs that are required and not given are warnings here.
    """
    from im_client.services.validate import validate
    from im_client.template.problems import Level

    with opened() as ctx:
        report = validate(ctx, template, add_ons, read_inputs(pairs, files))
    if as_json:
        from im_client.cli.shapes import validate_shape

        print_json(validate_shape(report))
    else:
        from im_client.cli.problems import say_problems
        from im_client.cli.render import validate_view

        say_problems(report.problems)
        print_data(validate_view(template, report))
    failed = any(problem.level is Level.ERROR for problem in report.problems)
    return ExitCode.INVALID if failed else ExitCode.DONE
