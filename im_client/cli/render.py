"""What people read: tables and summaries as rich renderables. Every text from outside is cleaned and never markup."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from im_client.cli.forecast import forecast_view
from im_client.cli.values import spec_text
from im_client.configure.model import Failure
from im_client.plan.explain import places
from im_client.plan.model import Action, Plan, Step
from im_client.services.model import ApplyReport, NodeReport, Prepared, Timing, ValidateReport
from im_client.services.remote.model import RemotePlan
from im_client.state.store import RunState
from infracore.cli.tables import bare_table, cell, counted, first_line
from infracore.cli.text import clean
from infracore.units import format_duration

__all__ = ["failure_lines", "plan_view", "report_view", "validate_view"]

SYMBOLS: Mapping[Action, tuple[str, str]] = {
    Action.CREATE: ("+", "green"),
    Action.START: (">", "green"),
    Action.STOP: ("o", "yellow"),
    Action.REBOOT: ("@", "yellow"),
    Action.UPDATE: ("~", "yellow"),
    Action.REPLACE: ("-/+", "magenta"),
    Action.DELETE: ("-", "red"),
    Action.CONFIGURE: ("*", "cyan"),
}


# The plan


def plan_view(prepared: Prepared | RemotePlan) -> RenderableType:
    """Return the steps of a plan, machine by machine, each with its reason, and their number."""
    plan = prepared.plan
    name = clean(prepared.infrastructure.name)
    where = f"on {clean(prepared.infrastructure.provider)}"
    parts: list[RenderableType] = [Text(f"note: {clean(note)}", style="yellow") for note in prepared.notes]
    parts += [Text(f"warning: {clean(warning)}", style="yellow") for warning in plan.warnings]
    if plan.is_empty:
        machines = counted(len(plan.unchanged), "machine")
        parts.append(Text(f"{name} {where}: nothing to do; {machines} as wanted"))
        return Group(*parts)
    what = "a new infrastructure" if prepared.is_new else "an infrastructure"
    parts += [Text(f"{name}, {what} {where}:", style="bold"), Text("")]
    parts += [_steps_table(plan.steps), Text("")]
    foreseen = (
        forecast_view(prepared.forecast, prepared.infrastructure.terms) if isinstance(prepared, Prepared) else None
    )
    parts += [foreseen, Text("")] if foreseen is not None else []
    parts.append(Text(_plan_summary(plan), style="bold"))
    return Group(*parts)


def _steps_table(steps: Sequence[Step]) -> Table:
    table = bare_table()
    table.add_column(justify="right", min_width=5, no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for step in steps:
        symbol, style = SYMBOLS[step.action]
        why = [cell(step.reason.text)]
        why += [
            Text.assemble(
                (clean(change.property), "bold"),
                f": {clean(change.before) or 'none'} -> {clean(change.after) or 'none'}",
                ("  forces replacement", "magenta") if change.forces_replace else "",
            )
            for change in step.changes
        ]
        if step.action is Action.CREATE and step.spec is not None and (wanted := spec_text(step.spec)):
            why.append(cell(wanted, "dim"))
        why += [cell(text, "dim") for text in places(step)]
        if step.action in {Action.DELETE, Action.REPLACE} and step.operations:
            why.append(cell(f"before: {', '.join(step.operations)}", "dim"))
        if step.action is Action.CONFIGURE and step.operations:
            why.append(cell(counted(len(step.operations), "operation"), "dim"))
        table.add_row(Text(symbol, style), Text(step.action.value, style), cell(step.node, "bold"), Group(*why))
    return table


def _plan_summary(plan: Plan) -> str:
    counts = {action: sum(step.action is action for step in plan.steps) for action in Action}
    said = ", ".join(f"{count} to {action.value}" for action, count in counts.items() if count)
    return f"Plan: {said}" + (f"; {counted(len(plan.unchanged), 'machine')} unchanged." if plan.unchanged else ".")


# The end of a run

_STATE_WORDS: Mapping[RunState, tuple[str, str]] = {
    RunState.DONE: ("done", "bold green"),
    RunState.PARTLY_DONE: ("partly done", "bold yellow"),
    RunState.FAILED: ("failed", "bold red"),
    RunState.INTERRUPTED: ("interrupted", "bold yellow"),
    RunState.RUNNING: ("running", "bold"),
}


def report_view(report: ApplyReport, *, again: str) -> RenderableType:
    """Return how a run ended: failures, times, and what to do next. `again` is the command that resumes."""
    parts: list[RenderableType] = []
    for node in report.nodes:
        if not node.ok:
            parts += [*(Text(line) for line in failure_lines(node)), Text("")]
    parts += [Text(f"still there: {clean(one)}", style="red") for one in report.left]
    if report.timings:
        parts += [timing_table(report.timings, report.elapsed_s), Text("")]
    word, style = _STATE_WORDS[report.state]
    good = sum(node.ok for node in report.nodes)
    failed = len(report.nodes) - good
    said = f"{clean(report.name)}: {report.verb.value} {word}"
    if report.nodes:
        said += f", {counted(good, 'machine')} well"
        said += f", {failed} not" if failed else ""
    said += f", in {format_duration(report.elapsed_s)}"
    parts.append(Text(said, style=style))
    if report.state in {RunState.PARTLY_DONE, RunState.FAILED, RunState.INTERRUPTED}:
        if report.log_dir:
            parts.append(Text(f"the whole story: im logs {clean(report.name)} --ansible"))
        parts.append(Text(f"to go on from here: {again}"))
    return Group(*parts)


_FAILURE_LINES: Final = 5
"""A person reads the first screen only."""


def failure_lines(node: NodeReport) -> list[str]:
    """Return a failure in at most five lines: machine, task, file and line, message, end of the output, hint."""
    failure = node.failure
    if failure is None:
        lines = [f"failed: {clean(node.name)}: {clean(first_line(node.error)) or 'no reason was given'}"]
        lines += [f"  {clean(line)}" for line in node.error.splitlines()[1:3]]
        return lines + _hint_lines(node)
    return _task_lines(node, failure)


def _task_lines(node: NodeReport, failure: Failure) -> list[str]:
    what = "could not be reached" if failure.unreachable else f"task {failure.task!r} failed"
    lines = [f"failed: {clean(node.name)}: {clean(what)}"]
    if failure.file:
        lines.append(f"  at {clean(failure.file)}:{failure.line}, in {clean(failure.play)}")
    lines.append(f"  {clean(first_line(failure.message))}")
    hint = _hint_lines(node)
    room = _FAILURE_LINES - len(lines) - len(hint)  # the hint takes the place of output: it says what to do
    said = [line for line in failure.last_lines if line.strip() and line.strip() not in failure.message]
    lines += [f"  | {clean(line.rstrip())}" for line in said[-min(room, 2) :]]
    return lines + hint


def _hint_lines(node: NodeReport) -> list[str]:
    return [f"  hint: {clean(' '.join(node.hint.split()))}"] if node.hint.strip() else []


def timing_table(timings: Sequence[Timing], elapsed_s: float) -> Table:
    """Return the time of each phase, and the whole."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("PHASE")
    table.add_column("TIME", justify="right")
    for timing in timings:
        table.add_row(cell(timing.phase), format_duration(timing.seconds))
    table.add_row(Text("all", "bold"), Text(format_duration(elapsed_s), "bold"))
    return table


def validate_view(template: str, report: ValidateReport) -> RenderableType:
    """Return what a template would make."""
    machines = ", ".join(f"{count} {clean(name)}" for name, count in report.machines.items()) or "no machines"
    inputs, outputs = counted(report.inputs, "input"), counted(report.outputs, "output")
    return Text(f"{clean(template)}: {machines}; {inputs}, {outputs}")
