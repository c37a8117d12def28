"""One variable of one host, written into the `host_vars` of an inventory; all else in the file stays as it is."""

import contextlib
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from infracore.errors import InvalidUsage, Misconfigured
from infracore.yaml_text import load_yaml

__all__ = ["Change", "set_variable"]

_ENDINGS: Final = (".yml", ".yaml", "")
_PLAIN: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
"""Four numbers with dots are text in YAML."""
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Change:
    """What was done. `before` is None where the file did not say it."""

    path: Path
    before: Any
    after: str

    @property
    def is_new(self) -> bool:
        """Whether the file was written."""
        return bool(self.before != self.after)


def set_variable(inventory: Path, host: str, name: str, value: str) -> Change:
    """Let a host of an inventory, a file or a folder, have a variable. May be repeated; the file is replaced whole.

    Raises:
        InvalidUsage: a host whose name is no file name.
        Misconfigured: the file is encrypted, or is built so that it cannot be edited; it is left as it is.
    """
    if not _HOST.fullmatch(host):
        raise InvalidUsage(f"{host!r} cannot be the name of a file in host_vars")
    folder = (inventory if inventory.is_dir() else inventory.parent) / "host_vars"
    path = _file_of(folder, host, name)
    before = _read(path)
    data = _mapping(path, before)
    change = Change(path, data.get(name), value)
    if change.is_new:
        after = _edited(path, before, name, value)
        if _mapping(path, after) != {**data, name: value}:
            raise _by_hand(path, name, value)
        _replace(path, after)
    return change


def _file_of(folder: Path, host: str, name: str) -> Path:
    """Return the file that says it, or else should: `host_vars/HOST.yml`, or one in the folder `host_vars/HOST`."""
    own = folder / host
    if own.is_dir():
        inside = sorted(one for one in own.iterdir() if one.suffix in {".yml", ".yaml"} and one.is_file())
        saying = [one for one in inside if not _is_encrypted(_read(one)) and name in _mapping(one, _read(one))]
        return saying[-1] if saying else own / "address.yml"  # Ansible lets the last one win
    there = [path for ending in _ENDINGS if (path := folder / f"{host}{ending}").is_file()]
    return there[0] if there else folder / f"{host}.yml"


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read {path}: {error}") from error


def _is_encrypted(text: str) -> bool:
    return text.startswith("$ANSIBLE_VAULT")


def _mapping(path: Path, text: str) -> dict[str, Any]:
    if _is_encrypted(text):
        raise Misconfigured(f"{path} is encrypted, and is left as it is", "ansible-vault edit opens it")
    try:
        data = load_yaml(_without_tags(text), aliases=True)
    except (yaml.YAMLError, ValueError) as error:
        raise Misconfigured(f"{path} is no YAML that can be read: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise Misconfigured(f"{path} holds no variables", "it must be a mapping of names and values")
    return data


def _without_tags(text: str) -> str:
    """Let Ansible's own tags be text: only whether the values stay the same matters here."""
    return re.sub(r"(?<=[:\s-]\s)!(vault|unsafe)\b", "", text)


def _edited(path: Path, text: str, name: str, value: str) -> str:
    written = value if _PLAIN.fullmatch(value) else json.dumps(value)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        begin = "" if text.strip() else "---\n"
        return f"{_ended(text)}{begin}{name}: {written}\n"
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise _by_hand(path, name, value)
    for key, old in root.value:
        if key.value == name:
            if not isinstance(old, yaml.ScalarNode) or old.style in {"|", ">"}:
                raise _by_hand(path, name, value)
            # an empty value ends where the colon ends
            gap = "" if text[old.start_mark.index - 1].isspace() else " "
            return text[: old.start_mark.index] + gap + written + text[old.end_mark.index :]
    return f"{_ended(text)}{' ' * root.start_mark.column}{name}: {written}\n"


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _by_hand(path: Path, name: str, value: str) -> Misconfigured:
    return Misconfigured(
        f"{path} is written so that {name} cannot be set without changing more; it is left as it is",
        f"write it yourself: {name}: {value}",
    )


def _replace(path: Path, text: str) -> None:
    """Replace a file whole, with the rights and the owner that it had; a link keeps leading to it."""
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(fd, "w", encoding="utf-8", newline="") as out:
                _as_before(out.fileno(), path)
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Misconfigured(f"cannot write {path}: {error.strerror}") from error


def _as_before(fd: int, path: Path) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(fd, 0o666 & ~mask)
        return
    os.fchmod(fd, old.st_mode & 0o7777)
    with contextlib.suppress(PermissionError):  # somebody else's file: it becomes ours, as with any editor
        os.fchown(fd, old.st_uid, old.st_gid)
