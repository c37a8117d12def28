"""Every command that a server can do takes there what it takes here."""

import inspect
from importlib import import_module
from pathlib import Path

import click
import pytest

from im_client.cli.main import SUMMARIES, run
from im_client.cli.remote import _HERE, _MODULES, _SERVING
from infracore.exitcodes import ExitCode


def test_every_command_is_for_a_server_or_says_why_not() -> None:
    words = set()
    for name in SUMMARIES:
        command = import_module(f"im_client.cli.commands.{name}").command
        if isinstance(command, click.Group) and name not in {*_HERE, *_SERVING}:
            words |= {f"{name} {word}" for word in command.commands}
        else:
            words.add(name)
    assert words == {*_MODULES, *_HERE, *_SERVING}


@pytest.mark.parametrize("name", sorted(_MODULES))
def test_the_options_of_a_command_are_those_of_its_twin_for_servers(name: str) -> None:
    first, *rest = name.split()
    command = import_module(f"im_client.cli.commands.{first}").command
    for word in rest:
        command = command.commands[word]
    twin = getattr(import_module(f"im_client.cli.remote.{_MODULES[name]}"), f"{name.replace(' ', '_')}_")
    known = inspect.signature(twin).parameters
    if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values()):
        assert {parameter.name for parameter in command.params} == set(known)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("deploy", "t.yaml", "--expire", "8h", "-y"), "set by who runs the server"),
        (("deploy", "t.yaml", "--budget", "0.5", "-y"), "im expire INFRA 8h"),
        (("expire", "demo", "8h"), "run it where the server is"),
    ],
)
def test_lease_and_budget_are_refused_with_the_reason(
    words: tuple[str, ...],
    why: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IM_STATE_DIR", str(tmp_path / "state"))
    assert run(["--server", "http://127.0.0.1:9", *words]) == ExitCode.INVALID
    assert why in " ".join(capsys.readouterr().err.split())
