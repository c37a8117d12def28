"""Settings that were imported, as a file: checked as `clues config check` does, then written."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from clues.power.registry import driver_problems
from clues.settings import load_settings
from clues.settings.clues2_files import Imported
from infracore.errors import Conflict, Misconfigured

__all__ = ["as_yaml", "checked", "still_open", "write_new"]


def as_yaml(found: Imported, folder: Path, to_set: list[str] | None = None) -> str:
    """Return the text of clues.yaml, with what was not taken over and what is still to be set as comments."""
    lines = [f"# Made of {folder} by `clues import`. Every setting: docs/reference/clues-settings.md."]
    lines += [f"# not taken over: {' '.join(sentence.split())}" for sentence in found.left]
    lines += [f"# still to be set: {' '.join(sentence.split())}" for sentence in to_set or ()]
    return "\n".join([*lines, yaml.safe_dump(found.settings, sort_keys=False, allow_unicode=True)])


def checked(text: str) -> list[str]:
    """Return what `clues config check` would say is wrong with the settings, a sentence each."""
    wrong: list[str] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clues.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load_settings(environ={}, config=path, drivers_of=driver_problems)
        except Misconfigured as error:
            place = re.compile(rf"^{re.escape(str(path))}:([0-9]+:)? *")
            wrong += [place.sub("", line) for line in error.message.splitlines()]
    return wrong


def still_open(found: Imported, wrong: list[str]) -> list[str]:
    """Return those of `wrong` that CLUES's files say nothing about, and that a person has to set.

    Raises:
        Misconfigured: a value of CLUES's files can be no setting; all of them, each with its file and line.
    """
    refused, rest = list(found.wrong), []
    for sentence in wrong:
        place = next((where for key, where in found.origins.items() if _is_about(sentence, key)), "")
        if place:
            refused.append(f"{place}: {sentence}")
        else:
            rest.append(sentence)
    if refused:
        raise Misconfigured("\n".join(refused), "mend it there, and import again")
    return rest


def _is_about(sentence: str, key: str) -> bool:
    kind, _, name = key.rpartition(" ")
    quoted = rf"machine '?{re.escape(name)}'?:" if kind else rf"(?<![\w.]){re.escape(key)}(?![\w.]*\w)"
    return re.search(quoted, sentence) is not None


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises Conflict where it is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise Conflict(f"{path} is there already", "write to another file, and compare") from error
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error}") from error
