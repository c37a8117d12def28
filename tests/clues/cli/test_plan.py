"""`clues plan` answers scenarios, verdict lines and dumps, and says by its exit code what it could not read."""

import json
import os
from pathlib import Path

import pytest

from clues.cli.main import run
from infracore.exitcodes import ExitCode

GOOD = """
scenarios:
- id: A1
  title: One pod, one node
  pools: [{name: p, cpu: 4, memory: 8Gi}]
  pods: [{name: w, cpu: 1}, {name: giant, cpu: 64}]
"""
CONFIG = """
drivers: {mine: {type: fake}}
pools: [{name: p, driver: mine, max: 5, allocatable: {cpu: 4, memory: 8Gi}, boot_s: 30}]
"""
LINE = {
    "id": "P1",
    "nodes": [{"name": "n1", "cpu": 4, "memory": "4Gi"}, {"name": "n2", "cpu": 1, "memory": "4Gi", "taints": []}],
    "pods": [{"name": "run", "cpu": 1, "node": "n1"}, {"name": "new", "cpu": 2}],
}


def _file(tmp_path: Path, name: str, text: str) -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_scenarios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--scenario", _file(tmp_path, "s.yaml", GOOD), "--json"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == {"A1": {"scale_up": {"p": 1}, "unschedulable": ["giant"]}}


def test_one_wrong_scenario_is_told_and_the_others_answered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _file(tmp_path, "s.yaml", GOOD + "- {id: A2, podz: []}\n- {id: A3, pools: [{name: p, cpu: much}]}\n")
    assert run(["plan", "--scenario", path, "--json"]) == ExitCode.INVALID
    told = capsys.readouterr()
    assert list(json.loads(told.out)) == ["A1"]
    assert "A2" in told.err
    assert "A3" in told.err


def test_the_reasoning_on_one_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--scenario", _file(tmp_path, "s.yaml", GOOD), "--only", "A1"]) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "default/giant" in told
    assert "NodeResourcesFit" in told


def test_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _file(tmp_path, "v.jsonl", json.dumps(LINE) + "\n")
    assert run(["plan", "--fits", path, "--json"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == {"id": "P1", "verdict": {"new": {"n1": "", "n2": "NodeResourcesFit"}}}
    wrong = json.dumps({**LINE, "verdict": {"new": {"n1": "NodePorts", "n2": "NodeResourcesFit"}}})
    assert run(["plan", "--fits", _file(tmp_path, "w.jsonl", wrong)]) == ExitCode.FAILED
    assert "1 differ" in capsys.readouterr().err
    broken = _file(tmp_path, "b.jsonl", "{}\n" + json.dumps(LINE))
    assert run(["plan", "--fits", broken, "--json"]) == ExitCode.INVALID
    assert json.loads(capsys.readouterr().out)["id"] == "P1"


def test_a_dump_and_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pod = {
        "kind": "Pod",
        "metadata": {"name": "w", "namespace": "default", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"schedulerName": "default-scheduler", "containers": [{"resources": {"requests": {"cpu": "3"}}}]},
        "status": {"phase": "Pending"},
    }
    dump = _file(tmp_path, "d.json", json.dumps({"kind": "List", "items": [pod]}))
    config = _file(tmp_path, "clues.yaml", CONFIG)
    record = tmp_path / "one.clues"
    words = ["plan", "--objects", dump, "--config", config, "--record", str(record), "--json"]
    assert run(words) == ExitCode.DONE
    decided = json.loads(capsys.readouterr().out)
    assert [(order["pool"], order["count"]) for order in decided["power_on"]] == [("p", 1)]
    assert decided["read"] == {"Pod": 1}
    assert run(["replay", str(record)]) == ExitCode.DONE
    assert "equal" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["--scenario", "a", "--fits", "b"],
        ["--only", "A1"],
        ["--record", "x"],
        ["--scenario", "no-such-file"],
        ["--fits", "no-such-file"],
    ],
)
def test_wrong_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *words]) != ExitCode.DONE
    told = capsys.readouterr()
    assert told.err.startswith("error:")
    assert "defect" not in told.err


def test_a_record_takes_the_place_of_nothing_but_a_plain_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root it once replaced /dev/full."""
    dump = _file(
        tmp_path, "dump.json", json.dumps({"kind": "List", "items": [{"kind": "Node", "metadata": {"name": "n"}}]})
    )
    config = _file(tmp_path, "clues.yaml", CONFIG)
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("target").write_text("mine")
    Path("link").symlink_to("target")
    for name in ("pipe", "folder", "link", "", "."):
        assert run(["plan", "--objects", dump, "--config", config, "--record", name]) == ExitCode.INVALID, name
        assert "is no plain file" in capsys.readouterr().err
    assert Path("pipe").is_fifo()
    assert (Path("link").is_symlink(), Path("target").read_text()) == (True, "mine")
    assert run(["plan", "--objects", dump, "--config", config, "--record", "target"]) == ExitCode.DONE
    assert Path("target").read_bytes() != b"mine"


@pytest.mark.parametrize("flag", ["--fail", "--jitter"])
def test_a_share_that_is_no_number_is_wrong_usage(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load = _file(tmp_path, "w.yaml", "jobs: [{name: a, count: 3, cpu: 2, run: 10m}]")
    words = ["simulate", "--workload", load, "--config", _file(tmp_path, "clues.yaml", CONFIG), flag, "nan"]
    assert run(words) == ExitCode.INVALID
    assert "no number that can be counted with" in capsys.readouterr().err


def test_simulations_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = _file(tmp_path, "w.yaml", "jobs: [{name: a, count: 3, cpu: 2, run: 10m}]")
    config = _file(tmp_path, "quick.yaml", CONFIG)
    other = _file(tmp_path, "slow.yaml", CONFIG.replace("boot_s: 30", "boot_s: 300"))
    words = ["simulate", "--workload", load, "--config", config, "--compare", other]
    assert run([*words, "--json"]) == ExitCode.DONE
    quick, slow = json.loads(capsys.readouterr().out)["results"]
    assert (quick["name"], slow["name"]) == ("quick", "slow")
    assert quick["finished"] == slow["finished"] == 3
    assert quick["wait_mean_s"] < slow["wait_mean_s"]
    assert run(words) == ExitCode.DONE
    told = capsys.readouterr().out
    assert "quick" in told
    assert "node hours" in told


@pytest.mark.parametrize("kind", ["--objects", "--scenario", "--fits"])
@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_one_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, text: str
) -> None:
    path = _file(tmp_path, "empty", text)
    config = ["--config", _file(tmp_path, "clues.yaml", CONFIG)] if kind == "--objects" else []
    assert run(["plan", kind, path, *config]) == ExitCode.INVALID
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: {path} is empty\n")


def test_an_empty_settings_file_is_one_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", _file(tmp_path, "clues.yaml", "")]) == ExitCode.INVALID
    assert "clues.yaml says nothing: there are no pools" in capsys.readouterr().err


def test_an_object_without_a_name_is_set_aside_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = {"kind": "Node", "metadata": {"name": "n"}}
    path = _file(tmp_path, "d.json", json.dumps({"kind": "List", "items": [node, {"kind": "Pod", "metadata": {}}]}))
    config = _file(tmp_path, "clues.yaml", CONFIG)
    assert run(["plan", "--objects", path, "--config", config, "--json"]) == ExitCode.DONE
    told = capsys.readouterr()
    assert "set aside: document 1: item 1: this Pod has no metadata.name" in told.err
    assert json.loads(told.out)["set_aside"] == ["document 1: item 1: this Pod has no metadata.name"]
