"""Commands for a server: the same words as for this computer, asked of an Infrastructure Manager (`im --server`).

Here is only who does what; the modules of this package do it. What a server cannot do is refused in one line.
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
    "clone": "cloning",
    **dict.fromkeys(("image save", "image list", "image show", "image delete"), "images"),
    **dict.fromkeys(("user add", "user list", "user remove", "user token"), "people"),
    **dict.fromkeys(("plan", "deploy", "scale", "destroy", "start", "stop", "reboot", "reconfigure"), "changing"),
}
_HERE: Final = frozenset({"templates", "validate", "config", "completion"})
"""Mean the same with a server and without: nothing is asked of it."""
_SERVING: Final = frozenset({"serve", "worker", "expire", "orphans", "flash", "nodes"})
"""Are for the computer that they run on by their nature: a setting that names another server does not concern them."""
_EXPLICIT: Final = frozenset({"user"})
"""Change a server itself: that of this computer, unless the command line names another one."""


def for_server(ctx: click.Context, name: str, command: click.Command) -> click.Command:
    """Return a command that asks the server where the settings name one, and is itself where they do not."""
    if name in _HERE:
        return command
    is_said = ctx.get_parameter_source("server") is click.core.ParameterSource.COMMANDLINE
    if name in _SERVING:
        if is_said:
            raise InvalidUsage(
                f"im {name} runs on this computer, and no server can do it for you",
                "leave --server out, or run it where the server is",
            )
        return command
    if name in _EXPLICIT and not is_said:
        return command
    if not isinstance(command, click.Group):
        return _twin(name, command)
    group = copy.copy(command)
    group.commands = {word: _twin(f"{name} {word}", one) for word, one in command.commands.items()}
    return group


def _twin(name: str, command: click.Command) -> click.Command:
    found = copy.copy(command)
    found.callback = _chooses(name, command.callback)
    return found


def _chooses(name: str, here: Callable[..., Any] | None) -> Callable[..., Any]:
    def call(**params: Any) -> Any:
        if is_elsewhere():
            module = import_module(f"im_client.cli.remote.{_MODULES[name]}")
            return getattr(module, f"{name.replace(' ', '_')}_")(**params)
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
