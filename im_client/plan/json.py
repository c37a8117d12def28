"""Plans as JSON: for programs, and for plans that are kept in a file.

`{"format": "plan-1", "sha256": DIGEST, "plan": {...}}`, where the digest is that of the plan's canonical JSON
(sorted keys, no spaces): the text may be reformatted, but not altered. What a step does not say has its default. A
step's `needs` is a list of step ids or, where that would be long, the name of a list in `sets` that steps share.
"""

import hashlib
import json
from typing import Any, Final

import msgspec

from im_client.plan.model import Plan, Spec, Step
from infracore.errors import InvalidUsage

__all__ = ["decode", "encode", "plan_digest", "to_plain"]

_FORMAT: Final = "plan-1"
_LONG: Final = 8
"""Lists of needs longer than this are written once."""
_HINT: Final = "make the plan again"


def encode(plan: Plan) -> bytes:
    """Write a plan as indented JSON with its digest. Equal plans give equal bytes."""
    plain = to_plain(plan)
    whole = {"format": _FORMAT, "sha256": _sha256(plain), "plan": plain}
    return json.dumps(whole, indent=1, ensure_ascii=False).encode()


def plan_digest(plan: Plan) -> str:
    """Return the SHA-256 that `encode` writes."""
    return _sha256(to_plain(plan))


def decode(text: bytes) -> Plan:
    """Read what `encode` wrote.

    Raises:
        InvalidUsage: no JSON, altered since, or a value that does not fit; the message names its path.
    """
    try:
        whole = msgspec.json.decode(text, type=_Envelope)
    except msgspec.DecodeError as error:
        raise InvalidUsage(f"this is no plan: {error}", _HINT) from error
    if whole.format != _FORMAT:
        raise InvalidUsage(f"this plan has the format {whole.format!r}; this program reads {_FORMAT!r}", _HINT)
    if _sha256(whole.plan) != whole.sha256:
        raise InvalidUsage("this plan was altered after it was made: its digest does not fit", _HINT)
    try:
        plan = msgspec.convert(_with_needs(whole.plan), Plan)
    except msgspec.ValidationError as error:
        raise InvalidUsage(f"a value in this plan does not fit: {error}", _HINT) from error
    strange = _difference(whole.plan, to_plain(plan), "$")
    if strange is not None:
        raise InvalidUsage(f"a value in this plan is not known: {strange}", _HINT)
    return plan


def _builtins(value: object) -> Any:
    """Return dicts and lists; `msgspec.to_builtins` would leave tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))


_NO_SPEC: Final[dict[str, Any]] = _builtins(Spec())


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    sha256: str
    plan: dict[str, Any]


def to_plain(plan: Plan) -> dict[str, Any]:
    """Return a plan as dicts and lists."""
    sets: dict[str, list[str]] = {}
    names: dict[tuple[str, ...], str] = {}
    by_object: dict[int, list[str] | str] = {}
    steps = []
    for step in plan.steps:
        needs = by_object.get(id(step.needs))
        if needs is None:
            needs = list(step.needs)
            if len(needs) > _LONG:
                name = names.setdefault(step.needs, f"set-{len(names) + 1}")
                sets[name], needs = needs, name
            by_object[id(step.needs)] = needs
        steps.append(_plain_step(step, needs))
    plain = {
        "infrastructure": plan.infrastructure,
        "revision": plan.revision,
        "steps": steps,
        "sets": sets,
        "unchanged": list(plan.unchanged),
        "warnings": list(plan.warnings),
    }
    return {key: value for key, value in plain.items() if key == "steps" or value not in ("", [], {})}


def _plain_step(step: Step, needs: list[str] | str) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "id": step.id,
        "action": step.action.value,
        "node": step.node,
        "group": step.group,
        "index": step.index,
        "reason": {"code": step.reason.code.value, "text": step.reason.text},
    }
    if step.spec is not None:
        fields = _builtins(step.spec)
        plain["spec"] = {name: value for name, value in fields.items() if value != _NO_SPEC[name]}
    if step.changes:
        plain["changes"] = _builtins(step.changes)
    if needs:
        plain["needs"] = needs
    if step.operations:
        plain["operations"] = list(step.operations)
    if step.sites:
        plain["sites"] = list(step.sites)
    if step.images:
        plain["images"] = dict(step.images)
    return plain


def _with_needs(plain: dict[str, Any]) -> dict[str, Any]:
    """Put the shared lists in where steps name them; the same list stays one object, as `convert` keeps it."""
    sets = plain.get("sets", {})
    steps = plain.get("steps")
    if not isinstance(sets, dict) or not isinstance(steps, list):
        return plain
    full = [
        {**step, "needs": sets[step["needs"]]}
        if isinstance(step, dict) and isinstance(step.get("needs"), str) and step["needs"] in sets
        else step
        for step in steps
    ]
    return {**{key: value for key, value in plain.items() if key != "sets"}, "steps": full}


def _difference(given: object, known: object, path: str) -> str | None:
    """Return the path of the first value that decoding has dropped or changed."""
    if given == known:
        return None
    if isinstance(given, dict) and isinstance(known, dict):
        for key in [*given, *known]:
            found = _difference(given.get(key), known.get(key), f"{path}.{key}")
            if found is not None:
                return found
    if isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for number, (one, other) in enumerate(zip(given, known, strict=True)):
            found = _difference(one, other, f"{path}[{number}]")
            if found is not None:
                return found
    return path


def _sha256(plain: object) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
