"""The auth file of the Infrastructure Manager: `id = x; type = OpenStack; host = ...`, a credential a line.

Format: IM manual, "Authorization file" (lines, `#` comments, values quoted by ' or "), and the JSON list of objects
that IM takes since 1.19.1. A message never quotes the file: a slip of the keyboard makes a name of a password.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from im_client.auth.credentials import Credential
from infracore.errors import Misconfigured
from infracore.secrets import Secret

__all__ = ["GROUP_MAY", "parse_auth", "private_text", "read_auth_file"]

GROUP_MAY: Final = 0o007
"""Rights that are barred on tokens, which Kubernetes and systemd mount readable by a group."""

_MOST_BYTES: Final = 256 * 1024
_ID: Final = re.compile(r"[a-zA-Z_.][\w.-]*")
_NAME: Final = re.compile(r"[ \t]*([A-Za-z_][\w.-]*)[ \t]*=[ \t]*")
_QUOTED: Final = re.compile(r"""(["'])(.*?)\1[ \t]*(?=;|$)""")
_PLAIN: Final = re.compile(r"[^;]*")
_NEWLINE: Final = re.compile(r"\\{1,2}n")
"""A newline in a value; IM's clients double the backslash where lines themselves are joined by `\\n`."""


class _Slip(ValueError):
    """What is wrong with one entry, in words that quote nothing of it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line or JSON object. `where` is `line 3` or `entry 3`."""

    where: str
    words: dict[str, str]


def read_auth_file(path: Path) -> tuple[Credential, ...]:
    """Read a file; see `parse_auth`.

    Raises:
        Misconfigured: it cannot be read, is open to others, or has errors.
    """
    return parse_auth(private_text(str(path), "auth file"), str(path))


def parse_auth(text: str, name: str = "auth file") -> tuple[Credential, ...]:
    """Parse the text of an auth file, in lines or as a JSON list.

    Raises:
        Misconfigured: all that is wrong, a line each, with the number of the line (JSON: of the entry).
    """
    slips: list[str] = []
    found: list[Credential] = []
    ids: dict[str, str] = {}
    entries = _json_entries(text, name, slips) if text.lstrip().startswith("[") else _line_entries(text, slips)
    for entry in entries:
        try:
            credential = _credential(entry.words)
        except _Slip as slip:
            slips.append(f"{entry.where}: {slip}")
            continue
        if credential.id and credential.id in ids:
            slips.append(f"{entry.where}: its id is that of {ids[credential.id]}")
        ids[credential.id] = entry.where
        found.append(credential)
    if slips:
        raise Misconfigured(
            "\n".join(f"{name}, {slip}" for slip in slips),
            "a line is: id = NAME; type = TYPE; KEY = VALUE; ... (quote a value that holds a semicolon)",
        )
    return tuple(found)


def private_text(name: str, what: str, *, barred: int = 0o077) -> str:
    """Return the text of a file with secrets. `barred`: rights that nobody may have.

    Raises:
        Misconfigured: it cannot be read, is open to others, too large, no regular file, or not UTF-8.
    """
    path = Path(name).expanduser()
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise Misconfigured(f"the {what} {path} is not a regular file")
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & barred:
                raise Misconfigured(f"the {what} {path} is open to others", f"run: chmod 600 {path}")
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"cannot read the {what} {path}: {error.strerror}") from error
    if len(raw) > _MOST_BYTES:
        raise Misconfigured(f"the {what} {path} is larger than {_MOST_BYTES >> 10} KiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Misconfigured(f"the {what} {path} is not UTF-8") from None


def _credential(words: dict[str, str]) -> Credential:
    kind, ident = words.get("type", ""), words.get("id", "")
    if not kind:
        raise _Slip("it has no type")
    if "id" in words and _ID.fullmatch(ident) is None:
        raise _Slip("its id is not a letter, _ or . and then letters, digits, _, . or -")
    fields = {key: Secret(value) for key, value in words.items() if key not in {"id", "type"}}
    return Credential(ident, kind, fields)


def _line_entries(text: str, slips: list[str]) -> Iterator[_Entry]:
    # not splitlines(): a password may hold U+2028
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            yield _Entry(f"line {number}", _words(line))
        except _Slip as slip:
            slips.append(f"line {number}: {slip}")


def _words(line: str) -> dict[str, str]:
    words: dict[str, str] = {}
    at = 0
    while line[at:].strip():
        name = _NAME.match(line, at)
        if name is None:
            raise _Slip(f"column {at + 1}: expected KEY = VALUE")
        if name[1] in words:
            raise _Slip(f"column {name.start(1) + 1}: this key stands twice in the line")
        quoted = _QUOTED.match(line, name.end())
        if quoted is None and line[name.end() : name.end() + 1] in {'"', "'"}:
            raise _Slip(f"column {name.end() + 1}: the quote is not closed before a semicolon or the end of the line")
        value = quoted or _PLAIN.match(line, name.end())
        if value is None:
            raise _Slip(f"column {name.end() + 1}: expected a value")
        words[name[1]] = _NEWLINE.sub("\n", quoted[2] if quoted else value[0].strip())
        at = value.end() + 1  # past the semicolon
    return words


def _json_entries(text: str, name: str, slips: list[str]) -> Iterator[_Entry]:
    try:
        # pairs, not dicts: a key that stands twice must not vanish
        items = json.loads(text, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        raise Misconfigured(f"{name}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise Misconfigured(f"{name}: it is nested too deeply") from None
    except ValueError:  # int() takes no more than 4,300 digits
        raise Misconfigured(f"{name}: a number in it is too long") from None
    for number, item in enumerate(items, start=1):
        try:
            yield _Entry(f"entry {number}", _object_words(item))
        except _Slip as slip:
            slips.append(f"entry {number}: {slip}")


def _object_words(item: Any) -> dict[str, str]:
    if not isinstance(item, tuple):
        raise _Slip("it is no object")
    words: dict[str, str] = {}
    for number, (key, value) in enumerate(item, start=1):
        if key in words:
            raise _Slip(f"key {number} stands twice")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _Slip(f"the value of key {number} is neither text nor a number")
        words[key] = str(value)
        if not _is_unicode(key + words[key]):
            raise _Slip(f"key {number} or its value is half of a character (a lone surrogate)")
    return words


def _is_unicode(text: str) -> bool:
    """Say whether UTF-8 can hold it; JSON may write halves of characters, `\\ud800`."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
