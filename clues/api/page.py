"""The status page: pools, nodes by state, pending pods with their reasons, what was done last. No scripts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from clues.api.style import STATES, Raw, age, document, legend, table, tiles
from clues.control import NodeView, PoolView, Status
from clues.decision import PodVerdict
from infracore.units import format_bytes, format_duration

__all__ = ["status_page"]

_MOST_ROWS: Final = 200
_REFRESH_S: Final = 10
_LAST_ACTIONS: Final = 15


def status_page(
    status: Status,
    nodes: Sequence[NodeView],
    pods: Sequence[PodVerdict],
    records: Sequence[Mapping[str, object]],
) -> str:
    """Return the page as HTML. `records` are those of the last hour; only actions are shown of them."""
    last = "never" if status.last_pass_at is None else age(status.now - status.last_pass_at)
    up = format_duration(max(0.0, status.now - status.started_at))
    role = "deciding" if status.leader else f"waiting: {status.holder or 'another'} decides"
    parts = [
        "<h1>cluesd</h1>",
        f'<p class="sub">{escape(role)} · version {escape(status.version)} · up {up} · last pass {escape(last)}'
        f" ({status.last_pass_ms:.0f} ms)</p>",
        *_notes(status),
        tiles(
            (
                (str(sum(node.state == "ready" for node in nodes)), "nodes ready"),
                (str(sum(pool.booting for pool in status.pools)), "booting"),
                (str(sum(pool.off for pool in status.pools)), "off"),
                (str(status.pending), "pods pending"),
                (str(status.unschedulable), "that no node can help"),
                (format_duration(status.stale_s), "age of the picture"),
            )
        ),
        "<h2>Pools</h2>",
        _pools(status),
        "<h2>Nodes</h2>",
        _nodes(status, nodes),
        "<h2>Pending pods</h2>",
        _pods(pods),
        "<h2>Actions</h2>",
        _actions(status, records),
        f"<footer>Read-only; it loads itself anew every {_REFRESH_S} s. More: <code>clues why NODE-or-POD</code>."
        "</footer>",
    ]
    return document("cluesd", parts, refresh_s=_REFRESH_S)


def _notes(status: Status) -> list[str]:
    said = [("bad", problem) for problem in status.problems]
    said += [("", note) for note in status.notes]
    if status.dry_run:
        said.append(("", "Dry run: it decides, and does nothing."))
    if status.paused:
        said.append(("", "Paused: machines stay as they are until clues release."))
    if not status.complete:
        said.append(("bad", "The picture of the cluster is not complete yet: nothing is scaled in."))
    shown = [f'<p class="note {kind}">{escape(text)}</p>' for kind, text in said[:20]]
    if len(said) > 20:
        shown.append(f'<p class="soft">and {len(said) - 20} more</p>')
    return shown


def _bar(counts: Mapping[str, int]) -> Raw:
    total = sum(counts.values()) or 1
    parts = "".join(
        f'<i style="width:{100 * counts[state] / total:.2f}%;background:var(--{state})"'
        f' title="{counts[state]} {escape(STATES[state])}"></i>'
        for state in STATES
        if counts.get(state)
    )
    return Raw(f'<div class="bar">{parts}</div>')


def _pools(status: Status) -> str:
    def row(pool: PoolView) -> tuple[str | int | float, ...]:
        bar = _bar({"ready": pool.on, "booting": pool.booting, "failed": pool.failed, "off": pool.off})
        rest = ""
        if pool.resting_until is not None and pool.resting_until > status.now:
            rest = f"rests for {format_duration(pool.resting_until - status.now)}: {pool.rest_reason}"
        limits = f"{pool.min} to {pool.max}"
        return (pool.name, pool.driver, bar, pool.on, pool.booting, pool.off, pool.failed, limits, rest)

    if not status.pools:
        return '<p class="soft">no pools are configured</p>'
    heads = ("pool", "driver", "", "#on", "#booting", "#off", "#failed", "#limits", "")
    return table(heads, map(row, status.pools))


def _nodes(status: Status, nodes: Sequence[NodeView]) -> str:
    if not nodes:
        return '<p class="soft">no nodes</p>'
    counts = Counter(node.state if node.state in STATES else "unmanaged" for node in nodes)

    def row(node: NodeView) -> tuple[str | int | float, ...]:
        state = node.state if node.state in STATES else "unmanaged"
        dot = Raw(f'<span class="dot" style="background:var(--{state})"></span>{escape(node.state)}')
        share = f"{100 * node.cpu_m[0] / node.cpu_m[1]:.0f} %" if node.cpu_m[1] else ""
        memory = f"{format_bytes(node.memory_bytes[0])} of {format_bytes(node.memory_bytes[1])}"
        marks = ", ".join(word for word, is_so in (("held", node.held), ("disabled", node.disabled)) if is_so)
        if node.failures:
            marks += f"{', ' if marks else ''}{node.failures} failures"
        why = (
            ""
            if node.verdict is None
            else (node.verdict.block or "goes") + (f": {node.verdict.detail}" if node.verdict.detail else "")
        )
        since = format_duration(max(0.0, status.now - node.since))
        return (node.name, node.pool, dot, since, node.pods, share, memory if node.memory_bytes[1] else "", marks, why)

    heads = ("node", "pool", "state", "#for", "#pods", "#cpu asked", "#memory asked", "", "why")
    more = f'<p class="soft">{len(nodes) - _MOST_ROWS} more: clues nodes</p>' if len(nodes) > _MOST_ROWS else ""
    present = [state for state in STATES if counts.get(state)]
    rows = table(heads, map(row, nodes[:_MOST_ROWS]))
    return f'{legend(present)}{_bar(counts)}<div style="height:12px"></div>{rows}{more}'


def _pods(pods: Sequence[PodVerdict]) -> str:
    if not pods:
        return '<p class="soft">none: everything runs</p>'

    def row(verdict: PodVerdict) -> tuple[str | int | float, ...]:
        first = str(verdict.pods[0]) if verdict.pods else ""
        reason = verdict.reason or "; ".join(
            f"{refusal.where}: {refusal.rule}{f' ({refusal.detail})' if refusal.detail else ''}"
            for refusal in verdict.refusals[:4]
        )
        return (first, len(verdict.pods), verdict.outcome, verdict.place, reason)

    more = f'<p class="soft">{len(pods) - _MOST_ROWS} more kinds: clues pods</p>' if len(pods) > _MOST_ROWS else ""
    return table(("pods like", "#how many", "outcome", "where", "reason"), map(row, pods[:_MOST_ROWS])) + more


def _actions(status: Status, records: Sequence[Mapping[str, object]]) -> str:
    rows: list[tuple[str | int | float, ...]] = [
        (
            format_duration(max(0.0, status.now - action.since)),
            action.kind,
            action.target,
            action.pool,
            action.phase,
            action.error or action.reason,
        )
        for action in status.actions
    ]
    open_ids = {action.id for action in status.actions}
    done = [record for record in records if record.get("type") == "action" and record.get("token") not in open_ids]
    for record in done[: -_LAST_ACTIONS - 1 : -1]:
        since = record.get("since")
        when = format_duration(max(0.0, status.now - since)) if isinstance(since, int | float) else ""
        target = record.get("node") or record.get("machine") or ""
        said = record.get("error") or record.get("reason") or ""
        rows.append(
            (when, *(str(record.get(key, "")) for key in ("kind",)), str(target), str(record.get("pool", "")),
             str(record.get("phase", "")), str(said))
        )  # fmt: skip
    if not rows:
        return '<p class="soft">nothing was done in the last hour</p>'
    return table(("#for", "what", "which", "pool", "phase", "why"), rows)
