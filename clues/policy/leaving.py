"""The nodes that go in one pass: trying one, letting it go, and what that takes from the others."""

from collections.abc import Sequence

import msgspec

from clues.decision import Block, NodeVerdict, PowerOn, Removal, RemovalKind, Replacement
from clues.model import Pod
from clues.policy.allowance import Allowance, Candidate
from clues.policy.consolidate import Swap, find_swap
from clues.policy.evict import eviction_order, movers
from clues.policy.moving import Mover
from clues.policy.simulation import Simulation
from clues.policy.standing import Field

__all__ = ["Leaving"]


class Leaving:
    """What a pass has decided so far, and the simulation in which it is carried out."""

    _mover: Mover
    """Made once the candidates are known: who takes pods in depends on who could go."""

    def __init__(self, known: Field, simulation: Simulation) -> None:
        self._field = known
        self._simulation = simulation
        self._verdicts: dict[str, NodeVerdict] = {}
        self._removals: list[Removal] = []
        self._replacements: list[Replacement] = []
        self._since: dict[str, float] = {}
        self._hosts: set[str] = set()
        """Nodes that take pods of those that go."""
        self._placeless: list[Candidate] = []
        """Candidates whose pods fit on no node that stays."""
        self._allowance = Allowance(known)
        self._pdbs = self._allowance.pdbs
        self._bought: list[PowerOn] = []

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
        wait = candidate.wait
        if wait is None:
            wait = self._allowance.refusal([candidate])
        elif wait.block is Block.COOLDOWN:  # the minimum keeps it when that is over, too
            wait = self._allowance.too_few([candidate]) or wait
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
        """Take a node out of the simulation and place its pods; where that fails say why, with nothing changed.

        While pods leave a node it is there still, and the scheduler counts its zone, empty, for those that spread: what
        would only have a place once the node is gone would be pending until then, and order another node there.
        """
        simulation = self._simulation
        start = simulation.mark()
        if candidate.state.node.ready and not candidate.disabled:
            for pod in moving:
                simulation.take(simulation.kind_of(pod), candidate.index)
            simulation.close_node(candidate.index)
        else:  # it goes in any case
            simulation.remove_node(candidate.index)
        moves = self._mover.move(moving) if moving else {}
        if moves is not None:
            simulation.remove_node(candidate.index)
            return moves
        found: Swap | tuple[Block, str] = (Block.NO_PLACE, self._stuck())
        if replace:
            sizes, bought = self._allowance.sizes, self._bought
            found = find_swap(self._field, simulation, self._mover, sizes, bought, candidate.pool, moving)
        if isinstance(found, Swap):
            simulation.remove_node(candidate.index)
        else:
            simulation.undo(start)
        return found

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

    def _keep(self, candidate: Candidate, block: Block, detail: str, until: float | None = None) -> None:
        self._verdicts[candidate.name] = NodeVerdict(candidate.name, block, detail, until)

    def _stuck(self) -> str:
        pod = self._mover.stuck
        what = "its pods fit" if pod is None else f"pod {pod.namespace}/{pod.name} fits"
        return f"{what} on no ready node that stays"
