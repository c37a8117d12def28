"""`im templates`: which templates there are, what each is for, and what it asks."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from im_client.services.analysis import analyse
from im_client.services.context import Context
from im_client.settings import files as settings_files
from im_client.template.analysis import Analysis, InputDefinition
from im_client.template.problems import Level
from infracore.content import content_folder
from infracore.errors import NotFound

__all__ = ["TemplateView", "folders", "search", "show_template", "templates"]

_SUFFIXES: Final = (".yaml", ".yml", ".radl")


@dataclass(frozen=True, slots=True)
class TemplateView:
    """One template of the catalogue."""

    name: str
    """The file's name without its ending; the first folder that has it counts."""
    path: str
    title: str
    description: str
    inputs: tuple[InputDefinition, ...] = ()
    machines: Mapping[str, int] = field(default_factory=dict)
    """Group -> number of machines with the default inputs."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Output -> what it is."""
    problem: str = ""
    """Why it cannot be used, or ""."""


def folders(ctx: Context, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where templates are looked for, the first that has a name wins.

    `templates` in this folder and beside each settings file of the user and of the computer, then our own.
    """
    system, user, _project = settings_files(environ, ctx.cwd)
    own = [ctx.cwd / "templates", user.parent / "templates", system.parent / "templates"]
    return (*own, content_folder() / "tosca_templates")


def templates(ctx: Context, places: Sequence[Path]) -> tuple[TemplateView, ...]:
    """Read all templates of these folders, sorted by name. One that is broken is listed with its first problem."""
    found = dict(_paths(places))
    return tuple(_view(ctx, name, found[name]) for name in sorted(found))


def search(views: Sequence[TemplateView], text: str) -> tuple[TemplateView, ...]:
    """Return those that have every word of a text in name, title, description, groups, inputs or outputs."""
    words = text.casefold().split()
    return tuple(view for view in views if all(word in _text(view) for word in words))


def show_template(ctx: Context, places: Sequence[Path], name: str) -> TemplateView:
    """Read one template by its name in the catalogue.

    Raises:
        NotFound: there is none of that name.
    """
    found = dict(_paths(places))
    if name not in found:
        raise NotFound(f"there is no template {name!r}", f"there are: {', '.join(sorted(found)) or 'none'}")
    return _view(ctx, name, found[name])


def _paths(places: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield name and path, the folder that counts last: a mapping of them keeps it."""
    for folder in reversed(places):
        with contextlib.suppress(OSError):  # it is not there, or not ours to read
            inside = sorted(folder.iterdir())
            yield from ((path.stem, path) for path in inside if path.suffix in _SUFFIXES and path.is_file())


def _view(ctx: Context, name: str, path: Path) -> TemplateView:
    analysis = analyse(str(path), ctx.reader(), require_inputs=False)
    topology = analysis.topology
    if topology is None:
        return TemplateView(name, str(path), name, "", problem=_problem(analysis))
    return TemplateView(
        name=name,
        path=str(path),
        title=str(topology.metadata.get("display_name") or topology.name),
        description=" ".join(topology.description.split()),
        inputs=tuple(analysis.inputs.values()),
        machines={group.name: group.count for group in topology.groups.values()},
        outputs={output.name: output.description for output in topology.outputs},
        problem=_problem(analysis),
    )


def _problem(analysis: Analysis) -> str:
    return next((str(problem) for problem in analysis.problems if problem.level is Level.ERROR), "")


def _text(view: TemplateView) -> str:
    words = [view.name, view.title, view.description, *view.machines]
    words += [word for one in view.inputs for word in (one.name, one.description)]
    words += [word for pair in view.outputs.items() for word in pair]
    return "\n".join(words).casefold()
