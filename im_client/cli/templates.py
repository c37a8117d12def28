"""The options by which a command takes a template, its add-ons and its inputs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from im_client.cli.session import split_pairs
from infracore.errors import InvalidUsage

if TYPE_CHECKING:
    from im_client.services.model import DeployRequest
    from im_client.topology.values import Value

__all__ = ["add_option", "input_options", "make_request", "read_inputs", "target_options", "terms_options"]

_Command = Callable[..., Any]

add_option = click.option(
    "--add", "add_ons", multiple=True, metavar="ADDON", help="A template merged onto the first; may be repeated."
)


def input_options(command: _Command) -> _Command:
    """Add `-i` and `--inputs`."""
    command = click.option(
        "--inputs",
        "files",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A YAML file of inputs; may be repeated.",
    )(command)
    return click.option(
        "-i",
        "--input",
        "pairs",
        multiple=True,
        metavar="NAME=VALUE",
        help="An input, its value as YAML; wins over --inputs; may be repeated.",
    )(command)


def target_options(command: _Command) -> _Command:
    """Add `--name`, `--provider`, `--set` and `--no-configure`."""
    command = click.option("--no-configure", is_flag=True, help="Make the machines and run no playbook on them.")(
        command
    )
    command = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="A setting of the provider for this infrastructure; recorded with it.",
    )(command)
    command = click.option("--provider", metavar="NAME", help="Where the machines come from (default: the settings').")(
        command
    )
    return click.option("--name", metavar="NAME", help="The infrastructure's name (default: the template's).")(command)


def terms_options(command: _Command) -> _Command:
    """Add `--expire`, `--budget` and `--unknown-prices`."""
    command = click.option(
        "--unknown-prices",
        type=click.Choice(["refuse", "allow"]),
        default=None,
        help="With --budget: whether machines whose price nobody tells count as nothing (default: refuse).",
    )(command)
    command = click.option(
        "--budget", metavar="AMOUNT", help="What all machines may cost in an hour: 0.50, '0.50 EUR', or none; recorded."
    )(command)
    return click.option("--expire", metavar="TIME", help="Destroy it after 90m, 8h, 7d ..., or never; recorded.")(
        command
    )


def read_inputs(pairs: tuple[str, ...], files: tuple[Path, ...]) -> "Mapping[str, Value]":
    """Read the inputs that were given.

    Raises:
        InvalidUsage: a word without `=`, a file that is no mapping.
    """
    if not pairs and not files:
        return {}
    from im_client.services.templates import parse_inputs

    return parse_inputs(pairs, files)


def make_request(
    template: str,
    *,
    add_ons: tuple[str, ...],
    pairs: tuple[str, ...],
    files: tuple[Path, ...],
    name: str | None,
    provider: str | None,
    settings: tuple[str, ...],
    no_configure: bool,
    expire: str | None = None,
    budget: str | None = None,
    unknown_prices: str | None = None,
) -> "DeployRequest":
    """Return what is asked of the services.

    Raises:
        InvalidUsage: a word that cannot be read.
    """
    from im_client.services.model import DeployRequest
    from im_client.services.terms import parse_budget, parse_lease

    if unknown_prices is not None and budget is None:
        raise InvalidUsage("--unknown-prices says what counts for a budget", "give one too: --budget AMOUNT")

    return DeployRequest(
        template=template,
        add_ons=add_ons,
        inputs=read_inputs(pairs, files),
        name=name,
        provider=provider,
        provider_settings={key: _setting(word) for key, word in split_pairs(settings, "--set").items()},
        configure=not no_configure,
        lease_s=None if expire is None else parse_lease(expire),
        budget=None if budget is None else parse_budget(budget, allows_unknown=unknown_prices == "allow"),
    )


def _setting(word: str) -> "Value":
    """Read a list or a mapping as YAML; all else stays text, which the provider converts."""
    if not word.startswith(("[", "{")):
        return word
    import yaml

    from infracore.yaml_text import load_yaml

    try:
        value: Value = load_yaml(word)
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidUsage(f"--set: {word!r} is not YAML") from error
    return value
