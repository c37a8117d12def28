"""What is seen while cards are made: a bar a card on a terminal, plain lines elsewhere, JSON lines for programs."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.progress import BarColumn, DownloadColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from im_client.flash.card import Step
from im_client.flash.model import Phase, Progress
from infracore.cli.console import plain_console, print_json, say
from infracore.cli.text import clean
from infracore.units import format_bytes, format_duration

__all__ = ["JsonBars", "LiveBars", "PlainBars", "Shown", "columns", "shown"]

_LINE_EVERY_S: Final = 10.0
_JSON_EVERY_S: Final = 1.0
_WORDS: Final[dict[Phase, str]] = {Phase.DOWNLOAD: "fetching", Phase.WRITE: "writing", Phase.VERIFY: "verifying"}
_STEPS: Final = {Step.CUSTOMISE: "customising", Step.EJECT: "ejecting", Step.RAM: "restarting into memory"}


class Shown(Protocol):
    """Shows how far each card is; called from several threads."""

    def on_progress(self, progress: Progress) -> None:
        """Show bytes."""
        ...

    def on_step(self, name: str, step: Step) -> None:
        """Show that a card entered a step, or ended."""
        ...

    def notice(self, text: str) -> None:
        """Show a sentence. Called from a signal handler: takes no lock of its own."""
        ...


class _Paced:
    """Lets one value through every so often, and the last of each phase."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next: dict[tuple[str, Phase], float] = {}
        self._lock = threading.Lock()

    def is_due(self, progress: Progress) -> bool:
        if progress.phase not in _WORDS:  # the steps tell it
            return False
        key = (progress.name, progress.phase)
        now = time.monotonic()
        is_last = progress.total is not None and progress.done >= progress.total
        with self._lock:
            if now < self._next.get(key, 0.0) and not is_last:
                return False
            if self._next.get(key) == float("inf"):
                return False
            self._next[key] = float("inf") if is_last else now + self._every_s
        return True


class JsonBars:
    """One JSON object a line on standard output, every second at the most for each card."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paced = _Paced(_JSON_EVERY_S)

    def on_progress(self, progress: Progress) -> None:
        """Print it."""
        if self._paced.is_due(progress):
            self._print(
                {
                    "type": "progress",
                    "name": progress.name,
                    "phase": progress.phase.value,
                    "done": progress.done,
                    "total": progress.total,
                    "rate": round(progress.rate),
                    "left_s": None if progress.left_s is None else round(progress.left_s, 1),
                }
            )

    def on_step(self, name: str, step: Step) -> None:
        """Print it."""
        self._print({"type": "step", "name": name, "step": step.value})

    def notice(self, text: str) -> None:
        """Say it on standard error."""
        say(text)

    def _print(self, shape: dict[str, object]) -> None:
        with self._lock:
            print_json(shape, in_one_line=True)


class PlainBars:
    """A line a card every ten seconds, and when something changes: for logs and CI."""

    def __init__(self) -> None:
        self._paced = _Paced(_LINE_EVERY_S)

    def on_progress(self, progress: Progress) -> None:
        """Say it."""
        if self._paced.is_due(progress):
            say(f"{clean(progress.name)}: {_WORDS[progress.phase]} {_far(progress)}")

    def on_step(self, name: str, step: Step) -> None:
        """Say it; how it ended is in the report."""
        if step in _STEPS:
            say(f"{clean(name)}: {_STEPS[step]}")

    def notice(self, text: str) -> None:
        """Say it."""
        say(text)


def _far(progress: Progress) -> str:
    share = "" if progress.share is None else f", {progress.share:.0%}"
    rate = f", {format_bytes(round(progress.rate))}/s" if progress.rate else ""
    left = f", {_left(progress.left_s)}" if progress.left_s else ""
    return f"{format_bytes(progress.done)}{share}{rate}{left}"


def _left(seconds: float) -> str:
    return f"{format_duration(max(1.0, round(seconds)))} left"


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        rate = task.fields.get("rate") or 0
        return Text(f"{format_bytes(round(rate))}/s" if rate else "", "cyan")


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        left = task.fields.get("left_s")
        return Text(_left(left) if left else "", "dim")


class LiveBars:
    """A bar a card, kept up to date."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def on_progress(self, progress: Progress) -> None:
        """Move the card's bar."""
        if progress.phase not in _WORDS:  # the steps tell it
            return
        self._bars.update(
            self._task(progress.name),
            completed=progress.done,
            total=progress.total,
            word=_WORDS[progress.phase],
            rate=progress.rate,
            left_s=progress.left_s,
        )

    def on_step(self, name: str, step: Step) -> None:
        """Say what is done with the card."""
        self._bars.update(self._task(name), word=_STEPS.get(step, "ended"), rate=0, left_s=None)

    def notice(self, text: str) -> None:
        """Show it above the bars."""
        self._bars.log(Text(clean(text), "bold yellow"))

    def _task(self, name: str) -> TaskID:
        with self._lock:
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(clean(name), total=None, word="", rate=0, left_s=None)
            return self._tasks[name]


def columns() -> tuple[ProgressColumn, ...]:
    """Return what a bar consists of: name, what is done, bar, bytes, rate, time left."""
    return (
        TextColumn("{task.description}", style="bold", markup=False),
        TextColumn("{task.fields[word]:<11}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        _Rate(),
        _Left(),
    )


@contextmanager
def shown(*, as_json: bool) -> Iterator[Shown]:
    """Show cards in the way that fits: JSON lines, bars on a terminal, or plain lines."""
    if as_json:
        yield JsonBars()
        return
    if not sys.stderr.isatty():
        yield PlainBars()
        return
    with Bars(*columns(), console=plain_console(sys.stderr), refresh_per_second=4) as bars:
        yield LiveBars(bars)
