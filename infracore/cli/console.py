"""The two streams: data on standard output, all else on standard error."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from infracore.cli.text import clean_lines
from infracore.errors import InfraError, InvalidUsage, Several
from infracore.exitcodes import ExitCode

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = [
    "ask",
    "finish_output",
    "needs_answer",
    "plain_console",
    "prepare_streams",
    "print_data",
    "print_json",
    "print_text",
    "say",
    "say_error",
]

_UNLIMITED_WIDTH = 100_000
"""Columns where the reader is a program: nothing may be cut or wrapped for it."""


def prepare_streams() -> None:
    """Let no character that the terminal's encoding lacks stop a command, nor a stream that was closed."""
    # `command >&-`: Python has None then, and the next file that is opened would get the stream's number
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def finish_output(code: int) -> int:
    """Flush; a reader that went away is no failure of ours. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            _silence(stream)
        except OSError as error:
            _silence(stream)
            if stream is sys.stdout:
                say(f"error: cannot write the output: {error.strerror}")
                return code or ExitCode.FAILED
    return code


def _silence(stream: TextIO) -> None:
    # Python flushes once more when it ends and would complain.
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    except (OSError, ValueError):  # a stream that is no file: a test's
        pass
    finally:
        os.close(null)


def print_text(text: str) -> None:
    """Write one line, or several, of data. A reader that went away is forgotten, not reported.

    Raises:
        InfraError: it cannot be written.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> InfraError:
    _silence(sys.stdout)
    return InfraError(f"cannot write the output: {error.strerror}")


def print_json(shape: object, *, in_one_line: bool = False) -> None:
    """Write a value of plain data as JSON: indented for a reader, or in one line as part of a stream.

    Raises:
        InfraError: a number is infinite or none, for which JSON has no word (RFC 8259, section 6).
    """
    import json

    # what the encoding lacks would come out as `\xe9`, which is no JSON
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    try:
        text = json.dumps(shape, indent=None if in_one_line else 2, ensure_ascii=plain, allow_nan=False)
    except ValueError as error:
        raise InfraError(
            "the answer holds a number that is infinite or none, which JSON cannot say", "leave --json out"
        ) from error
    print_text(text)


def say(text: str) -> None:
    """Write a line for people on standard error."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:  # nobody reads it, or there is no room: there is nowhere left to say so
        _silence(sys.stderr)


def say_error(error: InfraError, *, say_one: Callable[[InfraError], None] | None = None) -> None:
    """Say what failed and what to do next; each of several with `say_one`, if that is given."""
    if isinstance(error, Several):
        for one in error.errors:
            (say_one or say_error)(one)
        return
    say(f"error: {clean_lines(error.message)}")
    if error.hint:
        say("hint: " + clean_lines(error.hint).replace("\n", "\n      "))


def plain_console(stream: TextIO) -> "Console":
    """Return a rich console: colours and the terminal's width on a terminal, neither elsewhere."""
    from rich.console import Console

    is_terminal = stream.isatty()
    return Console(
        file=stream,
        width=None if is_terminal else _UNLIMITED_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not is_terminal,
    )


def print_data(*parts: "RenderableType") -> None:
    """Render tables and the like on standard output."""
    _render(sys.stdout, parts)


def say_rendered(*parts: "RenderableType") -> None:
    """Render tables and the like on standard error."""
    _render(sys.stderr, parts)


def _render(stream: TextIO, parts: "tuple[RenderableType, ...]") -> None:
    # Through a string: a rich console buffers, and would break in the middle when the reader goes away.
    console = plain_console(stream)
    try:
        with console.capture() as caught:
            for part in parts:
                console.print(part)
    except OSError as error:  # rich writes nothing and flushes it
        raise _unwritable(error) from error
    text = "\n".join(line.rstrip() for line in caught.get().splitlines())
    (print_text if stream is sys.stdout else say)(text)


def needs_answer(yes: bool, *, also: str = "") -> None:
    """Fail at once where a question will come up that nobody can answer. `also` ends the hint.

    Raises:
        InvalidUsage: no terminal, and no `-y`.
    """
    if not yes and not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidUsage(
            "this asks before it changes anything, and there is no terminal to ask on",
            f"add -y to answer yes{also}",
        )


def ask(question: str, yes: bool, *, also: str = "") -> bool:
    """Ask on the terminal; only `y` or `yes` means yes. With `yes` nothing is asked."""
    if yes:
        return True
    needs_answer(yes, also=also)
    import click

    return bool(click.confirm(question, default=False, err=True))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping without what is None, "" or empty: for JSON lines that stay short."""
    return {k: v for k, v in values.items() if v not in (None, "", (), {})}
