"""What is there, as tables: infrastructures, machines, outputs, runs, findings."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from im_client.cli.forecast import budget_text, lease_text
from im_client.cli.shapes import run_as_seen
from im_client.cli.values import spec_text, value_text
from im_client.plan.model import Phase
from im_client.providers.base import Finding, Severity
from im_client.services.model import DoctorReport, InfrastructureView
from im_client.state.store import NodeRecord, RunRecord
from im_client.topology.values import Value
from infracore.cli.tables import bare_table, cell, counted, first_line
from infracore.cli.text import clean, clean_lines
from infracore.units import format_duration

__all__ = [
    "doctor_table",
    "infrastructure_table",
    "outputs_table",
    "phase_style",
    "phases_text",
    "runs_table",
    "settings_table",
    "show_view",
]

_PHASE_STYLES: Mapping[Phase, str] = {
    Phase.CONFIGURED: "green",
    Phase.RUNNING: "green",
    Phase.UNCONFIGURED: "red",
    Phase.FAILED: "red",
    Phase.GONE: "red",
    Phase.UNKNOWN: "yellow",
}


def infrastructure_table(views: Sequence[InfrastructureView], now: float) -> Table:
    """Return one line an infrastructure."""
    leased = any(view.record.terms.expires_at is not None for view in views)
    ends = ("ENDS",) if leased else ()
    table = bare_table("NAME", "PROVIDER", "MACHINES", "CREATED", *ends, "LAST RUN", "ID")
    for view in views:
        record = view.record
        table.add_row(
            cell(record.name, "bold"),
            cell(record.provider),
            phases_text(view.counts),
            Text(_ago(now - record.created_at)),
            *([Text(_ends(record.terms.expires_at, now))] if leased else []),
            cell(_last_run(view)),
            Text(clean(record.id), "dim"),
        )
    return table


def phase_style(phase: Phase) -> str:
    """Return the style that a phase is written in."""
    return _PHASE_STYLES.get(phase, "")


def phases_text(counts: Mapping[Phase, int]) -> Text:
    """Return how many machines are in which phase."""
    parts: list[tuple[str, str]] = []
    for phase, count in counts.items():
        if count:
            parts += [(", ", "")] if parts else []
            parts.append((f"{count} {phase.value}", _PHASE_STYLES.get(phase, "")))
    return Text.assemble(*parts) if parts else Text("none")


def _last_run(view: InfrastructureView) -> str:
    if view.busy_with:
        return f"now: {view.busy_with}"
    run = run_as_seen(view)
    return f"{run.verb}: {run.state.value}" if run else ""


def _ends(expires_at: float | None, now: float) -> str:
    if expires_at is None:
        return "never"
    return f"in {format_duration(expires_at - now)}" if expires_at > now else "due"


def _ago(seconds: float) -> str:
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit:
            return f"{counted(int(seconds // unit), name)} ago"
    return "just now"


def show_view(view: InfrastructureView) -> RenderableType:
    """Return one infrastructure and its machines."""
    record = view.record
    facts = [
        ("name", record.name),
        ("id", record.id),
        ("provider", record.provider),
        ("template", " + ".join((record.source.template, *record.source.add_ons))),
        ("created", datetime.fromtimestamp(record.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("last run", _last_run(view) or "none"),
    ]
    if record.terms.expires_at is not None:
        facts.append(("lease", lease_text(record.terms.expires_at)))
    if record.terms.budget is not None:
        facts.append(("budget", budget_text(record.terms.budget)))
    head = bare_table()
    for key, value in facts:
        head.add_row(Text(key, "bold"), cell(value))
    if not view.nodes:
        return Group(head, Text(""), Text("no machines"))
    several = any(node.provider != record.provider for node in view.nodes)
    at = ("SITE", "AT THE SITE") if several else ("AT THE PROVIDER",)
    table = bare_table("MACHINE", "STATE", "ADDRESS", "PUBLIC", "SIZE", *at, "FAILURE")
    for node in view.nodes:
        table.add_row(*_node_cells(node, with_site=several))
    return Group(head, Text(""), table)


def _node_cells(node: NodeRecord, *, with_site: bool) -> tuple[Text, ...]:
    return (
        cell(node.name, "bold"),
        Text(node.phase.value, _PHASE_STYLES.get(node.phase, "")),
        cell(node.private_address or ""),
        cell(node.public_address or ""),
        cell(spec_text(node.spec)),
        *([cell(node.provider)] if with_site else []),
        cell(node.provider_id or "", "dim"),
        cell(first_line(node.failure), "red"),
    )


def outputs_table(outputs: Mapping[str, Value]) -> Table:
    """Return names and values; a value of several lines keeps them."""
    table = bare_table()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in outputs.items():
        table.add_row(cell(name, "bold"), Text(clean_lines(value_text(value))))
    return table


# doctor

_SEVERITIES: Mapping[Severity, tuple[str, str]] = {
    Severity.OK: ("ok", "green"),
    Severity.WARNING: ("warning", "yellow"),
    Severity.ERROR: ("error", "red"),
}


def doctor_table(report: DoctorReport) -> RenderableType:
    """Return the findings by area, each that is not well with its remedy below it."""
    table = bare_table()
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for area, findings in report.findings.items():
        for finding in findings:
            word, style = _SEVERITIES[finding.severity]
            table.add_row(cell(area), Text(word, style), cell(finding.check, "bold"), _finding_text(finding))
    return table


def _finding_text(finding: Finding) -> RenderableType:
    if finding.severity is Severity.OK or not finding.remedy:
        return cell(finding.text)
    return Group(cell(finding.text), Text(f"remedy: {clean(finding.remedy)}", "bold"))


# runs and settings


def runs_table(runs: Sequence[RunRecord]) -> Table:
    """Return one line a run, the newest first."""
    table = bare_table("RUN", "COMMAND", "STATE", "STARTED", "TIME", "SUMMARY")
    for run in runs:
        lasted = "" if run.ended_at is None else format_duration(run.ended_at - run.started_at)
        started = datetime.fromtimestamp(run.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        table.add_row(
            Text(run.id, "bold"), cell(run.verb), Text(run.state.value), Text(started), Text(lasted), cell(run.summary)
        )
    return table


def settings_table(rows: Sequence[tuple[str, Value, str]], *, with_origin: bool) -> Table:
    """Return the settings: key, value and, if wished, where each comes from."""
    table = bare_table(*(("SETTING", "VALUE", "ORIGIN") if with_origin else ("SETTING", "VALUE")))
    for key, value, origin in rows:
        words = [cell(key, "bold"), cell(value_text(value))]
        table.add_row(*words, *([cell(origin)] if with_origin else []))
    return table
