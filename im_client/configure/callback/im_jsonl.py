"""Ansible stdout callback: one JSON object a line to the file descriptor in `IM_EVENTS_FD`, nothing to stdout.

Loaded by ansible-core (2.19 and later) by its path, never imported by this package. What a task with `no_log`
returned is censored by Ansible before it comes here. The events are read by `im_client.configure.events`.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.playbook.block import Block
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: im_jsonl
type: stdout
short_description: JSON lines for im
description: Writes what happens as JSON lines to the file descriptor that the environment names.
"""

_TEXT_LIMIT = 64 * 1024
_SHOWN = ("msg", "reason", "stdout", "stderr", "module_stdout", "module_stderr", "rc", "exception", "censored")


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Turns each call into an event."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "im_jsonl"

    def __init__(self) -> None:
        super().__init__()
        self._out = os.fdopen(int(os.environ["IM_EVENTS_FD"]), "w", encoding="utf-8", buffering=1)
        self._play: Any = None
        self._setters: dict[str, Any] = {}
        self._outputs: dict[str, dict[str, Any]] = {}

    def _emit(self, kind: str, **fields: Any) -> None:
        self._out.write(json.dumps({"kind": kind, **fields}, default=str) + "\n")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._end_play()
        self._play = play
        self._emit("play", play=self._number(), text=play.get_name().strip())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end_play()
        self._emit("end", stats={host: stats.summarize(host) for host in stats.processed})

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        self._emit("task", play=self._number(), text=task.get_name().strip(), path=task.get_path() or "")

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        answer = self._answer(result)
        host = result.host.get_name()
        told = _outputs_of(result.result)
        if told is not None:
            self._outputs[host] = told
        elif "im_outputs" in (result.task.args or {}):
            self._setters[host] = result.host
        self._emit("changed" if answer.get("changed") else "ok", **self._where(result), result=answer)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        kind = "ignored" if ignore_errors else "failed"
        rescued = _is_rescued(result.task)
        self._emit(kind, **self._where(result), result=self._answer(result), rescued=rescued)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        kind = "ignored" if result.task.ignore_unreachable else "unreachable"
        self._emit(kind, **self._where(result), result=self._answer(result), rescued=False)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._emit("skipped", **self._where(result))

    def v2_runner_retry(self, result: Any) -> None:
        tries = f"try {result.result.get('attempts', 0)} of {result.result.get('retries', 0)}"
        self._emit("retry", **self._where(result), tries=tries)

    def _where(self, result: Any) -> dict[str, Any]:
        task = result.task
        return {
            "node": result.host.get_name(),
            "play": self._number(),
            "text": (getattr(result, "task_name", None) or task.get_name()).strip(),
            "path": task.get_path() or "",
        }

    def _answer(self, result: Any) -> dict[str, Any]:
        """Return the part of an answer that people read; of a loop, what its items that failed said."""
        whole = result.result
        found = {key: whole[key] for key in _SHOWN if whole.get(key) not in (None, "")}
        found["changed"] = bool(whole.get("changed"))
        if result.task.action in ("debug", "ansible.builtin.debug"):
            found.update({k: v for k, v in whole.items() if not k.startswith("_") and k not in ("changed", "failed")})
        items = whole.get("results")
        if isinstance(items, list) and not whole.get("censored"):
            bad = [i for i in items if isinstance(i, dict) and (i.get("failed") or i.get("unreachable"))]
            for item in bad[:1]:
                found.update({key: item[key] for key in _SHOWN if item.get(key) not in (None, "")})
                if "item" in item and not item.get("censored"):
                    found["item"] = _cut(str(item["item"]))
        return {key: _cut(value) if isinstance(value, str) else value for key, value in found.items()}

    def _number(self) -> str:
        return str(self._play.vars.get("im_play", "")) if self._play is not None else ""

    def _end_play(self) -> None:
        """Tell the value of the fact `im_outputs` on each machine on which a task of the play set it."""
        if self._play is None:
            return
        variables = self._play.get_variable_manager()
        for name, host in self._setters.items():  # with no_log: the answer itself is censored
            found = variables.get_vars(play=self._play, host=host, include_hostvars=False).get("im_outputs")
            if isinstance(found, dict):
                self._outputs[name] = found
        for name, outputs in self._outputs.items():
            self._emit("outputs", node=name, play=self._number(), outputs=outputs)
        self._setters, self._outputs = {}, {}
        self._emit("play-end", play=self._number())


def _outputs_of(answer: Any) -> dict[str, Any] | None:
    """Return the fact `im_outputs` that an answer sets, of a loop the last one."""
    found = None
    for one in (answer, *(i for i in answer.get("results") or () if isinstance(i, dict))):
        facts = one.get("ansible_facts")
        if isinstance(facts, dict) and isinstance(facts.get("im_outputs"), dict):
            found = facts["im_outputs"]
    return found


def _is_rescued(task: Any) -> bool:
    """Return whether a failure of this task is met by a `rescue`: it stands in a block that has one."""
    child, parent = task, task._parent
    while parent is not None:
        if isinstance(parent, Block) and parent.rescue and any(c._uuid == child._uuid for c in parent.block):
            return True
        child, parent = parent, parent._parent
    return False


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_LIMIT else "..." + text[-_TEXT_LIMIT:]
