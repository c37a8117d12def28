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

Where nodes may be replaced, those whose pods have no place are looked at once no more can be deleted: each by itself,
and in groups for one new node (`clues.policy.groups`). What saves most an hour goes first, a tie goes to fewer nodes.
A group in which one has to wait waits as a whole, and its members count as removable meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from clues.decision import Block, Memory, NodeVerdict, PowerOn, Removal, RemovalKind, Replacement
from clues.model import Pod
from clues.options import Consolidation, Policy, Pool
from clues.policy.allowance import Allowance, Candidate
from clues.policy.consolidate import Swap, find_swap, purchase
from clues.policy.cooldown import Wait, cooldown, long_enough, min_on, since_of
from clues.policy.demand import ScaleOutResult
from clues.policy.evict import block_of, eviction_order, is_occupied, movers
from clues.policy.groups import Group, GroupSearch, Member
from clues.policy.moving import Mover
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


class _Pass:
    def __init__(self, known: Field, simulation: Simulation) -> None:
        self._field = known
        self._simulation = simulation
        self._verdicts: dict[str, NodeVerdict] = {}
        self._removals: list[Removal] = []
        self._replacements: list[Replacement] = []
        self._since: dict[str, float] = {}
        self._hosts: set[str] = set()
        self._placeless: list[Candidate] = []
        self._allowance = Allowance(known)
        self._pdbs = self._allowance.pdbs
        self._bought: list[PowerOn] = []
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

    def _try(self, candidate: Candidate, moving: list[Pod], *, replace: bool = False) -> None:
        """Take the node out of the simulation, place its pods, and let it go unless something delays or limits that."""
        start = self._simulation.mark()
        found = self._places(candidate, moving, replace=replace)
        if not isinstance(found, Swap | dict):
            if not replace:
                self._placeless.append(candidate)
            self._keep(candidate, *found)
            return
        self._since[candidate.name] = candidate.since
        wait = candidate.wait or self._allowance.refusal([candidate])
        if wait is not None:
            self._simulation.undo(start)
            self._keep(candidate, wait.block, wait.detail, wait.until)
            return
        if isinstance(found, Swap):
            said = f"a node of pool {found.add.pool} takes its pods and saves {found.saves:g} an hour"
            self._buy([candidate], found, said)
        else:
            self._removals.append(self._go(candidate, moving, found))

    def _places(
        self, candidate: Candidate, moving: list[Pod], *, replace: bool
    ) -> Swap | dict[str, str] | tuple[Block, str]:
        """Take a node out of the simulation and place its pods; where that fails say why, with nothing changed."""
        simulation = self._simulation
        start = simulation.mark()
        simulation.remove_node(candidate.index)
        moves = self._mover.move(moving) if moving else {}
        if moves is not None:
            return moves
        found: Swap | tuple[Block, str] = (Block.NO_PLACE, self._stuck())
        if replace:
            sizes, bought = self._allowance.sizes, self._bought
            found = find_swap(self._field, simulation, self._mover, sizes, bought, candidate.pool, moving)
        if not isinstance(found, Swap):
            simulation.undo(start)
        return found

    def _replace(self) -> None:
        """Let nodes go for cheaper ones, by themselves or several for one: what saves most an hour goes first."""
        policy = self._field.policy
        search = GroupSearch(self._simulation, self._mover.rank)
        alone = self._replaceable_alone()
        left = [candidate for candidate in self._placeless if candidate.state.node.ready]
        singles = sorted((c for c in left if c.name in alone), key=lambda c: (c.wait is not None, -alone[c.name]))
        group, is_known = None, False
        while True:
            left = [candidate for candidate in left if self._may_be_replaced(candidate)]
            singles = [candidate for candidate in singles if candidate in left]
            if not is_known:
                ready = [candidate for candidate in left if candidate.wait is None]
                group, is_known = self._group(search, ready, alone, now=True), True
            saves = alone[singles[0].name] if singles and singles[0].wait is None else 0.0
            if group is not None and group.swap.saves > saves:
                search.place(group)
                names = {member.name for member in group.members}
                members = [candidate for candidate in left if candidate.name in names]
                what = f"one node of pool {group.pool.name} takes the pods of these {len(members)} nodes"
                self._buy(members, group.swap, f"{what} and saves {group.swap.saves:g} an hour")
            elif singles:
                before = len(self._removals) + len(self._replacements)
                first = singles.pop(0)
                self._try(first, movers(first.state.pods, policy), replace=True)
                if len(self._removals) + len(self._replacements) == before:
                    continue
            else:
                break
            is_known = False
            left = [candidate for candidate in left if self._verdicts[candidate.name].block is not None]
        self._let_time_run(search, left, alone)

    def _replaceable_alone(self) -> dict[str, float]:
        """Return what nodes save an hour that one cheaper node could replace, and say of the others why none can."""
        saves: dict[str, float] = {}
        for candidate in self._placeless:
            if not candidate.state.node.ready or not self._may_be_replaced(candidate):
                continue
            start = self._simulation.mark()
            found = self._places(candidate, movers(candidate.state.pods, self._field.policy), replace=True)
            if isinstance(found, Swap | dict):
                self._simulation.undo(start)
                saves[candidate.name] = found.saves if isinstance(found, Swap) else candidate.pool.price
            else:
                self._keep(candidate, *found)
        return saves

    def _may_be_replaced(self, candidate: Candidate) -> bool:
        known = self._field
        if candidate.name in self._hosts:
            self._keep(candidate, Block.NO_PLACE, "pods of a node that goes will run on it")
            return False
        pods = candidate.state.pods
        again = block_of(pods, known.policy, self._pdbs, known.snapshot.missing_owners, known.now)
        if again is not None:
            self._keep(candidate, *again)
        return again is None

    def _group(
        self, search: GroupSearch, among: Sequence[Candidate], alone: Mapping[str, float], *, now: bool
    ) -> Group | None:
        """Find the group that saves most: one that may go `now`, or one that could once time has passed."""
        known, policy, allowance = self._field, self._field.policy, self._allowance
        most = min(policy.max_drain, policy.max_parallel)
        if most < 2 or len(among) < 2:
            return None
        by_name = {candidate.name: candidate for candidate in among}
        members = [
            Member(c.name, c.pool.price, c.index, tuple(movers(c.state.pods, policy)), alone.get(c.name, 0.0))
            for c in among
        ]

        def allowed(chosen: Sequence[Member]) -> bool:
            leaving = [by_name[member.name] for member in chosen]
            free = allowance.refusal(leaving) is None if now else allowance.could_ever_allow(leaving)
            return free and self._pdbs.lacking(pod for member in chosen for pod in member.pods) is None

        orders = []
        for pool in known.pools.values():
            reason = "it replaces several nodes that cost more together"
            order = purchase(known, allowance.sizes, self._bought, pool, (), reason)
            if order is not None:
                orders.append((pool, order))
        return search.best(members, most, allowed, orders)

    def _let_time_run(self, search: GroupSearch, left: Sequence[Candidate], alone: Mapping[str, float]) -> None:
        """Let nodes that could go in a group count as removable, and say what the group waits for."""
        start = self._simulation.mark()
        while True:
            group = self._group(search, left, alone, now=False)
            if group is None:
                break
            search.place(group)
            names = [member.name for member in group.members]
            leaving = [candidate for candidate in left if candidate.name in names]
            left = [candidate for candidate in left if candidate.name not in names]
            wait = next((c.wait for c in leaving if c.wait is not None), None) or self._allowance.refusal(leaving)
            for candidate in leaving:
                self._since[candidate.name] = candidate.since
                own = candidate.wait or wait
                if own is not None and candidate.name not in alone:
                    what = f"it would go with {', '.join(name for name in names if name != candidate.name)}"
                    self._keep(candidate, own.block, f"{what}: {own.detail}", own.until)
        self._simulation.undo(start)

    def _buy(self, leaving: Sequence[Candidate], swap: Swap, said: str) -> None:
        """Let nodes go once one that was ordered for their pods is there."""
        removals = []
        for candidate in leaving:
            moving = movers(candidate.state.pods, self._field.policy)
            moves = {key: swap.moves[key] for key in (f"{pod.namespace}/{pod.name}" for pod in moving)}
            removals.append(self._go(candidate, moving, moves, RemovalKind.REPLACED))
        order = swap.add
        if not order.pods:
            order = msgspec.structs.replace(order, pods=tuple(ref for one in removals for ref in one.evict)[:50])
        self._bought.append(order)
        self._replacements.append(Replacement(tuple(removals), (order,), swap.saves, said))

    def _go(
        self, candidate: Candidate, moving: list[Pod], moves: dict[str, str], kind: RemovalKind | None = None
    ) -> Removal:
        """Count a node as going."""
        known = self._field
        state, pool = candidate.state, candidate.pool
        if kind is None:
            kind = RemovalKind.UNDERUSED if candidate.occupied else RemovalKind.EMPTY
            kind = kind if state.node.ready else RemovalKind.UNREADY
        machine = known.machines.get(candidate.name)
        reason = f"{kind.value} for {known.now - candidate.since:.0f} s"
        if candidate.disabled:
            reason = "a person took its machine out of use (clues disable)"
        self._since[candidate.name] = candidate.since
        self._hosts.update(moves.values())
        self._allowance.take(candidate, moving)
        self._verdicts[candidate.name] = NodeVerdict(candidate.name, None, reason)
        return Removal(
            candidate.name,
            pool.name,
            state.machine or (machine.name if machine is not None else ""),
            kind,
            eviction_order(state.pods, known.policy),
            moves,
            reason,
        )

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

    def _turn(self, candidate: Candidate) -> tuple[bool, bool, bool, float, float, str]:
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

    def _ranks(self, candidates: Sequence[Candidate]) -> NDArray[np.int64]:
        """How readily a node takes pods in: nodes that stay anyhow, used candidates, empty ones at last."""
        rank = np.zeros(len(self._simulation.names), dtype=np.int64)
        for candidate in candidates:
            rank[candidate.index] = 1 if candidate.occupied else 2
            if candidate.disabled:
                self._simulation.close_node(candidate.index)
        return rank

    def _keep(self, candidate: Candidate, block: Block, detail: str, until: float | None = None) -> None:
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
