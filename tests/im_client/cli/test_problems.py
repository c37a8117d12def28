"""How a problem of a template reads."""

from im_client.cli.problems import problem_lines
from im_client.template.problems import Code, Level, Problem


def test_a_problem_shows_its_place_its_line_a_caret_and_a_hint() -> None:
    problem = Problem(
        "t.yaml", 7, 9, Code.UNKNOWN_PROPERTY, "no property 'nmu_cpus'", "did you mean num_cpus?", Level.ERROR,
        "        nmu_cpus: 2",
    )  # fmt: skip
    assert problem_lines(problem) == [
        "t.yaml:7:9: unknown-property: no property 'nmu_cpus'",
        "    7 |         nmu_cpus: 2",
        "      |         ^",
        "      hint: did you mean num_cpus?",
    ]


def test_the_caret_stands_below_the_column_after_wide_characters() -> None:
    problem = Problem("t.yaml", 1, 4, Code.WRONG_TYPE, "m", source_line="世界: x")
    assert problem_lines(problem)[1:] == ["    1 | 世界: x", "      |      ^"]


def test_a_warning_says_so() -> None:
    problem = Problem("t.yaml", 1, 1, Code.IGNORED, "m", level=Level.WARNING)
    assert problem_lines(problem) == ["t.yaml:1:1: ignored: warning: m"]


def test_a_long_line_is_cut_round_the_column() -> None:
    problem = Problem("t.yaml", 1, 5001, Code.WRONG_TYPE, "m", source_line="a" * 5000 + "X" + "b" * 5000)
    line, caret = problem_lines(problem)[1:]
    assert len(line) < 200
    assert line[caret.index("^")] == "X"


def test_escape_sequences_of_a_template_are_not_sent_to_the_terminal() -> None:
    problem = Problem("t\x1b.yaml", 1, 3, Code.WRONG_TYPE, "\x1b]0;owned\x07", source_line="\x1b[2Jx")
    assert not any("\x1b" in line for line in problem_lines(problem))
