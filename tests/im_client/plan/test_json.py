"""Plans in files: readable, whole, and never altered unnoticed."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from im_client.plan.build import build
from im_client.plan.json import decode, encode, plan_digest
from im_client.plan.model import Known, Plan
from infracore.errors import InvalidUsage
from tests.im_client.plan.world import LIMITS, cluster


def big() -> Plan:
    return build("inf", cluster(20), Known(), LIMITS)


def altered(change: Callable[[dict[str, Any]], object], *, sealed: bool = False) -> bytes:
    """A plan's JSON after a change; `sealed` gives it the digest that fits."""
    import hashlib

    whole = json.loads(encode(big()))
    change(whole["plan"])
    if sealed:
        text = json.dumps(whole["plan"], sort_keys=True, separators=(",", ":"))
        whole["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(whole).encode()


def test_a_reformatted_plan_is_still_the_plan() -> None:
    text = json.dumps(json.loads(encode(big())), indent=7, sort_keys=True).encode()
    assert decode(text) == big()
    assert json.loads(text)["sha256"] == plan_digest(big())


def test_what_many_steps_wait_for_is_written_once() -> None:
    plain = json.loads(encode(big()))["plan"]
    assert plain["steps"][-1]["needs"] == "set-1"
    assert plain["sets"]["set-1"] == [s["id"] for s in plain["steps"][:21]]
    assert encode(big()).count(b'"create:wn-20"') == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan.update(revision=7),
        lambda plan: plan["steps"].pop(),
        lambda plan: plan["steps"][0]["spec"].update(num_cpus=64),
        lambda plan: plan.update(more=1),
    ],
)
def test_an_altered_plan_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(InvalidUsage, match="was altered"):
        decode(altered(change))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda plan: plan["steps"][3].update(action="explode"), r"\$\.steps\[3\]\.action"),
        (lambda plan: plan["steps"][3]["spec"].update(num_cpus="two"), r"\$\.steps\[3\]\.spec\.num_cpus"),
        (lambda plan: plan["steps"][3]["spec"].update(wings=2), r"\$\.steps\[3\]\.spec\.wings"),
        (lambda plan: plan["steps"][3].update(needs="set-9"), r"\$\.steps\[3\]\.needs"),
        (lambda plan: plan.pop("steps"), "steps"),
        (lambda plan: plan.update(sets=3), r"\$\.steps\[21\]\.needs"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_path(change: Callable[[dict[str, Any]], object], path: str) -> None:
    with pytest.raises(InvalidUsage, match=path):
        decode(altered(change, sealed=True))


@pytest.mark.parametrize(
    "text", [b"", b"nonsense", b"[]", b"{}", b'{"format": "plan-1", "sha256": "", "plan": {}, "x": 1}']
)
def test_what_is_no_plan_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidUsage, match="this is no plan"):
        decode(text)


def test_a_plan_of_another_format_is_refused() -> None:
    with pytest.raises(InvalidUsage, match="has the format 'plan-2'"):
        decode(b'{"format": "plan-2", "sha256": "", "plan": {}}')
