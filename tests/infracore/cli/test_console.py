"""The two streams where they are closed, full, or of an encoding that lacks most of the world's letters."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from infracore.cli.console import print_data, print_json, print_text, say
from infracore.errors import InfraError

PROGRAM = """
import click
from infracore.cli.console import print_data, print_json, say
from infracore.cli.program import Program

@click.command()
@click.argument("how")
def command(how):
    say("told")
    {"data": lambda: print_data("a"), "json": lambda: print_json({"a": 1}), "echo": lambda: click.echo("a")}[how]()

import sys
sys.exit(Program("thing", command, "THING_DEBUG").run(sys.argv[1:]))
"""


def end_of(how: str, redirection: str) -> tuple[int, str, str]:
    words = ["sh", "-c", f'exec "$0" -c "$1" {how} {redirection}', sys.executable, PROGRAM]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=Path.cwd())
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("how", ["data", "json", "echo"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_was_closed_is_none_of_a_commands_business(how: str, closed: str) -> None:
    code, out, err = end_of(how, closed)
    assert code == 0
    assert out == ("" if ">&- " in f"{closed} ".replace("2>&-", "") else {"json": '{\n  "a": 1\n}\n'}.get(how, "a\n"))
    assert err == ("" if "2>&-" in closed else "told\n")


@pytest.mark.parametrize("how", ["data", "json", "echo"])
def test_output_that_cannot_be_written_is_a_failure_and_no_defect(how: str) -> None:
    code, _, err = end_of(how, ">/dev/full")
    assert code == 1
    assert "error: cannot write" in err
    assert "No space left on device" in err
    assert "defect" not in err


def test_nobody_hears_that_standard_error_is_full() -> None:
    assert end_of("data", "2>/dev/full")[:2] == (0, "a\n")


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_an_error_of_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Full())
    for write in (lambda: print_text("a"), lambda: print_json(1), lambda: print_data("a")):
        with pytest.raises(InfraError, match="cannot write the output: No space left on device"):
            write()
    monkeypatch.setattr("sys.stderr", Full())
    say("nobody hears this")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_no_json_holds_what_json_has_no_word_for(number: float, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InfraError, match="infinite or none"):
        print_json({"price": [number]})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16"])
def test_json_is_json_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr("sys.stdout", stream)
    print_json({"currency": "é €😀"})
    stream.flush()
    assert json.loads(raw.getvalue().decode(encoding)) == {"currency": "é €😀"}
    assert (b"\\u" in raw.getvalue()) == (not encoding.startswith("utf"))
