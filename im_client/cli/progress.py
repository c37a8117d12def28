"""What is seen while work goes on: a line a machine on a terminal, plain lines elsewhere, JSON lines for programs."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from im_client.state.store import RunState
from infracore.cli.console import plain_console, print_json, say
from infracore.cli.text import clean
from infracore.events import Event, EventKind
from infracore.units import format_duration

__all__ = ["JsonProgress", "LiveProgress", "PlainProgress", "Progress", "progress"]

_NOTE_WIDTH = 60
_NOTE_EVERY_S = 5.0
_ENDS = {EventKind.NODE_DONE, EventKind.NODE_FAILED}


class Progress(Protocol):
    """Shows events as they come, from many threads, and a word from the command itself."""

    def __call__(self, event: Event) -> None: ...

    def notice(self, text: str) -> None:
        """Show a sentence that is not about a machine. Called from a signal handler: takes no lock of its own."""
        ...


class JsonProgress:
    """One JSON object a line on standard output. Lines are never mixed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        from im_client.cli.shapes import event_shape

        with self._lock:
            print_json(event_shape(event), in_one_line=True)

    def notice(self, text: str) -> None:
        """Say it on standard error: standard output is for the program that reads the events."""
        say(text)


class PlainProgress:
    """A line a change on standard error: for logs and CI.

    Notes are shown for the run as a whole only, and while Ansible works (hundreds of tasks) one every few seconds.
    """

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._shown: dict[str, str] = {}
        self._next_note = 0.0

    def __call__(self, event: Event) -> None:
        line = self._line(event)
        if line is None:
            return
        with self._lock:
            if event.kind is EventKind.NOTE and event.phase != "prepare":
                if time.monotonic() < self._next_note:
                    return
                self._next_note = time.monotonic() + _NOTE_EVERY_S
            key = event.node
            if self._shown.get(key) == line:
                return
            self._shown[key] = line
            say(f"{_clock(time.monotonic() - self._started)}  {line}")

    def _line(self, event: Event) -> str | None:
        who = clean(event.node)
        text = clean(event.text)
        if event.kind is EventKind.PHASE:
            return f"{who}: {event.phase}" if who else event.phase
        if event.kind is EventKind.NODE_DONE:
            return f"{who}: done" + _after(event)
        if event.kind is EventKind.NODE_FAILED:
            return f"{who}: failed{_after(event)}: {text}"
        if event.kind is EventKind.RETRY:
            return f"{who}: {text or 'trying again'}" if who else text
        if event.kind is EventKind.NOTE and not who and text:
            return text
        return None

    def notice(self, text: str) -> None:
        """Say it."""
        say(text)


def _after(event: Event) -> str:
    return "" if event.elapsed_s is None else f" after {format_duration(event.elapsed_s)}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:3d}:{rest:02d}"


@dataclass(slots=True)
class _Line:
    phase: str = ""
    note: str = ""
    since: float = 0.0
    ended_s: float | None = None
    failed: bool = False


class LiveProgress:
    """A line a machine that is kept up to date. Machines that are done make room when there are many."""

    def __init__(self, height: int) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._run_note = ""
        self._notice = ""
        self._height = max(4, height - 4)

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        with self._lock:
            if not event.node:
                if event.text or event.phase:
                    self._run_note = event.text or event.phase
                if event.kind is EventKind.RUN_ENDED and event.text.startswith(RunState.DONE.value):
                    for line in self._lines.values():  # a machine that was deleted or stopped has no last word
                        line.ended_s = now - line.since if line.ended_s is None else line.ended_s
                return
            line = self._lines.setdefault(event.node, _Line(since=now))
            if event.kind in _ENDS:
                line.ended_s = now - line.since if event.elapsed_s is None else event.elapsed_s
                line.failed = event.kind is EventKind.NODE_FAILED
                line.note = event.text
                return
            line.ended_s, line.failed = None, False
            if event.kind is EventKind.PHASE:
                line.phase, line.note = event.phase, event.text
            elif event.text:
                line.note = event.text

    def notice(self, text: str) -> None:
        """Show it below the machines from the next refresh on."""
        self._notice = text

    def render(self) -> RenderableType:
        """Return what is to be seen now."""
        now = time.monotonic()
        with self._lock:
            lines = [(name, line) for name, line in self._lines.items()]
            run_note = self._run_note
        done = sum(line.ended_s is not None and not line.failed for _, line in lines)
        failed = sum(line.failed for _, line in lines)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for _ in range(2):
            table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for name, line in self._chosen(lines):
            table.add_row(*_cells(name, line, now))
        said = f"{done} of {len(lines)} done" + (f", {failed} failed" if failed else "")
        foot = Text(f"{_clock(now - self._started).strip()}  {said if lines else ''}  ", style="bold")
        foot.append(clean(run_note)[:_NOTE_WIDTH], style="dim")
        parts: list[RenderableType] = [table] if lines else []
        parts.append(foot)
        if self._notice:
            parts.append(Text(clean(self._notice), style="bold yellow"))
        return Group(*parts)

    def _chosen(self, lines: list[tuple[str, _Line]]) -> list[tuple[str, _Line]]:
        if len(lines) <= self._height:
            return lines
        rank = sorted(lines, key=lambda item: (not item[1].failed, item[1].ended_s is not None))
        shown = {name for name, _ in rank[: self._height]}
        return [item for item in lines if item[0] in shown]


def _cells(name: str, line: _Line, now: float) -> tuple[Text, Text, Text, Text]:
    if line.failed:
        state = Text("failed", "bold red")
    elif line.ended_s is not None:
        state = Text("done", "green")
    else:
        state = Text(clean(line.phase) or "waiting", "cyan")
    elapsed = now - line.since if line.ended_s is None else line.ended_s
    note = "" if line.ended_s is not None and not line.failed else clean(line.note)[:_NOTE_WIDTH]
    return Text(clean(name), "bold"), state, Text(format_duration(max(1.0, elapsed))), Text(note, "dim")


@contextmanager
def progress(*, as_json: bool) -> Iterator[Progress]:
    """Show progress in the way that fits: JSON lines, a live picture on a terminal, or plain lines."""
    if as_json:
        yield JsonProgress()
        return
    if not sys.stderr.isatty():
        yield PlainProgress()
        return
    console = plain_console(sys.stderr)
    shown = LiveProgress(console.height)
    live: AbstractContextManager[Live] = Live(
        console=console, get_renderable=shown.render, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False
    )
    with live:
        yield shown
