"""`im doctor`."""

import os
from pathlib import Path

import click

from im_client.cli.session import json_option, opened, setting_overrides
from infracore.cli.console import print_data, print_json
from infracore.cli.lazy import ExampleCommand
from infracore.exitcodes import ExitCode

__all__ = ["command"]


@click.command(
    "doctor",
    cls=ExampleCommand,
    short_help="Examine this computer and say what is missing.",
    examples=(
        ("im doctor", "All that the default provider and the program need."),
        ("im doctor --provider existing --json", "What another provider needs, for a program."),
    ),
)
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Examine this provider; may be repeated.")
@json_option
def command(providers: tuple[str, ...], as_json: bool) -> int:
    """Examine this computer, say what is missing and how to get it. Changes nothing; ends with 1 after an error."""
    from im_client.providers.base import Severity
    from im_client.services.doctor import doctor
    from im_client.settings import load_settings

    settings = load_settings(overrides=setting_overrides(), environ=os.environ, cwd=Path.cwd()).value
    report = doctor(settings, providers, opened=opened)
    if as_json:
        from im_client.cli.shapes import doctor_shape

        print_json(doctor_shape(report))
    else:
        from im_client.cli.tables import doctor_table

        print_data(doctor_table(report))
    failed = any(f.severity is Severity.ERROR for findings in report.findings.values() for f in findings)
    return ExitCode.FAILED if failed else ExitCode.DONE
