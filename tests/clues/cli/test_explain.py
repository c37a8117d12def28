"""`clues why` offline, from a recorded decision; and answers that this version does not know."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clues.cli.explain import explained, recorded_answer
from clues.decision import Block, Decision, Memory, NodeVerdict, PodVerdict, Refusal, Removal, RemovalKind
from clues.history import Recording
from clues.history.recording import encode_recording
from clues.model import Node, Pod, PodRef, PodSpec
from clues.options import Policy, Pool
from clues.slurm_model import SlurmCluster
from clues.snapshot import Machine, MachineState, NodeState, Snapshot
from infracore.errors import NotFound

NOW = 1_800_000_000.0


def a_pod(name: str, *, cpu: int = 500, node: str = "") -> Pod:
    return Pod("team", name, f"uid-{name}", PodSpec(requests=(("cpu", cpu),)), {}, node=node)


def a_recording() -> Recording:
    nodes = {
        name: NodeState(
            Node(name, {}, {"cpu": 4000, "pods": 110}, ready_since=NOW - 3600),
            (a_pod(f"on-{name}", node=name),),
            "big",
            name,
        )
        for name in ("stays", "goes")
    }
    machines = {"big": (Machine("parked", "big", MachineState.OFF, NOW - 7200, held=True),)}
    snapshot = Snapshot(NOW, nodes=nodes, pending=(a_pod("huge", cpu=64000), a_pod("new")), machines=machines)
    removal = Removal("goes", "big", "goes", RemovalKind.UNDERUSED, (PodRef("team", "on-goes"),),
                      {"team/on-goes": "stays"}, "asked for 12 %")  # fmt: skip
    decision = Decision(
        NOW,
        remove=(removal,),
        pods=(
            PodVerdict((PodRef("team", "huge"),), "unschedulable", "", (Refusal("big", "NodeResourcesFit", "cpu"),)),
        ),
        nodes=(NodeVerdict("stays", Block.MIN_SIZE, "1 of 1"), NodeVerdict("goes", None)),
    )
    return Recording("0.1.0", snapshot, (Pool("big", min=1),), Policy(), Memory(), decision)


def said(name: str) -> str:
    return "\n".join(explained(recorded_answer(a_recording(), name), now=NOW))


def test_a_node_that_stays_says_what_keeps_it() -> None:
    text = said("stays")
    assert text.startswith("node stays: it stays\n  state: ready for 1 h 00 m, pool big\n")
    assert "  asked for: cpu 0.5 of 4," in text
    assert "  stays: min-size: the pool has its `min` of nodes\n    1 of 1" in text


def test_a_node_that_goes_says_why_and_where_its_pods_have_room() -> None:
    text = said("goes")
    assert text.startswith("node goes: it goes\n")
    assert "  removal: underused: asked for 12 %\n    evicts team/on-goes, there is room on stays" in text


def test_a_parked_machine_says_that_it_is_held() -> None:
    assert "held: it is turned neither on nor off" in said("parked")


@pytest.mark.parametrize("name", ["huge", "team/huge"])
def test_a_pod_is_found_with_and_without_its_namespace(name: str) -> None:
    assert said(name).startswith("pod team/huge: unschedulable\n  outcome: unschedulable: no node of any pool")


def test_a_pending_pod_without_a_verdict_is_said_to_be_one() -> None:
    assert "the decision says nothing of it" in said("new")


def test_a_name_that_is_not_there_is_an_error_with_what_is() -> None:
    with pytest.raises(NotFound) as caught:
        recorded_answer(a_recording(), "nosuch")
    assert caught.value.hint.startswith(
        "it has 2 nodes, 2 pending pods and 2 running pods; pods and jobs that have ended"
    )


@pytest.mark.parametrize("name", ["on-stays", "team/on-stays"])
def test_a_running_pod_says_where_it_runs_as_the_daemon_does(name: str) -> None:
    assert said(name) == "pod team/on-stays: it runs on stays"


def test_a_job_of_an_array_is_found_by_its_number() -> None:
    recording = a_recording()
    snapshot = msgspec.structs.replace(recording.snapshot, slurm=SlurmCluster(), pending=(a_pod("12_[1-9]"),))
    recording = msgspec.structs.replace(recording, snapshot=snapshot)
    for asked in ("12", "job:12", "team/12"):
        answer = recorded_answer(recording, asked)
        assert (answer["kind"], answer["name"]) == ("job", "team/12_[1-9]")


def test_the_command_reads_a_record_file_without_a_daemon(clues, tmp_path: Path) -> None:
    (tmp_path / "one.clues").write_bytes(encode_recording(a_recording()))
    answer = clues("why", "stays", "--record", "one.clues")
    assert (answer.status, answer.err) == (0, "")
    assert "min-size" in answer.out
    assert (
        clues("why", "stays", "--record", "one.clues", "--json").json["details"]["view"]["verdict"]["block"]
        == "min-size"
    )
    assert clues("why", "stays", "--record", "nosuch.clues").status == 1
    (tmp_path / "bad.clues").write_bytes(b"\x00" * 100)
    assert clues("why", "stays", "--record", "bad.clues").status == 2


@pytest.mark.parametrize("block", list(Block))
def test_every_block_is_explained(block: Block) -> None:
    from clues.control import NodeView

    view = NodeView("n", "p", "n", "ready", NOW, verdict=NodeVerdict("n", block))
    lines = explained({"kind": "node", "name": "n", "summary": "", "details": {"view": view}}, now=NOW)
    assert any(line.startswith(f"  stays: {block.value}: ") for line in lines)


_ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["kind", "name", "summary", "details"]), _ANY))
def test_an_answer_of_another_version_does_not_crash(answer: dict[str, Any]) -> None:
    assert all("\x1b" not in line for line in explained(answer, now=NOW))
