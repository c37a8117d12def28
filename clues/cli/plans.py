"""Decisions, answers and simulations, as tables and as plain data."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from clues.decision import Decision, PowerOn, Removal
from infracore.cli.tables import bare_table, cell, counted

if TYPE_CHECKING:
    from clues.offline.answer import Answer
    from clues.sim.report import Result

__all__ = ["answers_view", "decision_shape", "decision_view", "results_view"]

_MOST_REFUSALS = 6


def decision_shape(decision: Decision) -> dict[str, Any]:
    """Return a decision for a program, without what is kept for the next one."""
    shape: dict[str, Any] = msgspec.to_builtins(decision)
    del shape["memory"]
    return shape


def decision_view(decision: Decision) -> RenderableType:
    """Return what is ordered, what goes, what stays and why."""
    parts: list[RenderableType] = []
    acts = bare_table("DO", "POOL", "WHAT", "WHY")
    for order in decision.power_on:
        acts.add_row(*_order_cells("order", order))
    for removal in decision.remove:
        acts.add_row(*_removal_cells("remove", removal))
    for swap in decision.replace:
        for order in swap.add:
            acts.add_row(*_order_cells("order", order))
        for removal in swap.remove:
            acts.add_row(*_removal_cells("then remove", removal))
    for name in decision.cancel:
        acts.add_row("keep", "", cell(name), "its removal is cancelled: demand returned")
    for name in () if decision.power_on else decision.slurm_on:  # without pools these are all that is known
        acts.add_row("power up", "slurm", cell(name), "")
    for name in () if decision.remove else decision.slurm_off:
        acts.add_row("power down", "slurm", cell(name), "")
    parts.append(acts if acts.row_count else Text("nothing to do", "green"))
    if decision.pods:
        pods = bare_table("PODS", "OUTCOME", "WHERE", "WHY")
        for verdict in decision.pods:
            first = str(verdict.pods[0]) if verdict.pods else ""
            more = f" +{len(verdict.pods) - 1}" if len(verdict.pods) > 1 else ""
            refused = [f"{r.where}: {r.rule}{f' ({r.detail})' if r.detail else ''}" for r in verdict.refusals]
            left = [f"and {len(refused) - _MOST_REFUSALS} more"] if len(refused) > _MOST_REFUSALS else []
            why = "\n".join([*([verdict.reason] if verdict.reason else []), *refused[:_MOST_REFUSALS], *left])
            pods.add_row(cell(first + more), verdict.outcome, cell(verdict.place), cell(why))
        parts += [Text(""), pods]
    if decision.nodes:
        nodes = bare_table("NODE", "STAYS BECAUSE", "")
        for node in decision.nodes:
            nodes.add_row(cell(node.node), "it goes" if node.block is None else node.block.value, cell(node.detail))
        parts += [Text(""), nodes]
    parts += [Text.assemble(("note: ", "yellow"), cell(note)) for note in decision.notes]
    return Group(*parts)


def _order_cells(word: str, order: PowerOn) -> tuple[RenderableType, ...]:
    what = ", ".join(order.machines) if order.machines else counted(order.count, "node")
    return word, cell(order.pool), cell(what), cell(order.reason or counted(len(order.pods), "pod"))


def _removal_cells(word: str, removal: Removal) -> tuple[RenderableType, ...]:
    evicted = f", {counted(len(removal.evict), 'pod')} evicted first" if removal.evict else ""
    return word, cell(removal.pool), cell(removal.node or removal.machine), cell(f"{removal.kind.value}{evicted}")


def answers_view(answers: "Sequence[Answer]", titles: Mapping[str, str], *, explain: bool) -> RenderableType:
    """Return the answers to scenarios, a line each; with `explain` the decision behind each too."""
    table = bare_table("SCENARIO", "ANSWER", "TITLE")
    for item in answers:
        lines = [f"{name}: {_said(part)}" for name, part in item.shape().items()] or ["nothing to do"]
        table.add_row(cell(item.id), cell("\n".join(lines)), cell(titles.get(item.id, "")))
    if not explain:
        return table
    parts: list[RenderableType] = [table]
    for item in answers:
        parts += [Text(""), Text(f"{item.id}, first pass of {item.passes}", "bold"), decision_view(item.first)]
        if item.passes > 1:
            parts += [Text(f"{item.id}, last pass", "bold"), decision_view(item.last)]
    return Group(*parts)


def _said(part: Any) -> str:
    if isinstance(part, Mapping):
        return ", ".join(f"{key} {_said(value)}" for key, value in part.items())
    if isinstance(part, list):
        return ", ".join(map(str, part))
    return str(part)


def results_view(results: "Sequence[Result]", currency: str) -> RenderableType:
    """Return simulations side by side."""
    table = bare_table("", *(result.name for result in results))
    for heading, values in _lines(results, currency):
        table.add_row(heading, *(cell(value) for value in values))
    return table


def _lines(results: "Sequence[Result]", currency: str) -> list[tuple[str, list[str]]]:
    def each(form: str, name: str) -> list[str]:
        return [form.format(getattr(result, name)) for result in results]

    return [
        ("jobs", each("{}", "jobs")),
        ("jobs that ran", each("{}", "finished")),
        ("jobs that never could", each("{}", "never_ran")),
        ("wait, mean s", each("{:.1f}", "wait_mean_s")),
        ("wait, median s", each("{:.1f}", "wait_p50_s")),
        ("wait, p95 s", each("{:.1f}", "wait_p95_s")),
        ("wait, longest s", each("{:.1f}", "wait_max_s")),
        ("node hours", each("{:.2f}", "node_hours")),
        ("of them used", each("{:.1%}", "utilisation")),
        ("energy kWh", each("{:.3f}", "energy_kwh")),
        (f"cost {currency}", each("{:.2f}", "cost")),
        ("nodes at most", each("{}", "most_nodes")),
        ("power-ons", each("{}", "power_ons")),
        ("power-offs", each("{}", "power_offs")),
        ("failed power-ons", each("{}", "failed_power_ons")),
        ("evictions", each("{}", "evictions")),
        ("ended after h", each("{:.2f}", "hours")),
        ("decisions", each("{}", "decisions")),
    ]
