"""What is wrong with settings whose types are right: every problem, not the first only."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from clues.model import Effect
from clues.options import Budgets, Pool, Window
from clues.policy.schedule import parse_cron
from clues.settings.model import HOOKS, VETOES, ClusterKind, Settings, SlurmOptions
from infracore.errors import Misconfigured

__all__ = ["problems_of", "warnings_of"]

_POSITIVE: Final = frozenset(
    {
        "kubernetes.connect_s",
        "kubernetes.request_s",
        "kubernetes.page",
        "kubernetes.watch_s",
        "kubernetes.idle_s",
        "kubernetes.backoff_first_s",
        "kubernetes.backoff_most_s",
        "slurm.poll_s",
        "slurm.partitions_s",
        "slurm.call_s",
        "command.poll_s",
        "command.call_s",
        "loop.tick_s",
        "actions.workers",
        "actions.drain_s",
        "actions.evict_request_s",
        "actions.evict_pause_s",
        "actions.off_s",
        "actions.list_s",
        "actions.attempts",
        "lease.duration_s",
        "lease.renew_s",
        "lease.retry_s",
        "daemon.stop_s",
        "policy.max_drain",
        "policy.max_parallel",
        "policy.max_provision_s",
        "report.retention_days",
    }
)
_ANY_SIGN: Final = frozenset({"policy.expendable_below"})
_MOST: Final = {
    "policy.utilization_threshold": 1.0,
    "policy.max_unready_percent": 100.0,
    "actions.workers": 1000,
    "kubernetes.page": 10_000,
    "kubernetes.connect_s": 3600.0,
    "kubernetes.request_s": 3600.0,
    "actions.evict_request_s": 3600.0,
    "loop.burst_window_s": 10.0,
    "loop.tick_s": 20.0,
}
_LONGEST_S: Final = 1e9
"""Thirty years. Python's locks and sockets take no more than 292."""
_MOST_WHOLE: Final = 2**53
"""Recordings hold whole numbers of 64 bits, and programs that read our JSON those of 53."""
_MOST_PATH: Final = 107
"""Bytes of the path of a unix socket (unix(7))."""
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_POOL_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?")
_SHARE: Final = re.compile(r"[0-9]{1,9}|(100|[0-9]{1,2})%")
_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:]*):([0-9]{1,5})")
_CRON: Final = ("minute", "hour", "day of the month", "month", "weekday")

Problem = tuple[str, str]
"""Dotted name of the setting (for its place), and a sentence."""


def problems_of(settings: Settings) -> list[Problem]:
    """Return all that is wrong, in the order of the settings."""
    found = list(_numbers(settings, ""))
    found += _pools(settings)
    for number, budget in enumerate(settings.policy.budgets):
        found += [
            (f"policy.budgets[{number}]", f"policy.budgets[{number}]: {said}") for said in _budget(budget, settings)
        ]
    for number, window in enumerate(settings.policy.schedules):
        found += [
            (f"policy.schedules[{number}]", f"policy.schedules[{number}]: {said}") for said in _window(window, settings)
        ]
    found += _cluster(settings)
    found += _lease(settings)
    found += _daemon(settings)
    found += [
        (f"hooks.{name}.veto", f"hooks.{name}.veto: this hook forbids nothing; only {', '.join(sorted(VETOES))} can")
        for name in HOOKS
        if getattr(settings.hooks, name).veto and name not in VETOES
    ]
    for name in ("backoff", "removal_backoff"):
        backoff = getattr(settings.policy, name)
        if backoff.initial_s > backoff.max_s:
            found.append((f"policy.{name}", f"policy.{name}: initial_s is more than max_s"))
    return found


def warnings_of(settings: Settings) -> list[Problem]:
    """Return what can be meant, and mostly is not."""
    found: list[Problem] = []
    if not settings.pools:
        found.append(("pools", "there are no pools: nothing can be ordered"))
    for number, pool in enumerate(settings.pools):
        if settings.cluster is not ClusterKind.KUBERNETES or not pool.driver:
            continue
        found += [
            (
                f"pools[{number}].allocatable",
                f"pool {pool.name}: allocatable has no {name}: no node is ordered from it for pods that ask for some",
            )
            for name in _USUAL
            if name not in pool.allocatable
        ]
    return found


_USUAL: Final = ("memory", "ephemeral-storage")
"""What every node of Kubernetes has, and pods that come from charts often ask for."""


def _numbers(value: Any, prefix: str) -> Iterator[Problem]:
    """Refuse what is no number, negative, or out of the range of its setting; lists are checked by their own rules."""
    for name in value.__struct_fields__:
        item, dotted = getattr(value, name), f"{prefix}{name}"
        if isinstance(item, msgspec.Struct):
            yield from _numbers(item, f"{dotted}.")
        elif isinstance(item, int | float) and not isinstance(item, bool):
            if not math.isfinite(item):
                yield dotted, f"{dotted} is {item}, and must be a number"
            elif dotted in _POSITIVE and item <= 0:
                yield dotted, f"{dotted} is {item:g}, and must be more than 0"
            elif item < 0 and dotted not in _ANY_SIGN:
                yield dotted, f"{dotted} is {item:g}, and must not be negative"
            elif abs(item) > (most := _MOST.get(dotted, _LONGEST_S if name.endswith("_s") else _MOST_WHOLE)):
                yield dotted, f"{dotted} is {item:g}, and at most {most:g}"


def _pools(settings: Settings) -> Iterator[Problem]:
    last = {pool.name: number for number, pool in enumerate(settings.pools)}
    for name, count in Counter(pool.name for pool in settings.pools).items():
        if count > 1:
            yield f"pools[{last[name]}].name", f"pool {name} stands {count} times"
    nodes: dict[str, str] = {}
    for number, pool in enumerate(settings.pools):
        for said in _pool(pool, settings):
            yield f"pools[{number}]{_about(said, pool)}", f"pool {pool.name or '(without name)'}: {said}"
        for place, machine in enumerate(pool.machines):
            node, mine = machine.node or machine.name, f"{pool.name}/{machine.name}"
            if nodes.setdefault(node, mine) != mine:
                said = f"machines {nodes[node]} and {mine} have the same node {node!r}"
                yield f"pools[{number}].machines[{place}]", said


def _about(said: str, pool: Pool) -> str:
    """Return what of a pool a sentence begins with, for its line."""
    for number, machine in enumerate(pool.machines):
        if said.startswith((f"machine {machine.name}:", f"machine {machine.name!r}:")):
            return f".machines[{number}]"
    if said.startswith("there is no driver"):
        return ".driver"
    word = said.split(maxsplit=1)[0].split(".", 1)[0]
    return f".{word}" if word in Pool.__struct_fields__ else ""


def _pool(pool: Pool, settings: Settings) -> Iterator[str]:
    if not _POOL_NAME.fullmatch(pool.name):
        yield f"its name {pool.name[:80]!r} is not one of at most 63 letters, digits, `-`, `_` and `.`"
    if pool.driver and pool.driver not in settings.drivers:
        known = ", ".join(sorted(settings.drivers)) or "none"
        yield f"there is no driver {pool.driver!r} under `drivers` (there: {known})"
    if pool.min < 0:
        yield f"min is {pool.min}, and must not be negative"
    if pool.min > pool.max:
        yield f"min is {pool.min}, and max is {pool.max}"
    for name in ("price", "watts_off", "watts_idle", "watts_busy", "boot_s", "min_on_s", "min_off_s", "unneeded_s"):
        amount = getattr(pool, name)
        if amount is not None and not 0 <= amount < math.inf:
            yield f"{name} is {amount}, and must be a number that is not negative"
        elif amount is not None and amount > (most := _LONGEST_S if name.endswith("_s") else _MOST_WHOLE):
            yield f"{name} is {amount:g}, and at most {most:g}"
    for name in ("max", "tier"):
        if abs(getattr(pool, name)) > _MOST_WHOLE:
            yield f"{name} is {getattr(pool, name)}, and at most {_MOST_WHOLE}"
    yield from (f"headroom.{said.removeprefix('headroom.')}" for _, said in _numbers(pool.headroom, "headroom."))
    yield from (f"allocatable.{name} is negative" for name, amount in pool.allocatable.items() if amount < 0)
    kubernetes = settings.cluster is ClusterKind.KUBERNETES  # others say themselves what their nodes have
    if kubernetes and pool.driver and not pool.allocatable.get("cpu"):
        yield "allocatable must say what pods may ask of a fresh node, at least `cpu` and `memory`"
    for taint in (*pool.taints, *pool.startup_taints):
        if taint.effect not in set(Effect) or not taint.key:
            yield f"the taint {taint.key!r} needs a key and an effect"
    if pool.node_label and not re.fullmatch(r"[^=\s]+=[^=\s]*", pool.node_label):
        yield f"node_label is {pool.node_label!r}, and must be KEY=VALUE"
    if pool.powered and not pool.machines:
        yield "it is powered, and has no machines"
    if pool.machines and not pool.powered:
        yield "it has machines, and `powered: true` is missing"
    if pool.powered and pool.max > len(pool.machines) and pool.max != Pool("").max:
        yield f"max is {pool.max}, and it has {len(pool.machines)} machines"
    for name, count in Counter(machine.name for machine in pool.machines).items():
        if count > 1:
            yield f"machine {name} stands {count} times"
    for machine in pool.machines:
        what = "Kubernetes node" if kubernetes else "node"
        if not (_NAME if kubernetes else _HOST).fullmatch(machine.node or machine.name):
            yield f"machine {machine.name!r}: {(machine.node or machine.name)[:80]!r} is no name of a {what}"
        if not 0 <= machine.port <= 65535:
            yield f"machine {machine.name}: port is {machine.port}"


def _budget(budget: Budgets, settings: Settings) -> Iterator[str]:
    if not _SHARE.fullmatch(budget.nodes):
        yield f"nodes is {budget.nodes[:40]!r}, and must be a number or a share such as 20%"
    yield from (
        f"there is no reason {reason!r}: empty, underused" for reason in budget.reasons if reason not in _REASONS
    )
    if bool(budget.schedule) != (budget.duration_s > 0):
        yield "schedule and duration_s belong together"
    yield from _schedule(budget.schedule, budget.duration_s, budget.pool, settings)


_REASONS: Final = frozenset({"empty", "underused"})


def _window(window: Window, settings: Settings) -> Iterator[str]:
    if not window.schedule:
        yield "schedule is missing"
    if window.duration_s == 0:
        yield "duration_s must be more than 0"
    if (window.min or 0) < 0 or (window.max or 0) < 0:
        yield "min and max must not be negative"
    if max(window.min or 0, window.max or 0) > _MOST_WHOLE:
        yield f"min and max are at most {_MOST_WHOLE}"
    if window.min is not None and window.max is not None and window.min > window.max:
        yield f"min is {window.min}, and max is {window.max}"
    yield from _schedule(window.schedule, window.duration_s, window.pool, settings)


def _schedule(schedule: str, duration_s: float, pool: str, settings: Settings) -> Iterator[str]:
    if schedule:
        said = cron_problem(schedule)
        if said:
            yield said
    if not 0 <= duration_s < math.inf:
        yield f"duration_s is {duration_s}, and must be a number that is not negative"
    elif duration_s > _LONGEST_S:
        yield f"duration_s is {duration_s:g}, and at most {_LONGEST_S:g}"
    if pool and pool not in {p.name for p in settings.pools}:
        yield f"there is no pool {pool!r} under `pools`"


def cron_problem(schedule: str) -> str:
    """Say what is wrong with five cron fields; "" if nothing."""
    fields = schedule.split()
    if len(fields) != len(_CRON):
        return f"schedule {schedule[:60]!r} has {len(fields)} fields: minute hour day month weekday are needed"
    for number, field in enumerate(fields):
        alone = ["*"] * number + [field] + ["*"] * (len(_CRON) - number - 1)
        if parse_cron(" ".join(alone)) is None:
            return f"schedule {schedule[:60]!r}: {field[:40]!r} is no {_CRON[number]}"
    return ""


def _cluster(settings: Settings) -> Iterator[Problem]:
    if settings.slurm.read not in {"auto", "json", "text"}:
        yield "slurm.read", f"slurm.read is {settings.slurm.read[:40]!r}; there are: auto, json, text"
    if settings.slurm.restd or settings.slurm.restd_token:
        yield from _restd(settings.slurm)
    if settings.cluster is ClusterKind.COMMAND:
        for name in ("nodes", "jobs"):
            if not getattr(settings.command, name):
                yield f"command.{name}", f"cluster is command, and command.{name} names no program"
        if bool(settings.command.drain) != bool(settings.command.resume):
            yield "command.drain", "command.drain and command.resume belong together"
    if settings.cluster is not ClusterKind.KUBERNETES and settings.lease.enabled:
        yield "lease.enabled", f"lease.enabled is set, and a cluster of {settings.cluster} keeps no Leases"


def _restd(slurm: SlurmOptions) -> Iterator[Problem]:
    from infracore.http import parse_address_or_socket  # late: few need it

    if not slurm.restd:
        yield "slurm.restd_token", "slurm.restd_token is set, and slurm.restd names no server"
        return
    try:
        address = parse_address_or_socket(slurm.restd, "slurm.restd")
    except Misconfigured as error:
        yield "slurm.restd", f"{error.message}; {error.hint}"
        return
    if slurm.read == "text":
        yield "slurm.read", "slurm.read is text, and slurmrestd answers in JSON"
    if slurm.restd_token and not address.is_tls and not address.is_loopback:
        yield "slurm.restd", f"slurm.restd is {slurm.restd}: the token would go over the network in clear; use https"


def _lease(settings: Settings) -> Iterator[Problem]:
    lease = settings.lease
    if not lease.retry_s < lease.renew_s < lease.duration_s:
        yield "lease", "lease: retry_s must be less than renew_s, and that less than duration_s"
    for name in ("name", "namespace"):
        if not _NAME.fullmatch(getattr(lease, name)):
            yield f"lease.{name}", f"lease.{name} is {getattr(lease, name)[:80]!r}, which is no name of Kubernetes"


def _daemon(settings: Settings) -> Iterator[Problem]:
    daemon = settings.daemon
    levels = ("debug", "info", "warning", "error")
    if daemon.log_level not in levels:
        yield "daemon.log_level", f"daemon.log_level is {daemon.log_level!r}; there are: {', '.join(levels)}"
    found = _LISTEN.fullmatch(daemon.metrics_listen)
    if daemon.metrics_listen and (found is None or int(found[2]) > 65535):
        yield "daemon.metrics_listen", f"daemon.metrics_listen is {daemon.metrics_listen!r}, and must be ADDRESS:PORT"
    if len(os.fsencode(daemon.socket)) > _MOST_PATH:
        yield "daemon.socket", f"daemon.socket is longer than {_MOST_PATH} bytes: {daemon.socket}"
    namespace, _, name = daemon.status_config_map.partition("/")
    if daemon.status_config_map and not (_NAME.fullmatch(namespace) and _NAME.fullmatch(name)):
        yield "daemon.status_config_map", "daemon.status_config_map must be NAMESPACE/NAME"
    if not settings.daemon.stop_s <= 10:
        yield "daemon.stop_s", "daemon.stop_s is at most 10: systemd kills the daemon then"
