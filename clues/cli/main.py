"""`clues` and `cluesd` as far as they are there: this release has the deployer `im` only, and they say so."""

import sys
from collections.abc import Sequence

from infracore.exitcodes import ExitCode

__all__ = ["daemon", "main"]

_HELP = """\
Usage: {name} [--version] [--help]

  {purpose}

  It is not part of this release: nothing watches a cluster and nothing is powered on or off.
  The deployer `im` of the same package is complete; `im scale` changes a cluster's size by hand.

Options:
  --version   Print the version.
  -h, --help  Show this message.

Examples:
  {name} --version
    Which release is installed.
  im scale demo worker=3
    What to do by hand until the daemon is there.
"""
_PURPOSE = {
    "clues": "Ask the elasticity daemon what it sees and why it acts.",
    "cluesd": "The elasticity daemon: clusters follow their load.",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `clues`."""
    sys.exit(_run("clues", sys.argv[1:] if arguments is None else arguments))


def daemon(arguments: Sequence[str] | None = None) -> None:
    """Run `cluesd`."""
    sys.exit(_run("cluesd", sys.argv[1:] if arguments is None else arguments))


def _run(name: str, words: Sequence[str]) -> int:
    if "--version" in words:
        from importlib.metadata import version

        sys.stdout.write(f"{name} {version('im-clues')}\n")
        return ExitCode.DONE
    if "-h" in words or "--help" in words:
        sys.stdout.write(_HELP.format(name=name, purpose=_PURPOSE[name]))
        return ExitCode.DONE
    sys.stderr.write(
        f"error: {name} is not part of this release: nothing was started\n"
        f"hint: the elasticity daemon comes with a later release; see `{name} --help` for what there is now\n"
    )
    return ExitCode.INVALID
