"""Running Slurm's commands, as far as programs of the test can stand for them; the real ones: tests/slurm."""

from pathlib import Path

import pytest

from clues.slurmapi.commands import Slurm
from infracore.errors import CommandFailed, InfraError, Misconfigured, NotFound, Transient, Unauthorised

LINE = "9|9|9|N/A|main|PENDING|1|1|1|100M|N/A|OK|10|UNLIMITED|1796015742||||(null)|(null)|Resources|(null)"


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "$0 $*" >>{folder}/calls\n{script}\n')
    path.chmod(0o755)


def calls(folder: Path) -> list[str]:
    return [
        Path(line.split()[0]).name + " " + " ".join(line.split()[1:])
        for line in (folder / "calls").read_text().splitlines()
    ]


def test_json_is_used_where_squeue_has_it_and_asked_for_once_where_not(tmp_path: Path) -> None:
    program(
        tmp_path, "squeue", f'[ "$1" = --json ] && {{ echo "squeue: unrecognized option" >&2; exit 1; }}\necho "{LINE}"'
    )
    slurm = Slurm(str(tmp_path))
    assert [item.job.id for item in slurm.jobs().jobs] == [9]
    assert [item.job.id for item in slurm.jobs().jobs] == [9]
    assert [call.split()[1] for call in calls(tmp_path)] == ["--json", *["-h"] * 4]  # and -O once
    assert sum(" -O " in call for call in calls(tmp_path)) == 1
    with pytest.raises(CommandFailed):
        Slurm(str(tmp_path), reading="json").jobs()
    program(tmp_path, "squeue", 'echo "{\\"jobs\\": [], \\"errors\\": []}"')
    assert Slurm(str(tmp_path)).jobs().jobs == ()
    program(tmp_path, "squeue", 'echo "not JSON"')
    with pytest.raises(Transient, match="cannot be read"):
        Slurm(str(tmp_path), reading="json").jobs()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("slurm_load_node: Unable to contact slurm controller (connect failure)", Transient),
        ("slurm_update error: Invalid node name specified", NotFound),
        ("slurm_update error: Access/permission denied", Unauthorised),
        ("something else", CommandFailed),
    ],
)
def test_failures_are_told_apart(tmp_path: Path, said: str, error: type[InfraError]) -> None:
    program(tmp_path, "scontrol", f"echo '{said}' >&2; exit 1")
    with pytest.raises(error):
        Slurm(str(tmp_path)).update("wn1", State="RESUME")


def test_a_program_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is not installed"):
        Slurm(str(tmp_path)).nodes()


@pytest.mark.parametrize("name", ["ALL", "wn[1-4]", "a,b", "", "-x y", "a=b"])
def test_nothing_but_one_name_reaches_a_command(tmp_path: Path, name: str) -> None:
    program(tmp_path, "scontrol", "exit 0")
    with pytest.raises(NotFound):
        Slurm(str(tmp_path)).update(name, State="DOWN")
    assert not (tmp_path / "calls").exists()


def test_slurm_conf_is_named_to_the_commands(tmp_path: Path) -> None:
    program(tmp_path, "scontrol", f'echo "$SLURM_CONF $SLURM_TIME_FORMAT" >{tmp_path}/env')
    assert Slurm(str(tmp_path), "/etc/other.conf").nodes().nodes == ()
    assert (tmp_path / "env").read_text().split() == ["/etc/other.conf", "%s"]
