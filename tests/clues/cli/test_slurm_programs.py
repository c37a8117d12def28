"""`clues slurm`: lists of hosts, Slurm's file of jobs, many nodes of which one is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from clues.cli.slurm_programs import each, jobs_of_resume_file, names_of
from infracore.errors import Conflict, InvalidUsage, NotFound
from infracore.exitcodes import ExitCode


def test_host_lists_are_read_or_refused() -> None:
    assert names_of("wn[1-2]") == ("wn1", "wn2")
    for text in ("", "wn[", "(null)"):
        with pytest.raises(InvalidUsage):
            names_of(text)


def test_the_file_of_jobs_in_both_spellings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "resume"
    path.write_text('{"all_nodes_resume": "wn[1-2]", "jobs": [{"job_id": 7, "nodes_resume": "wn[1-2]"}]}')
    assert jobs_of_resume_file(path) == ("7 (wn[1-2])",)
    path.write_text('{"jobs": [{"job_id": 8, "nodes": "wn1", "features": null}]}')
    assert jobs_of_resume_file(path) == ("8 (wn1)",)
    path.write_text("no")
    assert jobs_of_resume_file(path) == ()
    assert jobs_of_resume_file(tmp_path / "gone") == ()
    assert capsys.readouterr().err.count("SLURM_RESUME_FILE is not used") == 2


def test_one_that_is_refused_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def ask(names: Sequence[str]) -> Sequence[str]:
        if "bad" in names:
            raise NotFound("there is no node 'bad'")
        asked.extend(names)
        return [f"{name} is ordered" for name in names]

    def tell(said: Any) -> None:
        assert list(said)

    assert each(["a", "b"], ask, tell) is ExitCode.DONE
    assert each(["a", "bad", "c"], ask, tell) is ExitCode.PARTLY_DONE
    assert asked == ["a", "b", "a", "c"]
    assert "refused: bad" in capsys.readouterr().err
    with pytest.raises(NotFound):
        each(["bad"], ask, tell)

    def never(names: Sequence[str]) -> Sequence[str]:
        raise Conflict(f"this daemon does not lead: {len(names)}")

    assert each(["a", "b"], never, tell) is ExitCode.FAILED
