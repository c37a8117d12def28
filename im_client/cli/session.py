"""What the commands share: the context of services, and which infrastructure is meant."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from infracore.cli.options import json_option, split_pairs, yes_option
from infracore.errors import InfraError, InvalidUsage, NotFound

if TYPE_CHECKING:
    from im_client.services.context import Context
    from im_client.services.model import InfrastructureView

_FLAGS: Final = {
    "server": "remote.server",
    "auth_file": "remote.auth_file",
    "token_file": "remote.token_file",
    "ca_file": "remote.ca_file",
}
"""Options of `im` itself that stand for a setting."""

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
    """Return the settings that `im -o KEY=VALUE` and the flags of `im` give; a flag is the nearer one."""
    root = click.get_current_context().find_root()  # its params: while words are completed, no command has run yet
    params = root.params
    options: tuple[str, ...] = params.get("options", ())
    flags = {setting: params[name] for name, setting in _FLAGS.items() if params.get(name)}
    return {**split_pairs(options, "-o"), **flags, **({"remote.insecure_http": "yes"} if _insecure(params) else {})}


def _insecure(params: dict[str, Any]) -> bool:
    return bool(params.get("insecure_http"))


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

    from im_client.cli.remote import is_elsewhere
    from im_client.services.reading import listing

    try:
        with click_ctx.scope(cleanup=False):
            if is_elsewhere():
                from im_client.cli.remote.completing import infrastructures

                return [CompletionItem(name) for name in infrastructures() if name.startswith(incomplete)]
            with opened() as ctx:
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

    from im_client.cli.remote import is_elsewhere
    from im_client.services.reading import show

    named = click_ctx.params.get("infra")
    try:
        with click_ctx.scope(cleanup=False):
            if is_elsewhere():
                from im_client.cli.remote.completing import machines

                names = machines(named)
            else:
                with opened() as ctx:
                    names = [node.name for node in show(ctx, which(ctx, named)).nodes]
    except InfraError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


stream_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the plan, events and the report as JSON lines on standard output."
)
infra_argument = click.argument("infra", required=False, shell_complete=complete_infrastructure)
named_infra_argument = click.argument("infra", shell_complete=complete_infrastructure)
nodes_argument = click.argument("nodes", nargs=-1, metavar="[NODE]...", shell_complete=complete_node)
