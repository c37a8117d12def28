"""A report as one HTML file: figures, drawings and tables; no script, nothing from the network."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from clues.api.report.summary import PoolTotals, Report, Waits
from clues.api.report.svg import bars, stacked_areas
from clues.api.style import STATES, document, figure, legend, table, tiles
from infracore.units import format_duration

__all__ = ["report_page"]


def report_page(report: Report) -> str:
    """Return the page."""
    waits = report.waits
    money = report.cost_nodes + report.cost_energy
    facts = [
        (f"{report.node_hours:,.1f}", "node-hours switched on"),
        (f"{report.kwh:,.2f} kWh", f"energy, {report.kwh_standby:,.2f} of it standby"),
        (f"{money:,.2f}", f"{report.currency} for nodes and electricity"),
        (f"{report.power_ons:,}", f"power-ons ({report.power_offs:,} off, {report.failures:,} failed)"),
        (format_duration(waits.p50_s) if waits.count else "none", "a pod waited, median"),
        (format_duration(waits.p95_s) if waits.count else "none", "a pod waited, 95 of 100 at most"),
    ]
    present = [state for state in STATES if any(report.states.get(state, ()))]
    parts = [
        "<h1>Cluster report</h1>",
        f'<p class="sub">{_when(report.since)} to {_when(report.until)} UTC'
        f" ({format_duration(report.until - report.since)})</p>",
        tiles(facts),
        "<h2>Nodes by state</h2>",
        figure(
            stacked_areas(
                report.states, STATES, since=report.since, until=report.until, what="Nodes by state", whole=True
            ),
            legend(present),
        )
        if present
        else '<p class="soft">no node was seen in this period</p>',
        "<h2>Power, in watts</h2>",
        _power(report),
        "<h2>How long pods waited for a node</h2>",
        _waits(waits),
        "<h2>Pools</h2>",
        _pools(report.pools, report.currency),
        *_failed(report),
        "<footer>Energy: what the settings say that a node takes when off, idle and busy; standby is included. Money:"
        " the pools' prices for hours switched on, and "
        f"{report.price_per_kwh:g} {escape(report.currency)} per kWh. Each drawn point is the average of"
        f" {format_duration(report.bucket_s)}. {report.decisions:,} decisions are on record."
        + (f" {report.skipped:,} records could not be read." if report.skipped else "")
        + "</footer>",
    ]
    return document("Cluster report", parts)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %Y %H:%M")


def _power(report: Report) -> str:
    present = [state for state in STATES if any(report.watts.get(state, ()))]
    if not present:
        return '<p class="soft">the settings say of no pool how many watts its nodes take</p>'
    drawing = stacked_areas(report.watts, STATES, since=report.since, until=report.until, what="Watts by state")
    return figure(drawing, legend(present))


def _waits(waits: Waits) -> str:
    gone = f" {waits.given_up:,} more went away without running." if waits.given_up else ""
    if not waits.count:
        return f'<p class="soft">no pod came to run in this period.{gone}</p>'
    labels = [f"≤ {_short(edge)}" for edge in waits.edges_s] + [f"> {_short(waits.edges_s[-1])}"]
    last = max(n for n, count in enumerate(waits.counts) if count)
    drawing = bars(labels[: last + 1], waits.counts[: last + 1], what="Pods by waiting time")
    said = (
        f'<p class="soft">{waits.count:,} pods; on average {format_duration(waits.mean_s)}, 99 of 100 within'
        f" {format_duration(waits.p99_s)}, the longest {format_duration(waits.max_s)}.{gone}</p>"
    )
    return figure(drawing, said)


def _short(seconds: float) -> str:
    for unit_s, unit in ((3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:g} {unit}"
    return f"{seconds:g} s"


def _pools(pools: Sequence[PoolTotals], currency: str) -> str:
    if not pools:
        return '<p class="soft">none</p>'
    rows = []
    for pool in pools:
        boots = sorted(pool.boot_s)
        in_use = pool.hours.get("busy", 0.0)
        rows.append(
            (
                pool.name or "not managed",
                f"{pool.node_hours:,.1f}",
                f"{100 * in_use / pool.node_hours:.0f} %" if pool.node_hours else "",
                f"{sum(pool.kwh.values()):,.2f}",
                f"{pool.kwh.get('off', 0.0):,.2f}",
                f"{pool.cost_nodes:,.2f}",
                f"{pool.cost_energy:,.2f}",
                f"{pool.power_ons:,}",
                f"{pool.failures:,}",
                format_duration(boots[len(boots) // 2]) if boots else "",
            )
        )
    money = (f"#nodes, {currency}", f"#electricity, {currency}")
    heads = (
        "pool",
        "#node-hours",
        "#in use",
        "#kWh",
        "#standby kWh",
        *money,
        "#power-ons",
        "#failures",
        "#boot, median",
    )
    return table(heads, rows)


def _failed(report: Report) -> list[str]:
    parts = []
    if report.failed:
        parts += ["<h2>Failures</h2>", table(("machine", "#failures"), report.failed.items())]
    if report.waits.longest:
        rows = [(name, format_duration(seconds)) for name, seconds in report.waits.longest]
        parts += ["<h2>Longest waits</h2>", table(("pod", "#waited"), rows)]
    return parts
