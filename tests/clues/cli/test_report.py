"""`clues report` from the daemon and from its file; the period; the page."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clues.api.report import summarise
from clues.cli.commands.report import moment
from clues.history import History, NodeChange, PodWait
from infracore.errors import InvalidUsage
from tests.clues.api.fake_control import FakeControl
from tests.clues.api.test_public import Page


@pytest.mark.parametrize(
    ("word", "at"),
    [
        ("7d", 10**9 - 7 * 86400),
        ("30m", 10**9 - 1800),
        ("2001-09-01T00:00:00+00:00", datetime(2001, 9, 1, tzinfo=UTC).timestamp()),
    ],
)
def test_a_time_is_a_length_or_a_date(word: str, at: float) -> None:
    assert moment(word, 1e9, "--since") == at


@pytest.mark.parametrize("word", ["", "yesterday", "7", "2026-13-01", "7 fortnights"])
def test_what_is_no_time_is_wrong_usage(word: str) -> None:
    with pytest.raises(InvalidUsage, match="is no time"):
        moment(word, 1e9, "--since")


def a_history(folder: Path) -> Path:
    history = History(folder, now=0.0)
    history.add(
        nodes=[NodeChange(100.0, "a", "big", "a", "ready", 0.5), NodeChange(3700.0, "a", "big", "a", "off", 0.0)],
        waits=[PodWait("n", "p", "u", 90.0, 100.0, "a")],
        events=[(50.0, "pools", {"pools": [{"name": "big", "price": 2.0, "watts_off": 10, "watts_idle": 100,
                                           "watts_busy": 200}]})],
    )  # fmt: skip
    path = history.path
    history.close()
    return path


def test_the_file_is_read_where_no_daemon_runs(clues, tmp_path: Path) -> None:
    a_history(tmp_path / "state")
    answer = clues("report", "--since", "1970-01-01T00:00:00+00:00", "--until", "1970-01-01T02:00:00+00:00", "--json")
    assert answer.status == 0
    assert "cluesd is not running; read from" in answer.err
    assert answer.json["node_hours"] == pytest.approx(1.0)
    assert answer.json["cost_nodes"] == pytest.approx(2.0)
    assert answer.json["kwh"] == pytest.approx(0.150 + 0.010 * 3500 / 3600)
    assert answer.json["waits"]["p50_s"] == 10.0


def test_the_page_is_written_and_loads_nothing(clues, tmp_path: Path) -> None:
    path = a_history(tmp_path / "elsewhere")
    words = (
        "report",
        "--history",
        str(path),
        "--since",
        "1970-01-01T00:00:00+00:00",
        "--until",
        "1970-01-01T02:00+00:00",
    )
    answer = clues(*words, "--html", "out.html")
    assert (answer.status, answer.out, answer.err) == (0, "", "written: out.html\n")
    page = Page((tmp_path / "out.html").read_text())
    assert page.loads == []
    assert "0.16 kWh" in page.text
    assert clues(*words).out.startswith("node-hours switched on  1.0\n")
    assert clues(*words, "--html", "/nosuch/out.html").status == 2


def test_the_daemon_is_asked_first(clues, control: FakeControl, tmp_path: Path) -> None:
    node = {"type": "node", "at": 100.0, "name": "a", "pool": "p", "machine": "a", "state": "ready", "busy": 0.0}
    control.history = (node, {"type": "nonsense", "at": 101.0}, {"type": "node", "at": 102.0})
    answer = clues("report", "--since", "1970-01-01T00:00:00+00:00", "--until", "1970-01-01T01:00:00+00:00", "--json")
    assert answer.json["node_hours"] == pytest.approx(3500 / 3600)
    assert answer.json["skipped"] == 1


def test_reading_a_file_changes_nothing_in_it(clues, tmp_path: Path) -> None:
    missing = clues("report", "--history", "nosuch.db")
    assert (missing.status, missing.err.splitlines()[0]) == (1, "error: there is no history nosuch.db")
    (tmp_path / "bad.db").write_bytes(b"no database at all" * 100)
    assert clues("report", "--history", "bad.db").status == 1
    assert [path.name for path in tmp_path.glob("bad*")] == ["bad.db"]


def test_a_period_that_ends_before_it_begins_is_wrong_usage(clues) -> None:
    assert clues("report", "--since", "1h", "--until", "2h").status == 2


def test_a_report_is_json_all_through() -> None:
    import msgspec

    report = summarise((), since=0.0, until=10.0)
    assert json.loads(msgspec.json.encode(report)) == json.loads(json.dumps(msgspec.to_builtins(report)))
