"""Write docs/reference/cli.md from the commands themselves. `--check` compares and writes nothing."""

import sys
from pathlib import Path

import click
from click.testing import CliRunner

from im_client.cli.main import SUMMARIES, cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"
_WIDTH = 100


def page() -> str:
    """Return the page."""
    parts = [
        "# Commands\n",
        "Written by `make docs` from the commands' own help; not by hand.\n",
        "Data goes to standard output, everything else to standard error. What a command's end means is in"
        " [exit-codes.md](exit-codes.md), the settings are in [settings.md](settings.md).\n",
        f"## im\n\n```text\n{help_of()}```\n",
    ]
    for name in SUMMARIES:
        parts.append(f"## im {name}\n\n```text\n{help_of(name)}```\n")
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            parts += [f"### im {name} {sub}\n\n```text\n{help_of(name, sub)}```\n" for sub in command.commands]
    return "\n".join(parts)


def help_of(*words: str) -> str:
    """Return what `im WORDS --help` prints on a terminal of fixed width."""
    answer = CliRunner().invoke(cli, [*words, "--help"], prog_name="im", terminal_width=_WIDTH)
    if answer.exit_code != 0:
        raise RuntimeError(f"im {' '.join(words)} --help ended with {answer.exit_code}: {answer.output}")
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
