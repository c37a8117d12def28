"""What the daemon says, as tables."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from clues.cli.examine import Finding, Severity
from clues.control import NodeView, PoolView, Status
from clues.decision import PodVerdict
from infracore.cli.tables import bare_table, cell, counted
from infracore.cli.text import clean, clean_lines
from infracore.units import format_bytes, format_duration

__all__ = ["findings_table", "nodes_table", "pods_table", "settings_table", "status_view"]

_STATES: Mapping[str, str] = {
    "ready": "green",
    "booting": "yellow",
    "draining": "magenta",
    "stopping": "magenta",
    "unready": "yellow",
    "failed": "red",
    "off": "dim",
    "unmanaged": "dim",
}
_OUTCOMES: Mapping[str, str] = {
    "fits": "green",
    "ordered": "green",
    "upcoming": "green",
    "unschedulable": "red",
    "resting": "yellow",
    "limit": "yellow",
}


def status_view(status: Status) -> RenderableType:
    """Return the daemon, its pools and what is being done."""
    parts: list[RenderableType] = [Text.assemble(("cluesd ", "bold"), clean(status.version), *_role(status))]
    last = (
        "none yet"
        if status.last_pass_at is None
        else f"{format_duration(max(0.0, status.now - status.last_pass_at))} ago"
    )
    up = format_duration(max(0.0, status.now - status.started_at))
    picture = "complete" if status.complete else "not complete yet"
    parts.append(
        Text(
            f"up {up}; last pass {last} in {status.last_pass_ms:.0f} ms; picture {picture}, {status.stale_s:.0f} s old"
        )
    )
    none_helps = f", {status.unschedulable} of them no node can help" if status.unschedulable else ""
    parts.append(Text(f"{counted(status.pending, clean(status.work))} pending{none_helps}"))
    parts += [Text(f"problem: {clean(text)}", "red") for text in status.problems]
    parts += [Text(f"note: {clean(text)}", "yellow") for text in status.notes]
    if status.pools:
        table = bare_table("POOL", "DRIVER", "ON", "BOOTING", "OFF", "FAILED", "LIMITS", "")
        for pool in status.pools:
            table.add_row(*_pool_cells(pool, status.now))
        parts += [Text(""), table]
    if status.actions:
        table = bare_table("DOING", "WHICH", "POOL", "PHASE", "FOR", "WHY")
        for action in status.actions:
            why = cell(action.error, "red") if action.error else cell(action.reason)
            since = format_duration(max(0.0, status.now - action.since))
            table.add_row(
                cell(action.kind), cell(action.target, "bold"), cell(action.pool), cell(action.phase), Text(since), why
            )
        parts += [Text(""), table]
    return Group(*parts)


def _role(status: Status) -> list[tuple[str, str]]:
    words = [
        (" decides", "green") if status.leader else (f" waits: {clean(status.holder) or 'another'} decides", "yellow")
    ]
    if status.dry_run:
        words.append((", dry run: changes nothing", "yellow"))
    if status.paused:
        words.append((", paused (clues release)", "yellow"))
    return words


def _pool_cells(pool: PoolView, now: float) -> tuple[Text, ...]:
    rest = ""
    if pool.resting_until is not None and pool.resting_until > now:
        rest = f"rests for {format_duration(pool.resting_until - now)}: {pool.rest_reason}"
    numbers = (pool.on, pool.booting, pool.off)
    return (
        cell(pool.name, "bold"),
        cell(pool.driver),
        *(Text(str(number)) for number in numbers),
        Text(str(pool.failed), "red" if pool.failed else ""),
        Text(f"{pool.min}-{pool.max}"),
        cell(rest, "yellow"),
    )


def nodes_table(nodes: Sequence[NodeView], now: float) -> RenderableType:
    """Return one line a node or machine."""
    table = bare_table("NODE", "POOL", "STATE", "FOR", "PODS", "CPU", "MEMORY", "STAYS OR GOES")
    for node in nodes:
        cpu = f"{node.cpu_m[0] / 1000:g}/{node.cpu_m[1] / 1000:g}" if node.cpu_m[1] else ""
        asked, most = node.memory_bytes
        table.add_row(
            cell(node.name, "bold"),
            cell(node.pool),
            cell(node.state, _STATES.get(node.state, "")),
            Text(format_duration(max(0.0, now - node.since))),
            Text(str(node.pods) if node.cpu_m[1] else ""),
            Text(cpu),
            Text(f"{format_bytes(asked)}/{format_bytes(most)}" if most else ""),
            cell(_why(node, now)),
        )
    return table


def _why(node: NodeView, now: float) -> str:
    words = [word for word, is_so in (("held", node.held), ("disabled", node.disabled)) if is_so]
    if node.failures:
        words.append(counted(node.failures, "failure"))
    verdict = node.verdict
    if verdict is not None:
        word = verdict.block.value if verdict.block is not None else "goes"
        if verdict.removable_at is not None and verdict.removable_at > now:
            word += f" for {format_duration(verdict.removable_at - now)}"
        words.append(word)
    return ", ".join(words)


def pods_table(pods: Sequence[PodVerdict]) -> RenderableType:
    """Return one line a kind of pending pods."""
    table = bare_table("PODS", "COUNT", "OUTCOME", "WHERE", "REASON")
    for verdict in pods:
        first = str(verdict.pods[0]) if verdict.pods else ""
        more = f" and {len(verdict.pods) - 1} like it" if len(verdict.pods) > 1 else ""
        reason = verdict.reason
        if not reason and verdict.refusals:
            one = verdict.refusals[0]
            reason = f"{one.where}: {one.rule}" + (f" ({one.detail})" if one.detail else "")
            reason += f", and {counted(len(verdict.refusals) - 1, 'other place')}" if len(verdict.refusals) > 1 else ""
        table.add_row(
            Text.assemble((clean(first), "bold"), more),
            Text(str(len(verdict.pods))),
            cell(verdict.outcome, _OUTCOMES.get(verdict.outcome, "")),
            cell(verdict.place),
            cell(reason),
        )
    return table


def settings_table(rows: Sequence[tuple[str, str, str]], *, with_origin: bool) -> RenderableType:
    """Return the settings: key, value and, if wished, where each comes from."""
    table = bare_table(*(("SETTING", "VALUE", "ORIGIN") if with_origin else ("SETTING", "VALUE")))
    for key, value, origin in rows:
        table.add_row(cell(key, "bold"), cell(value), *([cell(origin)] if with_origin else []))
    return table


_SEVERITIES: Mapping[Severity, str] = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.ERROR: "red"}


def findings_table(findings: Sequence[Finding]) -> RenderableType:
    """Return the findings by area, each that is not well with its remedy below it."""
    table = bare_table()
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        text: RenderableType = Text(clean_lines(finding.text))
        if finding.severity is not Severity.OK and finding.remedy:
            text = Group(text, Text(f"remedy: {clean(finding.remedy)}", "bold"))
        severity = Text(finding.severity.value, _SEVERITIES[finding.severity])
        table.add_row(cell(finding.area), severity, cell(finding.check, "bold"), text)
    return table
