"""Templates as tables."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from im_client.cli.values import value_text
from im_client.services.catalogue import TemplateView
from im_client.template.analysis import InputDefinition
from infracore.cli.tables import bare_table, cell

__all__ = ["template_view", "templates_table"]


def templates_table(views: Sequence[TemplateView]) -> Table:
    """Return one line a template."""
    table = bare_table("TEMPLATE", "MACHINES", "WHAT IT IS")
    for view in views:
        machines = ", ".join(f"{count} {group}" for group, count in view.machines.items())
        said = cell(view.problem, "red") if view.problem else cell(view.description or view.title)
        table.add_row(cell(view.name, "bold"), cell(machines), said)
    return table


def template_view(view: TemplateView) -> RenderableType:
    """Return all that is to be known of a template before it is deployed."""
    head = bare_table()
    facts = [
        ("template", view.name),
        ("title", view.title),
        ("file", view.path),
        ("what it is", view.description),
        ("machines", ", ".join(f"{count} {group}" for group, count in view.machines.items()) or "none"),
        ("problem", view.problem),
    ]
    for key, value in facts:
        if value:
            head.add_row(Text(key, "bold"), cell(value))
    parts: list[RenderableType] = [head]
    if view.inputs:
        table = bare_table("INPUT", "TYPE", "DEFAULT", "MEANING")
        for one in view.inputs:
            table.add_row(cell(one.name, "bold"), cell(one.type), cell(_default(one)), cell(one.description))
        parts += [Text(""), table]
    if view.outputs:
        table = bare_table("OUTPUT", "MEANING")
        for name, meaning in view.outputs.items():
            table.add_row(cell(name, "bold"), cell(meaning))
        parts += [Text(""), table]
    return Group(*parts)


def _default(one: InputDefinition) -> str:
    if one.random is not None:
        return f"{one.random} random letters"
    if one.secret and one.default:
        return "***"
    if not one.has_default:
        return "must be given" if one.required else ""
    return value_text(one.default) or '""'
