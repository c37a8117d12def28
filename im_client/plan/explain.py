"""A plan in words: sentences and rows of a table, without colours. `cli` dresses them up."""

from collections import Counter
from typing import Final

from im_client.plan.model import Action, Change, Plan, Step
from im_client.plan.specs import describe_spec, title

__all__ = ["MARKS", "details", "explain_change", "places", "rows", "sentence", "sentences", "summary"]

MARKS: Final = {
    Action.CREATE: "+",
    Action.START: ">",
    Action.UPDATE: "~",
    Action.REPLACE: "-/+",
    Action.DELETE: "-",
    Action.CONFIGURE: "*",
}
_VERBS: Final = {
    Action.CREATE: "is created",
    Action.START: "is started",
    Action.UPDATE: "is changed in place",
    Action.REPLACE: "is deleted and made anew",
    Action.DELETE: "is deleted",
    Action.CONFIGURE: "is configured",
}


def summary(plan: Plan) -> str:
    """Return the number of steps by action in one line."""
    if plan.is_empty:
        return f"Nothing to do: {len(plan.unchanged)} machines are as they shall be."
    counts = Counter(step.action for step in plan.steps)
    said = ", ".join(f"{counts[action]} to {action}" for action in Action if counts[action])
    return f"Plan: {said}; {len(plan.unchanged)} unchanged."


def sentence(step: Step) -> str:
    """Say what a step does and why: `wn-2 is deleted: wn is scaled in to 1`."""
    return f"{step.node} {_VERBS[step.action]}: {step.reason.text}"


def sentences(plan: Plan) -> list[str]:
    """Return one sentence a step, each with its details behind it, then the warnings."""
    said = []
    for step in plan.steps:
        more = details(step)
        said.append(sentence(step) + (f" ({'; '.join(more)})" if more else ""))
    return said + [f"warning: {text}" for text in plan.warnings]


def rows(plan: Plan) -> list[tuple[str, str, str, str]]:
    """Return mark, action, machine and reason of each step; details follow in rows whose first cells are empty."""
    table: list[tuple[str, str, str, str]] = []
    for step in plan.steps:
        table.append((MARKS[step.action], step.action.value, step.node, step.reason.text))
        table += [("", "", "", text) for text in details(step)]
    return table


def details(step: Step) -> list[str]:
    """Return what a step changes, makes or runs."""
    found = [explain_change(change) for change in step.changes]
    if step.action is Action.CREATE and step.spec is not None:
        found.append(describe_spec(step.spec))
    found += places(step)
    if step.operations:
        when = "runs" if step.action is Action.CONFIGURE else "before that runs"
        found.append(f"{when} {', '.join(step.operations)}")
    return found


def places(step: Step) -> list[str]:
    """Say where a machine is made, and from which golden image."""
    at = [f"at {step.sites[0]}" + "".join(f", else at {site}" for site in step.sites[1:])] if step.sites else []
    return at + [f"from the golden image {image}" for image in dict.fromkeys(step.images.values())]


def explain_change(change: Change) -> str:
    """Return `memory: 1 GiB -> 2 GiB`, and whether that forces a new machine."""
    forced = ", which forces a new machine" if change.forces_replace else ""
    return f"{title(change.property)}: {change.before} -> {change.after}{forced}"
