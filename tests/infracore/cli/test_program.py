"""How every program ends: messages, exit codes, and tracebacks only for those who ask."""

import click
import pytest

from infracore.cli.program import Program, completion_script, version_option
from infracore.errors import Locked, NotFound, Several
from infracore.exitcodes import ExitCode


def program(work: object = None, **fields: object) -> Program:
    @click.command()
    @version_option("thing")
    @click.option("--debug", is_flag=True)
    def command(debug: bool) -> int | None:
        if isinstance(work, BaseException):
            raise work
        return work  # type: ignore[return-value]

    return Program("thing", command, "THING_DEBUG", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        (None, 0, ""),
        (3, 3, ""),
        (NotFound("no x", "make one"), 1, "error: no x\nhint: make one\n"),
        (Locked("busy"), 6, "error: busy\n"),
        (Several([Locked("a"), Locked("b\x1b[2J")]), 6, "error: a\nerror: b\\x1b[2J\n"),
        (click.Abort(), 130, "\ninterrupted: nothing more was started\n"),
        (BrokenPipeError(), 0, ""),
        (click.ClickException("Bad \x07 word"), 2, "error: bad \\x07 word\n"),
    ],
)
def test_every_end_has_its_code_and_its_words(
    work: object, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program(work).run([]) == code
    caught = capsys.readouterr()
    assert (caught.out, caught.err) == ("", said)


def test_a_defect_is_said_with_its_place_and_how_to_report_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert program(ZeroDivisionError("oops")).run([]) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert said.startswith("error: thing has a defect: ZeroDivisionError at ")
    assert "THING_DEBUG=1 thing ..." in said
    assert "Traceback" not in said


@pytest.mark.parametrize("asked", ["flag", "environment"])
def test_a_traceback_is_for_those_who_ask(
    asked: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if asked == "environment":
        monkeypatch.setenv("THING_DEBUG", "1")
    words = ["--debug"] if asked == "flag" else []
    assert program(NotFound("no x")).run(words) == 1
    assert "Traceback" in capsys.readouterr().err


def test_errors_are_said_by_the_programs_own_function(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    assert program(NotFound("no x"), say=lambda error: said.append(error.message)).run([]) == 1
    assert said == ["no x"]
    assert capsys.readouterr().err == ""


def test_the_version_and_the_completion_bear_the_programs_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert program().run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("thing ")
    assert "_THING_COMPLETE" in completion_script(program().command, "thing", "bash")
