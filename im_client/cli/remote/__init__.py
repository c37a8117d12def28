"""Commands for a server: the same words as for this computer, asked of an Infrastructure Manager (`im --server`).

Here is only who does what; `reading` and `changing` do it. What a server cannot do is refused in one line.
"""

import copy
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from infracore.errors import InvalidUsage

__all__ = ["for_server", "is_elsewhere"]

_MODULES: Final = {
    **dict.fromkeys(("list", "show", "refresh", "outputs", "logs", "inventory", "ssh", "scp", "doctor"), "reading"),
    **dict.fromkeys(("plan", "deploy", "scale", "destroy", "start", "stop", "reboot", "reconfigure"), "changing"),
}
_HERE: Final = frozenset({"templates", "validate", "config", "completion"})
"""Mean the same with a server and without: nothing is asked of it."""


def for_server(ctx: click.Context, name: str, command: click.Command) -> click.Command:
    """Return a command that asks the server where the settings name one, and is itself where they do not."""
    if name in _HERE:
        return command
    if name not in _MODULES:
        if ctx.get_parameter_source("server") is click.core.ParameterSource.COMMANDLINE:
            raise InvalidUsage(f"im {name} is for the computer that it runs on, not for a server", "leave --server out")
        return command
    found = copy.copy(command)
    found.callback = _chooses(name, command.callback)
    return found


def _chooses(name: str, here: Callable[..., Any] | None) -> Callable[..., Any]:
    def call(**params: Any) -> Any:
        if is_elsewhere():
            module = import_module(f"im_client.cli.remote.{_MODULES[name]}")
            return getattr(module, f"{name}_")(**params)
        return here(**params) if here is not None else None

    return call


def is_elsewhere() -> bool:
    """Whether the settings of this command line name a server.

    Raises:
        Misconfigured: a setting is wrong.
    """
    from im_client.cli.session import setting_overrides
    from im_client.settings import load_settings

    return bool(load_settings(overrides=setting_overrides(), environ=os.environ, cwd=Path.cwd()).value.remote.server)
