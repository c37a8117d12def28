"""Drains, waits, resumes: against a scontrol and a squeue that keep one node in a file."""

from pathlib import Path

import pytest

from clues.drain.slurm import SlurmDrain
from clues.slurmapi.commands import Slurm
from infracore.errors import NotFound

_SCONTROL = """\
import pathlib, sys
file, words = pathlib.Path(__file__).parent / "node", sys.argv[1:]
state, reason = file.read_text().splitlines()
if "update" in words:
    given = dict(word.split("=", 1) for word in words[1:])
    assert given["NodeName"] == "wn1"
    to = given["State"]
    state = {"DRAIN": state + "+DRAIN", "RESUME": "IDLE", "DOWN": state.replace("IDLE", "DOWN")}[to]
    file.write_text(state + "\\n" + given.get("Reason", "") + "\\n")
elif words[-1] != "wn1":
    sys.exit("slurm_load_node error: Invalid node name specified")
else:
    print(f"NodeName=wn1 CPUAlloc=0 CPUTot=4 RealMemory=100 State={state} SlurmdStartTime=5 Reason={reason} [root@1]")
"""


class Rig:
    """A node, and the jobs on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name, body in (
            ("scontrol", _SCONTROL),
            ("squeue", "import pathlib\nprint((pathlib.Path(__file__).parent / 'jobs').read_text())"),
        ):
            path = folder / name
            path.write_text(f"#!/usr/bin/env python3\n{body}")
            path.chmod(0o755)
        self.set("IDLE")
        self.run(())
        self.drain = SlurmDrain(Slurm(str(folder), reading="text"))

    def set(self, state: str, reason: str = "") -> None:
        (self._folder / "node").write_text(f"{state}\n{reason}\n")

    def run(self, jobs: tuple[str, ...]) -> None:
        line = "{0}|{0}|{0}|N/A|main|{1}|1|1|1|0|N/A|OK|1|1:00|0|||wn1|(null)|(null)|None|(null)"
        (self._folder / "jobs").write_text("\n".join(line.format(*job.split()) for job in jobs))

    def node(self) -> tuple[str, str]:
        state, reason = (self._folder / "node").read_text().splitlines()
        return state, reason


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_node_is_drained_with_our_reason_parked_and_resumed(rig: Rig) -> None:
    rig.drain.cordon("wn1")
    assert rig.node() == ("IDLE+DRAIN", "clues: it is to be powered off")
    rig.drain.cordon("wn1")
    assert rig.drain.is_empty("wn1")
    rig.drain.park("wn1")
    assert rig.node() == ("DOWN+DRAIN", "clues: powered off")
    rig.drain.park("wn1")
    rig.drain.uncordon("wn1")
    assert rig.node()[0] == "IDLE"
    rig.drain.uncordon("wn1")


def test_a_drain_of_a_person_is_neither_changed_nor_ended(rig: Rig) -> None:
    rig.set("IDLE+DRAIN", "bad disk")
    for call in (rig.drain.cordon, rig.drain.park, rig.drain.uncordon, rig.drain.delete_node):
        call("wn1")
        assert rig.node() == ("IDLE+DRAIN", "bad disk")
    rig.set("DOWN", "bad disk")
    rig.drain.uncordon("wn1")
    assert rig.node() == ("DOWN", "bad disk")


def test_a_job_keeps_a_node_and_is_never_ended(rig: Rig) -> None:
    rig.set("MIXED+DRAIN", "clues: it is to be powered off")
    rig.run(("12 RUNNING", "13 COMPLETING", "14 PENDING"))
    pods = rig.drain.pods_on("wn1")
    assert [pod.name for pod in pods] == ["12", "13"]
    answer = rig.drain.evict([pod.ref for pod in pods], force=True)
    assert (answer.accepted, len(answer.refused)) == ((), 2)
    assert not rig.drain.is_empty("wn1")
    rig.set("IDLE+DRAIN", "clues: it is to be powered off")
    assert not rig.drain.is_empty("wn1")  # squeue still has one
    rig.run(())
    assert rig.drain.is_empty("wn1")
    rig.set("MIXED+DRAIN", "clues: it is to be powered off")
    rig.drain.park("wn1")
    assert rig.node()[0] == "MIXED+DRAIN"  # DOWN would end its jobs


def test_a_node_that_was_resumed_meanwhile_is_not_empty(rig: Rig) -> None:
    rig.set("IDLE")
    assert not rig.drain.is_empty("wn1")


def test_what_slurm_itself_powers_down_is_left_to_it(rig: Rig) -> None:
    rig.set("IDLE+CLOUD+POWERING_DOWN")
    for call in (rig.drain.cordon, rig.drain.park, rig.drain.uncordon):
        call("wn1")
    assert rig.node()[0] == "IDLE+CLOUD+POWERING_DOWN"
    assert rig.drain.is_empty("wn1")


def test_what_is_absent_is_as_good_as_done_but_for_cordoning(rig: Rig) -> None:
    with pytest.raises(NotFound):
        rig.drain.cordon("wn2")
    rig.drain.uncordon("wn2")
    rig.drain.park("wn2")
    assert rig.drain.is_empty("wn2")
