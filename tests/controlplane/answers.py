"""What `clues why` has to say of a pod or a node at each moment of its life, as JSON and in words."""

import re
from typing import Any

from tests.controlplane.cluster import Cluster, until

_GOING = re.compile(
    r"power-off, (cordoning|looking|draining|verifying|stopping|going-off|discarding): (empty|underused) for \d+ s"
)


def is_coming(site: Cluster, app: str, pool: str) -> None:
    """Of a pending pod: a node of the pool was ordered for it before."""
    name = _name(site, app)
    why = until(f"{name} waits for a node", lambda: _has(site.why(name), "outcome", "upcoming"), story=site.story)
    verdict = why["details"]["verdict"]
    assert verdict["place"].partition("/")[0] == pool
    assert verdict["reason"] == "a node for it is coming"
    assert why["summary"] == f"upcoming ({verdict['place']}): a node for it is coming"
    said = site.clues("why", name)
    assert said.splitlines()[1] == "  outcome: upcoming: a node that was ordered before will take it", said
    assert f"  where: {verdict['place']}\n" in said


def is_refused(site: Cluster, app: str, rules: dict[str, str]) -> None:
    """Of a pending pod: the first rule that refuses it, pool by pool."""
    name = _name(site, app)
    why = until(f"{name} is judged", lambda: _has(site.why(name), "outcome", "unschedulable"), story=site.story)
    refusals = why["details"]["verdict"]["refusals"]
    pools = {one["where"]: one["rule"] for one in refusals if one["where"] in rules}
    assert pools == rules
    said = site.clues("why", name)
    assert "  outcome: unschedulable: no node of any pool could take it: nothing is ordered\n" in said
    for pool, rule in rules.items():
        assert re.search(rf"^    {pool} +{rule} ", said, re.MULTILINE), said
        assert re.search(rf"^    {rule}: ", said.partition("would have to change:")[2], re.MULTILINE), said


def runs(site: Cluster, app: str) -> None:
    """Of a bound pod: on which node it runs."""
    pod = site.pod(app)
    name, node = _name(site, app), pod["spec"]["nodeName"]

    def answer() -> Any:
        why = site.why(name)
        return why if why is not None and why["summary"] == f"it runs on {node}" else None

    assert until(f"it is known that {name} runs on {node}", answer, story=site.story)["kind"] == "pod"


def boots(site: Cluster, machine: str) -> None:
    """Of a machine: it was ordered, for pending pods."""
    why = until(f"{machine} boots", lambda: _acts(site.why(machine), "power-on", "booting"), story=site.story)
    assert why["details"]["view"]["state"] == "booting"
    assert re.fullmatch(r"power-on, booting: \d pending pods need \d more", why["summary"])


def is_busy(site: Cluster, node: str, percent: int) -> None:
    """Of a node: it stays because so much of it is asked for."""
    why = until(f"{node} is busy", lambda: _keeps(site.why(node), "utilization"), story=site.story)
    wanted = f"{percent}% of it are asked for, 50% are too many"
    assert why["details"]["view"]["verdict"]["detail"] == wanted
    assert why["summary"] == f"it stays: utilization: {wanted}"
    assert "  stays: utilization: its pods ask for more of it than policy.utilization_threshold\n" in site.clues(
        "why", node
    )


def is_idle(site: Cluster, node: str, unneeded_s: float) -> None:
    """Of a node: nobody needs it, and how long it has left."""
    why = until(f"{node} is idle", lambda: _keeps(site.why(node), "not-unneeded-long-enough"), story=site.story)
    left = why["details"]["view"]["verdict"]["removable_at"] - site.status()["now"]
    assert -2 < left <= unneeded_s  # two answers, and time goes on between them
    said = site.clues("why", node)
    assert "  stays: not-unneeded-long-enough: " in said
    assert re.search(r"^  until: \d\d:\d\d:\d\d, in \S+.*, if nothing else keeps it then$", said, re.MULTILINE), said


def is_kept_by_budget(site: Cluster, node: str, app: str) -> None:
    """Of a node: a budget that allows nothing keeps it."""
    why = until(f"the budget keeps {node}", lambda: _keeps(site.why(node), "pdb"), story=site.story)
    name = _name(site, app)
    assert why["summary"] == f"it stays: pdb: pod {name}: budget {app} allows 0 more disruptions"


def goes(site: Cluster, node: str) -> None:
    """Of a node: it is being turned off, and why."""
    why = until(f"{node} goes", lambda: _acts(site.why(node), "power-off"), story=site.story)
    assert _GOING.fullmatch(why["summary"]), why["summary"]
    assert why["details"]["view"]["state"] in {"draining", "stopping", "off"}


def is_off(site: Cluster, machine: str) -> None:
    """Of a machine: it is off, and nothing is being done to it."""

    def answer() -> Any:
        why = site.why(machine)
        return why if why["details"]["action"] is None and why["details"]["view"]["state"] == "off" else None

    why = until(f"{machine} is off", answer, story=site.story)
    assert why["summary"].startswith("it is off")
    assert re.search(r"^  state: off for ", site.clues("why", machine), re.MULTILINE)


def _name(site: Cluster, app: str) -> str:
    return f"{site.namespace}/{site.pod(app)['metadata']['name']}"


def _has(why: Any, key: str, value: str) -> Any:
    verdict = why["details"].get("verdict") if why is not None else None
    return why if verdict is not None and verdict[key] == value else None


def _keeps(why: Any, block: str) -> Any:
    view = why["details"].get("view") if why is not None else None
    verdict = view["verdict"] if view is not None else None
    return why if why is not None and verdict is not None and verdict["block"] == block else None


def _acts(why: Any, kind: str, phase: str = "") -> Any:
    action = why["details"].get("action") if why is not None else None
    return why if action is not None and action["kind"] == kind and phase in {"", action["phase"]} else None
