"""What the commands share: the context of services, and which infrastructure is meant."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from infracore.cli.options import json_option, split_pairs, yes_option
from infracore.errors import InfraError, InvalidUsage, NotFound

if TYPE_CHECKING:
    from im_client.services.context import Context
    from im_client.services.model import InfrastructureView

__all__ = [
    "complete_infrastructure",
    "complete_node",
    "infra_argument",
    "is_infrastructure",
    "json_option",
    "named_infra_argument",
    "nodes_argument",
    "opened",
    "setting_overrides",
    "split_pairs",
    "stream_option",
    "which",
    "yes_option",
]


@contextmanager
def opened() -> "Iterator[Context]":
    """Open the services' context with the settings of this command line."""
    from im_client.services.context import open_context

    with open_context(overrides=setting_overrides()) as ctx:
        yield ctx


def setting_overrides() -> dict[str, str]:
    """Return the settings that `im -o KEY=VALUE` gives."""
    root = click.get_current_context().find_root()  # its params: while words are completed, no command has run yet
    options: tuple[str, ...] = (root.obj or root.params).get("options", ())
    return split_pairs(options, "-o")


def which(ctx: "Context", named: str | None) -> str:
    """Return the infrastructure that is meant: the named one, or the only one there is. Never a guess.

    Raises:
        InvalidUsage: none is named and there are several. NotFound: there is none.
    """
    if named is not None:
        return named
    from im_client.services.reading import listing

    views = listing(ctx)
    if not views:
        raise NotFound("there is no infrastructure", "im deploy TEMPLATE makes one")
    if len(views) > 1:
        raise InvalidUsage("there are several infrastructures: say which one", _names(views))
    return views[0].record.id


def is_infrastructure(ctx: "Context", word: str) -> bool:
    """Return whether a word names an infrastructure (a name, an id, or the beginning of one id)."""
    try:
        ctx.store.infrastructure(word)
    except NotFound:
        return False
    return True


def _names(views: "tuple[InfrastructureView, ...]") -> str:
    return "there are: " + ", ".join(view.record.name for view in views)


def complete_infrastructure(click_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the name of an infrastructure."""
    from click.shell_completion import CompletionItem

    from im_client.services.reading import listing

    try:
        with click_ctx.scope(cleanup=False), opened() as ctx:
            views = listing(ctx)
    except InfraError:  # completion stays silent where a command would explain
        return []
    return [
        CompletionItem(view.record.name, help=view.record.provider)
        for view in views
        if view.record.name.startswith(incomplete)
    ]


def complete_node(click_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the name of a machine of the infrastructure that the command line names already."""
    from click.shell_completion import CompletionItem

    from im_client.services.reading import show

    try:
        with click_ctx.scope(cleanup=False), opened() as ctx:
            nodes = show(ctx, which(ctx, click_ctx.params.get("infra"))).nodes
    except InfraError:
        return []
    return [CompletionItem(node.name) for node in nodes if node.name.startswith(incomplete)]


stream_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the plan, events and the report as JSON lines on standard output."
)
infra_argument = click.argument("infra", required=False, shell_complete=complete_infrastructure)
named_infra_argument = click.argument("infra", shell_complete=complete_infrastructure)
nodes_argument = click.argument("nodes", nargs=-1, metavar="[NODE]...", shell_complete=complete_node)
