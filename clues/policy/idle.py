"""Which nodes go, and why each other one stays.

Every node has one verdict: the first reason that holds, in this order.

1. Those that need no simulation: see `clues.policy.standing`.
2. The pods that forbid it, and their disruption budgets; consolidation that is off.
3. No place for its pods; where nodes may be replaced: no cheaper node.
4. What only delays: scaling in switched off, cooldown, a window of the schedule, the time that it has to be removable,
   the time that its machine has to be on.
5. What limits how many go: minimum sizes, minimum cores, the policy's budgets, parallelism.

A node that passes all goes. Removals are simulated one after another, empty nodes first, with the pending pods placed
before and the pods of nodes whose removal is under way placed next: so every pod that moves has a place of its own on
a ready node that stays. A node that took a pod in stays itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clues.decision import Block, Memory, NodeVerdict, Removal, RemovalKind, Replacement
from clues.model import Pod
from clues.options import Consolidation, Policy, Pool
from clues.policy.budgets import EMPTY, UNDERUSED, NodeBudgets, PodBudgets
from clues.policy.consolidate import Swap, find_swap
from clues.policy.cooldown import Wait, cooldown, long_enough, min_on, since_of
from clues.policy.demand import ScaleOutResult
from clues.policy.evict import block_of, eviction_order, is_occupied, movers
from clues.policy.moving import Mover
from clues.policy.schedule import scale_in_closed
from clues.policy.simulation import Simulation
from clues.policy.sizes import Sizes
from clues.policy.standing import Field, field_of, first_block
from clues.snapshot import MachineState, NodeState, Snapshot

__all__ = ["ScaleInResult", "scale_in"]

_TRIED: Final = 30
"""Occupied nodes whose pods are tried elsewhere in one pass; the others have their turn in the next ones."""


@dataclass(frozen=True, slots=True)
class ScaleInResult:
    """What scaling in decided. `out.give_up` is not among the removals: `decide` adds it."""

    removals: tuple[Removal, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    cancel: tuple[str, ...] = ()
    """Nodes whose removal has begun and that are needed again."""
    nodes: tuple[NodeVerdict, ...] = ()
    unneeded_since: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Candidate:
    name: str
    state: NodeState
    pool: Pool
    index: int
    occupied: bool
    wait: Wait | None
    since: float
    disabled: bool

    @property
    def cpu_m(self) -> int:
        return self.state.node.allocatable.get("cpu", 0)


def scale_in(  # noqa: PLR0917
    snapshot: Snapshot,
    pools: Sequence[Pool],
    policy: Policy,
    memory: Memory,
    simulation: Simulation,
    out: ScaleOutResult,
) -> ScaleInResult:
    """Decide which nodes go now. The simulation is that of scaling out, and is used up."""
    known = field_of(snapshot, {pool.name: pool for pool in pools}, policy, memory, out)
    return _Pass(known, simulation).run()


class _Pass:
    def __init__(self, known: Field, simulation: Simulation) -> None:
        self._field = known
        self._simulation = simulation
        self._verdicts: dict[str, NodeVerdict] = {}
        self._removals: list[Removal] = []
        self._replacements: list[Replacement] = []
        self._since: dict[str, float] = {}
        self._hosts: set[str] = set()
        self._placeless: list[_Candidate] = []
        self._pdbs = PodBudgets(known.snapshot.budgets)
        self._cooldown = cooldown(known.policy, known.memory, known.out, known.now)
        self._closed = scale_in_closed(known.policy, known.now)

    def run(self) -> ScaleInResult:
        known = self._field
        snapshot, out = known.snapshot, known.out
        given_up = {removal.node: removal for removal in out.give_up if removal.node}
        candidates: list[_Candidate] = []
        for name, state in snapshot.nodes.items():
            if name in known.parked:
                continue
            if name in given_up:
                self._verdicts[name] = NodeVerdict(name, None, given_up[name].reason)
                continue
            block = first_block(known, name, state)
            if block is None:
                candidates.append(self._candidate(name, state))
            else:
                self._verdicts[name] = NodeVerdict(name, block[0], block[1])
        if candidates:
            self._try_all(candidates)
        if not known.fresh:  # nothing was judged: the timers neither run out nor begin anew
            self._since = {n: at for n, at in known.memory.unneeded_since.items() if n in snapshot.nodes}
        return ScaleInResult(
            tuple(self._removals),
            tuple(self._replacements),
            tuple(name for name in snapshot.nodes if name in out.reclaimed),
            tuple(self._verdicts[name] for name in snapshot.nodes if name in self._verdicts) + self._booting(),
            self._since,
            self._notes(),
        )

    def _candidate(self, name: str, state: NodeState) -> _Candidate:
        known = self._field
        pool = known.pools[state.pool]
        since = since_of(known.memory, name, known.now)
        disabled = known.is_disabled(name)
        wait: Wait | None = None
        if not known.policy.scale_in:
            wait = Wait(Block.SCALE_IN_OFF, "policy.scale_in is false")
        elif not disabled:
            wait = self._cooldown
            if wait is None and self._closed & {"", pool.name}:
                wait = Wait(Block.SCHEDULE, "a window of policy.schedules forbids it now")
            wait = (
                wait
                or long_enough(state.node, pool, known.policy, since, known.now)
                or min_on(state.node, pool, known.machines.get(name), known.now)
            )
        index = self._simulation.index[name]
        return _Candidate(name, state, pool, index, is_occupied(state.pods, known.policy), wait, since, disabled)

    def _try_all(self, candidates: list[_Candidate]) -> None:
        known = self._field
        candidates.sort(key=self._turn)
        self._mover = Mover(self._simulation, self._ranks(candidates))
        self._sizes = Sizes(known)
        self._take_what_goes()
        tried = 0
        late = [c for c in candidates if c.occupied and c.name not in known.memory.unneeded_since]
        turn = int(known.now // 10) * _TRIED % len(late) if len(late) > _TRIED else 0
        first = {c.name for c in (late[turn:] + late[:turn])[:_TRIED]} if turn else set()
        for candidate in candidates:
            if candidate.name in self._hosts:
                self._keep(candidate, Block.NO_PLACE, "pods of a node that goes will run on it")
                continue
            pods = candidate.state.pods
            found = block_of(pods, known.policy, self._pdbs, known.snapshot.missing_owners, known.now)
            if found is not None:
                self._keep(candidate, *found)
                continue
            moving = movers(pods, known.policy)
            if moving:
                empty_only = known.policy.consolidation is Consolidation.OFF and not candidate.disabled
                if empty_only and candidate.state.node.ready:
                    self._keep(candidate, Block.SCALE_IN_OFF, "consolidation is off: only empty nodes go")
                    continue
                if tried >= _TRIED and candidate.name not in first:
                    if candidate.name in known.memory.unneeded_since:
                        self._since[candidate.name] = candidate.since
                    self._keep(candidate, Block.PARALLELISM, "others come first: it is looked at in a later pass")
                    continue
                tried += 1
            self._try(candidate, moving)
        if known.policy.consolidation is Consolidation.REPLACE:  # where deleting is enough, nothing is bought
            for candidate in self._placeless:
                pods = candidate.state.pods
                again = block_of(pods, known.policy, self._pdbs, known.snapshot.missing_owners, known.now)
                if again is not None:
                    self._keep(candidate, *again)
                elif candidate.name not in self._hosts and candidate.state.node.ready:
                    self._try(candidate, movers(pods, known.policy), replace=True)

    def _try(self, candidate: _Candidate, moving: list[Pod], *, replace: bool = False) -> None:
        """Take the node out of the simulation, place its pods, and let it go unless something delays or limits that."""
        known, simulation = self._field, self._simulation
        start = simulation.mark()
        simulation.remove_node(candidate.index)
        moves: dict[str, str] = {}
        swap: Swap | None = None
        if moving:
            placed = self._mover.move(moving)
            if placed is not None:
                moves = placed
            else:
                found: Swap | tuple[Block, str] = (Block.NO_PLACE, self._stuck())
                if replace:
                    found = find_swap(known, simulation, self._mover, self._sizes, candidate.pool, moving)
                if not isinstance(found, Swap):
                    simulation.undo(start)
                    if not replace:
                        self._placeless.append(candidate)
                    self._keep(candidate, *found)
                    return
                swap, moves = found, found.moves
        self._since[candidate.name] = candidate.since
        wait = candidate.wait or self._limit(candidate)
        if wait is not None:
            simulation.undo(start)
            self._keep(candidate, wait.block, wait.detail, wait.until)
            return
        self._go(candidate, moving, moves, swap)

    def _limit(self, candidate: _Candidate) -> Wait | None:
        refused = self._sizes.refusal(candidate.pool.name, candidate.cpu_m)
        if refused is not None:
            return Wait(*refused)
        reason = UNDERUSED if candidate.occupied else EMPTY
        said = self._budgets.refusal(candidate.name, candidate.pool.name, reason)
        if said:
            return Wait(Block.BUDGET, said)
        if self._left <= 0:
            return Wait(Block.PARALLELISM, f"{self._field.policy.max_parallel} removals at once (policy.max_parallel)")
        if candidate.occupied and self._drains <= 0:
            return Wait(Block.PARALLELISM, f"{self._field.policy.max_drain} drains at once (policy.max_drain)")
        return None

    def _go(self, candidate: _Candidate, moving: list[Pod], moves: dict[str, str], swap: Swap | None) -> None:
        known = self._field
        state, pool = candidate.state, candidate.pool
        kind = RemovalKind.UNDERUSED if candidate.occupied else RemovalKind.EMPTY
        if not state.node.ready:
            kind = RemovalKind.UNREADY
        if swap is not None:
            kind = RemovalKind.REPLACED
        machine = known.machines.get(candidate.name)
        reason = f"{kind.value} for {known.now - candidate.since:.0f} s"
        if candidate.disabled:
            reason = "a person took its machine out of use (clues disable)"
        removal = Removal(
            candidate.name,
            pool.name,
            state.machine or (machine.name if machine is not None else ""),
            kind,
            eviction_order(state.pods, known.policy),
            moves,
            reason,
        )
        if swap is None:
            self._removals.append(removal)
        else:
            said = f"a node of pool {swap.add.pool} takes its pods and saves {swap.saves:g} an hour"
            self._replacements.append(Replacement((removal,), (swap.add,), swap.saves, said))
        self._hosts.update(moves.values())
        self._pdbs.take(moving)
        self._budgets.take(candidate.name, pool.name, UNDERUSED if candidate.occupied else EMPTY)
        self._sizes.take(pool.name, candidate.cpu_m)
        self._left -= 1
        self._drains -= 1 if candidate.occupied else 0
        self._verdicts[candidate.name] = NodeVerdict(candidate.name, None, reason)

    def _take_what_goes(self) -> None:
        """Charge the removals that are under way: their pods need places and disruptions, they count in every limit."""
        known, simulation = self._field, self._simulation
        nodes = known.snapshot.nodes
        members: dict[str, list[str]] = {name: [] for name in known.pools}
        disrupted = set(known.going)
        for name, state in nodes.items():
            if state.pool in members and name not in known.parked:
                members[state.pool].append(name)
                if not state.node.ready and name not in known.booting:
                    disrupted.add(name)
        self._budgets = NodeBudgets(known.policy, known.now, members, disrupted)
        going = [name for name in nodes if name in known.going and nodes[name].pool in known.pools]
        nameless = sum(
            1
            for machines in known.snapshot.machines.values()
            for machine in machines
            if machine.state is MachineState.STOPPING and (machine.node or machine.name) not in nodes
        )
        self._left = known.policy.max_parallel - len(going) - nameless
        self._drains = known.policy.max_drain
        for name in going:
            pods = nodes[name].pods
            if is_occupied(pods, known.policy):
                self._drains -= 1
                moving = movers(pods, known.policy)
                self._pdbs.take(moving)
                if simulation.alive[simulation.index[name]]:
                    simulation.remove_node(simulation.index[name])
                for pod in moving:  # one by one: those that find no place are pending pods of the next pass
                    self._hosts.update((self._mover.move([pod]) or {}).values())

    def _turn(self, candidate: _Candidate) -> tuple[bool, bool, bool, float, float, str]:
        """Who is tried first: what can go now, empty ones, those that a person gave up, the dearest, the least used."""
        share = self._field.shares.get(candidate.name, 0.0)
        return (
            candidate.wait is not None,
            candidate.occupied,
            not candidate.disabled,
            -candidate.pool.price,
            share if candidate.occupied else 0.0,
            candidate.name,
        )

    def _ranks(self, candidates: Sequence[_Candidate]) -> NDArray[np.int64]:
        """How readily a node takes pods in: nodes that stay anyhow, used candidates, empty ones at last."""
        rank = np.zeros(len(self._simulation.names), dtype=np.int64)
        for candidate in candidates:
            rank[candidate.index] = 1 if candidate.occupied else 2
            if candidate.disabled:
                self._simulation.close_node(candidate.index)
        return rank

    def _keep(self, candidate: _Candidate, block: Block, detail: str, until: float | None = None) -> None:
        self._verdicts[candidate.name] = NodeVerdict(candidate.name, block, detail, until)

    def _stuck(self) -> str:
        pod = self._mover.stuck
        what = "its pods fit" if pod is None else f"pod {pod.namespace}/{pod.name} fits"
        return f"{what} on no ready node that stays"

    def _booting(self) -> tuple[NodeVerdict, ...]:
        """Machines without a node: those that boot, and those that are given up."""
        known = self._field
        given_up = {(removal.pool, removal.machine or removal.node): removal for removal in known.out.give_up}
        verdicts: list[NodeVerdict] = []
        for pool, machines in known.snapshot.machines.items():
            for machine in machines:
                name = machine.node or machine.name
                if name in known.snapshot.nodes or machine.state is not MachineState.BOOTING:
                    continue
                removal = given_up.get((pool, machine.name))
                if removal is not None:
                    verdicts.append(NodeVerdict(name, None, removal.reason))
                else:
                    verdicts.append(NodeVerdict(name, Block.BOOTING, "ordered, and not registered yet"))
        return tuple(verdicts)

    def _notes(self) -> tuple[str, ...]:
        known = self._field
        notes: list[str] = []
        if not known.fresh:
            notes.append("the picture is incomplete or stale: nothing scales in")
        elif not known.healthy:
            notes.append("too many nodes are not ready: nothing scales in")
        if self._cooldown is not None and known.fresh:
            notes.append(f"no removal now: {self._cooldown.detail}")
        return tuple(notes)
