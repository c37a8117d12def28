"""The Grafana board asks for metrics and labels that cluesd exports, and has what Grafana's import wants."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BOARD: dict[str, Any] = json.loads((ROOT / "grafana" / "clues.json").read_text())
_SUFFIX = re.compile(r"_(bucket|sum|count)$")
_ROW = re.compile(r"^\| `(clues_\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)
_ROWS = _ROW.findall((ROOT / "docs" / "reference" / "metrics.md").read_text())
METRICS = {name: {label.strip() for label in labels.split(",") if label.strip()} for name, _, labels in _ROWS}
KINDS = {name: kind for name, kind, _ in _ROWS}
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_an_expression_names_what_is_exported(title: str, expression: str) -> None:
    names = re.findall(r"\bclues_\w+", expression)
    assert names, title
    labels: set[str] = set()
    for name in names:
        known = name if name in METRICS else _SUFFIX.sub("", name)
        assert known in METRICS, f"{title}: {name} is no metric"
        labels |= METRICS[known]
        assert (KINDS[known] == "histogram") == (name != known), f"{title}: {name} is a {KINDS[known]}"
        assert ("rate(" in expression or "increase(" in expression) == (KINDS[known] != "gauge"), title
    asked = {word for group in re.findall(r"by \(([^)]*)\)", expression) for word in re.split(r",\s*", group)}
    asked |= set(re.findall(r'[{,](\w+)=~?"', expression))
    assert asked - labels <= {"job", "le"}, f"{title}: labels {asked - labels}"


def test_every_metric_but_the_daemons_clocks_is_shown() -> None:
    shown = {_SUFFIX.sub("", name) for _, text in EXPRESSIONS for name in re.findall(r"\bclues_\w+", text)}
    assert METRICS.keys() - shown == {"clues_last_pass_timestamp_seconds", "clues_watch_complete"}


def test_it_can_be_imported() -> None:
    assert BOARD["schemaVersion"] >= 36
    assert "id" not in BOARD  # Grafana gives it one
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert BOARD["templating"]["list"][0]["type"] == "datasource"
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
