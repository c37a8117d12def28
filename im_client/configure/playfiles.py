"""Artifacts -> plays that run on the wanted machines, with a map from their lines back to the author's.

A playbook of a template says `hosts: localhost` and `connection: local`, as the IM catalogue's artifacts do: it is
written anew with our machines in place of these. It is written into a mirror of its folder, made of symbolic links,
so that the relative paths in it still hold.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from infracore.errors import Misconfigured

__all__ = ["Lines", "PlayMaker", "Playfile"]

_DEPTH = 8
"""How deep `import_playbook` may nest."""


@dataclass(slots=True)
class Lines:
    """Generated file -> its line -> the author's file and line."""

    files: dict[str, tuple[str, dict[int, int]]] = field(default_factory=dict)

    def origin(self, path: str, line: int) -> tuple[str, int]:
        """Return where a line of a generated file comes from; other files are their own origin."""
        if path not in self.files:
            found = next((m for m in self._folders if path.startswith(m + "/")), None)
            return (self._folders[found] + path[len(found) :], line) if found else (path, line)
        source, lines = self.files[path]
        nearest = max((n for n in lines if n <= line), default=None)
        return source, lines[nearest] if nearest is not None else line

    @property
    def _folders(self) -> dict[str, str]:
        return {str(Path(made).parent): str(Path(source).parent) for made, (source, _) in self.files.items()}


@dataclass(frozen=True, slots=True)
class Playfile:
    """What one operation runs: files for `import_playbook`, in order."""

    paths: tuple[Path, ...]


class PlayMaker:
    """Writes the plays of a run into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lines = Lines()
        self._count = 0

    def tasks(self, header: dict[str, object], source: Path) -> Playfile:
        """Write a play around a list of tasks, or the author's plays with our header."""
        document = _compose(source)
        if _is_playbook(document):
            return Playfile(tuple(self._playbook(header, source, document, _DEPTH)))
        play = {**header, "tasks": [{"ansible.builtin.import_tasks": str(source)}]}
        return self.plain(play, source)

    def plain(self, play: dict[str, object], source: Path) -> Playfile:
        """Write a play of our own around an author's file."""
        path = self._fresh() / "play.yml"
        path.write_text(yaml.safe_dump([play], sort_keys=False, allow_unicode=True), encoding="utf-8")
        self.lines.files[str(path)] = (str(source), {1: 1})
        return Playfile((path,))

    def _playbook(
        self, header: dict[str, object], source: Path, document: yaml.SequenceNode, depth: int
    ) -> Iterator[Path]:
        """Write the plays of a playbook; those that it imports become files of their own, in their place."""
        run: list[yaml.Node] = []
        for play in document.value:
            names = {key.value: value for key, value in play.value}
            imported = next(
                (names[k] for k in ("import_playbook", "ansible.builtin.import_playbook") if k in names), None
            )
            if imported is None:
                run.append(_rewrite(play, header))
                continue
            if run:
                yield self._write(source, run)
                run = []
            target = source.parent / imported.value
            if depth == 0:
                raise Misconfigured(f"{source}: import_playbook nests more than {_DEPTH} deep")
            yield from self._playbook(header, target, _playbook_of(target), depth - 1)
        if run:
            yield self._write(source, run)

    def _write(self, source: Path, plays: list[yaml.Node]) -> Path:
        folder = _mirror(source, self._fresh())
        path = folder / f"im-{source.name}"
        node = yaml.SequenceNode("tag:yaml.org,2002:seq", plays, flow_style=False)
        text = yaml.serialize(node, allow_unicode=True, width=1_000_000)
        path.write_text(text, encoding="utf-8")
        lines: dict[int, int] = {}
        made = yaml.compose(text, Loader=yaml.CSafeLoader)
        if made is not None:
            _pair(made, node, lines, set())
        self.lines.files[str(path)] = (str(source), lines)
        return path

    def _fresh(self) -> Path:
        self._count += 1
        folder = self._folder / f"p{self._count:03d}"
        folder.mkdir()
        return folder


def _compose(source: Path) -> yaml.SequenceNode:
    try:
        node = yaml.compose(source.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise Misconfigured(f"cannot read {source}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise Misconfigured(f"{source}{place}: this is not YAML: {getattr(error, 'problem', error)}") from error
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return yaml.SequenceNode("tag:yaml.org,2002:seq", [])
    if not isinstance(node, yaml.SequenceNode):
        raise Misconfigured(f"{source}:1:1: neither a list of tasks nor a list of plays")
    return node


_OF_PLAYS = frozenset(
    {"hosts", "tasks", "roles", "pre_tasks", "post_tasks", "import_playbook", "ansible.builtin.import_playbook"}
)
"""Keys that a play has and no task. Plays of RADL recipes have no `hosts`: it is put in with ours."""


def _is_playbook(node: yaml.Node) -> bool:
    return isinstance(node, yaml.SequenceNode) and any(
        isinstance(item, yaml.MappingNode) and any(key.value in _OF_PLAYS for key, _ in item.value)
        for item in node.value
    )


def _playbook_of(source: Path) -> yaml.SequenceNode:
    node = _compose(source)
    if not isinstance(node, yaml.SequenceNode) or not _is_playbook(node):
        raise Misconfigured(f"{source}: a playbook was expected")
    return node


def _rewrite(play: yaml.MappingNode, header: dict[str, object]) -> yaml.MappingNode:
    """Return the play with our machines, variables and name in it; the author's `connection: local` goes."""
    ours = {key: _node_of(value) for key, value in header.items()}
    pairs = []
    for key, value in play.value:
        if key.value == "hosts":
            continue
        if key.value == "connection" and value.value in ("local", "ansible.builtin.local"):
            continue
        if key.value == "vars_files":
            files = value.value if isinstance(value, yaml.SequenceNode) else [value]
            ours["vars_files"] = yaml.SequenceNode(ours["vars_files"].tag, [*files, *ours["vars_files"].value])
            continue
        if key.value == "vars" and isinstance(value, yaml.MappingNode):
            ours["vars"] = yaml.MappingNode(value.tag, [*value.value, *ours["vars"].value])
            continue
        if key.value in ours and key.value != "name":
            ours.pop(key.value)
        elif key.value == "name":
            continue
        pairs.append((key, value))
    head = [(yaml.ScalarNode("tag:yaml.org,2002:str", key), value) for key, value in ours.items()]
    return yaml.MappingNode(play.tag, head + pairs, play.start_mark, play.end_mark, flow_style=False)


def _node_of(value: object) -> yaml.Node:
    node = yaml.compose(yaml.safe_dump(value), Loader=yaml.CSafeLoader)
    if node is None:
        raise ValueError(value)
    return node


def _mirror(source: Path, folder: Path) -> Path:
    """Make a folder that shows what stands beside a file, and beside its folder where `../` is used."""
    home = source.resolve().parent
    inner = folder / "a" / (home.name or "root")
    inner.mkdir(parents=True)
    for entry in os.scandir(home):
        (inner / entry.name).symlink_to(entry.path)
    if ".." in source.read_text(encoding="utf-8"):
        for entry in os.scandir(home.parent):
            if entry.name != inner.name:
                (inner.parent / entry.name).symlink_to(entry.path)
    return inner


def _pair(made: yaml.Node, source: yaml.Node, lines: dict[int, int], seen: set[int]) -> None:
    """Walk two equal trees and note which line of one stands for which of the other."""
    if id(source) in seen:
        return
    seen.add(id(source))
    if source.start_mark is not None:
        lines.setdefault(made.start_mark.line + 1, source.start_mark.line + 1)
    if isinstance(made, yaml.SequenceNode) and isinstance(source, yaml.SequenceNode):
        for one, other in zip(made.value, source.value, strict=False):
            _pair(one, other, lines, seen)
    elif isinstance(made, yaml.MappingNode) and isinstance(source, yaml.MappingNode):
        for (key, value), (other_key, other_value) in zip(made.value, source.value, strict=False):
            _pair(key, other_key, lines, seen)
            _pair(value, other_value, lines, seen)
