"""`clues replay`."""

from pathlib import Path

import click

from infracore.cli.console import print_json, print_text
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option
from infracore.exitcodes import ExitCode

__all__ = ["command"]


@click.command(
    "replay",
    cls=ExampleCommand,
    short_help="Repeat recorded decisions and compare.",
    examples=(
        ("clues replay /var/lib/clues/recordings/*.clues", "Does this version decide as was decided then?"),
        ("clues replay 1800000000.clues --json", "What differs, for a program."),
    ),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@json_option
def command(files: tuple[Path, ...], as_json: bool) -> int:
    """Repeat recorded decisions offline and say whether they come out equal; ends with 1 where one does not.

    A recording holds all that the decision was made of: the picture of the cluster, pools, policy and memory.
    """
    from clues.cli.replaying import replayed
    from infracore.cli.text import clean

    answers = [replayed(path) for path in files]
    if as_json:
        print_json([answer.as_shape() for answer in answers])
    else:
        for answer in answers:
            print_text(f"{clean(str(answer.path))}: {clean(answer.summary)}")
            for difference in answer.differences:
                print_text(f"  {clean(difference)}")
    return ExitCode.DONE if all(answer.is_equal for answer in answers) else ExitCode.FAILED
