"""A `Control` over plain values, that keeps what was asked of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from clues.control import ActionView, NodeView, PoolView, Status
from clues.decision import Block, Decision, NodeVerdict, PodVerdict, PowerOn, Refusal
from clues.model import PodRef
from infracore.errors import Conflict, InfraError, NotFound

NOW = 1_800_000_000.0


def a_status(**more: object) -> Status:
    pools = (
        PoolView("big", "cloud", 2, 1, 0, 0, 0, 10, 1.5, NOW + 120, "quota exceeded"),
        PoolView("pi", "wol", 1, 0, 3, 1, 0, 5, 0.1),
    )
    actions = (ActionView("t1", "power-on", "big", "big-3", "booting", NOW - 30, "1 pod like team/web-1"),)
    values = {
        "version": "0.1.0", "now": NOW, "started_at": NOW - 3600, "leader": True, "holder": "here", "dry_run": False,
        "paused": False, "complete": True, "stale_s": 0.4, "last_pass_at": NOW - 2, "last_pass_ms": 3.2, "pending": 3,
        "unschedulable": 1, "pools": pools, "actions": actions, "notes": (), "problems": (),
    }  # fmt: skip
    return Status(**{**values, **more})  # type: ignore[arg-type]


def some_nodes() -> tuple[NodeView, ...]:
    kept = NodeVerdict("big-1", Block.NOT_UNNEEDED_LONG_ENOUGH, "unneeded for 2 m 00 s", NOW + 480)
    return (
        NodeView("big-1", "big", "big-1", "ready", NOW - 7200, 4, (3000, 4000), (2**30, 2**32), verdict=kept),
        NodeView(
            "big-2", "big", "big-2", "ready", NOW - 600, 0, (0, 4000), (0, 2**32), verdict=NodeVerdict("big-2", None)
        ),
        NodeView("big-3", "big", "big-3", "booting", NOW - 30),
        NodeView("pi-1", "pi", "pi-1", "off", NOW - 86400, held=True),
        NodeView("pi-2", "pi", "pi-2", "failed", NOW - 60, failures=3, disabled=True),
        NodeView("master", "", "", "unmanaged", NOW - 9e6, 12, (900, 2000), (2**30, 2**31)),
    )


def some_pods() -> tuple[PodVerdict, ...]:
    refusals = (
        Refusal("big", "NodeResourcesFit", "cpu: asks 64000m, 4000m free"),
        Refusal("pi", "NodeAffinity", "kubernetes.io/arch is arm64"),
    )
    return (
        PodVerdict((PodRef("team", "web-1"), PodRef("team", "web-2")), "ordered", "big"),
        PodVerdict((PodRef("team", "huge"),), "unschedulable", "", refusals),
    )


@dataclass
class FakeControl:
    """Answers from its fields; `asked` holds every change."""

    state: Status = field(default_factory=a_status)
    views: tuple[NodeView, ...] = field(default_factory=some_nodes)
    verdicts: tuple[PodVerdict, ...] = field(default_factory=some_pods)
    decision: Decision | None = field(default_factory=lambda: Decision(NOW - 2, (PowerOn("big", 1, reason="1 pod"),)))
    history: tuple[Mapping[str, object], ...] = ()
    error: Exception | None = None
    asked: list[tuple[object, ...]] = field(default_factory=list)

    def status(self) -> Status:
        if self.error is not None:
            raise self.error
        return self.state

    def nodes(self) -> Sequence[NodeView]:
        return self.views

    def pods(self) -> Sequence[PodVerdict]:
        return self.verdicts

    def why(self, name: str) -> Mapping[str, object]:
        for view in self.views:
            if name in {view.name, view.machine} and name:
                action = next((a for a in self.state.actions if a.target == name), None)
                details = {"view": view, "removal": None, "action": action}
                return {"kind": "node", "name": view.name, "summary": f"{name} is {view.state}", "details": details}
        for verdict in self.verdicts:
            for ref in verdict.pods:
                if name in {ref.name, str(ref)}:
                    return {
                        "kind": "pod", "name": str(ref), "summary": f"{ref} is {verdict.outcome}",
                        "details": {"verdict": verdict},
                    }  # fmt: skip
        raise NotFound(f"there is no node, machine or pod {name!r}", "clues nodes; clues pods")

    def last_decision(self) -> Decision | None:
        return self.decision

    def records(self, *, since: float, until: float) -> Sequence[Mapping[str, object]]:
        return tuple(r for r in self.history if since <= float(str(r["at"])) < until)

    def _known(self, names: Sequence[str]) -> None:
        for name in names:
            if name.partition("=")[0] not in {v.name for v in self.views} | {p.name for p in self.state.pools}:
                raise NotFound(f"there is no machine {name!r}", "clues nodes")

    def power_on(self, names: Sequence[str]) -> Sequence[str]:
        self._known(names)
        self.asked.append(("power_on", tuple(names)))
        return [f"{name} is ordered" for name in names]

    def power_off(self, names: Sequence[str], *, force: bool = False) -> Sequence[str]:
        self._known(names)
        if "master" in names:
            raise Conflict("master is not managed")
        self.asked.append(("power_off", tuple(names), force))
        return [f"{name} is drained" for name in names]

    def hold(self, names: Sequence[str], *, reason: str = "") -> Sequence[str]:
        self.asked.append(("hold", tuple(names), reason))
        return [f"{name} is held" for name in names] or ["everything is held"]

    def release(self, names: Sequence[str]) -> Sequence[str]:
        self.asked.append(("release", tuple(names)))
        return [f"{name} is released" for name in names] or ["the pause is over"]

    def enable(self, names: Sequence[str]) -> Sequence[str]:
        self.asked.append(("enable", tuple(names)))
        return [f"{name} is enabled" for name in names]

    def disable(self, names: Sequence[str], *, reason: str = "") -> Sequence[str]:
        self.asked.append(("disable", tuple(names), reason))
        return [f"{name} is disabled" for name in names]

    def reload(self) -> Sequence[str]:
        if self.error is not None:
            raise InfraError("no")
        return ["reloaded"]


def plain(value: object) -> object:
    """Return what JSON makes of a value."""
    return msgspec.json.decode(msgspec.json.encode(value))
