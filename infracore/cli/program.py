"""A program's outermost boundary: every error becomes a message and an exit code."""

import errno
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from infracore.cli.console import finish_output, prepare_streams, say_error
from infracore.cli.text import clean
from infracore.errors import InfraError
from infracore.exitcodes import ExitCode

__all__ = ["Program", "completion_script", "version_option"]


@dataclass(frozen=True, slots=True)
class Program:
    """A command line program: its name, its commands, and how it says what is special to it."""

    name: str
    command: click.Command
    debug_variable: str
    """Set to anything but 0, it asks for tracebacks."""
    say: Callable[[InfraError], None] = say_error
    interrupted: str = "interrupted: nothing more was started"
    after_defect: str = "what was done is saved, and the same command can be run again."

    def run(self, words: list[str]) -> int:
        """Run one command line and return its exit code; every failure becomes a message on standard error."""
        prepare_streams()
        logging.lastResort = None  # what libraries log, tracebacks among it, is shown with --debug only
        code: int = ExitCode.FAILED
        try:
            answer = self.command.main(args=words, prog_name=self.name, standalone_mode=False)
            code = int(answer) if isinstance(answer, int) else ExitCode.DONE
        except click.exceptions.Exit as stop:
            code = stop.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo(f"\n{self.interrupted}", err=True)
            code = ExitCode.INTERRUPTED
        except click.ClickException as error:
            _say_usage(error)
            code = ExitCode.INVALID
        except InfraError as error:
            if self._wants_traceback(words):
                import traceback

                traceback.print_exc()
            self.say(error)
            code = error.exit_code
        except BrokenPipeError:
            code = ExitCode.DONE  # the reader has what it wanted
        except Exception as error:  # noqa: BLE001 - the boundary: see STYLE.md, "Errors"
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                self.say(InfraError(f"cannot write: {error.strerror}", "make room on the disk"))
            else:
                self._say_defect(error, words)
        return finish_output(code)

    def _wants_traceback(self, words: Sequence[str]) -> bool:
        before = list(words)[: list(words).index("--")] if "--" in words else words
        return "--debug" in before or os.environ.get(self.debug_variable, "") not in {"", "0"}

    def _say_defect(self, error: Exception, words: Sequence[str]) -> None:
        import traceback

        if self._wants_traceback(words):
            traceback.print_exception(error)
            return
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno}"
        click.echo(
            f"error: {self.name} has a defect: {type(error).__name__} at {place}: {clean(str(error))}\n"
            f"hint: {self.after_defect}\n"
            f"      Please report it with the output of: {self.debug_variable}=1 {self.name} ...",
            err=True,
        )


def _say_usage(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    click.echo(f"error: {clean(message[:1].lower() + message[1:])}", err=True)
    if context is not None:
        click.echo(f"hint: {context.get_usage()}\n      {context.command_path} --help", err=True)


def version_option(name: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """Return the option `--version`, which prints `NAME VERSION` and ends."""

    def show(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
        if not wanted or ctx.resilient_parsing:
            return
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"{name} {version('im-clues')}")
        except PackageNotFoundError:
            click.echo(f"{name} (not installed)")
        ctx.exit()

    return click.option(
        "--version", is_flag=True, is_eager=True, expose_value=False, callback=show, help="Print the version."
    )


def completion_script(command: click.Command, name: str, shell: str) -> str:
    """Return what `bash`, `zsh` or `fish` reads to complete the words of a program."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, shell  # noqa: S101 - click has these three
    return found(command, {}, name, f"_{name.upper()}_COMPLETE").source().strip("\n")
