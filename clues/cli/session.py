"""What the commands share: the daemon at the other end, the settings, names of nodes to complete."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from infracore.cli.console import say
from infracore.cli.options import split_pairs
from infracore.errors import InfraError, Misconfigured

if TYPE_CHECKING:
    from clues.api.client import Client
    from clues.settings import Settings
    from clues.settings.load import Drivers
    from infracore.settings import Loaded

__all__ = ["client", "complete_name", "loaded_settings", "names_argument", "report_settings", "tell"]

_DEFAULT_SOCKET: Final = Path("/run/clues/clues.sock")
_CREDENTIALS: Final = Path("/run/credentials/cluesd.service")
"""Where systemd keeps the unit's credentials while it runs (systemd.exec(5), $CREDENTIALS_DIRECTORY)."""


def _asked() -> dict[str, Any]:
    root = click.get_current_context().find_root()
    return root.obj or root.params  # params: while words are completed, no command has run yet


def loaded_settings(drivers_of: "Drivers | None" = None) -> "Loaded[Settings]":
    """Load the settings as this command line says (see `load_settings`). Raises Misconfigured."""
    from clues.settings import load_settings

    asked = _asked()
    overrides = split_pairs(asked.get("options", ()), "-o")
    environ = dict(os.environ)
    if os.access(_CREDENTIALS, os.R_OK | os.X_OK):  # root may see what the running service was given
        environ.setdefault("CREDENTIALS_DIRECTORY", str(_CREDENTIALS))
    return load_settings(environ=environ, config=asked.get("config"), overrides=overrides, drivers_of=drivers_of)


def client(*, timeout_s: float = 10.0) -> "Client":
    """Return the daemon at the socket of this command line, else of the settings."""
    from clues.api.client import Client

    return Client(_socket(), timeout_s=timeout_s)


def _socket() -> Path:
    named: Path | None = _asked().get("socket")
    if named is not None:
        return named
    try:
        return loaded_settings().value.daemon.socket
    except Misconfigured as error:
        if _asked().get("config") is not None or _asked().get("options"):
            raise
        # A settings file that this user may not read, or that is being mended, must not hide the daemon.
        first = error.message.partition("\n")[0]
        say(f"note: the settings are not used ({first}); asking {_DEFAULT_SOCKET}")
        return _DEFAULT_SOCKET


def report_settings() -> tuple[str, float, Path]:
    """Return currency, price per kWh and state folder; the defaults where the settings cannot be read."""
    from clues.settings import Settings

    try:
        settings = loaded_settings().value
    except Misconfigured as error:
        if _asked().get("config") is not None or _asked().get("options"):
            raise
        say(f"note: the settings are not used ({error.message.partition(chr(10))[0]})")
        settings = Settings()
    return settings.report.currency, settings.report.price_per_kwh, settings.daemon.state_dir


def tell(said: Any, *, as_json: bool = False) -> None:
    """Say what the daemon did."""
    if as_json:
        from infracore.cli.console import print_json

        print_json(list(said))
        return
    from infracore.cli.text import clean

    for sentence in said:
        say(clean(sentence))


def complete_name(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Complete the name of a node or machine."""
    from click.shell_completion import CompletionItem

    names: list[tuple[str, str]] = []
    with ctx.scope(cleanup=False), suppress(InfraError):  # completion stays silent where a command would explain
        names = [(view.name, view.state) for view in client(timeout_s=2.0).nodes()]
    return [CompletionItem(name, help=state) for name, state in names if name.startswith(incomplete)]


names_argument = click.argument("names", nargs=-1, required=True, metavar="NODE...", shell_complete=complete_name)
