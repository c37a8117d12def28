"""What a scenario's settings, history and machines are to `decide`: pools, policy, memory, machines, Slurm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from clues.decision import Memory
from clues.model import ARCH, OS, ZONE, Effect, Taint
from clues.offline.format import (
    MachineText,
    NodeText,
    PoolText,
    Scenario,
    SettingsText,
    SlurmNodeText,
    SlurmText,
    TaintText,
)
from clues.offline.scenario import duration_s, word
from clues.offline.specs import GPU, amount_milli, amount_units
from clues.options import BackOff, Budgets, Consolidation, Expander, MachineOption, Policy, Pool
from clues.policy.backoff import failed
from clues.policy.budgets import EMPTY, UNDERUSED
from clues.slurm_model import SlurmCluster, SlurmJob, SlurmNode, SlurmNodeState, SlurmPartition
from clues.snapshot import Machine, MachineState
from infracore.errors import Misconfigured

__all__ = ["NOW", "Case", "SizedPool", "case_of"]

NOW: Final = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC).timestamp()
"""When every scenario happens (a Wednesday at noon): an answer never depends on the day on which it is asked."""
_SIZE: Final = "machine-size"
_SINCE_S: Final = 3600.0
_BOOTING_SINCE_S: Final = 120.0
_REASONS: Final = {"Empty": EMPTY, "Underutilized": UNDERUSED}
"""Karpenter's words for our reasons of a budget."""


@dataclass(frozen=True, slots=True)
class SizedPool:
    """A pool as `decide` knows it, and the scenario's pool that it is (a part of).

    A pool whose machines differ in size is one pool a size to `decide`.
    """

    pool: Pool
    text: PoolText
    cpu: str | int | float
    memory: str | int | float


@dataclass(frozen=True, slots=True)
class Case:
    """All that `decide` needs beside the objects."""

    id: str
    sized: Mapping[str, SizedPool]
    policy: Policy
    memory: Memory
    machines: Mapping[str, tuple[Machine, ...]]
    slurm: SlurmCluster | None
    excluded: frozenset[str]

    @property
    def pools(self) -> tuple[Pool, ...]:
        return tuple(item.pool for item in self.sized.values())


def case_of(scenario: Scenario, where: str, now: float = NOW) -> Case:
    """Read what is not a Kubernetes object. Raises Misconfigured."""
    sized = _sized_pools(scenario, where)
    home = {m.name: name for name, item in sized.items() for m in item.pool.machines}
    excluded = frozenset(scenario.settings.exclude).union(scenario.slurm.exclude if scenario.slurm is not None else ())
    policy = _policy(scenario.settings, where)
    return Case(
        scenario.id,
        sized,
        policy,
        _memory(scenario, policy.backoff, where, now),
        _machines(scenario, sized, home, where, now),
        _slurm(scenario.slurm, excluded, where, now) if scenario.slurm is not None else None,
        excluded,
    )


def taints_of(given: Sequence[TaintText], where: str) -> tuple[Taint, ...]:
    """Read taints. Raises Misconfigured."""
    try:
        return tuple(Taint(item.key, word(item.value), Effect(item.effect)) for item in given)
    except ValueError as error:
        raise Misconfigured(f"{where}: taints: {error}") from error


def _sized_pools(scenario: Scenario, where: str) -> dict[str, SizedPool]:
    sized: dict[str, SizedPool] = {}
    for text in scenario.pools:
        place = f"{where}: pool {text.name}"
        if not (text.price >= 0 and text.price < float("inf")):
            raise Misconfigured(f"{place}: price {text.price} is no price")
        listed = [m for m in scenario.machines if m.pool == text.name]
        powered = text.powered or bool(listed)
        sizes: dict[tuple[int, int], list[MachineText]] = {}
        for machine in listed:
            cpu = amount_milli(machine.cpu if machine.cpu is not None else text.cpu, place)
            memory = amount_units(machine.memory if machine.memory is not None else text.memory, place)
            sizes.setdefault((cpu, memory), []).append(machine)
        several = len(sizes) > 1
        groups: list[list[MachineText]] = list(sizes.values()) or [[]]
        for number, group in enumerate(groups):
            name = f"{text.name}#{number}" if several else text.name
            first = group[0] if group else None
            cpu_text = first.cpu if first is not None and first.cpu is not None else text.cpu
            memory_text = first.memory if first is not None and first.memory is not None else text.memory
            names = dict.fromkeys(m.name for m in group)
            if powered and not several:
                names |= dict.fromkeys(node.name for node in scenario.nodes if node.pool == text.name)
            labels = {ARCH: text.arch, OS: "linux", "pool": text.name}
            if text.zone:
                labels[ZONE] = text.zone
            labels |= {key: word(value) for key, value in text.labels.items()}
            if several:
                labels[_SIZE] = name.replace("#", "-")
            allocatable = {
                "cpu": amount_milli(cpu_text, place),
                "memory": amount_units(memory_text, place),
                "pods": text.max_pods,
            }
            if text.gpu:
                allocatable[GPU] = text.gpu
            sized[name] = SizedPool(
                Pool(
                    name=name,
                    driver="fake",
                    min=text.min if not several else 0,
                    max=min(text.max, len(group)) if several else text.max,
                    allocatable=allocatable,
                    labels=labels,
                    taints=taints_of(text.taints, place),
                    startup_taints=taints_of(text.startup_taints, place),
                    price=text.price,
                    tier=text.tier,
                    powered=powered,
                    machines=tuple(MachineOption(name=n) for n in names),
                    node_label=f"{_SIZE}={labels[_SIZE]}" if several else f"pool={text.name}",
                ),
                text,
                cpu_text,
                memory_text,
            )
    return sized


def size_label(item: SizedPool) -> dict[str, str]:
    """Return the label that tells a pool's sizes apart; {} where there is one size only."""
    return {_SIZE: item.pool.labels[_SIZE]} if _SIZE in item.pool.labels else {}


def _policy(given: SettingsText, where: str) -> Policy:
    place = f"{where}: settings"

    def seconds(name: str) -> float:
        return duration_s(getattr(given, name), f"{place}: {name}")

    try:
        expander, consolidation = Expander(given.expander), Consolidation(given.consolidation)
    except ValueError as error:
        raise Misconfigured(f"{place}: {error}") from error
    rest = given.backoff
    numbers = (given.max_drain, given.max_parallel, given.ok_unready, given.max_nodes or 0, given.max_booting or 0)
    if min(numbers) < 0 or not 0 <= given.utilization_threshold <= 1 or not 0 <= given.max_unready_percent <= 100:
        raise Misconfigured(f"{place}: a count is negative, or a share is outside of its range")
    return Policy(
        expander=expander,
        max_nodes=given.max_nodes,
        max_cores=None if given.max_cores is None else amount_milli(given.max_cores, place) / 1000,
        max_memory_bytes=None if given.max_memory is None else amount_units(given.max_memory, place),
        min_cores=amount_milli(given.min_cores, place) / 1000,
        balance=given.balance,
        enforce_min=given.enforce_min,
        utilization_threshold=given.utilization_threshold,
        count_daemonsets=given.count_daemonsets,
        unneeded_s=seconds("unneeded_time"),
        unready_s=seconds("unready_time"),
        remove_unready=given.remove_unready,
        delay_after_scale_up_s=seconds("delay_after_scale_up"),
        delay_after_failure_s=seconds("delay_after_failure"),
        max_drain=given.max_drain,
        max_parallel=given.max_parallel,
        max_provision_s=seconds("max_provision_time"),
        max_booting=given.max_booting,
        backoff=BackOff(
            initial_s=duration_s(rest.initial, f"{place}: backoff"),
            max_s=duration_s(rest.max, f"{place}: backoff"),
            reset_s=duration_s(rest.reset, f"{place}: backoff"),
        ),
        expendable_below=given.expendable_below,
        ok_unready=given.ok_unready,
        max_unready_percent=given.max_unready_percent,
        block_local_storage=given.block_local_storage,
        block_kube_system=given.block_kube_system,
        block_unreplicated=given.block_unreplicated,
        consolidation=consolidation,
        budgets=tuple(
            Budgets(
                nodes=str(item.nodes),
                pool=item.pool,
                reasons=tuple(_REASONS.get(reason, reason) for reason in item.reasons),
                schedule=item.schedule,
                duration_s=duration_s(item.duration, f"{place}: budgets"),
            )
            for item in given.budgets or ()
        ),
        schedulers=given.schedulers,
    )


def _memory(scenario: Scenario, backoff: BackOff, where: str, now: float) -> Memory:
    last_up = scenario.settings.last_scale_up
    last_scale_up = None if last_up is None else now - duration_s(last_up, f"{where}: settings: last_scale_up")
    last_failure = None
    memory = Memory()
    timed = [(now - duration_s(item.ago, f"{where}: history: ago"), item) for item in scenario.history]
    for at, item in sorted(timed, key=lambda pair: pair[0]):
        if item.event == "scale_up":
            last_scale_up = at if last_scale_up is None else max(last_scale_up, at)
        elif item.event == "scale_down_failed":
            last_failure = at
        else:
            if not item.pool:
                raise Misconfigured(f"{where}: history: scale_up_failed needs a pool")
            memory = failed(memory, item.pool, at, item.event, backoff)
    unneeded = {
        node.name: now - duration_s(node.unneeded_for, f"{where}: node {node.name}: unneeded_for")
        for node in scenario.nodes
        if node.pool and node.state in {"ready", "unready"}
    }
    unneeded |= {
        machine.name: now - duration_s(machine.unneeded_for, f"{where}: machine {machine.name}: unneeded_for")
        for machine in scenario.machines
        if machine.state == "powered_on" and machine.name not in unneeded
    }
    return Memory(unneeded_since=unneeded, rests=memory.rests, last_scale_up=last_scale_up, last_failure=last_failure)


_NODE_MACHINES: Final = {
    "ready": MachineState.ON,
    "unready": MachineState.ON,
    "booting": MachineState.BOOTING,
    "deleting": MachineState.STOPPING,
}
_STATES: Final = {
    "powered_off": MachineState.OFF,
    "powered_on": MachineState.ON,
    "booting": MachineState.BOOTING,
    "failed": MachineState.FAILED,
    "stopping": MachineState.STOPPING,
}


def _machines(
    scenario: Scenario, sized: Mapping[str, SizedPool], home: Mapping[str, str], where: str, now: float
) -> dict[str, tuple[Machine, ...]]:
    made: dict[str, list[Machine]] = {name: [] for name in sized}
    excluded = set(scenario.settings.exclude)

    def since(given: Any, what: str, missing: float = _SINCE_S) -> float:
        return now - (missing if given is None else duration_s(given, f"{where}: {what}: since"))

    named: set[str] = set()
    for machine in scenario.machines:
        named.add(machine.name)
        at = since(machine.since, f"machine {machine.name}")
        off = machine.state in {"powered_off", "failed"}
        made[home[machine.name]].append(
            Machine(
                name=machine.name,
                pool=home[machine.name],
                state=_STATES[machine.state],
                since=at,
                node=machine.name,
                failures=machine.failures,
                power_ons=machine.power_ons,
                last_off_at=at if off else None,
                held=machine.name in excluded,
            )
        )
    for node in scenario.nodes:
        if not node.pool or node.name in named:
            continue
        pool = home.get(node.name) or (node.pool if node.pool in sized else f"{node.pool}#0")
        made[pool].append(
            Machine(
                name=node.name,
                pool=pool,
                state=_NODE_MACHINES[node.state],
                since=since(node.since, f"node {node.name}", _BOOTING_SINCE_S if node.state == "booting" else _SINCE_S),
                node=node.name,
                held=node.name in excluded,
            )
        )
    return {name: tuple(listed) for name, listed in made.items()}


def _slurm(given: SlurmText, excluded: frozenset[str], where: str, now: float) -> SlurmCluster:
    def since(item: SlurmNodeText) -> float:
        missing = _BOOTING_SINCE_S if item.state == "powering_up" else _SINCE_S
        return now - (
            missing if item.since is None else duration_s(item.since, f"{where}: Slurm node {item.name}: since")
        )

    return SlurmCluster(
        partitions=tuple(SlurmPartition(item.name, item.nodes) for item in given.partitions),
        nodes=tuple(
            SlurmNode(
                name=item.name,
                cpus=item.cpus,
                memory_mb=item.mem_mb,
                features=frozenset(item.features.split(",") if isinstance(item.features, str) else item.features)
                - {""},
                state=SlurmNodeState(item.state),
                since=since(item),
                free_cpus=item.free_cpus,
                weight=item.weight,
            )
            for item in given.nodes
        ),
        jobs=tuple(
            SlurmJob(
                id=item.id,
                partition=item.partition,
                nodes=item.nodes,
                cpus_per_node=item.cpus_per_node,
                memory_per_node_mb=item.mem_per_node_mb,
                constraint=item.constraint,
                pending=item.state == "pending",
                reason=item.reason,
                priority=item.priority,
            )
            for item in given.jobs
        ),
        excluded=excluded & {item.name for item in given.nodes},
    )


def arrived_node(item: SizedPool, name: str) -> NodeText:
    """Return a node of a pool as it registers."""
    labels = {**item.text.labels, **size_label(item)}
    return NodeText(name=name, pool=item.text.name, cpu=item.cpu, memory=item.memory, labels=labels)
