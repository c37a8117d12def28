"""`im config`: the settings as they are in force, and the files in which they may stand."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from im_client.cli.session import json_option, setting_overrides
from infracore.cli.console import print_data, print_json, print_text
from infracore.cli.lazy import ExampleCommand, ExampleGroup
from infracore.secrets import MASK

__all__ = ["command"]

_SECRET_KEY = re.compile(r"password|passphrase|secret|token|private_key$", re.IGNORECASE)


@click.group(
    "config",
    cls=ExampleGroup,
    short_help="Show the settings and where each comes from.",
    examples=(
        ("im config show --origin", "All settings in force, each with the place that it comes from."),
        ("im config path", "The files that are read."),
    ),
)
def command() -> None:
    """Show the settings and where each comes from.

    The command line wins over the environment, that over im.yaml in the current folder, that over the user's file, and
    that over the one in /etc. A setting that does not exist is an error.
    """


@command.command(
    "show",
    cls=ExampleCommand,
    short_help="Show the settings in force.",
    examples=(
        ("im config show --origin", "All settings, each with the file and line, or the variable, that it comes from."),
        ("im -o parallel=50 config show --json", "The same with one changed by the command line, for a program."),
    ),
)
@click.option("--origin", is_flag=True, help="Say where each comes from.")
@json_option
def show(origin: bool, as_json: bool) -> None:
    """Show the settings in force. Passwords and the like are ***."""
    from im_client.cli.shapes import value_shape
    from im_client.settings import describe, load_settings

    loaded = load_settings(overrides=setting_overrides(), environ=os.environ, cwd=Path.cwd())
    rows = []
    for option in describe():
        value: Any = loaded.value
        for name in option.name.split("."):
            value = getattr(value, name)
        if option.name == "database_url" and value:
            value = MASK
        rows.append((option.name, value_shape(_masked(_plain(value))), loaded.origins[option.name]))
    if as_json:
        print_json({name: {"value": value, "origin": where} if origin else value for name, value, where in rows})
        return
    from im_client.cli.tables import settings_table

    print_data(settings_table(rows, with_origin=origin))


@command.command(
    "path",
    cls=ExampleCommand,
    short_help="Print the files in which settings may stand.",
    examples=(
        ("im config path", "From the weakest to the strongest, and which of them exist."),
        ("im config path --json", "The same for a program."),
    ),
)
@json_option
def path(as_json: bool) -> None:
    """Print the files in which settings may stand, from the weakest to the strongest."""
    from im_client.settings import files

    found = [(str(file), file.is_file()) for file in files(os.environ, Path.cwd())]
    if as_json:
        print_json([{"path": file, "exists": exists} for file, exists in found])
        return
    for file, exists in found:
        print_text(file if exists else f"{file}  (not there)")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: MASK if _SECRET_KEY.search(str(k)) else _masked(v) for k, v in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list | tuple) else value
