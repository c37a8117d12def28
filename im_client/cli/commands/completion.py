"""`im completion`."""

import click

from im_client.cli.console import print_text
from im_client.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "completion",
    cls=ExampleCommand,
    short_help="Print the completion script of a shell.",
    examples=(
        ('eval "$(im completion bash)"', "Complete in this bash; put the line in ~/.bashrc to keep it."),
        ("im completion fish > ~/.config/fish/completions/im.fish", "Complete in every fish."),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell: commands, options, names of infrastructures and machines."""
    from click.shell_completion import get_completion_class

    from im_client.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None, shell  # noqa: S101 - click has these three
    print_text(found(cli, {}, "im", "_IM_COMPLETE").source().strip("\n"))
