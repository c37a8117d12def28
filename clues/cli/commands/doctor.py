"""`clues doctor`."""

import click

from clues.cli.session import loaded_settings
from infracore.cli.console import print_data, print_json
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option
from infracore.exitcodes import ExitCode

__all__ = ["command"]


@click.command(
    "doctor",
    cls=ExampleCommand,
    short_help="Examine settings, cluster, drivers and service.",
    examples=(
        ("clues doctor", "All that cluesd needs, and how to mend what is not well."),
        ("clues --config new.yaml doctor --json", "With other settings, for a program."),
    ),
)
@json_option
def command(as_json: bool) -> int:
    """Examine settings, cluster, drivers, state, service and clock; ends with 1 after an error. Changes nothing."""
    import dataclasses

    from clues.cli.examine import Severity, examine

    found = examine(lambda: loaded_settings().value)
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in found])
    else:
        from clues.cli.tables import findings_table

        print_data(findings_table(found))
    return ExitCode.FAILED if any(f.severity is Severity.ERROR for f in found) else ExitCode.DONE
