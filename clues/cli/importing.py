"""Settings that were imported, as a file: written, and checked as cluesd would."""

from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from clues.settings import load_settings
from clues.settings.clues2 import Imported
from infracore.errors import Conflict, Misconfigured

__all__ = ["as_yaml", "checked", "write_new"]


def as_yaml(found: Imported, folder: Path) -> str:
    """Return the text of clues.yaml, with what was not taken over as comments."""
    lines = [f"# Made of {folder} by `clues import`. Every setting: docs/reference/clues-settings.md."]
    lines += [f"# not taken over: {' '.join(sentence.split())}" for sentence in found.left]
    return "\n".join([*lines, yaml.safe_dump(found.settings, sort_keys=False, allow_unicode=True)])


def checked(text: str) -> list[str]:
    """Return what is wrong with the settings yet, a sentence each."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clues.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load_settings(environ={}, config=path)
        except Misconfigured as error:
            return [line.removeprefix(f"{path}: ").replace(f"{path}:", "line ") for line in error.message.splitlines()]
    return []


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises Conflict where it is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", "write to another file, and compare") from error
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error}") from error
