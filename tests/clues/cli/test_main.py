"""The commands of the daemon tell the truth about this release."""

import pytest

from clues.cli.main import daemon, main


@pytest.mark.parametrize("program", [main, daemon])
def test_running_it_ends_with_2_and_says_that_nothing_was_started(program, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program([])
    caught = capsys.readouterr()
    assert ended.value.code == 2
    assert caught.out == ""
    assert "not part of this release: nothing was started" in caught.err


@pytest.mark.parametrize("program", [main, daemon])
def test_help_says_what_is_not_there(program, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program(["--help"])
    assert ended.value.code == 0
    assert "not part of this release" in capsys.readouterr().out
