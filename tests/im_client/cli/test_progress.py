"""Progress without a terminal, on one, and as JSON lines."""

import io
import json

import pytest
from rich.console import Console

from im_client.cli.progress import JsonProgress, LiveProgress, PlainProgress
from infracore.events import Event, EventKind


def test_plain_progress_is_a_line_a_change_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    show = PlainProgress()
    show(Event(1.0, EventKind.PHASE, "w-1", "create"))
    show(Event(1.0, EventKind.PHASE, "w-1", "create"))
    show(Event(1.0, EventKind.NOTE, "w-1", "create", "a detail"))
    show(Event(1.0, EventKind.NODE_FAILED, "w-1", text="no room", elapsed_s=2.0))
    caught = capsys.readouterr()
    assert caught.out == ""
    assert [line[8:] for line in caught.err.splitlines()] == ["w-1: create", "w-1: failed after 2.0 s: no room"]


def test_plain_progress_does_not_repeat_every_task_of_ansible(capsys: pytest.CaptureFixture[str]) -> None:
    show = PlainProgress()
    for number in range(100):
        show(Event(1.0, EventKind.NOTE, phase="configure", text=f"task {number}"))
    assert [line[8:] for line in capsys.readouterr().err.splitlines()] == ["task 0"]


def test_json_progress_is_one_object_a_line_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    JsonProgress()(Event(1.5, EventKind.PHASE, "w-1", "create"))
    caught = capsys.readouterr()
    assert json.loads(caught.out) == {"type": "event", "at": 1.5, "kind": "phase", "node": "w-1", "phase": "create"}
    assert caught.out.count("\n") == 1


def test_live_progress_shows_every_machine_done_when_the_run_is() -> None:
    live = LiveProgress(height=10)
    live(Event(0.0, EventKind.PHASE, "n-1", "delete"))
    live(Event(0.0, EventKind.RUN_ENDED, text="done: 1 machine"))
    stream = io.StringIO()
    Console(file=stream, width=100).print(live.render())
    assert "1 of 1 done" in stream.getvalue()


def test_live_progress_has_a_line_a_machine_and_keeps_failures_in_sight() -> None:
    live = LiveProgress(height=10)
    for number in range(50):
        live(Event(0.0, EventKind.PHASE, f"n-{number}", "create"))
        live(Event(0.0, EventKind.NODE_DONE, f"n-{number}", elapsed_s=1.0))
    live(Event(0.0, EventKind.NODE_FAILED, "n-49", text="no room", elapsed_s=1.0))
    live(Event(0.0, EventKind.PHASE, "n-48", "configure"))
    stream = io.StringIO()
    Console(file=stream, width=100).print(live.render())
    text = stream.getvalue()
    assert len(text.splitlines()) <= 10
    assert "failed" in text
    assert "no room" in text
    assert "configure" in text
    assert "48 of 50 done, 1 failed" in text
