"""`clues import` as it is typed: what is written passes `clues config check`, and what cannot is not written."""

from pathlib import Path
from typing import Any

GENERAL = "[general]\nLRMS_CLASS=cluesplugins.{lrms}\nPOWERMANAGER_CLASS=cluesplugins.wol\n[WOL]\nWOL_HOSTS_FILE=h\n"


def folder(tmp_path: Path, hosts: str, lrms: str = "slurm") -> str:
    place = tmp_path / "clues2"
    place.mkdir()
    (place / "clues2.cfg").write_text(GENERAL.format(lrms=lrms))
    (place / "h").write_text(hosts)
    return str(place)


def test_what_is_written_passes_the_check(clues: Any, tmp_path: Path) -> None:
    done = clues("import", folder(tmp_path, "52:54:00:00:00:01 wn1\n"), "--out", "new.yaml")
    assert done.status == 0, done.err
    assert clues("config", "check", "new.yaml").status == 0


def test_a_wrong_address_is_an_error_and_nothing_is_written_or_printed(clues: Any, tmp_path: Path) -> None:
    place = folder(tmp_path, "52:54:00:00:00:01 wn1\n10.0.0.2 wn2\n")
    for words in (["--out", "new.yaml"], [], ["--json"]):
        done = clues("import", place, *words)
        assert (done.status, done.out) == (2, "")
        assert f"{place}/h:2: pool workers: machine wn2: '10.0.0.2' is no MAC address" in done.err
    assert not (tmp_path / "new.yaml").exists()


def test_settings_with_a_gap_are_printed_and_not_written(clues: Any, tmp_path: Path) -> None:
    place = folder(tmp_path, "52:54:00:00:00:01 wn1\n", "kubernetes")
    done = clues("import", place, "--out", "new.yaml")
    assert done.status == 2
    assert "still to be set: pool workers: allocatable" in done.err
    assert not (tmp_path / "new.yaml").exists()
    done = clues("import", place)
    assert done.status == 0
    assert "# still to be set: pool workers: allocatable" in done.out
