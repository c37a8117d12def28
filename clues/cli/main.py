"""`clues` and `cluesd`: the group of commands, and the daemon's own command line."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from infracore.cli.lazy import ExampleCommand, LazyGroup
from infracore.cli.options import split_pairs
from infracore.cli.program import Program, version_option

__all__ = ["SUMMARIES", "cli", "daemon", "daemon_command", "main"]

SUMMARIES = {
    "status": "Show the daemon, its pools and what it is doing.",
    "nodes": "List nodes and machines, and why each stays or goes.",
    "pods": "List pending pods, and what becomes of them.",
    "why": "Explain a node or a pod.",
    "plan": "Decide on a dump of a cluster, and change nothing.",
    "simulate": "Run the whole loop on a workload in virtual time.",
    "hold": "Keep machines as they are, or pause everything.",
    "release": "End a hold or the pause.",
    "poweron": "Order machines by hand.",
    "poweroff": "Drain machines by hand and turn them off.",
    "enable": "Bring machines back into use.",
    "disable": "Take machines out of use.",
    "report": "Draw nodes, waiting times, energy and money of a period.",
    "replay": "Repeat recorded decisions and compare.",
    "doctor": "Examine settings, cluster, drivers and service.",
    "slurm": "Serve Slurm's own power saving; read its lists.",
    "import": "Turn a configuration of CLUES into settings.",
    "config": "Check and show the settings.",
    "completion": "Print the completion script of a shell.",
}
_CLUES_DEBUG = "CLUES_DEBUG"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Settings file (default: CLUES_CONFIG, else /etc/clues/clues.yaml).",
)
_debug_option = click.option(
    "--debug", is_flag=True, help=f"Show a traceback where something fails (also {_CLUES_DEBUG}=1)."
)


@click.group(
    cls=LazyGroup,
    package="clues.cli.commands",
    summaries=SUMMARIES,
    context_settings=_CONTEXT,
    examples=(
        ("clues status", "Is it well, what do the pools have, and what is going on."),
        ("clues why team/web-7d9f", "Why this pod is still pending."),
    ),
)
@version_option("clues")
@_debug_option
@_config_option
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where the daemon listens (default: the setting daemon.socket).",
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a setting for this command only; `clues config show` lists them.",
)
@click.pass_context
def cli(ctx: click.Context, debug: bool, config: Path | None, socket: Path | None, options: tuple[str, ...]) -> None:
    """Ask the elasticity daemon what it sees and why it acts, and tell it what to do."""
    ctx.obj = {"config": config, "socket": socket, "options": options}
    if debug:
        from infracore.logs import configure_logs

        configure_logs(sys.stderr, level="debug")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `clues` and exit with a code of `infracore.exitcodes`."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(words: list[str]) -> int:
    """Run one command line of `clues` and return its exit code."""
    return Program("clues", cli, _CLUES_DEBUG).run(words)


# the daemon


@click.command(
    "cluesd",
    cls=ExampleCommand,
    context_settings=_CONTEXT,
    examples=(
        ("cluesd --config clues.yaml --dry-run", "See what it would do, and change nothing."),
        ("cluesd -o policy.unneeded_s=60 -o daemon.log_level=debug", "With other settings, and telling more."),
    ),
)
@version_option("cluesd")
@_debug_option
@_config_option
@click.option("--dry-run", is_flag=True, help="Decide and say so, but change nothing.")
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="Set a setting.")
def daemon_command(debug: bool, config: Path | None, dry_run: bool, options: tuple[str, ...]) -> int:
    """Watch the cluster, and turn worker nodes on and off as the pods need them.

    Runs until SIGTERM; SIGHUP reads the settings again. Run by systemd as the service cluesd.
    """
    from clues.cli.service import serve

    overrides: dict[str, object] = dict(split_pairs(options, "-o"))
    if dry_run:
        overrides["daemon.dry_run"] = True
    if debug:
        overrides.setdefault("daemon.log_level", "debug")
    return serve(config=config, overrides=overrides, environ=os.environ)


def daemon(arguments: Sequence[str] | None = None) -> None:
    """Run `cluesd` and exit with a code of `infracore.exitcodes`."""
    sys.exit(run_daemon(list(sys.argv[1:] if arguments is None else arguments)))


def run_daemon(words: list[str]) -> int:
    """Run one command line of `cluesd` and return its exit code."""
    program = Program(
        "cluesd", daemon_command, _CLUES_DEBUG, interrupted="stopped", after_defect="it can be started again."
    )
    return program.run(words)


if __name__ == "__main__":
    main()
