"""`im ssh`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from im_client.cli.session import complete_infrastructure, is_infrastructure, opened, which
from infracore.cli.console import print_text, say
from infracore.cli.lazy import UntilDashes
from infracore.errors import InvalidUsage

if TYPE_CHECKING:
    from im_client.services.context import Context

__all__ = ["command"]


@click.command(
    "ssh",
    cls=UntilDashes,
    short_help="Log in to a machine, or run a command on it.",
    options_metavar="[OPTIONS]",
    examples=(
        ("im ssh demo front", "Log in; a kind with one machine needs no number."),
        ("im ssh demo front -- srun -N2 hostname", "Run a command; its exit code is that of im."),
        ("im ssh demo worker-2 --print --key-file ./demo.key", "Write the key, and print the ssh command to use."),
    ),
)
@click.argument("words", nargs=-1, metavar="[INFRA] [NODE] [-- COMMAND...]", shell_complete=complete_infrastructure)
@click.option("--print", "only_print", is_flag=True, help="Print the ssh command instead of running it.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --print: write the private key to FILE and the host key to FILE.known_hosts.",
)
@click.pass_context
def command(click_ctx: click.Context, words: tuple[str, ...], only_print: bool, key_file: Path | None) -> int:
    """Log in to a machine, or run COMMAND on it.

    The machine's host key is checked against the one that was put on it. Without NODE it is the first machine.
    """
    from im_client.services.reading import ssh_target

    if len(words) > 2:
        raise InvalidUsage(f"too many words: {' '.join(words[2:])}", "a command for the machine follows after --")
    if key_file is not None and not only_print:
        raise InvalidUsage("--key-file goes with --print")
    with opened() as ctx:
        infra, node = _split(ctx, words)
        target = ssh_target(ctx, infra, node, connect=not only_print)
    remote = UntilDashes.command_words(click_ctx)
    if only_print:
        from im_client.cli.login import ssh_command_line

        text, note = ssh_command_line(target.access, remote, key_file)
        print_text(text)
        if note:
            say(note)
        return 0
    from im_client.cli.login import log_in

    return log_in(target.access, remote)


def _split(ctx: "Context", words: tuple[str, ...]) -> tuple[str, str | None]:
    """Tell the infrastructure and the machine apart: a word alone is an infrastructure if there is one called so."""
    if len(words) == 2:
        return words[0], words[1]
    if not words:
        return which(ctx, None), None
    return (words[0], None) if is_infrastructure(ctx, words[0]) else (which(ctx, None), words[0])
