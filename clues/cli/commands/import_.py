"""`clues import`."""

from pathlib import Path

import click

from infracore.cli.console import print_json, print_text, say
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "import",
    cls=ExampleCommand,
    short_help="Turn a configuration of CLUES into settings.",
    examples=(
        ("clues import /etc/clues2 > clues.yaml", "The settings; what could not be taken over is said beside."),
        ("clues import /etc/clues2 --out /etc/clues/clues.yaml", "Into a file that is not there yet."),
    ),
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a new file.")
@json_option
def command(folder: Path, out: Path | None, as_json: bool) -> None:
    """Read a configuration folder of CLUES 2 and print the settings that it comes to.

    They begin with daemon.dry_run: true. What has no counterpart is said, with what to do in its place. A value that
    can be no setting is an error, and --out writes only what `clues config check` accepts.
    """
    from clues.cli.importing import as_yaml, checked, still_open, write_new
    from clues.settings.clues2 import import_folder
    from infracore.cli.text import clean
    from infracore.errors import Misconfigured

    found = import_folder(folder)
    wrong = still_open(found, checked(as_yaml(found, folder)))
    text = as_yaml(found, folder, wrong)
    if out is not None and wrong:
        said = "\n".join(f"still to be set: {sentence}" for sentence in wrong)
        raise Misconfigured(f"{out} is not written:\n{said}", "without --out the settings are printed: complete them")
    if out is not None:
        write_new(out, text)
        say(f"{out} is written; look it through, then: clues config check {out}")
    if as_json:
        print_json({"settings": found.settings, "taken": found.taken, "left": found.left, "wrong": wrong})
    elif out is None:
        print_text(text.rstrip())
    if not as_json:
        for sentence in found.left:
            say(clean(f"not taken over: {sentence}"))
        for sentence in wrong:
            say(clean(f"still to be set: {sentence}"))
