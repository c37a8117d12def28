"""`clues config`: whether the settings are well, and what is in force."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from clues.cli.session import loaded_settings
from infracore.cli.console import print_data, print_json, print_text, say
from infracore.cli.lazy import ExampleCommand, ExampleGroup
from infracore.cli.options import json_option
from infracore.cli.text import clean
from infracore.secrets import MASK

__all__ = ["command"]

_MOST_WARNINGS: Final = 50
_SECRET_KEY: Final = re.compile(r"passw(or)?d|passphrase|secret|token|community|auth|private_key$", re.IGNORECASE)


@click.group(
    "config",
    cls=ExampleGroup,
    short_help="Check and show the settings.",
    examples=(
        ("clues config check", "All that is wrong with the settings, at once."),
        ("clues config show --origin", "All settings in force, each with the place that it comes from."),
    ),
)
def command() -> None:
    """Check and show the settings.

    The command line wins over the environment (CLUES_*), that over the file, and that over the default. A setting that
    does not exist is an error.
    """


@command.command(
    "check",
    cls=ExampleCommand,
    short_help="Say all that is wrong with the settings.",
    examples=(
        ("clues config check", "The file in /etc/clues; ends with 2 if anything is wrong."),
        ("clues config check new.yaml --json", "Another file, before it is put in place."),
    ),
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@json_option
def check(file: Path | None, as_json: bool) -> None:
    """Say all that is wrong with the settings, each with its place; ends with 2 if anything is.

    Unknown keys, wrong types, values out of range and what the drivers find wrong are told together, the first 50. What
    only follows from another error is left out. A warning changes no exit code: a pool without `ephemeral-storage` or
    `memory` in `allocatable` refuses every pod that asks for it.
    """
    from clues.power.registry import driver_problems
    from clues.settings import files, warnings

    asked = click.get_current_context().find_root().obj
    if file is not None:
        asked["config"] = file
    loaded = loaded_settings(driver_problems)
    settings, doubts = loaded.value, [str(doubt) for doubt in warnings(loaded)]
    path = files(os.environ, asked.get("config"))[0]
    if as_json:
        print_json({"file": str(path), "exists": path.is_file(), "pools": [p.name for p in settings.pools],
                    "drivers": list(settings.drivers), "warnings": doubts})  # fmt: skip
        return
    for doubt in doubts[:_MOST_WARNINGS]:
        say(clean(f"warning: {doubt}"))
    if len(doubts) > _MOST_WARNINGS:
        say(f"warning: {len(doubts) - _MOST_WARNINGS} more of them")
    said = f"{path}: well" if path.is_file() else f"{path} is not there: all settings are defaults; well"
    names = ", ".join(pool.name for pool in settings.pools) or "none"
    print_text(f"{said}\npools: {names}\ndrivers: {', '.join(settings.drivers) or 'none'}")


@command.command(
    "show",
    cls=ExampleCommand,
    short_help="Show the settings in force.",
    examples=(
        (
            "clues config show --origin",
            "All settings, each with the file and line, or the variable, that it comes from.",
        ),
        ("clues -o policy.unneeded_s=60 config show --json", "The same with one changed by the command line."),
    ),
)
@click.option("--origin", is_flag=True, help="Say where each comes from.")
@json_option
def show(origin: bool, as_json: bool) -> None:
    """Show the settings in force. Passwords and the like are ***."""
    import msgspec

    from clues.settings import describe

    loaded = loaded_settings()
    rows = []
    for option in describe():
        value: Any = loaded.value
        for name in option.name.split("."):
            value = getattr(value, name)
        plain = _masked(msgspec.to_builtins(value, enc_hook=str))
        rows.append((option.name, plain, loaded.origins.get(option.name, "default")))
    if as_json:
        print_json({name: {"value": value, "origin": where} if origin else value for name, value, where in rows})
        return
    from clues.cli.tables import settings_table

    print_data(settings_table([(name, _text(value), where) for name, value, where in rows], with_origin=origin))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False)


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            k: MASK if _SECRET_KEY.search(str(k)) and isinstance(v, str) and v else _masked(v) for k, v in value.items()
        }
    return [_masked(item) for item in value] if isinstance(value, list | tuple) else value
