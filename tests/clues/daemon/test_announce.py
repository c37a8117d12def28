"""Telling Kubernetes: what is new, no faster than allowed, and never in the way."""

import msgspec

from clues.actions.state import Turn
from clues.daemon.announce import Announcer, Note
from clues.decision import Decision, Memory, PodVerdict, Refusal
from clues.history import ActionKind, ActionRecord, Phase
from clues.loop import View
from clues.model import PodRef
from clues.snapshot import Snapshot
from infracore.clock import FakeClock
from infracore.errors import Transient


class Sink:
    def __init__(self) -> None:
        self.events: list[Note] = []
        self.texts: list[str] = []
        self.down = False

    def write_event(self, note: Note, now: float) -> None:
        if self.down:
            raise Transient("no API server")
        self.events.append(note)

    def write_status(self, namespace: str, name: str, text: str) -> None:
        self.texts.append(f"{namespace}/{name}: {text}")


def view(*verdicts: PodVerdict, turns: tuple[Turn, ...] = ()) -> View:
    decision = Decision(1.0, pods=verdicts)
    return View(1.0, Snapshot(1.0), {}, Memory(), decision, decided=True, turns=turns)


def announcer(sink: Sink, clock: FakeClock, per_minute: float = 60.0) -> Announcer:
    return Announcer(sink, clock, per_minute=per_minute, config_map="kube-system/s", status=lambda: "ok")


def test_each_pod_is_told_once_why_no_node_helps_it() -> None:
    one = announcer(Sink(), FakeClock())
    refs = tuple(PodRef("ns", f"p{n}", f"u{n}") for n in range(50))
    helpless = PodVerdict(refs, "unschedulable", refusals=(Refusal("rack", "NodeResourcesFit", "cpu: asks 64"),))
    notes = list(one.notes(view(helpless)))
    assert len(notes) == 10, "pods that are alike need no event each"
    assert notes[0].reason == "NoNodeWouldHelp"
    assert notes[0].warning
    assert "rack: NodeResourcesFit (cpu: asks 64)" in notes[0].message
    assert list(one.notes(view(helpless))) == []
    changed = msgspec.structs.replace(helpless, outcome="ordered", place="rack")
    assert [note.reason for note in one.notes(view(changed))] == ["NodeOrdered"] * 10


def test_nodes_are_told_why_they_go_and_why_they_stay() -> None:
    one = announcer(Sink(), FakeClock())
    record = ActionRecord("t", ActionKind.POWER_OFF, "p", 0.0, node="n", reason="empty for 600 s")
    going = Turn(Phase.QUEUED, msgspec.structs.replace(record, phase=Phase.CORDONING))
    stays = Turn(Phase.LOOKING, msgspec.structs.replace(record, phase=Phase.CANCELLED, error="demand"))
    notes = list(one.notes(view(turns=(going, stays))))
    assert [(note.reason, note.name) for note in notes] == [("NodeGoing", "n"), ("NodeStays", "n")]
    assert "empty for 600 s" in notes[0].message
    assert "demand" in notes[1].message


def test_no_more_events_are_written_than_allowed() -> None:
    sink, clock = Sink(), FakeClock()
    one = announcer(sink, clock, per_minute=5.0)
    note = Note("Pod", "ns", "p", "u", "R", "m")
    for _ in range(20):
        one._write(note)
    assert (len(sink.events), one.left_out) == (5, 15)
    clock.advance(24)
    for _ in range(20):
        one._write(note)
    assert len(sink.events) == 7


def test_an_api_server_that_is_gone_is_a_problem_and_nothing_worse() -> None:
    sink = Sink()
    sink.down = True
    one = announcer(sink, FakeClock())
    one._write(Note("Pod", "ns", "p", "u", "R", "m"))
    assert one.problem == "no API server"
    one._write_status()
    one._write_status()
    assert sink.texts == ["kube-system/s: ok"], "the same text is not written twice"
    assert one.problem == ""
