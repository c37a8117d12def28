"""The common way of every command that changes an infrastructure: show the plan, ask, do, report."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import click

from im_client.cli.interrupt import interruptible
from im_client.cli.progress import Progress, progress
from infracore.cli.console import ask, print_data, print_json, say, say_rendered
from infracore.cli.options import FiniteRange
from infracore.exitcodes import ExitCode

if TYPE_CHECKING:
    import threading

    from im_client.services.context import Context
    from im_client.services.model import ApplyReport, Prepared
    from im_client.topology.values import Value

__all__ = ["SEE_PLAN", "carry_out", "exit_code", "follow", "patience", "wait_option"]

SEE_PLAN: Final = "; `im plan` shows what would be done"
"""End of the hint where nobody can answer the question."""

wait_option = click.option(
    "--wait",
    "wait_s",
    type=FiniteRange(min=0),
    default=None,
    metavar="SECONDS",
    help="How long to wait for another command that changes the same infrastructure (default: setting lock_wait_s).",
)


def patience(ctx: "Context", wait_s: float | None) -> float:
    """Return how long to wait for the lock: as the command says, else as the settings say."""
    return ctx.settings.lock_wait_s if wait_s is None else wait_s


def exit_code(report: "ApplyReport") -> ExitCode:
    """Return the exit code of a run; where every machine failed for its credentials, that of refused credentials."""
    from im_client.state.store import RunState

    if report.state is RunState.FAILED and {node.exit_code for node in report.nodes if not node.ok} == {
        ExitCode.CREDENTIALS
    }:
        return ExitCode.CREDENTIALS
    return {
        RunState.DONE: ExitCode.DONE,
        RunState.PARTLY_DONE: ExitCode.PARTLY_DONE,
        RunState.FAILED: ExitCode.FAILED,
        RunState.INTERRUPTED: ExitCode.INTERRUPTED,
        RunState.RUNNING: ExitCode.FAILED,
    }[report.state]


def carry_out(
    ctx: "Context",
    prepared: "Prepared",
    *,
    again: str,
    question: str,
    yes: bool,
    as_json: bool,
    wait_s: float | None,
) -> int:
    """Show the plan, ask unless told not to, apply it, and report. `again` is the command that resumes.

    A plan without a step that changes only what is recorded (an output, a description) is applied unasked.
    """
    from im_client.cli.problems import say_problems
    from im_client.cli.render import plan_view
    from im_client.cli.shapes import plan_shape
    from im_client.services.apply import apply
    from im_client.services.model import Verb

    say_problems(prepared.warnings)
    if as_json:
        print_json({"type": "plan", **plan_shape(prepared)}, in_one_line=True)
    else:
        say_rendered(plan_view(prepared))
    is_destroy = prepared.verb is Verb.DESTROY
    is_recorded = prepared.is_new or prepared.source_changed or prepared.terms_changed
    if prepared.plan.is_empty and not is_recorded and not is_destroy:
        _say_unchanged(ctx, prepared, as_json=as_json)
        return ExitCode.DONE
    if (not prepared.plan.is_empty or is_destroy) and not ask(question, yes, also=SEE_PLAN):
        say("nothing was changed")
        return ExitCode.FAILED
    return follow(
        lambda listener, cancel: apply(ctx, prepared, listener=listener, cancel=cancel, wait_s=patience(ctx, wait_s)),
        again=again,
        as_json=as_json,
    )


def follow(
    work: "Callable[[Progress, threading.Event], ApplyReport]", *, again: str, as_json: bool, with_outputs: bool = True
) -> int:
    """Do work while its progress is shown, then report; return the exit code."""
    from im_client.cli.render import report_view
    from im_client.cli.shapes import report_shape
    from im_client.services.model import Verb

    with progress(as_json=as_json) as listener, interruptible(listener.notice, again=again) as cancel:
        report = work(listener, cancel)
    if as_json:
        print_json(report_shape(report), in_one_line=True)
    else:
        say_rendered(report_view(report, again=again))
        if with_outputs and report.verb is not Verb.DESTROY:
            _print_outputs(report.outputs)
    return exit_code(report)


def _say_unchanged(ctx: "Context", prepared: "Prepared", *, as_json: bool) -> None:
    from im_client.cli.shapes import report_shape
    from im_client.services.model import ApplyReport
    from im_client.services.reading import outputs
    from im_client.state.store import RunState

    record = prepared.infrastructure
    found = outputs(ctx, record.id)
    if not as_json:
        _print_outputs(found)
        return
    report = ApplyReport(record.id, record.name, "", prepared.verb, RunState.DONE, (), found, (), "", 0.0)
    print_json(report_shape(report), in_one_line=True)


def _print_outputs(outputs: "Mapping[str, Value]") -> None:
    from im_client.cli.tables import outputs_table

    if outputs:
        say("")
        print_data(outputs_table(outputs))
