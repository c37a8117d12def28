"""Nodes that go for cheaper ones, by themselves or several for one."""

from collections.abc import Mapping, Sequence

from clues.decision import Block
from clues.policy.allowance import Candidate
from clues.policy.consolidate import Swap, purchase
from clues.policy.evict import block_of, movers
from clues.policy.groups import Group, GroupSearch, Member
from clues.policy.leaving import Leaving

__all__ = ["Replacing"]


class Replacing(Leaving):
    """The part of a pass that buys: after everything that could be deleted."""

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
