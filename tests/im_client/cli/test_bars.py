"""How far cards are: bars on a terminal, few lines elsewhere, JSON lines for programs."""

import io
import json

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from im_client.cli.bars import JsonBars, LiveBars, PlainBars, columns
from im_client.flash.card import Step
from im_client.flash.model import Phase, Progress

MIB = 1 << 20


def at(done: int, phase: Phase = Phase.WRITE, name: str = "web", total: int | None = 100 * MIB) -> Progress:
    return Progress(name, phase, done, total, 10.0 * MIB, 9.4)


def test_plain_lines_come_at_the_begin_and_the_end_of_each_phase_at_least(capsys: pytest.CaptureFixture[str]) -> None:
    bars = PlainBars()
    for done in range(0, 101 * MIB, MIB):
        bars.on_progress(at(done))
    bars.on_progress(at(100 * MIB))
    bars.on_progress(at(0, Phase.VERIFY))
    bars.on_progress(at(0, Phase.DOWNLOAD, "pi.img.xz", None))
    bars.on_step("web", Step.CUSTOMISE)
    bars.on_step("web", Step.ENDED)
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.splitlines() == [
        "web: writing 0 B, 0%, 10 MiB/s, 9.0 s left",
        "web: writing 100 MiB, 100%, 10 MiB/s, 9.0 s left",
        "web: verifying 0 B, 0%, 10 MiB/s, 9.0 s left",
        "pi.img.xz: fetching 0 B, 10 MiB/s, 9.0 s left",
        "web: customising",
    ]


def test_programs_get_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    bars = JsonBars()
    bars.on_progress(at(MIB))
    bars.on_step("web", Step.EJECT)
    bars.notice("stopping")
    caught = capsys.readouterr()
    assert [json.loads(line) for line in caught.out.splitlines()] == [
        {
            "type": "progress",
            "name": "web",
            "phase": "write",
            "done": MIB,
            "total": 100 * MIB,
            "rate": 10 * MIB,
            "left_s": 9.4,
        },
        {"type": "step", "name": "web", "step": "eject"},
    ]
    assert caught.err == "stopping\n"


def test_a_terminal_has_a_bar_a_card_with_rate_and_time_left() -> None:
    console = Console(file=io.StringIO(), width=140, force_terminal=True, color_system=None)
    with Bars(*columns(), console=console, auto_refresh=False) as shown:
        bars = LiveBars(shown)
        bars.on_progress(at(50 * MIB))
        bars.on_progress(at(25 * MIB, Phase.VERIFY, "[red]db"))
        bars.on_step("pi-3", Step.CUSTOMISE)
        shown.refresh()
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    web, db, third = lines[-3:]
    assert "web" in web
    assert "writing" in web
    assert "50.0/100.0 MiB 10 MiB/s 9.0 s left" in web
    assert "[red]db" in db
    assert "verifying" in db
    assert "customising" in third
