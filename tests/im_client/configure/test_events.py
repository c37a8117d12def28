"""Lines of the callback -> results. What real runs of Ansible emit is tested in test_run.py."""

import io
import json

from im_client.configure.events import Recorder
from im_client.configure.model import Play, PlayEvent
from im_client.configure.playfiles import Lines
from im_client.topology.model import Artifact, ArtifactKind
from infracore.secrets import Secret

ARTIFACT = Artifact(ArtifactKind.PLAYBOOK, "/a/site.yml")


def _play(component: str, *hosts: str) -> Play:
    return Play(f"{component}.s.o", component, "o", hosts, ARTIFACT)


class Told:
    """A recorder and what it told."""

    def __init__(self, *plays: Play, secrets: tuple[Secret, ...] = (), lines: Lines | None = None) -> None:
        self.log = io.StringIO()
        self.events: list[PlayEvent] = []
        self.recorder = Recorder(
            plays, lines=lines or Lines(), secrets=secrets, log=self.log, listener=self.events.append
        )

    def tell(self, kind: str, **fields: object) -> None:
        self.recorder.take_event(json.dumps({"kind": kind, **fields}))

    def answer(self, kind: str, node: str, play: int, *, rescued: bool = False, **result: object) -> None:
        fields = {"node": node, "play": str(play), "text": "Task", "path": "/a/site.yml:3"}
        self.tell(kind, **fields, result=result, rescued=rescued)

    def end(self, **failures: int) -> None:
        self.tell("end", stats={n: {"failures": c, "unreachable": 0} for n, c in failures.items()})


def test_a_rescued_failure_is_none() -> None:
    told = Told(_play("c", "a"))
    told.tell("play", play="0", text="p")
    told.answer("failed", "a", 0, rescued=True, msg="no")
    told.answer("changed", "a", 0, changed=True)
    told.end(a=0)
    node = told.recorder.results(ended=True)["a"]
    assert (node.ok, node.failure, node.changed, node.tasks) == (True, None, 1, 2)


def test_a_failure_within_the_rescue_counts_and_is_the_one_told() -> None:
    told = Told(_play("c", "a"))
    told.tell("play", play="0", text="p")
    told.answer("failed", "a", 0, rescued=True, msg="first")
    told.answer("failed", "a", 0, msg="second")
    told.answer("failed", "a", 0, msg="in the always part")
    told.end(a=2)
    failure = told.recorder.results(ended=True)["a"].failure
    assert failure is not None
    assert failure.message == "second"


def test_the_play_that_runs_when_all_is_interrupted_has_not_ended() -> None:
    told = Told(_play("one", "a"), _play("two", "a"))
    for number in ("0", "1"):
        told.tell("play", play=number, text="p")
    node = told.recorder.results(ended=False)["a"]
    assert (node.ok, node.ended, node.failure) == (False, ("one.s.o",), None)


def test_outputs_belong_to_the_component_and_operation_of_their_play() -> None:
    told = Told(_play("one", "a"), _play("two", "a"))
    told.tell("play", play="1", text="p")
    told.tell("outputs", node="a", play="1", outputs={"x": [1, {"y": None}]})
    assert told.recorder.results(ended=True)["a"].outputs == {"two": {"o": {"x": (1, {"y": None})}}}


def test_secrets_are_masked_in_log_events_and_failures_also_where_json_escapes_them() -> None:
    told = Told(_play("c", "a"), secrets=(Secret('to"p\nsecret'), Secret("plain-secret")))
    told.tell("play", play="0", text="p")
    told.answer("failed", "a", 0, msg='it said to"p\nsecret and plain-secret', stdout="plain-secret")
    told.recorder.take_output("warning about plain-secret")
    told.end(a=1)
    result = told.recorder.results(ended=True)["a"]
    everything = told.log.getvalue() + repr(told.events) + repr(result) + repr(told.recorder.output)
    assert "secret" not in everything
    assert "***" in everything


def test_a_failed_item_of_a_loop_is_named() -> None:
    told = Told(_play("c", "a"))
    told.tell("play", play="0", text="p")
    told.answer("failed", "a", 0, msg="no such package", item="slurm")
    told.end(a=1)
    failure = told.recorder.results(ended=True)["a"].failure
    assert failure is not None
    assert failure.message == "no such package (item slurm)"


def test_a_message_names_the_author_s_file_and_not_the_written_one() -> None:
    lines = Lines({"/dev/shm/x/im-site.yml": ("/a/site.yml", {1: 1, 4: 9})})
    told = Told(_play("c", "a"), lines=lines)
    told.tell("play", play="0", text="p")
    fields = {"node": "a", "play": "0", "text": "T", "path": "/dev/shm/x/im-site.yml:5", "rescued": False}
    told.tell("failed", **fields, result={"msg": "see /dev/shm/x/im-site.yml"})
    told.end(a=1)
    failure = told.recorder.results(ended=True)["a"].failure
    assert failure is not None
    assert (failure.file, failure.line, failure.message) == ("/a/site.yml", 9, "see /a/site.yml")


def test_a_line_that_is_no_event_goes_to_the_log() -> None:
    told = Told(_play("c", "a"))
    told.recorder.take_event("something else")
    assert "something else" in told.log.getvalue()
