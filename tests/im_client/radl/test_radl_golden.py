"""Documents on disk: every problem at its place in exactly these words, every topology in full."""

from pathlib import Path

import pytest

from im_client.template.problems import Level
from tests.im_client.radl.golden import (
    BROKEN,
    GOOD,
    analysed,
    cases,
    expected_problems,
    expected_topology,
    problem_lines,
    topology_text,
)

ONLY_WARNINGS = {"ignored.radl", "parameters.radl"}


@pytest.mark.parametrize("case", cases(BROKEN))
def test_a_broken_document_gives_exactly_these_problems(case: str, tmp_path: Path) -> None:
    assert problem_lines(analysed(BROKEN, case, tmp_path), BROKEN, tmp_path) == expected_problems()[case]


@pytest.mark.parametrize("case", cases(BROKEN))
def test_an_error_leaves_no_topology_and_a_warning_does(case: str, tmp_path: Path) -> None:
    analysis = analysed(BROKEN, case, tmp_path)
    assert (analysis.topology is None) == (case not in ONLY_WARNINGS)
    assert any(p.level is Level.ERROR for p in analysis.problems) == (case not in ONLY_WARNINGS)


@pytest.mark.parametrize("case", sorted(set(cases(BROKEN)) - {"not-utf8.radl"}))
def test_every_problem_shows_its_line(case: str, tmp_path: Path) -> None:
    lines = (BROKEN / case).read_text(encoding="utf-8").split("\n")
    for problem in analysed(BROKEN, case, tmp_path).problems:
        assert problem.source_line == lines[problem.line - 1][:240], problem
        assert problem.column <= len(lines[problem.line - 1]) + 1, problem


@pytest.mark.parametrize("case", cases(GOOD))
def test_a_good_document_lowers_to_exactly_this_topology(case: str, tmp_path: Path) -> None:
    analysis = analysed(GOOD, case, tmp_path)
    assert analysis.problems == ()
    assert topology_text(case, tmp_path) == expected_topology(case).read_text(encoding="utf-8")


def test_every_broken_document_is_expected_to_say_something() -> None:
    assert sorted(expected_problems()) == cases(BROKEN)
    assert all(expected_problems().values())
