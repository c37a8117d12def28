"""Event lines of the callback -> results a machine, a log for people and events for the listener."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from im_client.configure.model import Failure, NodeResult, Play, PlayEvent
from im_client.configure.playfiles import Lines
from im_client.topology.values import Value
from infracore.secrets import Secret, redact

__all__ = ["Recorder"]

_LAST_LINES = 10
_TITLES = {"failed": "FAILED", "unreachable": "UNREACHABLE", "ignored": "failed, ignored", "retry": "retried"}


@dataclass(slots=True)
class _Machine:
    changed: int = 0
    tasks: int = 0
    failed: bool = False
    failures: list[tuple[Failure, bool]] = field(default_factory=list)
    """Failures and whether a `rescue` was to meet each."""
    outputs: dict[str, dict[str, Mapping[str, Value]]] = field(default_factory=dict)


class Recorder:
    """Takes the events of one or more runs of Ansible over the same plays. Not safe under threads."""

    def __init__(
        self,
        plays: Sequence[Play],
        *,
        lines: Lines,
        secrets: Sequence[Secret],
        log: TextIO,
        listener: Callable[[PlayEvent], None],
    ) -> None:
        self._plays = plays
        self._lines = lines
        self._secrets = tuple(secrets)
        self._log = log
        self._listener = listener
        self._machines: dict[str, _Machine] = {name: _Machine() for play in plays for name in play.hosts}
        self._started: set[int] = set()
        self.is_ended = False
        """Whether Ansible told its last counters."""
        self.output: list[str] = []
        """What Ansible itself printed, redacted: its errors and warnings."""

    @property
    def started(self) -> frozenset[int]:
        """Numbers of the plays that began."""
        return frozenset(self._started)

    @property
    def failed(self) -> frozenset[str]:
        """Machines that take no further part."""
        return frozenset(name for name, machine in self._machines.items() if machine.failed)

    def take_output(self, line: str) -> None:
        """Take a line that Ansible printed."""
        text = redact(line.rstrip(), self._secrets)
        if text:
            self.output.append(text)
            self._write(text)

    def take_event(self, line: str) -> None:
        """Take a line of the callback."""
        try:
            event = json.loads(redact(line, self._json_secrets) if '"outputs"' not in line else line)
        except ValueError:
            self.take_output(line)
            return
        kind = event["kind"]
        number = int(event["play"]) if event.get("play") else -1
        match kind:
            case "play":
                if number not in self._started:
                    self._write(f"\nPLAY {self._id(number)}")
                    self._tell("play", "", self._id(number), number)
                self._started.add(number)
            case "task":
                self._write(f"\nTASK {event['text']}  ({self._place(event)[0]}:{self._place(event)[1]})")
                self._tell("task", "", event["text"], number)
            case "outputs":
                self._take_outputs(event, number)
            case "play-end":
                pass
            case "end":
                self.is_ended = True
                self._take_stats(event["stats"])
            case _:
                self._take_result(kind, event, number)

    def fail(self, name: str, failure: Failure) -> None:
        """Note a failure that Ansible had no part in, unless the machine failed before."""
        machine = self._machines[name]
        if not machine.failed:
            machine.failed = True
            machine.failures.append((failure, False))
            self._write(f"FAILED: {name}: {failure.message}")
            self._tell("failed", name, failure.message, -1)

    def results(self, ended: bool) -> dict[str, NodeResult]:
        """Return what became of each machine. `ended`: Ansible came to its end on all that did not fail."""
        return {name: self._result(name, machine, ended) for name, machine in self._machines.items()}

    def note(self, text: str) -> None:
        """Write a line to the log."""
        self._write(redact(text, self._secrets))

    def _result(self, name: str, machine: _Machine, ended: bool) -> NodeResult:
        failure = _first(machine.failures) if machine.failed else None
        mine = [(n, play) for n, play in enumerate(self._plays) if name in play.hosts]
        newest = max(self._started, default=-1)
        ended_plays: list[str] = []
        for number, play in mine:
            is_failed = failure is not None and failure.play == play.id
            if is_failed or number not in self._started or (number == newest and not ended):
                break
            ended_plays.append(play.id)
        done = not machine.failed and len(ended_plays) == len(mine)
        return NodeResult(
            name=name,
            ok=done,
            changed=machine.changed,
            tasks=machine.tasks,
            ended=tuple(ended_plays),
            failure=failure,
            outputs=machine.outputs,
        )

    def _take_result(self, kind: str, event: Mapping[str, Any], number: int) -> None:
        machine = self._machines.setdefault(event["node"], _Machine())
        answer: Mapping[str, Any] = event.get("result") or {}
        if kind not in ("skipped", "retry"):
            machine.tasks += 1
            machine.changed += bool(answer.get("changed"))
        text = event["text"] if kind != "retry" else f"{event['text']} ({event['tries']})"
        if kind in ("failed", "unreachable"):
            failure = self._failure(event, number, unreachable=kind == "unreachable")
            machine.failures.append((failure, bool(event["rescued"])))
            machine.failed = machine.failed or not event["rescued"]
            text = f"{text}: {failure.message}"
        rescued = " (rescued)" if event.get("rescued") else ""
        self._write(f"{_TITLES.get(kind, kind)}{rescued}: [{event['node']}]{_details(kind, answer)}")
        self._tell(kind, event["node"], text, number)

    def _failure(self, event: Mapping[str, Any], number: int, *, unreachable: bool) -> Failure:
        answer = event["result"]
        file, line = self._place(event)
        message = next((str(answer[k]) for k in ("msg", "reason", "censored") if answer.get(k)), "it failed")
        if "item" in answer:
            message = f"{message} (item {answer['item']})"
        said = [
            text
            for key in ("stdout", "module_stdout", "stderr", "module_stderr")
            for text in str(answer.get(key, "")).splitlines()
            if text.strip()
        ]
        return Failure(
            node=event["node"],
            play=self._id(number),
            task=event["text"],
            file=file,
            line=line,
            message=self._author(message.strip()),
            last_lines=tuple(said[-_LAST_LINES:]),
            unreachable=unreachable,
        )

    def _take_outputs(self, event: Mapping[str, Any], number: int) -> None:
        if 0 <= number < len(self._plays):
            play = self._plays[number]
            by_operation = self._machines[event["node"]].outputs.setdefault(play.component, {})
            by_operation[play.operation] = {k: _value(v) for k, v in event["outputs"].items()}

    def _take_stats(self, stats: Mapping[str, Mapping[str, int]]) -> None:
        """The counters of Ansible say at the end who failed: it knows what was rescued."""
        for name, counters in stats.items():
            machine = self._machines.setdefault(name, _Machine())
            if name in self._machines and (machine.failures or counters["failures"] or counters["unreachable"]):
                machine.failed = bool(counters["failures"] or counters["unreachable"])

    def _place(self, event: Mapping[str, Any]) -> tuple[str, int]:
        file, _, line = str(event.get("path", "")).rpartition(":")
        return self._lines.origin(file, int(line) if line.isdigit() else 0)

    def _author(self, text: str) -> str:
        """Return a message with the author's paths in place of generated ones."""
        for made, (source, _) in self._lines.files.items():
            text = text.replace(made, source)
        return text

    def _id(self, number: int) -> str:
        return self._plays[number].id if 0 <= number < len(self._plays) else ""

    def _tell(self, kind: str, node: str, text: str, number: int) -> None:
        self._listener(PlayEvent(kind=kind, node=node, text=text, play=self._id(number)))

    def _write(self, text: str) -> None:
        self._log.write(text + "\n")
        self._log.flush()

    @property
    def _json_secrets(self) -> tuple[Secret, ...]:
        """Secrets as they stand within JSON text, where quotes and line ends are escaped."""
        return (*self._secrets, *(Secret(json.dumps(s.reveal())[1:-1]) for s in self._secrets))


def _first(failures: Sequence[tuple[Failure, bool]]) -> Failure | None:
    """Return the failure that took the machine out: the first of its last play that nothing was to rescue."""
    if not failures:
        return None
    last = failures[-1][0]
    return next((f for f, rescued in failures if f.play == last.play and not rescued), last)


def _details(kind: str, answer: Mapping[str, Any]) -> str:
    """Return what people read of an answer: all of a failure, the message of a debug task."""
    if kind in ("ok", "changed"):
        shown = {
            k: v for k, v in answer.items() if k not in ("changed", "rc", "stdout", "stderr", "censored", "exception")
        }
        return "".join(f"\n    {k}: {v}" for k, v in shown.items()) if shown.keys() - {"msg"} or "msg" in shown else ""
    return "".join(
        f"\n    {key}: " + str(value).rstrip().replace("\n", "\n      ")
        for key, value in answer.items()
        if key != "changed" and str(value).strip()
    )


def _value(found: object) -> Value:
    match found:
        case dict():
            return {str(k): _value(v) for k, v in found.items()}
        case list():
            return tuple(_value(v) for v in found)
        case None | bool() | int() | float() | str():
            return found
        case _:
            return str(found)
