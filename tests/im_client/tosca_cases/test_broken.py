"""Broken templates: every problem, at its line and column, in exactly these words."""

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from im_client.services.templates import FileReader
from im_client.template.problems import Code, Level
from im_client.tosca.front import analyse
from tests.im_client.tosca_cases.golden import BROKEN, analysed, cases, expected_problems, problem_lines

CODE_OF_LINE = re.compile(r"^[^:]+(?::\d+:\d+)?: ([a-z-]+): ")
WITHOUT_CASE: dict[Code, str] = dict.fromkeys(
    (Code.RADL_SYNTAX, Code.JSON_SYNTAX, Code.BAD_RECIPE), "of RADL only: tests/golden/radl/broken"
)
"""Codes that no template of this folder can bring about, with the reason."""


@pytest.mark.parametrize("case", cases(BROKEN))
def test_a_broken_template_gives_exactly_these_problems(case: str, tmp_path: Path) -> None:
    expected = expected_problems()
    assert problem_lines(analysed(BROKEN, case, tmp_path), BROKEN, tmp_path) == expected[case]


@pytest.mark.parametrize(
    "case", sorted(set(cases(BROKEN)) - {"ignored.yaml", "type-conflict.yaml", "missing-input.yaml", "no-host.yaml"})
)
def test_a_broken_template_has_an_error_and_no_topology(case: str, tmp_path: Path) -> None:
    analysis = analysed(BROKEN, case, tmp_path)
    assert analysis.topology is None
    assert any(problem.level is Level.ERROR for problem in analysis.problems)


def test_every_code_has_a_broken_template() -> None:
    shown = {
        match[1] for lines in expected_problems().values() for line in lines if (match := CODE_OF_LINE.match(line))
    }
    shown |= {"unreadable", "bad-archive"}  # the tests below
    assert sorted(set(Code) - shown - set(WITHOUT_CASE)) == []
    assert sorted(shown - set(Code)) == []


def test_a_template_that_is_not_there_is_one_problem(tmp_path: Path) -> None:
    analysis = analyse(str(tmp_path / "absent.yaml"), FileReader(tmp_path, offline=True))
    assert [(p.line, p.column, p.code) for p in analysis.problems] == [(1, 1, Code.UNREADABLE)]


def test_a_folder_is_no_template(tmp_path: Path) -> None:
    analysis = analyse(str(tmp_path), FileReader(tmp_path, offline=True))
    assert [p.code for p in analysis.problems] == [Code.UNREADABLE]


@pytest.mark.parametrize("name", ["../escape.yaml", "/etc/escape.yaml", "a/../../escape.yaml"])
def test_an_archive_whose_names_lead_outside_is_refused(name: str, tmp_path: Path) -> None:
    archive = tmp_path / "bad.csar"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("template.yaml", "tosca_definitions_version: tosca_simple_yaml_1_3\n")
        file.writestr(name, "x")
    analysis = analyse(str(archive), FileReader(tmp_path, offline=True))
    assert [p.code for p in analysis.problems] == [Code.BAD_ARCHIVE]
    assert analysis.topology is None


def test_a_file_that_only_claims_to_be_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.csar").write_bytes(b"PK\x03\x04 and no more")
    analysis = analyse(str(tmp_path / "cut.csar"), FileReader(tmp_path, offline=True))
    assert [p.code for p in analysis.problems] == [Code.BAD_ARCHIVE]


def test_a_missing_input_stops_a_deployment(tmp_path: Path) -> None:
    analysis = analyse(str(BROKEN / "missing-input.yaml"), FileReader(tmp_path, offline=True))
    assert [(p.code, p.level) for p in analysis.problems] == [(Code.MISSING_INPUT, Level.ERROR)]
    assert analysis.topology is None


def test_every_problem_shows_its_line(tmp_path: Path) -> None:
    for case in cases(BROKEN):
        if case.startswith("csar") or case == "not-utf8.yaml":
            continue
        for problem in analysed(BROKEN, case, tmp_path).problems:
            line = Path(problem.file).read_text(encoding="utf-8").split("\n")[problem.line - 1]
            assert problem.source_line == line[:240], problem
            assert problem.column <= len(line) + 1, problem


def test_a_broken_template_says_the_same_from_another_folder(tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(BROKEN, moved)
    for case in ("import-cycle.yaml", "wrong-type.yaml"):
        assert problem_lines(analysed(moved, case, tmp_path), moved, tmp_path) == expected_problems()[case]
