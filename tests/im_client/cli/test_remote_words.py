"""Every command that a server can do takes there what it takes here."""

import inspect
from importlib import import_module

import pytest

from im_client.cli.remote import _MODULES


@pytest.mark.parametrize("name", sorted(_MODULES))
def test_the_options_of_a_command_are_those_of_its_twin_for_servers(name: str) -> None:
    command = import_module(f"im_client.cli.commands.{name}").command
    twin = getattr(import_module(f"im_client.cli.remote.{_MODULES[name]}"), f"{name}_")
    known = inspect.signature(twin).parameters
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
        assert {parameter.name for parameter in command.params} == set(known)
