"""Write docs/reference/clues-cli.md from the commands themselves. `--check` compares and writes nothing."""

import sys
from pathlib import Path

import click
from click.testing import CliRunner

from clues.cli.main import SUMMARIES, cli, daemon_command

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "clues-cli.md"
_WIDTH = 100


def page() -> str:
    """Return the page."""
    parts = [
        "# Commands of clues\n",
        "Written by `make docs` from the commands' own help; not by hand.\n",
        "Data goes to standard output, everything else to standard error. What a command's end means is in"
        " [exit-codes.md](exit-codes.md), the settings are in [clues-settings.md](clues-settings.md). Everybody on the"
        " daemon's computer may look; root, the daemon's user and the group `daemon.socket_group` may change"
        " something.\n",
        _section("##", cli, "clues"),
    ]
    for name in SUMMARIES:
        parts.append(_section("##", cli, "clues", name))
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            parts += [_section("###", cli, "clues", name, sub) for sub in command.commands]
    return "\n".join([*parts, _section("##", daemon_command, "cluesd")])


def _section(depth: str, command: click.Command, program: str, *words: str) -> str:
    return f"{depth} {' '.join((program, *words))}\n\n```text\n{_help_of(command, program, *words)}```\n"


def _help_of(command: click.Command, program: str, *words: str) -> str:
    answer = CliRunner().invoke(command, [*words, "--help"], prog_name=program, terminal_width=_WIDTH)
    if answer.exit_code != 0:
        raise RuntimeError(f"{program} {' '.join(words)} --help ended with {answer.exit_code}: {answer.output}")
    return "\n".join(line.rstrip() for line in answer.output.splitlines()) + "\n"


def main(words: list[str]) -> int:
    """Write the page, or compare it."""
    wanted = page()
    if "--check" in words:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
