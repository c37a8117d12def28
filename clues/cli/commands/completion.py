"""`clues completion`."""

import click

from infracore.cli.console import print_text
from infracore.cli.lazy import ExampleCommand
from infracore.cli.program import completion_script

__all__ = ["command"]


@click.command(
    "completion",
    cls=ExampleCommand,
    short_help="Print the completion script of a shell.",
    examples=(
        ('eval "$(clues completion bash)"', "Complete in this bash; put the line in ~/.bashrc to keep it."),
        ("clues completion fish > ~/.config/fish/completions/clues.fish", "Complete in every fish."),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell: commands, options, names of nodes and machines."""
    from clues.cli.main import cli

    print_text(completion_script(cli, "clues", shell))
