"""What programs read: the JSON of every command. Secrets are `***` unless the user asked to see them."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from im_client.configure.model import Failure
from im_client.plan.model import Plan, Step
from im_client.services.model import (
    ApplyReport,
    Cost,
    DoctorReport,
    Forecast,
    InfrastructureView,
    LogView,
    NodeReport,
    Prepared,
    ValidateReport,
)
from im_client.services.remote.model import RemotePlan
from im_client.state.store import NodeRecord, RunRecord, RunState, Terms
from im_client.template.problems import Problem
from infracore.events import Event
from infracore.secrets import Secret

__all__ = [
    "HOURS_A_MONTH",
    "doctor_shape",
    "event_shape",
    "forecast_shape",
    "infrastructure_shape",
    "log_shape",
    "plan_shape",
    "problem_shape",
    "report_shape",
    "run_as_seen",
    "terms_shape",
    "time_shape",
    "validate_shape",
    "value_shape",
]

Shape = dict[str, Any]

HOURS_A_MONTH: Final = 730
"""365 * 24 / 12."""


def value_shape(value: object) -> Any:
    """Return any value of a topology as plain data."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): value_shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [value_shape(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: value_shape(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def time_shape(seconds: float | None) -> str | None:
    """Return a moment as RFC 3339 in UTC, to the second."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def problem_shape(problem: Problem) -> Shape:
    """Return one problem of a template."""
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "code": problem.code.value,
        "message": problem.message,
        "hint": problem.hint,
        "level": problem.level.value,
    }


def validate_shape(report: ValidateReport) -> Shape:
    """Return what `im validate --json` prints."""
    return {
        "problems": [problem_shape(problem) for problem in report.problems],
        "machines": dict(report.machines),
        "inputs": report.inputs,
        "outputs": report.outputs,
    }


def _step_shape(step: Step) -> Shape:
    return {
        "id": step.id,
        "action": step.action.value,
        "node": step.node,
        "group": step.group,
        "index": step.index,
        "reason": {"code": step.reason.code.value, "text": step.reason.text},
        "changes": [value_shape(change) for change in step.changes],
        "needs": list(step.needs),
        "operations": list(step.operations),
        "spec": None if step.spec is None else value_shape(step.spec),
        "sites": list(step.sites),
        "images": dict(step.images),
    }


def plan_shape(prepared: Prepared | RemotePlan) -> Shape:
    """Return what `im plan --json` prints."""
    plan: Plan = prepared.plan
    return {
        "verb": prepared.verb.value,
        "infrastructure": prepared.infrastructure.id,
        "name": prepared.infrastructure.name,
        "provider": prepared.infrastructure.provider,
        "is_new": prepared.is_new,
        "revision": plan.revision,
        "steps": [_step_shape(step) for step in plan.steps],
        "unchanged": list(plan.unchanged),
        "warnings": list(plan.warnings),
        "problems": [problem_shape(problem) for problem in prepared.warnings],
        "notes": list(prepared.notes),
        **(_foreseen_shape(prepared) if isinstance(prepared, Prepared) else {}),
    }


def _foreseen_shape(prepared: Prepared) -> Shape:
    return {"forecast": forecast_shape(prepared.forecast), **terms_shape(prepared.infrastructure.terms)}


def forecast_shape(forecast: Forecast) -> Shape:
    """Return the forecast of `im plan --json`."""
    return {
        "choices": [
            {
                "site": choice.site,
                "rank": choice.rank,
                "machines": list(choice.machines),
                "size": choice.offer.size,
                "image": choice.offer.image,
                "zone": choice.offer.zone,
                "num_cpus": choice.offer.num_cpus,
                "mem_bytes": choice.offer.mem_bytes,
                "disk_bytes": choice.offer.disk_bytes,
                "num_gpus": choice.offer.num_gpus,
                "price": value_shape(choice.offer.price),
                "notes": list(choice.offer.notes),
            }
            for choice in forecast.choices
        ],
        "made": _cost_shape(forecast.made),
        "total": _cost_shape(forecast.total),
        "quotas": {site: value_shape(quota) for site, quota in forecast.quotas.items()},
    }


def terms_shape(terms: Terms) -> Shape:
    """Return lease and budget."""
    return {"expires_at": time_shape(terms.expires_at), "budget": value_shape(terms.budget)}


def _cost_shape(cost: Cost) -> Shape:
    return {
        "per_hour": dict(cost.per_hour),
        "per_month": {currency: round(amount * HOURS_A_MONTH, 6) for currency, amount in cost.per_hour.items()},
        "unpriced": list(cost.unpriced),
    }


def event_shape(event: Event) -> Shape:
    """Return one line of the stream of `--json`; what is empty is left out."""
    shape = {
        "type": "event",
        "at": round(event.at, 3),
        "kind": event.kind.value,
        "node": event.node,
        "phase": event.phase,
        "text": event.text,
        "elapsed_s": None if event.elapsed_s is None else round(event.elapsed_s, 3),
    }
    return {key: value for key, value in shape.items() if value not in (None, "")}


def failure_shape(failure: Failure | None) -> Shape | None:
    """Return the task that failed."""
    return None if failure is None else value_shape(failure)


def _node_report_shape(node: NodeReport) -> Shape:
    return {
        "name": node.name,
        "ok": node.ok,
        "phase": node.phase.value,
        "error": node.error,
        "hint": node.hint,
        "failure": failure_shape(node.failure),
    }


def report_shape(report: ApplyReport) -> Shape:
    """Return the last line of the stream of `--json`."""
    return {
        "type": "report",
        "infrastructure": report.infrastructure,
        "name": report.name,
        "run": report.run,
        "verb": report.verb.value,
        "state": report.state.value,
        "nodes": [_node_report_shape(node) for node in report.nodes],
        "outputs": value_shape(report.outputs),
        "left": list(report.left),
        "timings": [{"phase": t.phase, "seconds": round(t.seconds, 3)} for t in report.timings],
        "log_dir": report.log_dir,
        "elapsed_s": round(report.elapsed_s, 3),
    }


def run_as_seen(view: InfrastructureView) -> RunRecord | None:
    """Return the last run; one that is recorded as running while nobody holds the lock was interrupted."""
    run = view.last_run
    if run is not None and run.state is RunState.RUNNING and not view.busy_with:
        return dataclasses.replace(run, state=RunState.INTERRUPTED)
    return run


def run_shape(run: RunRecord | None) -> Shape | None:
    """Return one run."""
    if run is None:
        return None
    return {
        "id": run.id,
        "verb": run.verb,
        "state": run.state.value,
        "started_at": time_shape(run.started_at),
        "ended_at": time_shape(run.ended_at),
        "summary": run.summary,
        "log_dir": run.log_dir,
    }


def _node_shape(node: NodeRecord) -> Shape:
    return {
        "name": node.name,
        "group": node.group,
        "index": node.index,
        "phase": node.phase.value,
        "provider": node.provider,
        "golden_image": node.spec.golden_image,
        "provider_id": node.provider_id,
        "private_address": node.private_address,
        "public_address": node.public_address,
        "user": node.user,
        "port": node.port,
        "host_key": node.host_key_public,
        "spec": value_shape(node.spec),
        "failure": node.failure,
        "created_at": time_shape(node.created_at),
        "updated_at": time_shape(node.updated_at),
    }


def infrastructure_shape(view: InfrastructureView, *, with_nodes: bool) -> Shape:
    """Return one infrastructure, for `im list` without its machines and for `im show` with them."""
    record = view.record
    shape: Shape = {
        "id": record.id,
        "name": record.name,
        "provider": record.provider,
        "template": record.source.template,
        "add_ons": list(record.source.add_ons),
        "created_at": time_shape(record.created_at),
        "updated_at": time_shape(record.updated_at),
        "revision": record.revision,
        "machines": {phase.value: count for phase, count in view.counts.items()},
        "busy_with": view.busy_with,
        **terms_shape(record.terms),
        "last_run": run_shape(run_as_seen(view)),
    }
    if with_nodes:
        shape["nodes"] = [_node_shape(node) for node in view.nodes]
    return shape


def log_shape(view: LogView) -> Shape:
    """Return one run with its lines."""
    return {"run": run_shape(view.run), "lines": list(view.lines), "ansible": dict(view.ansible)}


def doctor_shape(report: DoctorReport) -> Shape:
    """Return the findings by area."""
    return {"findings": {area: [value_shape(finding) for finding in found] for area, found in report.findings.items()}}
