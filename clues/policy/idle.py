"""Which nodes go, and why each other one stays.

Every node has one verdict: the first reason that holds, in this order.

1. Those that need no simulation: see `clues.policy.standing`.
2. The pods that forbid it, and their disruption budgets; consolidation that is off.
3. No place for its pods; where nodes may be replaced: no cheaper node.
4. What only delays: scaling in switched off, cooldown, a window of the schedule, the time that it has to be removable,
   the time that its machine has to be on.
5. What limits how many go: minimum sizes, minimum cores, the policy's budgets, parallelism. A minimum is named before a
   cooldown, since it holds when that is over.

A node that passes all goes. Removals are simulated one after another, empty nodes first, with the pending pods placed
before and the pods of nodes whose removal is under way placed next: so every pod that moves has a place of its own on
a ready node that stays. A node that took a pod in stays itself.

Where nodes may be replaced, those whose pods have no place are looked at once no more can be deleted: each by itself,
and in groups for one new node (`clues.policy.groups`). What saves most an hour goes first, a tie goes to fewer nodes.
A group in which one has to wait waits as a whole, and its members count as removable meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clues.decision import Block, Memory, NodeVerdict, Removal, Replacement
from clues.options import Consolidation, Policy, Pool
from clues.policy.allowance import Candidate
from clues.policy.backoff import failed_lately
from clues.policy.cooldown import Wait, cooldown, long_enough, min_on, own_rest, since_of
from clues.policy.demand import ScaleOutResult
from clues.policy.evict import block_of, is_occupied, movers
from clues.policy.moving import Mover
from clues.policy.replacing import Replacing
from clues.policy.schedule import scale_in_closed
from clues.policy.simulation import Simulation
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


class _Pass(Replacing):
    def __init__(self, known: Field, simulation: Simulation) -> None:
        super().__init__(known, simulation)
        self._cooldown = cooldown(known.policy, known.memory, known.out, known.now)
        self._closed = scale_in_closed(known.policy, known.now)

    def run(self) -> ScaleInResult:
        known = self._field
        snapshot, out = known.snapshot, known.out
        given_up = {removal.node: removal for removal in out.give_up if removal.node}
        candidates: list[Candidate] = []
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

    def _candidate(self, name: str, state: NodeState) -> Candidate:
        known = self._field
        pool = known.pools[state.pool]
        since = since_of(known.memory, name, known.now)
        disabled = known.is_disabled(name)
        wait: Wait | None = None
        if not known.policy.scale_in:
            wait = Wait(Block.SCALE_IN_OFF, "policy.scale_in is false")
        elif disabled:
            wait = own_rest(known.memory, name, known.now)
        else:
            wait = own_rest(known.memory, name, known.now) or self._cooldown
            if wait is None and self._closed & {"", pool.name}:
                wait = Wait(Block.SCHEDULE, "a window of policy.schedules forbids it now")
            wait = (
                wait
                or long_enough(state.node, pool, known.policy, since, known.now)
                or min_on(state.node, pool, known.machines.get(name), known.now)
            )
        index = self._simulation.index[name]
        return Candidate(name, state, pool, index, is_occupied(state.pods, known.policy), wait, since, disabled)

    def _try_all(self, candidates: list[Candidate]) -> None:
        known = self._field
        candidates.sort(key=self._turn)
        self._mover = Mover(self._simulation, self._ranks(candidates))
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
            self._replace()

    def _take_what_goes(self) -> None:
        """Charge the removals that are under way: their pods need places and disruptions."""
        known, simulation = self._field, self._simulation
        for name in self._allowance.going:
            pods = known.snapshot.nodes[name].pods
            if is_occupied(pods, known.policy):
                moving = movers(pods, known.policy)
                self._allowance.charge_drain(moving)
                if simulation.alive[simulation.index[name]]:
                    simulation.remove_node(simulation.index[name])
                for pod in moving:  # one by one: those that find no place are pending pods of the next pass
                    self._hosts.update((self._mover.move([pod]) or {}).values())

    def _turn(self, candidate: Candidate) -> tuple[bool, bool, bool, bool, float, float, str]:
        """Who is tried first: what can go now, empty ones, the dearest, the least used.

        Those that a person gave up come before others, and those whose removal failed before after them.
        """
        share = self._field.shares.get(candidate.name, 0.0)
        return (
            candidate.wait is not None,
            candidate.occupied,
            failed_lately(self._field.memory, candidate.name, self._field.now, self._field.policy.removal_backoff),
            not candidate.disabled,
            -candidate.pool.price,
            share if candidate.occupied else 0.0,
            candidate.name,
        )

    def _ranks(self, candidates: Sequence[Candidate]) -> NDArray[np.int64]:
        """How readily a node takes pods in: nodes that stay anyhow, used candidates, empty ones at last."""
        rank = np.zeros(len(self._simulation.names), dtype=np.int64)
        for candidate in candidates:
            rank[candidate.index] = 1 if candidate.occupied else 2
            if candidate.disabled:
                self._simulation.close_node(candidate.index)
        return rank

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
