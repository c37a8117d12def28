"""Which nodes each pending Slurm job would get, in the order in which Slurm serves them. Pure.

A job starts when all its nodes are there at once, so one that cannot have them (with what is idle, waking or powered
down) asks for nothing now. Idle and waking nodes are used before powered-down ones, by weight within each, as Slurm
itself does (slurm.conf(5), power saving guide). Among equals, a node that fewer jobs can use is taken first.

Jobs that ask for the same are one class with one queue of nodes, best first, and nodes that are alike one group. Room
only shrinks while jobs are placed: what a class could not have, its later jobs cannot have either. So 10,000 jobs cost
what their classes, groups and placements cost, not jobs times nodes.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from clues.options import Policy
from clues.policy.constraints import can_be_helped, counted_terms, satisfies
from clues.policy.slurm_room import INDEX, Ask, Group, JobClass, Queue, Slot, could_run, slot_of, tasks_on, use
from clues.slurm_model import SlurmCluster, SlurmJob, SlurmNode, SlurmNodeState, SlurmPartition

__all__ = ["UNSEEN_S", "Judged", "Limits", "SlurmJobVerdict", "judge"]

_ANYWHERE: Final = SlurmPartition("", ())
UNSEEN_S: Final = 5.0
"""How long a job without a reason is left to Slurm, which writes one when it first looks at the job (within 3 s,
`batch_sched_delay`): that it is dependent, or to begin later, is not known before."""


@dataclass(frozen=True, slots=True)
class SlurmJobVerdict:
    """What becomes of a pending job."""

    job: int
    outcome: str
    """`fits`, `ordered`, `upcoming`, `waiting`, `limit`, `resting`, `ignored` or `unschedulable`."""
    nodes: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be turned on: per pool, and which pool a node is of. Nodes of no pool here have no limit."""

    pool_of: Mapping[str, str] = field(default_factory=dict)
    room: Mapping[str, int] = field(default_factory=dict)
    """Pool -> nodes of it that may still be turned on."""
    resting: Mapping[str, str] = field(default_factory=dict)
    """Pool that nothing is ordered of now -> why."""


@dataclass(slots=True)
class Judged:
    slots: dict[str, Slot]
    jobs: list[SlurmJobVerdict]


def judge(
    cluster: SlurmCluster,
    policy: Policy,
    excluded: Collection[str] = frozenset(),
    limits: Limits | None = None,
    *,
    now: float | None = None,
) -> Judged:
    """Place every pending job, and return the nodes with what is left on them.

    At `now` a node that has been waking for longer than any should is given up, as Slurm does after ResumeTimeout.
    """
    return _Judge(cluster, policy, excluded, limits or Limits(), now).run()


class _Judge:
    def __init__(
        self,
        cluster: SlurmCluster,
        policy: Policy,
        excluded: Collection[str],
        limits: Limits,
        now: float | None,
    ) -> None:
        self._cluster = cluster
        self._given_up_before = -1.0 if now is None else now - policy.max_provision_s
        self._now = now
        self._excluded = excluded
        self._limits = limits
        self._partitions = {partition.name: partition for partition in cluster.partitions}
        self._slots: dict[str, Slot] = {}
        self._groups: dict[str, list[Group]] = {}
        """Partition -> groups of its nodes."""
        self._group_nodes()
        self._by_index = [slot for _, slot in sorted(self._slots.items())]
        for index, slot in enumerate(self._by_index):
            slot.index = index
        self._satisfied: dict[tuple[str, frozenset[str]], bool] = {}
        self._classes: dict[Ask, JobClass] = {}
        self._log: list[Slot] = []
        self._verdicts: list[SlurmJobVerdict] = []
        waking = sum(1 for node in cluster.nodes if node.state is SlurmNodeState.POWERING_UP)
        self._left = len(self._slots) if policy.max_booting is None else max(0, policy.max_booting - waking)
        if not policy.scale_out:
            self._left = 0
        self._room = dict(limits.room)

    def run(self) -> Judged:
        asking: list[tuple[SlurmJob, JobClass]] = []
        counts: Counter[Ask] = Counter()
        for job in sorted(self._cluster.jobs, key=lambda job: (-job.priority, job.id)):
            if not job.pending:
                continue
            why = self._refusal(job)
            if why:
                self._verdicts.append(SlurmJobVerdict(job.id, "ignored", reason=why))
                continue
            found = self._class_of(job)
            most = max((queue.fitting for queue in found.queues), default=0)
            if job.nodes < 1 or most < job.nodes:
                what = f"asks for {job.nodes} nodes, the partition {job.partition} has {most} that fit"
                self._verdicts.append(SlurmJobVerdict(job.id, "unschedulable", reason=what))
                continue
            counts[found.ask] += 1
            asking.append((job, found))
        for ask, count in counts.items():
            for group in {id(group): group for queue in self._classes[ask].queues for group in queue.groups}.values():
                group.wanted += count
        for slot in self._slots.values():
            slot.rate()
        usable = {ask: max((queue.usable for queue in self._classes[ask].queues), default=0) for ask in counts}
        tiers = {name: partition.tier for name, partition in self._partitions.items()}
        asking.sort(
            key=lambda item: (
                -max((tiers.get(name, 1) for name in item[0].partition.split(",")), default=1),
                -item[0].priority,
                usable[item[1].ask],
                item[0].id,
            )
        )
        for job, found in asking:
            self._verdicts.append(self._serve(job, found))
        return Judged(self._slots, self._verdicts)

    def _refusal(self, job: SlurmJob) -> str:
        """Say why power does not help a job; "" if it may."""
        if not can_be_helped(job.reason):
            return f"{job.reason}: power does not end that"
        if job.dependent:
            return "it waits for other jobs: power does not end that"
        if self._now is not None and job.begins_at > self._now:
            return "it is to begin later: power does not end that"
        is_unseen = job.reason.strip("()").lower() == "none"
        if is_unseen and self._now is not None and 0 <= self._now - job.submitted_at < UNSEEN_S:
            return "Slurm has not looked at it yet"
        if job.reservation:
            return f"it waits for the reservation {job.reservation}: power does not end that"
        if job.count < 1:
            return "as many tasks of its array run as may at once"
        whys = []
        for name in job.partition.split(","):
            partition = self._partitions.get(name, _ANYWHERE)
            if not partition.is_up:
                whys.append(f"the partition {name} is not up")
            elif partition.max_nodes is not None and job.nodes > partition.max_nodes:
                whys.append(f"the partition {name} gives a job {partition.max_nodes} nodes at most")
            elif partition.max_minutes is not None and (job.minutes or 0) > partition.max_minutes:
                whys.append(f"the partition {name} gives a job {partition.max_minutes} minutes at most")
            else:
                return ""
        return "; ".join(whys)

    def _class_of(self, job: SlurmJob) -> JobClass:
        ask = Ask(
            job.partition, job.nodes, job.max_nodes, job.cpus_per_node, job.cpus, job.cpus_per_task,
            job.tasks_per_node, job.memory_per_node_mb, job.memory_per_cpu_mb, job.constraint, job.gres, job.exclusive,
            job.required, job.excluded,
        )  # fmt: skip
        found = self._classes.get(ask)
        if found is None:
            unit = max(1, job.cpus_per_task)
            if job.cpus <= 0:  # no total: so many on each node
                unit = max(1, job.cpus_per_node)
            tasks = max(job.nodes, -(-job.cpus // unit)) if job.cpus > 0 else job.nodes
            found = self._classes[ask] = self._new_class(ask, unit, tasks)
        return found

    def _new_class(self, ask: Ask, unit: int, tasks: int) -> JobClass:
        terms = counted_terms(ask.constraint, ask.nodes)
        any_of = "" if any(not term for term, _ in terms) else "|".join(f"({term})" for term, _ in terms)
        shown = replace(ask, constraint=any_of) if terms else ask
        names = dict.fromkeys(ask.partition.split(","))
        found = JobClass(ask, unit, tasks, [self._queue(name, shown) for name in names])
        for term, count in terms:
            some = -(-tasks * count // ask.nodes)
            part = replace(
                ask,
                nodes=count,
                max_nodes=count,
                cpus=some * unit if ask.cpus > 0 else 0,
                constraint=term,
                required=frozenset(),
            )
            found.parts.append(JobClass(part, unit, some, [self._queue(name, part) for name in names]))
        return found

    def _group_nodes(self) -> None:
        of_node: dict[str, list[str]] = {}
        for partition in self._partitions.values():
            for name in dict.fromkeys(partition.nodes):
                of_node.setdefault(name, []).append(partition.name)
        groups: dict[tuple[object, ...], Group] = {}
        for node in self._cluster.nodes:
            partitions = tuple(of_node.get(node.name, ()))
            alike = (partitions, node.cpus, node.memory_mb, node.features, node.gres)
            group = groups.get(alike)
            if group is None:
                group = groups[alike] = Group(node)
                for name in partitions:
                    self._groups.setdefault(name, []).append(group)
            if node.name in self._slots:
                continue
            slot = self._slots[node.name] = slot_of(node, group, is_given_up=self._is_given_up(node))
            group.slots.append(slot)
            if slot.rank < 3 and not self._is_shut(slot):
                group.usable.append(slot)

    def _is_given_up(self, node: SlurmNode) -> bool:
        return node.state is SlurmNodeState.POWERING_UP and 0 < node.since < self._given_up_before

    def _queue(self, name: str, ask: Ask) -> Queue:
        groups = [
            group
            for group in self._groups.get(name, ())
            if self._satisfies(ask.constraint, group.node.features) and could_run(ask, group.node)
        ]
        queue = Queue(groups, ask.excluded, max(1, ask.cpus_per_node, ask.cpus_per_task))
        if ask.excluded or ask.required:
            names = {slot.node.name for group in groups for slot in group.slots} - ask.excluded
            if not ask.required <= names:
                return Queue([], frozenset(), 1)
            queue.fitting = len(names)
            queue.usable = sum(slot.node.name not in ask.excluded for group in groups for slot in group.usable)
        else:
            queue.fitting = sum(len(group.slots) for group in groups)
            queue.usable = sum(len(group.usable) for group in groups)
        return queue

    def _satisfies(self, constraint: str, features: frozenset[str]) -> bool:
        found = self._satisfied.get((constraint, features))
        if found is None:
            found = self._satisfied[constraint, features] = satisfies(constraint, features)
        return found

    def _is_shut(self, slot: Slot) -> bool:
        if slot.node.kept:
            return True
        name = slot.node.name
        return slot.rank == 2 and (name in self._excluded or self._limits.pool_of.get(name, "") in self._limits.resting)

    # placing

    def _serve(self, job: SlurmJob, found: JobClass) -> SlurmJobVerdict:
        names: list[str] = []
        outcome, why, placed = "", "", 0
        for _ in range(job.count):
            outcome_now, chosen, why = self._place(found)
            if not chosen:
                outcome = outcome or outcome_now
                break
            placed += 1
            order = ("fits", "upcoming", "ordered")
            outcome = max((outcome or "fits", outcome_now), key=order.index)
            names += [slot.node.name for slot in chosen]
        if job.count > 1 and placed:
            why = f"{placed} of {job.count} tasks" + (f"; then: {why}" if placed < job.count else "")
        return SlurmJobVerdict(job.id, outcome, tuple(dict.fromkeys(names)), why)

    def _place(self, found: JobClass) -> tuple[str, list[Slot], str]:
        if found.why:
            return found.outcome, [], found.why
        best: tuple[int, list[tuple[Slot, int]]] | None = None
        why, outcome = "", "waiting"
        for number, queue in enumerate(found.queues):
            if queue.fitting < max(1, found.ask.nodes):
                continue
            if found.parts:
                chosen, said, word = self._choose_parts(found, number)
            else:
                chosen, said, word = self._choose(found, queue)
            if not chosen:
                why, outcome = why or said, word if not why else outcome
                continue
            new = sum(1 for slot, _ in chosen if slot.rank == 2 and not slot.used)
            if best is None or new < best[0]:
                best = (new, chosen)
            if new == 0:
                break
        if best is None:
            found.why, found.outcome = why, outcome
            return outcome, [], why
        new, chosen = best
        self._left -= new
        for slot, tasks in chosen:
            if slot.rank == 2 and not slot.used:
                pool = self._limits.pool_of.get(slot.node.name, "")
                if pool in self._room:
                    self._room[pool] -= 1
            use(found, slot, tasks)
            slot.rate()
            self._log.append(slot)
        if any(slot.rank == 2 for slot, _ in chosen):
            outcome = "ordered"
        else:
            outcome = "fits" if all(slot.rank == 0 for slot, _ in chosen) else "upcoming"
        return outcome, [slot for slot, _ in chosen], ""

    def _choose_parts(self, found: JobClass, number: int) -> tuple[list[tuple[Slot, int]], str, str]:
        """Take for each part of a job the nodes with its features, none of them twice."""
        taken: list[tuple[Slot, int]] = []
        for part in found.parts:
            without = frozenset(slot.index for slot, _ in taken)
            chosen, said, word = self._choose(part, part.queues[number], without)
            if not chosen:
                return [], f"{part.ask.constraint or 'any features'}: {said}", word
            taken += chosen
        new = [slot for slot, _ in taken if slot.rank == 2 and not slot.used]
        if len(new) > self._left:
            return [], f"{len(new)} nodes would boot, {self._left} may", "limit"
        pools = Counter(self._limits.pool_of.get(slot.node.name, "") for slot in new)
        for pool, count in pools.items():
            if count > self._room.get(pool, count):
                return [], f"the pool {pool} is at its limit", "limit"
        return taken, "", ""

    def _choose(
        self, found: JobClass, queue: Queue, without: frozenset[int] = frozenset()
    ) -> tuple[list[tuple[Slot, int]], str, str]:
        """Take the best nodes until the job has enough of them and all its tasks fit; nothing is used yet."""
        ask = found.ask
        chosen, limited = self._best(found, queue, without)
        tasks = sum(fits for _, fits in chosen)
        if len(chosen) >= max(1, ask.nodes) and tasks >= found.tasks:
            new = sum(1 for slot, _ in chosen if slot.rank == 2 and not slot.used)
            if new > self._left:
                return [], f"{new} nodes would boot, {self._left} may", "limit"
            return _dealt(chosen, found.tasks), "", ""
        if limited:
            return [], f"the pool {limited} is at its limit", "limit"
        there = [slot for group in queue.groups for slot in group.slots if slot.node.name not in queue.without]
        for slot in there:
            pool = self._limits.pool_of.get(slot.node.name, "")
            if slot.rank == 2 and pool in self._limits.resting:
                return [], f"the pool {pool} rests: {self._limits.resting[pool]}", "resting"
        # It will run when others end: what is idle is kept for it, what is off is not woken too early.
        if any(slot.node.state is not SlurmNodeState.DOWN for slot in there):
            for group in queue.groups:
                for slot in group.usable:
                    slot.reserved = slot.reserved or (slot.rank == 0 and slot.node.name not in queue.without)
        short = f"{len(chosen)} can be had now"
        if len(chosen) >= ask.nodes:
            short += f", with room for {tasks} of {found.tasks} tasks"
        return [], f"needs {max(1, ask.nodes)} nodes at once, {short}", "waiting"

    def _best(self, found: JobClass, queue: Queue, without: frozenset[int]) -> tuple[list[tuple[Slot, int]], str]:
        """Return the nodes in their order of use, as many as are needed or as there are; and a pool at its limit."""
        ask = found.ask
        self._refresh(queue)
        taken: list[tuple[Slot, int]] = []
        room: Counter[str] = Counter()
        limited = ""

        def may_boot(slot: Slot) -> bool:
            nonlocal limited
            pool = self._limits.pool_of.get(slot.node.name, "")
            if slot.rank != 2 or slot.used or pool not in self._room:
                return True
            if room[pool] >= self._room[pool]:
                limited = limited or pool
                return False
            room[pool] += 1
            return True

        for name in sorted(ask.required):
            slot = self._slots[name]
            fits = tasks_on(found, slot) if slot in slot.group.usable else 0
            if fits < 1 or not may_boot(slot):
                return [], limited
            taken.append((slot, fits))
        most = max(ask.nodes, ask.max_nodes or queue.usable, 1)
        popped: list[int] = []
        seen = {self._slots[name].index for name in ask.required}
        tasks = sum(fits for _, fits in taken)
        while queue.heap and (len(taken) < max(1, ask.nodes) or tasks < found.tasks) and len(taken) < most:
            key = heapq.heappop(queue.heap)
            slot = self._by_index[key & INDEX]
            if key != slot.key or slot.index in seen:
                continue
            if slot.index in without:
                popped.append(key)
                seen.add(slot.index)
                continue
            fits = tasks_on(found, slot)
            if fits < 1:
                continue  # for good: room only shrinks
            popped.append(key)
            seen.add(slot.index)
            if may_boot(slot):
                taken.append((slot, fits))
                tasks += fits
        if ask.max_nodes and tasks < found.tasks and len(taken) >= most:
            taken = self._roomiest(found, queue, most, without)
        for key in popped:
            heapq.heappush(queue.heap, key)
        return taken, limited

    def _roomiest(self, found: JobClass, queue: Queue, most: int, without: frozenset[int]) -> list[tuple[Slot, int]]:
        """Return the nodes with the most room: the best ones are too many for a job that may have few."""
        with_room = [(slot, tasks_on(found, slot)) for slot in queue.slots() if slot.index not in without]
        must = [item for item in with_room if item[0].node.name in found.ask.required]
        rest = [item for item in with_room if item[0].node.name not in found.ask.required]
        if most == 1:  # the first that is large enough
            rest = [item for item in rest if item[1] >= found.tasks]
            rest.sort(key=lambda item: item[0].key)
        else:
            rest.sort(key=lambda item: (-item[1], item[0].key))
        return [item for item in [*must, *rest][:most] if item[1] > 0]

    def _refresh(self, queue: Queue) -> None:
        """Bring the entries of nodes that were used since into the heap."""
        if queue.seen < 0:
            queue.heap = [slot.key for slot in queue.slots()]
            heapq.heapify(queue.heap)
        else:
            for slot in dict.fromkeys(self._log[queue.seen :]):
                if slot.group in queue.groups and slot.cpus >= queue.needs and slot.node.name not in queue.without:
                    heapq.heappush(queue.heap, slot.key)
        queue.seen = len(self._log)


def _dealt(chosen: Sequence[tuple[Slot, int]], tasks: int) -> list[tuple[Slot, int]]:
    """Give every node one task, then fill them in their order."""
    left = tasks - len(chosen)
    dealt = []
    for slot, fits in chosen:
        more = max(0, min(left, fits - 1))
        left -= more
        dealt.append((slot, 1 + more))
    return dealt
