"""`im`: the group of commands, and the one place where every error becomes a message and an exit code."""

import logging
import os
import sys
from collections.abc import Sequence

import click

from im_client.cli.lazy import LazyGroup
from infracore.errors import InfraError
from infracore.exitcodes import ExitCode

__all__ = ["SUMMARIES", "cli", "main"]

SUMMARIES = {
    "validate": "Check a template and say all that is wrong with it.",
    "plan": "Show what deploying a template would do, and change nothing.",
    "deploy": "Make the machines of a template and configure them.",
    "list": "List the infrastructures.",
    "show": "Show one infrastructure and its machines.",
    "outputs": "Print the outputs of an infrastructure.",
    "ssh": "Log in to a machine, or run a command on it.",
    "logs": "Print what happened in a run, with Ansible's own log.",
    "inventory": "Print the machines as an Ansible inventory.",
    "scale": "Change how many machines of a kind there are.",
    "reconfigure": "Run the configuration of machines again.",
    "start": "Start machines that are stopped.",
    "stop": "Stop machines; their disks and addresses stay.",
    "reboot": "Restart machines.",
    "refresh": "Ask the provider how the machines are, and record it.",
    "destroy": "Delete an infrastructure with all its machines.",
    "doctor": "Examine this computer and say what is missing.",
    "config": "Show the settings and where each comes from.",
    "completion": "Print the completion script of a shell.",
}
_DEBUG_VARIABLE = "IM_DEBUG"


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"im {version('im-clues')}")
    except PackageNotFoundError:
        click.echo("im (not installed)")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    package="im_client.cli.commands",
    summaries=SUMMARIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=(
        ("im deploy tosca_templates/slurm_cluster.yaml --name demo", "Make a cluster on this computer."),
        ("im ssh demo front", "Log in to its front-end."),
    ),
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
@click.option("--debug", is_flag=True, help=f"Show a traceback where something fails (also {_DEBUG_VARIABLE}=1).")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a setting for this command only; `im config show` lists them.",
)
@click.pass_context
def cli(ctx: click.Context, debug: bool, options: tuple[str, ...]) -> None:
    """Make a TOSCA template into running, configured machines."""
    ctx.obj = {"debug": debug, "options": options}
    if debug:
        from infracore.logs import configure_logs

        configure_logs(sys.stderr, level="debug")
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING)


def _wants_traceback(words: Sequence[str]) -> bool:
    before = list(words)[: list(words).index("--")] if "--" in words else words
    return "--debug" in before or os.environ.get(_DEBUG_VARIABLE, "") not in {"", "0"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `im` and exit with a code of `infracore.exitcodes`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run one command line and return its exit code; every failure becomes a message on standard error."""
    from im_client.cli.console import finish_output, prepare_streams, say_error

    prepare_streams()
    logging.lastResort = None  # what libraries log, tracebacks among it, is shown with --debug only
    code: int = ExitCode.FAILED
    try:
        answer = cli.main(args=words, prog_name="im", standalone_mode=False)
        code = int(answer) if isinstance(answer, int) else ExitCode.DONE
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\ninterrupted: nothing more was started", err=True)
        code = ExitCode.INTERRUPTED
    except click.ClickException as error:
        _say_usage(error)
        code = ExitCode.INVALID
    except InfraError as error:
        if _wants_traceback(words):
            import traceback

            traceback.print_exc()
        say_error(error)
        code = error.exit_code
    except BrokenPipeError:
        code = ExitCode.DONE  # the reader has what it wanted
    except Exception as error:  # noqa: BLE001 - the boundary: see STYLE.md, "Errors"
        _say_bug(error, words)
    return finish_output(code)


def _say_usage(error: click.ClickException) -> None:
    from im_client.cli.text import clean

    context = getattr(error, "ctx", None)
    message = error.format_message()
    click.echo(f"error: {clean(message[:1].lower() + message[1:])}", err=True)
    if context is not None:
        click.echo(f"hint: {context.get_usage()}\n      {context.command_path} --help", err=True)


def _say_bug(error: Exception, words: Sequence[str]) -> None:
    import traceback

    from im_client.cli.text import clean

    if _wants_traceback(words):
        traceback.print_exception(error)
        return
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno}"
    click.echo(
        f"error: im has a defect: {type(error).__name__} at {place}: {clean(str(error))}\n"
        "hint: what was done is saved, and the same command can be run again.\n"
        f"      Please report it with the output of: {_DEBUG_VARIABLE}=1 im ...",
        err=True,
    )


if __name__ == "__main__":
    main()
