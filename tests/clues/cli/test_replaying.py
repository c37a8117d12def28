"""`clues replay`: equal or not, and where."""

from pathlib import Path

import msgspec
import pytest

from clues.cli.replaying import Replayed, differences
from clues.decision import Decision, NodeVerdict, PowerOn, Removal
from clues.history.recording import encode_recording
from tests.clues.cli.test_explain import a_recording


def test_equal_decisions_differ_nowhere() -> None:
    assert differences(a_recording().decision, a_recording().decision) == ()
    odd = Decision(float("nan"))
    assert differences(odd, msgspec.msgpack.decode(msgspec.msgpack.encode(odd), type=Decision)) == ()


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        (Decision(1.0), Decision(1.0, (PowerOn("a", 1),)), "power_on: () then, ({"),
        (Decision(1.0, (PowerOn("a", 1),)), Decision(1.0, (PowerOn("a", 2),)), "power_on[0].count: 1 then, 2 now"),
        (Decision(1.0, remove=(Removal("a", "p"),)), Decision(1.0, remove=(Removal("b", "p"),)), "remove[0].node: 'a'"),
    ],
)
def test_what_differs_is_named_by_its_place(before: Decision, after: Decision, place: str) -> None:
    assert any(found.startswith(place) for found in differences(before, after))


def test_a_difference_everywhere_is_cut_short() -> None:
    before = Decision(1.0, nodes=tuple(NodeVerdict(f"a{n}", None) for n in range(500)))
    after = Decision(1.0, nodes=tuple(NodeVerdict(f"b{n}", None) for n in range(500)))
    assert len(differences(before, after)) == 20
    assert "500 entries then" in differences(before, Decision(1.0))[0]


def test_the_words_for_people() -> None:
    assert Replayed(Path("f")).summary == "equal"
    assert Replayed(Path("f"), differences=("x",)).summary == "differs in 1 place"
    assert not Replayed(Path("f"), error="broken").is_equal


def test_a_file_that_cannot_be_read_hides_no_other(clues, tmp_path: Path) -> None:
    (tmp_path / "bad.clues").write_bytes(b"nonsense")
    answer = clues("replay", "bad.clues", "nosuch.clues", "--json")
    assert answer.status == 1
    assert [found["equal"] for found in answer.json] == [False, False]
    assert "there is no recording" in answer.json[1]["error"]


def test_a_decision_of_this_version_is_repeated_equally_and_a_changed_one_is_not(clues, tmp_path: Path) -> None:
    decide = pytest.importorskip("clues.decide").decide
    made = a_recording()
    decision = decide(made.snapshot, made.pools, made.policy, made.memory)
    good = msgspec.structs.replace(made, decision=decision)
    bad = msgspec.structs.replace(good, decision=msgspec.structs.replace(decision, notes=("something else",)))
    (tmp_path / "good.clues").write_bytes(encode_recording(good))
    (tmp_path / "bad.clues").write_bytes(encode_recording(bad))
    answer = clues("replay", "good.clues")
    assert (answer.status, answer.out) == (0, "good.clues: equal\n")
    answer = clues("replay", "good.clues", "bad.clues")
    assert answer.status == 1
    assert "bad.clues: differs in 1 place\n  notes" in answer.out
