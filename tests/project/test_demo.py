"""The picture that `make demo` draws in the terminal."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def timeline(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_timeline", ROOT / "scripts" / "demo_timeline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_each_job_and_worker_has_a_line_with_a_mark_a_second(timeline: ModuleType) -> None:
    samples = [
        timeline.Sample(100.0, {"1": "pending"}, {}),
        timeline.Sample(101.2, {"1": "pending"}, {"worker-1": "booting"}),
        timeline.Sample(103.0, {"1": "running"}, {"worker-1": "busy"}),
        timeline.Sample(104.0, {}, {"worker-1": "draining"}),
        timeline.Sample(105.0, {}, {}),
    ]
    axis, job, worker, *_ = timeline.draw(samples, 80).splitlines()
    assert axis.strip() == "0 s"
    assert job == "job 1     ···█"
    assert worker == "worker-1   ░░█▚"


def test_a_long_story_fits_the_terminal(timeline: ModuleType) -> None:
    samples = [timeline.Sample(float(second), {"1": "running"}, {}) for second in range(1000)]
    drawn = timeline.draw(samples, 60)
    assert max(len(line) for line in drawn.splitlines()[:2]) <= 64  # the last number of the axis may stand out
    assert "900 s" in drawn
    assert timeline.draw([], 60) == ""
