"""A live Slurm: a thread that asks it now and then, and the picture that comes of its answers."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from clues.hostlist import compress
from clues.model import Node, Phase, Pod, PodRef, PodSpec
from clues.options import Policy, Pool
from clues.policy.slurm_machines import job_ref, pool_of_node
from clues.slurm_model import SlurmCluster, SlurmJob, SlurmNode, SlurmNodeState, SlurmPartition
from clues.slurmapi.lines import UNTOLD
from clues.slurmapi.listing import ListedJob, ListedNode, Listing
from clues.snapshot import Machine, MachineState, NodeState, Snapshot
from clues.sources.idle_times import JUMP_S, IdleTimes
from infracore.clock import Clock
from infracore.errors import Cancelled, InfraError

__all__ = ["Batch", "SlurmLook", "SlurmSource", "picture_of", "pod_of_job"]

_MOST_SHARE: Final = 4.0
"""A look that took a second is followed by a pause of four at least: slurmctld answers jobs meanwhile."""
_MOST_PROBLEMS: Final = 5
_STOP_S: Final = 2.0
_MISSED: Final = -1.0
_LATE_S: Final = 60.0
"""How long a node that has been idle ever since its machine was off is not believed after that was ordered again."""


class SlurmLook(msgspec.Struct, frozen=True):
    """All that was seen at one moment."""

    jobs: tuple[ListedJob, ...] = ()
    nodes: tuple[ListedNode, ...] = ()
    partitions: tuple[SlurmPartition, ...] = ()
    problems: tuple[str, ...] = ()


class Batch(Protocol):
    """Who is asked: Slurm, or the programs of another batch system. Errors are `infracore.errors`."""

    @property
    def stopping(self) -> threading.Event:
        """Set to end what runs."""
        ...

    def jobs(self) -> Listing: ...
    def nodes(self) -> Listing: ...
    def partitions(self) -> tuple[tuple[SlurmPartition, ...], tuple[str, ...]]: ...


class SlurmSource:
    """See `clues.loop.Source`. `start`, `stop` and `look` from any thread, all else by the loop's."""

    def __init__(
        self,
        slurm: Batch,
        clock: Clock,
        *,
        poll_s: float,
        partitions_s: float,
        decides_here: bool = True,
        what: str = "Slurm",
    ) -> None:
        """`decides_here` says whether jobs and idle nodes are decided about, and not Slurm's own power saving."""
        self._slurm = slurm
        self._clock = clock
        self._poll_s = poll_s
        self._partitions_s = partitions_s
        self._decides_here = decides_here
        self._what = what
        self._wake: Callable[[], None] = lambda: None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clues-slurm", daemon=True)
        self._look = SlurmLook()
        self._looked_at: float | None = None
        self._partitions_at: float | None = None
        self._version = 0
        self._problem = ""
        self._picture = _Picture()

    # from any thread

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to ask; `wake` is called whenever the answer is another one."""
        self._wake = wake
        self._thread.start()

    def stop(self) -> None:
        """Stop asking; a command that runs is ended."""
        self._stop.set()
        self._slurm.stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def look(self) -> bool:
        """Ask Slurm once; returns whether the picture is another one. Blocks for as long as its commands take."""
        try:
            # In this order: a job that starts in between is running on nodes that are still seen as idle. The other
            # way round it would be pending beside the nodes that it has taken, and more would be ordered for it.
            nodes, jobs = self._slurm.nodes(), self._slurm.jobs()
            partitions = self._look.partitions
            said: tuple[str, ...] = ()
            if self._are_old(jobs.jobs, nodes.nodes):
                partitions, said = self._slurm.partitions()
                self._partitions_at = self._clock.monotonic()
        except Cancelled:
            return False
        except InfraError as error:
            changed = self._problem != error.message
            self._problem = error.message
            return changed
        said = (*jobs.problems, *nodes.problems, *said, *_hidden(nodes.nodes, partitions))
        found = SlurmLook(jobs.jobs, nodes.nodes, partitions, said)
        changed = found != self._look or bool(self._problem) or self._looked_at is None
        self._problem = ""
        self._looked_at = self._clock.monotonic()
        if changed:
            self._look = found
            self._version += 1
        return changed

    # the loop's thread

    @property
    def version(self) -> int:
        """Grows with everything that changes the picture."""
        return self._version

    def take_pools(self, pools: Sequence[Pool]) -> None:
        """Match nodes with these pools from now on."""
        self._picture.pools = tuple(pools)
        self._picture.states.clear()

    def take_policy(self, policy: Policy) -> None:
        """Take over the policy; nothing of it changes how Slurm is asked."""

    def stale_s(self) -> float:
        """Return the age of the last answer."""
        return 0.0 if self._looked_at is None else max(0.0, self._clock.monotonic() - self._looked_at)

    def snapshot(self, now: float, machines: Mapping[str, tuple[Machine, ...]]) -> Snapshot:
        """Return the picture as it is now; does not block."""
        problem = (f"{self._what} cannot be asked: {self._problem}",) if self._problem else ()
        return self._picture.snapshot(
            self._look,
            now,
            self._clock.monotonic(),
            machines,
            complete=self._looked_at is not None,
            stale_s=self.stale_s(),
            problems=(*problem, *_few(self._look.problems)),
            decides_here=self._decides_here,
        )

    # its thread

    def _run(self) -> None:
        while not self._stop.is_set():
            began = self._clock.monotonic()
            if self.look():
                self._wake()
            pause = max(self._poll_s, _MOST_SHARE * (self._clock.monotonic() - began))
            self._clock.wait(self._stop, pause)

    def _are_old(self, jobs: Sequence[ListedJob], nodes: Sequence[ListedNode]) -> bool:
        if self._partitions_at is None or self._clock.monotonic() - self._partitions_at >= self._partitions_s:
            return True
        known = {partition.name for partition in self._look.partitions}
        named = {name for item in nodes for name in item.partitions}
        named |= {name for text in {item.job.partition for item in jobs} for name in text.split(",")}
        before = {item.node.name for item in self._look.nodes}
        return not named <= known or before != {item.node.name for item in nodes}


def picture_of(look: SlurmLook) -> SlurmCluster:
    """Return the cluster that decisions are made on; of arrays only what may run at once counts."""
    running = Counter(item.array for item in look.jobs if not item.job.pending and item.array)
    jobs: list[SlurmJob] = []
    default = next((p.name for p in look.partitions if p.is_default), "")
    exclusive = {partition.name for partition in look.partitions if partition.is_exclusive}
    for item in look.jobs:
        job = item.job
        if not job.pending:
            continue
        if item.at_once:
            job = msgspec.structs.replace(job, count=max(0, min(job.count, item.at_once - running[item.array])))
        if not job.partition:
            job = msgspec.structs.replace(job, partition=default)
        if exclusive and not job.exclusive and not exclusive.isdisjoint(job.partition.split(",")):
            job = msgspec.structs.replace(job, exclusive=True)
        jobs.append(job)
    taken = {name for item in look.jobs for name in item.places}
    nodes = tuple(_taken(item.node) if item.node.name in taken else item.node for item in look.nodes)
    return SlurmCluster(look.partitions, nodes, tuple(jobs))


def _with_own_drains(cluster: SlurmCluster, machines: Mapping[str, Machine]) -> SlurmCluster:
    """Let a drain be ours where nobody says whose it is and the machine comes or goes by our order."""
    ours = {
        node.name
        for node in cluster.nodes
        if node.kept and node.started_at == UNTOLD
        if node.name in machines and machines[node.name].state in {MachineState.BOOTING, MachineState.STOPPING}
    }
    if not ours:
        return cluster
    nodes = (msgspec.structs.replace(n, kept="") if n.name in ours else n for n in cluster.nodes)
    return msgspec.structs.replace(cluster, nodes=tuple(nodes))


def _taken(node: SlurmNode) -> SlurmNode:
    """Return a node that a job has, whatever the node said a moment before, or though it is off."""
    if node.state is SlurmNodeState.IDLE:
        return msgspec.structs.replace(node, planned=True)
    return node if node.state is SlurmNodeState.ALLOCATED else msgspec.structs.replace(node, claimed=True)


def pod_of_job(job: SlurmJob, node: str = "") -> Pod:
    """Return a job as the picture shows work: with what it asks for on each node."""
    cpus = max(1, job.cpus_per_node, -(-job.cpus // max(1, job.nodes)))
    memory = max(job.memory_per_node_mb, job.memory_per_cpu_mb * cpus) << 20
    ref: PodRef = job_ref(job)
    requests = (("cpu", 1000 * cpus), *((("memory", memory),) if memory else ()))
    return Pod(
        namespace=ref.namespace,
        name=ref.name,
        uid=ref.uid,
        spec=PodSpec(requests=requests),
        labels={},
        node=node,
        phase=Phase.RUNNING if node else Phase.PENDING,
        created_at=job.submitted_at,
    )


class _Picture:
    """Makes snapshots; what did not change stays the same object, as those who compare pictures expect."""

    def __init__(self) -> None:
        self.pools: tuple[Pool, ...] = ()
        self.states: dict[str, tuple[tuple[object, ...], NodeState]] = {}
        self._of: SlurmLook | None = None
        self._cluster = SlurmCluster()
        self._idle = IdleTimes()
        self._skew: float | None = None
        """Of the wall clock from the monotonic one."""
        self._pending: tuple[Pod, ...] = ()
        self._on: dict[str, tuple[Pod, ...]] = {}
        self._submitted: dict[str, tuple[float, float]] = {}
        """Job -> when it says that it was submitted, and when it was."""
        self._started_before: dict[str, float] = {}
        """Node whose machine is off -> when the slurmd started that Slurm still remembers."""

    def snapshot(
        self,
        look: SlurmLook,
        now: float,
        mono: float,
        machines: Mapping[str, tuple[Machine, ...]],
        *,
        complete: bool,
        stale_s: float,
        problems: tuple[str, ...],
        decides_here: bool,
    ) -> Snapshot:
        if self._has_jumped(now - mono) or look is not self._of:
            self._take(look, now, mono)
        by_node = {m.node or m.name: m for found in machines.values() for m in found}
        nodes: dict[str, NodeState] = {}
        for item in look.nodes:
            node = item.node
            if node.state is SlurmNodeState.POWERED_DOWN and item.state.upper().startswith("FUTURE"):
                continue
            if node.name not in by_node and self._is_name_only(node):
                continue
            is_old = self._is_old(item, by_node.get(node.name), now)
            ready = item.is_ready and not is_old
            nodes[node.name] = self._state(item, ready, by_node.get(node.name), now)
        self.states = {name: self.states[name] for name in nodes}
        cluster = _with_own_drains(self._cluster, by_node)
        if not decides_here:  # Slurm's own power saving does
            quiet = [
                msgspec.structs.replace(n, kept=n.kept or "Slurm's own power saving decides") for n in cluster.nodes
            ]
            cluster = SlurmCluster(cluster.partitions, tuple(quiet), ())
        return Snapshot(
            now=now,
            complete=complete,
            stale_s=stale_s,
            nodes=nodes,
            pending=self._pending,
            machines=machines,
            slurm=cluster,
            problems=problems,
        )

    def _has_jumped(self, skew: float) -> bool:
        """Note a jump of the wall clock, and let what counts from it follow."""
        jump = 0.0 if self._skew is None else skew - self._skew
        if self._skew is not None and abs(jump) < JUMP_S:
            return False
        self._skew = skew
        for name, (key, state) in self.states.items() if jump else ():
            if state.node.not_ready_since is not None:
                node = msgspec.structs.replace(state.node, not_ready_since=state.node.not_ready_since + jump)
                self.states[name] = key, msgspec.structs.replace(state, node=node)
        return True

    def _take(self, look: SlurmLook, now: float, mono: float) -> None:
        self._of = look
        shown = picture_of(look)
        used = {name for item in look.jobs for name in item.places}
        self._cluster = msgspec.structs.replace(shown, nodes=self._idle.told(shown.nodes, used, now, mono))
        before = {pod.uid: pod for pod in self._pending}
        made = [self._with_time(pod_of_job(item.job), now) for item in look.jobs if item.job.pending]
        self._submitted = {pod.uid: self._submitted[pod.uid] for pod in made}
        made.sort(key=lambda pod: (pod.created_at, len(pod.uid), pod.uid))
        self._pending = tuple(before[pod.uid] if before.get(pod.uid) == pod else pod for pod in made)
        on: dict[str, list[Pod]] = {}
        for item in look.jobs:
            for name in item.places:
                on.setdefault(name, []).append(pod_of_job(item.job, name))
        self._on = {name: tuple(pods) for name, pods in on.items()}

    def _with_time(self, pod: Pod, now: float) -> Pod:
        """Let a job that says no time that can be have come when it was first seen."""
        said = pod.created_at
        if self._submitted.get(pod.uid, (None,))[0] != said:
            self._submitted[pod.uid] = said, said if 0 < said <= now else now
        came = self._submitted[pod.uid][1]
        return pod if came == said else msgspec.structs.replace(pod, created_at=came)

    def _is_name_only(self, node: SlurmNode) -> bool:
        """Whether nothing is behind a node of a pool whose machines are made anew: it is silent, or we put it down."""
        is_down = node.state in {SlurmNodeState.DOWN, SlurmNodeState.POWERED_DOWN}
        if not node.parked and not (is_down and not node.answers):
            return False
        pool = pool_of_node(node.name, node.features, self.pools)
        return pool is not None and not pool.powered and not self._on.get(node.name)

    def _is_old(self, item: ListedNode, machine: Machine | None, now: float) -> bool:
        """Whether the slurmd that Slurm remembers is the one from before the machine was turned off.

        Slurm calls a node that was put down responding until it has asked it in vain.
        """
        name, started = item.node.name, item.node.started_at
        if machine is None:
            return False
        if started == UNTOLD:
            return self._is_unheard(item, machine, now)
        if not item.is_ready:
            return True
        known = self._started_before.get(name)
        if machine.state in {MachineState.OFF, MachineState.STOPPING}:
            # once Slurm has missed it, whoever answers later is there, also a machine that only slept
            self._started_before[name] = started if item.node.answers and known != _MISSED else _MISSED
            return machine.state is MachineState.OFF and item.node.parked
        booting = machine.state is MachineState.BOOTING
        if known is not None:
            if known != started:
                del self._started_before[name]
            return known == started and (item.node.parked or booting)
        off_at = machine.last_off_at
        return booting and item.node.parked and off_at is not None and started <= off_at

    def _is_unheard(self, item: ListedNode, machine: Machine, now: float) -> bool:
        """Do as `_is_old` where nobody says when a node started: has it been missed since its machine went off?

        After a restart what was missed before is not known; the machine's state and times are stored, and bound it.
        """
        name = item.node.name
        if not item.node.answers:
            self._started_before[name] = _MISSED
        elif machine.state is MachineState.ON:
            self._started_before.pop(name, None)
        if self._started_before.get(name) == _MISSED:
            return False
        if machine.state is MachineState.OFF:
            return machine.last_off_at is not None
        booting = machine.state is MachineState.BOOTING and machine.last_off_at is not None
        return booting and not self._on.get(name) and 0 <= now - machine.since < _LATE_S

    def _state(self, item: ListedNode, ready: bool, machine: Machine | None, now: float) -> NodeState:
        node, pods = item.node, self._on.get(item.node.name, ())
        key = (node, item.is_closed, ready, pods, machine.name if machine is not None else "")
        known = self.states.get(node.name)
        if known is not None and known[0] == key:
            return known[1]
        pool = pool_of_node(node.name, node.features, self.pools)
        was = known[1].node if known is not None else None
        unready_since = was.not_ready_since if was is not None and not was.ready else now
        ready_since = node.started_at
        if node.started_at == UNTOLD:
            ready_since = was.ready_since if was is not None and was.ready and was.ready_since is not None else now
        state = NodeState(
            node=Node(
                name=node.name,
                labels={},
                allocatable={"cpu": 1000 * node.cpus, "memory": node.memory_mb << 20, **dict(node.gres)},
                uid=node.name,
                ready=ready,
                ready_since=ready_since if ready else None,
                not_ready_since=None if ready else unready_since,
                unschedulable=item.is_closed,
                created_at=node.started_at,
            ),
            pods=pods,
            pool=pool.name if pool is not None else "",
            machine=machine.name if machine is not None else "",
        )
        self.states[node.name] = (key, state)
        return state


def _hidden(nodes: Sequence[ListedNode], partitions: Sequence[SlurmPartition]) -> Iterator[str]:
    """Say that Slurm hides nodes: CLOUD ones that are powered down are shown by `PrivateData=cloud` only."""
    names = {name for partition in partitions for name in partition.nodes} - {item.node.name for item in nodes}
    if names:
        text = compress(names)
        yield f"Slurm hides the nodes {text[:100]}: set PrivateData=cloud in slurm.conf, or they are never ordered"


def _few(problems: Sequence[str]) -> tuple[str, ...]:
    if len(problems) <= _MOST_PROBLEMS:
        return tuple(problems)
    return (*problems[:_MOST_PROBLEMS], f"and {len(problems) - _MOST_PROBLEMS} more were set aside")
