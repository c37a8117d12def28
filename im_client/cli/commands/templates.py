"""`im templates`: the catalogue."""

import os
from typing import TYPE_CHECKING, Any

import click

from im_client.cli.session import json_option, opened
from infracore.cli.console import print_data, print_json, say
from infracore.cli.lazy import ExampleCommand, ExampleGroup

if TYPE_CHECKING:
    from im_client.services.catalogue import TemplateView
    from im_client.template.analysis import InputDefinition

__all__ = ["command"]


@click.group(
    "templates",
    cls=ExampleGroup,
    short_help="List, search and show templates.",
    examples=(
        ("im templates list", "All templates, those of this folder and your own among them."),
        ("im templates search slurm elastic", "Those with both words in name, description, inputs or outputs."),
    ),
)
def command() -> None:
    """List, search and show templates.

    They are looked for in ./templates, in `templates` beside your settings and those of the computer
    (~/.config/im, /etc/im), then among those that come with the program; the first of a name counts.
    """


@command.command(
    "list",
    cls=ExampleCommand,
    short_help="List the templates.",
    examples=(
        ("im templates list", "Names and what they are for."),
        ("im templates list --json", "The same for a program, with inputs and outputs."),
    ),
)
@json_option
def list_command(as_json: bool) -> None:
    """List all templates."""
    _print("", as_json)


@command.command(
    "search",
    cls=ExampleCommand,
    short_help="Find templates by words.",
    examples=(
        ("im templates search kubernetes", "Every template that speaks of it."),
        ("im templates search elastic slurm --json", "Both words; for a program."),
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="TEXT...")
@json_option
def search_command(words: tuple[str, ...], as_json: bool) -> None:
    """List the templates that have every word of TEXT in name, description, machines, inputs or outputs."""
    _print(" ".join(words), as_json)


@command.command(
    "show",
    cls=ExampleCommand,
    short_help="Show a template: machines, inputs and outputs.",
    examples=(
        ("im templates show slurm_cluster", "What it asks, with defaults."),
        ("im templates show k3s --json", "The same for a program."),
    ),
)
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show the template NAME: where it lies, its machines, inputs with their defaults, and outputs."""
    from im_client.services.catalogue import folders, show_template

    with opened() as ctx:
        view = show_template(ctx, folders(ctx, os.environ), name)
    if as_json:
        print_json(_shape(view))
        return
    from im_client.cli.catalogue import template_view

    print_data(template_view(view))


def _print(text: str, as_json: bool) -> None:
    from im_client.services.catalogue import folders, search, templates

    with opened() as ctx:
        views = search(templates(ctx, folders(ctx, os.environ)), text)
    if as_json:
        print_json({"templates": [_shape(view) for view in views]})
    elif views:
        from im_client.cli.catalogue import templates_table

        print_data(templates_table(views))
    else:
        say(f"no template speaks of {text!r}; im templates list shows all" if text else "there are no templates")


def _shape(view: "TemplateView") -> dict[str, Any]:
    return {
        "name": view.name,
        "path": view.path,
        "title": view.title,
        "description": view.description,
        "machines": dict(view.machines),
        "inputs": [_input_shape(one) for one in view.inputs],
        "outputs": dict(view.outputs),
        "problem": view.problem,
    }


def _input_shape(one: "InputDefinition") -> dict[str, Any]:
    from im_client.cli.shapes import value_shape
    from infracore.secrets import Secret

    default = Secret("") if one.secret and one.default else one.default
    return {
        "name": one.name,
        "type": one.type,
        "description": one.description,
        "required": one.required and not one.has_default,
        "default": value_shape(default),
        "secret": one.secret,
    }
