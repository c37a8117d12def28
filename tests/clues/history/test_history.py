"""The history: what is stored comes back, damage is set aside, a full disk is said."""

import contextlib
import os
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from clues.decision import Decision, Memory, NodeVerdict, PodVerdict, PoolRest, PowerOn, RemovalKind
from clues.history import ActionKind, ActionRecord, History, MachineRecord, NodeChange, Phase, PodWait, Unwritable
from clues.history.recording import Recording, decode_recording, encode_recording, read_recording
from clues.model import Claim, HostPort, Node, Pod, PodRef, PodSpec, Toleration
from clues.options import Policy, Pool
from clues.snapshot import Machine, MachineState, NodeState, Snapshot
from infracore.errors import Conflict, Misconfigured, NotFound

NOW = 1_700_000_000.0


@pytest.fixture
def history(tmp_path: Path):
    found = History(tmp_path / "state", now=NOW)
    yield found
    found.close()


def action(token: str = "t1", **fields) -> ActionRecord:
    return ActionRecord(**{"token": token, "kind": ActionKind.POWER_ON, "pool": "p", "created_at": NOW, **fields})


def test_open_actions_come_back_whole_after_a_restart(history: History, tmp_path: Path) -> None:
    first = action(phase=Phase.ORDERING, since=NOW, pods=(PodRef("ns", "a", "u"),), reason="because")
    second = action("t2", kind=ActionKind.POWER_OFF, removal=RemovalKind.UNDERUSED, evict=(PodRef("ns", "b"),))
    history.put_actions([first, second], intent=True)
    history.put_actions([action("t3", phase=Phase.DONE, since=NOW + 1)])
    # no close: as after kill -9
    again = History(tmp_path / "state", now=NOW)
    assert again.open_actions() == (first, second)
    assert again.known_tokens(["t1", "t3", "other"]) == {"t1", "t3"}
    assert again.action("t3").phase is Phase.DONE
    again.close()


def test_an_action_has_one_row_and_a_step_for_each_phase(history: History) -> None:
    for seconds, phase in enumerate((Phase.QUEUED, Phase.ORDERING, Phase.BOOTING, Phase.DONE)):
        history.put_actions([action(phase=phase, since=NOW + seconds)])
    (record,) = [r for r in history.records(since=NOW, until=NOW + 10) if r["type"] == "action"]
    assert [step["phase"] for step in record["steps"]] == ["queued", "ordering", "booting", "done"]
    assert history.open_actions() == ()


def test_memory_machines_and_kept_values_come_back(history: History) -> None:
    assert history.memory() == Memory()
    memory = Memory(
        unneeded_since={"n": 1.0},
        rests={"p": PoolRest(1.0, 2.0, 3.0, "why")},
        planned={"uid": "p/t"},
        last_scale_up=5.0,
    )
    history.put_memory(memory, NOW)
    assert history.memory() == memory
    record = MachineRecord(Machine("m", "p", MachineState.OFF, NOW, failures=2, held=True), reason="mine")
    history.put_machines([record])
    history.put_machines([record])
    assert history.machines() == (record,)
    history.remove_machines([("p", "m")])
    assert history.machines() == ()
    history.keep("paused", "lunch", NOW)
    assert history.kept("paused", str) == "lunch"
    assert history.kept("paused", int) is None
    assert history.kept("nothing", str) is None


def test_records_begin_with_the_state_at_the_beginning(history: History) -> None:
    pools = {"pools": [{"name": "p", "price": 1.0}]}
    history.add(
        nodes=[NodeChange(1, "a", "p", "a", "booting"), NodeChange(2, "a", "p", "a", "ready", 0.5)],
        events=[(1, "pools", pools)],
    )
    history.add(nodes=[NodeChange(3, "b", "p", "b", "ready"), NodeChange(4, "b", "p", "b", "gone")])
    history.add(nodes=[NodeChange(12, "a", "p", "a", "off")], waits=[PodWait("ns", "x", "u", 10, 13, "a")])
    decision = Decision(
        14.0,
        power_on=(PowerOn("p", 1),),
        nodes=(NodeVerdict("a", None),),
        pods=(PodVerdict(tuple(PodRef("n", str(i)) for i in range(90)), "ordered"),),
        memory=Memory(last_scale_up=14.0),
    )
    history.add(decision=decision, pass_ms=1.5, pending=90, memory=decision.memory)
    found = list(history.records(since=10, until=20))
    assert [(r["type"], r["at"], r.get("initial", False)) for r in found] == [
        ("pools", 10, True),
        ("node", 10, True),
        ("node", 12, False),
        ("pod", 13, False),
        ("decision", 14, False),
    ]
    assert found[1]["state"] == "ready"
    assert found[3]["wait_s"] == 3
    assert len(found[4]["pods"][0]["pods"]) == 50
    assert "nodes" not in found[4]
    assert history.memory().last_scale_up == 14.0


def test_pruning_keeps_open_actions_and_each_nodes_last_state(history: History) -> None:
    history.put_actions([action("old", phase=Phase.DONE, since=5.0, created_at=1.0), action("open", created_at=1.0)])
    history.add(
        nodes=[NodeChange(1, "a", "p", "a", "booting"), NodeChange(2, "a", "p", "a", "ready")],
        waits=[PodWait("ns", "x", "u", 1, 2)],
        events=[(1, "pools", {"pools": [1]}), (2, "pools", {"pools": [2]}), (3, "started", {})],
        decision=Decision(3.0),
    )
    assert history.prune(100.0) > 0
    assert history.prune(100.0) == 0
    left = list(history.records(since=100, until=200))
    assert [(r["type"], r.get("state", r.get("pools", r.get("token")))) for r in left] == [
        ("action", "open"),
        ("pools", [2]),
        ("node", "ready"),
    ]


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"this was a database once" * 500)
    found = History(tmp_path, now=NOW)
    assert "set aside" in found.notice
    assert (tmp_path / f"history.db.damaged-{int(NOW)}").exists()
    found.put_actions([action()])
    found.close()


def test_damage_in_the_middle_is_noticed_at_the_start(tmp_path: Path) -> None:
    first = History(tmp_path, now=NOW)
    first.put_actions([action(f"t{i}", reason="x" * 500) for i in range(200)])
    first.close()
    content = bytearray((tmp_path / "history.db").read_bytes())
    content[4096 : 4096 * 8] = os.urandom(4096 * 7)
    (tmp_path / "history.db").write_bytes(content)
    again = History(tmp_path, now=NOW)
    assert "damaged" in again.notice
    again.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE machine SET body = 'nonsense'",
        "UPDATE machine SET body = '{}'",
        "UPDATE action SET body = '[1'",
        "UPDATE action SET body = CAST(x'ff00' AS TEXT)",
        "DROP TABLE machine",
    ],
)
def test_a_row_that_cannot_be_read_is_damage(tmp_path: Path, damage: str) -> None:
    first = History(tmp_path, now=NOW)
    first.put_actions([action()])
    first.put_machines([MachineRecord(Machine("m1", "rack", MachineState.OFF, NOW))])
    first.close()
    with sqlite3.connect(tmp_path / "history.db") as db:
        db.execute(damage)
    again = History(tmp_path, now=NOW)
    assert "damaged" in again.notice
    assert (again.machines(), again.open_actions()) == ((), ())
    again.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    History(tmp_path, now=NOW).close()
    with sqlite3.connect(tmp_path / "history.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(Conflict, match="schema 99"):
        History(tmp_path, now=NOW)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot write in"):
        History(tmp_path / "file" / "state", now=NOW)


def test_only_the_owner_may_read_it(history: History) -> None:
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.path.parent.stat().st_mode) == 0o700


def test_a_full_disk_is_said_and_ends_when_there_is_room_again(history: History) -> None:
    pages = history._db.execute("PRAGMA page_count").fetchone()[0]
    history._db.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite answers as it does for a full disk
    with pytest.raises(Unwritable, match="full") as caught:
        history.put_actions([action(f"t{i}", reason="x" * 4000) for i in range(50)], intent=True)
    assert "make room" in caught.value.hint
    assert history.open_actions() == (), "nothing of it was stored"
    history._db.execute("PRAGMA max_page_count = 100000")
    history.put_actions([action()])
    assert len(history.open_actions()) == 1


def test_hostile_text_is_stored(history: History) -> None:
    history.add(events=[(1.0, "problem", {"text": "a\x00b\u2028\U0001f4a9"})])
    (record,) = history.records(since=0, until=9)
    assert record["text"] == "a\x00b\u2028\U0001f4a9"


def test_a_recording_comes_back_as_it_was(tmp_path: Path) -> None:
    spec = PodSpec(requests=(("cpu", 100),), tolerations=(Toleration("a"),), host_ports=(HostPort(80),))
    pod = Pod("ns", "x", "u", spec, {"app": "x"}, created_at=3.5)
    node = Node("n", {"a": "b"}, {"cpu": 4000})
    snapshot = Snapshot(
        now=NOW,
        nodes={"n": NodeState(node, (pod,), "p")},
        pending=(pod,),
        claims={("ns", "c"): Claim("ns", "c", candidates=(None, ()))},
        missing_owners=frozenset({"u1"}),
        machines={"p": (Machine("m", "p", MachineState.ON, NOW),)},
    )
    recording = Recording("1", snapshot, (Pool("p", allocatable={"cpu": 1}),), Policy(), Memory(), Decision(NOW))
    content = encode_recording(recording)
    assert decode_recording(content) == recording
    path = tmp_path / "x.clues"
    path.write_bytes(content)
    assert read_recording(path) == recording
    for broken in (b"", b"nonsense", content[:-3]):
        with pytest.raises(Misconfigured):
            decode_recording(broken)
    with pytest.raises(NotFound):
        read_recording(tmp_path / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full_is_said_and_ends_when_there_is_room_again(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let root mount a tmpfs")
    history = None
    try:
        history = History(tmp_path / "state", now=NOW)
        filler = tmp_path / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as out:
            while True:
                out.write(b"x" * 512)
                out.flush()
        with pytest.raises(Unwritable, match=r"full|disk I/O"):
            history.put_actions([action(f"t{number}", reason="x" * 3000) for number in range(200)], intent=True)
        filler.unlink()
        history.put_actions([action("later")], intent=True)
        assert history.action("later") is not None
    finally:
        if history is not None:
            history.close()
        subprocess.run(["umount", str(tmp_path)], check=True)
