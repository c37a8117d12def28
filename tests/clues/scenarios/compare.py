"""Strict comparison of an answer with what a scenario expects."""

from collections.abc import Mapping
from typing import Any


def differences(expect: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """Return in words where the answer is not the right one. Nodes that `blocked` does not name may be blocked."""
    known = {
        "scale_up", "unschedulable", "unschedulable_count", "scale_down", "scale_down_any", "blocked", "replace",
        "power_on", "power_on_count", "power_on_from", "power_off", "power_off_count", "power_off_from",
    }  # fmt: skip
    wrong = [f"the scenario expects what is not known here: {key}" for key in expect if key not in known]
    up = {pool: count for pool, count in expect.get("scale_up", {}).items() if count}
    if got.get("scale_up", {}) != up:
        wrong.append(f"scale_up {got.get('scale_up', {})}, not {up}")
    pending = sorted(got.get("unschedulable", []))
    if "unschedulable_count" in expect:
        if len(pending) != expect["unschedulable_count"]:
            wrong.append(f"unschedulable {pending}, not {expect['unschedulable_count']}")
    elif pending != sorted(expect.get("unschedulable", [])):
        wrong.append(f"unschedulable {pending}, not {expect.get('unschedulable', [])}")
    wrong += _scale_down(expect, sorted(got.get("scale_down", [])))
    for node, reason in expect.get("blocked", {}).items():
        if got.get("blocked", {}).get(node) != reason:
            wrong.append(f"blocked {node}: {got.get('blocked', {}).get(node)}, not {reason}")
    for key in ("power_on", "power_off"):
        wrong += _chosen(key, expect, sorted(got.get(key, [])))
    replace, expected = got.get("replace", {}), expect.get("replace", {})
    if (sorted(replace.get("remove", [])), replace.get("add", {})) != (
        sorted(expected.get("remove", [])),
        expected.get("add", {}),
    ):
        wrong.append(f"replace {replace}, not {expected}")
    return wrong


def _scale_down(expect: Mapping[str, Any], down: list[str]) -> list[str]:
    if "scale_down_any" not in expect:
        expected = sorted(expect.get("scale_down", []))
        return [] if down == expected else [f"scale_down {down}, not {expected}"]
    choice = expect["scale_down_any"]
    right = (
        len(down) == choice["count"] and set(down) <= set(choice["from"]) and set(choice.get("must", [])) <= set(down)
    )
    return [] if right else [f"scale_down {down}, not {choice}"]


def _chosen(key: str, expect: Mapping[str, Any], got: list[str]) -> list[str]:
    if f"{key}_count" in expect or f"{key}_from" in expect:
        count, among = expect.get(f"{key}_count", len(got)), expect.get(f"{key}_from")
        right = len(got) == count and (among is None or set(got) <= set(among))
        return [] if right else [f"{key} {got}, not {count} of {among}"]
    expected = sorted(expect.get(key, []))
    return [] if got == expected else [f"{key} {got}, not {expected}"]
