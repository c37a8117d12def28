"""The templates that the dashboard offers: ours, and those in folders of the server's owner.

What a template says of itself in `metadata` is read as the Infrastructure Manager's dashboard reads it: `display_name`,
`tag`, `order`, `tabs` (a name of a tab -> a pattern or a list of inputs), `childs` and `parents` (add-ons).
"""

import contextlib
import re
import stat
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from infracore.content import content_folder
from infracore.errors import NotFound
from infracore.yaml_text import load_yaml

__all__ = ["Catalogue", "Offer", "Tab"]

_MOST_BYTES: Final = 2**20
_MOST_FILES: Final = 2000
_ENDINGS: Final = frozenset({".yaml", ".yml"})


@dataclass(frozen=True, slots=True)
class Tab:
    """A part of a form: its title, and which inputs stand there (`pattern` matches whole names)."""

    title: str
    names: tuple[str, ...] = ()
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """One template of the catalogue."""

    name: str
    """Of its file, without the ending; unique in the catalogue."""
    text: str
    title: str
    description: str
    tags: tuple[str, ...] = ()
    order: int = 1000
    version: str = ""
    tabs: tuple[Tab, ...] = ()
    add_ons: tuple[str, ...] = ()
    """Names of templates that may be merged onto it."""
    parents: tuple[str, ...] = ()
    inputs: int = 0

    @property
    def is_add_on(self) -> bool:
        """Whether it is offered with others only."""
        return bool(self.parents)

    def tabbed(self, names: Iterable[str]) -> list[tuple[str, list[str]]]:
        """Share inputs out among the tabs, each to the first that takes it; some may be left."""
        left = list(names)
        found: list[tuple[str, list[str]]] = []
        for tab in self.tabs:
            mine = [name for name in tab.names if name in left]
            mine += [name for name in left if tab.pattern and name not in mine and re.fullmatch(tab.pattern, name)]
            left = [name for name in left if name not in mine]
            if mine:
                found.append((tab.title, mine))
        return found


class Catalogue:
    """Reads the templates, again where a file has changed. Safe under threads."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = tuple(Path(folder) for folder in folders)
        self._known: dict[Path, tuple[tuple[int, int], Offer | None]] = {}
        self._lock = threading.Lock()

    def all(self) -> Mapping[str, Offer]:
        """Return name -> template, in the order in which they are shown. A file that is no template is left out."""
        with self._lock:
            found = [offer for path in self._paths() if (offer := self._read(path)) is not None]
        offers: dict[str, Offer] = {}
        for offer in found:
            offers.setdefault(offer.name, offer)  # ours come first: a name does not change its meaning
        parents: dict[str, list[str]] = {}
        for offer in offers.values():
            for child in offer.add_ons:
                parents.setdefault(child, []).append(offer.name)
        whole = {
            name: _related(offer, [*offer.parents, *parents.get(name, ())], offers) for name, offer in offers.items()
        }
        return dict(sorted(whole.items(), key=lambda item: (item[1].order, item[1].title.lower(), item[0])))

    def find(self, name: str) -> Offer:
        """Raises NotFound."""
        offer = self.all().get(name)
        if offer is None:
            raise NotFound(f"there is no template {name[:80]!r} in the catalogue")
        return offer

    def search(self, words: str) -> tuple[Offer, ...]:
        """Return those in which, or in whose add-ons, all words stand; an add-on alone is none."""
        offers = self.all()
        wanted = words.lower().split()
        found = []
        for offer in offers.values():
            said = [offer, *(offers[name] for name in offer.add_ons)]
            text = " ".join(f"{one.name} {one.title} {one.description} {' '.join(one.tags)}" for one in said).lower()
            if not offer.is_add_on and all(word in text for word in wanted):
                found.append(offer)
        return tuple(found)

    def _paths(self) -> list[Path]:
        ours = content_folder() / "tosca_templates"
        found: list[Path] = []
        for folder in (ours, ours / "add_ons", *self._folders):
            with contextlib.suppress(OSError):  # one that we may not read holds nothing for us
                found += sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS and _is_text(path.stem))
        return found[:_MOST_FILES]

    def _read(self, path: Path) -> Offer | None:
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
                return None
            mark = (found.st_mtime_ns, found.st_size)
            known = self._known.get(path)
            if known is None or known[0] != mark:
                text = path.read_text(encoding="utf-8") if found.st_size <= _MOST_BYTES else ""
                known = self._known[path] = (mark, _offer(path.stem, text))
        except (OSError, ValueError):
            return None
        return known[1]


def _is_text(name: str) -> bool:
    """Say whether a page can hold a name: those of files may be no UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _offer(name: str, text: str) -> Offer | None:
    try:
        body = load_yaml(text, aliases=True)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or "tosca_definitions_version" not in body:
        return None
    said = _mapping(body.get("metadata"))
    topology = _mapping(body.get("topology_template"))
    title = str(said.get("display_name") or said.get("template_name") or name)
    order = said.get("order")
    tag = said.get("tag") or said.get("tags") or ()
    return Offer(
        name=name,
        text=text,
        title=" ".join(title.split())[:120],
        description=" ".join(str(body.get("description") or topology.get("description") or "").split())[:600],
        tags=tuple(str(one)[:40] for one in (tag if isinstance(tag, list) else [tag] if tag else []))[:8],
        order=order if isinstance(order, int) else 1000,
        version=str(said.get("template_version") or "")[:20],
        tabs=tuple(_tabs(said.get("tabs"))),
        add_ons=_files(said.get("childs")),
        parents=_files(said.get("parents")),
        inputs=len(_mapping(topology.get("inputs"))),
    )


def _tabs(said: object) -> Iterable[Tab]:
    for title, what in _mapping(said).items():
        if isinstance(what, str) and _is_pattern(what):
            yield Tab(str(title)[:60], pattern=what)
        elif isinstance(what, list):  # of names, or of mappings from a name to how it is shown
            names = [name for item in what for name in (item if isinstance(item, dict) else [item])]
            yield Tab(str(title)[:60], names=tuple(str(name) for name in names))


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _files(said: object) -> tuple[str, ...]:
    return tuple(Path(str(one)).stem for one in said) if isinstance(said, list) else ()


def _related(offer: Offer, parents: Sequence[str], offers: Mapping[str, Offer]) -> Offer:
    """Complete who belongs to whom, whichever of the two says it."""
    children = [*offer.add_ons, *(one.name for one in offers.values() if offer.name in one.parents)]
    return replace(
        offer,
        add_ons=tuple(dict.fromkeys(name for name in children if name in offers)),
        parents=tuple(dict.fromkeys(name for name in parents if name in offers)),
    )


def _mapping(said: object) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {}
