"""Which pending pods have a place, and which nodes are ordered for the others."""

import itertools
from collections.abc import Mapping, Sequence
from itertools import count

import msgspec
import numpy as np
from numpy.typing import NDArray

from clues.decision import Memory, PowerOn, Refusal
from clues.model import Node, Pod, PodRef
from clues.options import Policy, Pool
from clues.policy.choose import Choice, balanced, choose
from clues.policy.costs import Costs
from clues.policy.demand import Demand, ScaleOutResult, coming_back, demand_of, is_expendable
from clues.policy.domains import beside
from clues.policy.gangs import NO_GANG, Gang, gang_of, never_placed, not_whole
from clues.policy.health import is_fresh, is_healthy
from clues.policy.kinds import Kind
from clues.policy.pack import Group, fill, pack
from clues.policy.simulation import Simulation
from clues.policy.supply import Supply, slot_of, supply_of
from clues.policy.template import fresh_node
from clues.policy.verdicts import Trial, Verdicts
from clues.snapshot import NodeState, Snapshot

__all__ = ["scale_out"]

_REMOVING = "clues.im-clues/removing"
_MOST_NAMED = 50
_NEW = "#"
"""Begins the slot of a node that is ordered now, whose machine has no name yet: `pool/#0`."""


def scale_out(
    snapshot: Snapshot, pools: Sequence[Pool], policy: Policy, memory: Memory
) -> tuple[ScaleOutResult, Simulation]:
    """Decide what is ordered. The simulation is left as `ScaleOutResult` says, for scaling in.

    Pods go first onto nodes that are there (used ones before empty ones), then onto those that are coming, those that
    were planned for one onto that; for what is left fresh nodes are chosen over all pools in one pass.
    """
    return _ScaleOut(snapshot, pools, policy, memory).run()


class _ScaleOut:
    def __init__(self, snapshot: Snapshot, pools: Sequence[Pool], policy: Policy, memory: Memory) -> None:
        self._snapshot, self._pools, self._policy = snapshot, pools, policy
        self._by_name = {pool.name: pool for pool in pools}
        self._supply: Supply = supply_of(snapshot, pools, policy, memory)
        self._simulation = Simulation(snapshot)
        self._verdicts = Verdicts()
        self._needed: set[str] = set()
        self._notes: list[str] = []
        self._coming: dict[int, str] = {}
        """Index in the simulation -> slot of a machine that is coming."""
        self._slots: dict[str, int] = {}
        self._planned: dict[str, str] = {}
        self._upcoming = frozenset(item.registered for item in self._supply.coming if item.registered)
        self._healthy = is_healthy(snapshot, policy, self._upcoming)
        self._probes: dict[str, float] = {}
        self._tried: list[Trial] = []
        """Trials whose node is ordered now."""
        self._known: NDArray[np.int64] = np.zeros(0, np.int64)
        """Nodes that are there, used ones first."""

    def run(self) -> tuple[ScaleOutResult, Simulation]:
        snapshot, policy, simulation = self._snapshot, self._policy, self._simulation
        demand = demand_of(snapshot, policy)
        self._tell_ignored(demand)
        self._make_room()
        self._seat_nominated(demand.nominated)
        self._add_coming()
        unseen = {pod.uid or f"{pod.namespace}/{pod.name}" for pod in demand.unseen}
        groups = self._groups([*demand.counting, *demand.unseen])
        left = self._without_parts(self._seat_all(groups))
        reclaimed, left = self._reclaim(left)
        left = self._without_unseen(left, unseen)
        before = simulation.mark()
        left = self._with_leaving(left)
        orders = self._order(left)
        spare, more = self._headroom(orders)
        for name, number in more.items():
            orders[name] = orders.get(name, 0) + number
        power_on = self._power_on(orders)
        simulation.undo(before)  # scaling in finds the pods of nodes that are being deleted where they are
        simulation.remove_nodes(self._coming)
        memory = msgspec.structs.replace(self._supply.memory, planned=self._planned, probes=self._probes)
        if power_on:
            memory = msgspec.structs.replace(memory, last_scale_up=snapshot.now)
        result = ScaleOutResult(
            power_on=power_on,
            give_up=tuple(self._supply.give_up),
            needed_nodes=frozenset(self._needed),
            upcoming_nodes=self._upcoming,
            spare_nodes=spare,
            reclaimed=reclaimed,
            unhelped=tuple(self._verdicts.unhelped),
            pods=tuple(self._verdicts.found),
            sizes=dict(self._supply.sizes),
            limits=self._supply.limits,
            healthy=self._healthy,
            memory=memory,
            notes=tuple(self._notes),
        )
        return result, simulation

    # what there is

    def _tell_ignored(self, demand: Demand) -> None:
        for standing, pods in demand.ignored.items():
            self._verdicts.add(pods, "ignored", reason=standing.value)

    def _make_room(self) -> None:
        """Take expendable pods off, and pods of nodes that were given up."""
        simulation, below = self._simulation, self._policy.expendable_below
        for name, state in self._snapshot.nodes.items() if simulation.lowest_priority() < below else ():
            for pod in state.pods:
                if pod.spec.priority < below and not pod.stays_with_node:
                    simulation.take(simulation.kind_of(pod), simulation.index[name])
        for name in self._snapshot.nodes:
            if self._is_going(name):
                simulation.close_node(simulation.index[name])

    def _is_going(self, name: str) -> bool:
        state = self._snapshot.nodes[name]
        return state.node.deleting or name in self._supply.memory.removing

    def _seat_nominated(self, pods: Sequence[Pod]) -> None:
        for pod in pods:
            index = self._simulation.index[pod.nominated]
            self._simulation.place(self._simulation.kind_of(pod), index)
            self._needed.add(pod.nominated)
        self._verdicts.add(pods, "fits", reason="the scheduler makes room for it")

    def _add_coming(self) -> None:
        simulation = self._simulation
        for item in self._supply.coming:
            if item.registered:
                old = simulation.index[item.registered]
                here = [pod for pod in self._snapshot.nodes[item.registered].pods if not pod.is_daemon]
                simulation.remove_node(old)
                index = simulation.add_node(item.node)
                for pod in here:
                    simulation.place(simulation.kind_of(pod), index)
            else:
                index = simulation.add_node(item.node)
            self._coming[index] = item.slot
            self._slots[item.slot] = index

    # who has a place

    def _groups(self, pods: Sequence[Pod]) -> list[Group]:
        """Group pods by kind, most important first, then the largest."""
        simulation = self._simulation
        groups = [Group(kind, found) for kind, found in simulation.kinds(pods).items()]
        largest: dict[str, int] = {}
        for pool in self._pools:
            for name, amount in pool.allocatable.items():
                largest[name] = max(largest.get(name, 0), amount)
        for group in groups:
            shares = [amount / largest[name] for name, amount in group.kind.spec.requests if largest.get(name)]
            group.size = max(shares, default=0.0)
        return sorted(groups, key=lambda item: (-item.priority, -item.size))

    def _seat_all(self, groups: Sequence[Group]) -> list[Group]:
        simulation = self._simulation
        known = [simulation.index[name] for name in self._snapshot.nodes if name not in self._upcoming]
        used: list[int] = []
        empty: list[int] = []
        for index in known:
            (used if self._is_used(self._snapshot.nodes[simulation.names[index]]) else empty).append(index)
        self._known = np.array([*used, *empty], dtype=np.int64)
        order = np.array([*used, *empty, *self._coming], dtype=np.int64)
        groups = self._seat_planned(groups)
        for again in (False, True):  # what looks at other pods may find them placed the second time
            left = []
            for group in groups:
                if again and simulation.is_local(group.kind):  # placing others has made no room for it
                    left.append(group)
                    continue
                found = fill(simulation, group.kind, len(group.pods), order)
                rest = self._seated(group, found)
                if rest:
                    left.append(Group(group.kind, rest, group.size))
            if len(left) == len(groups) or all(simulation.is_simple(group.kind) for group in left):
                break
            groups = left
        return left

    def _is_used(self, state: NodeState) -> bool:
        highest = state.highest_priority
        return highest is not None and highest >= self._policy.expendable_below

    def _seat_planned(self, groups: Sequence[Group]) -> list[Group]:
        """Give pods the node that they were planned for, coming or come, where it still fits."""
        planned = self._slots_of_pods()
        if not planned:
            return list(groups)
        rest = []
        for group in groups:
            left: list[Pod] = []
            wanted: dict[int, list[Pod]] = {}
            here, last = left, -1
            for pod in group.pods:
                index = planned.get(pod.uid, -1)
                if index != last:  # pods for one node mostly stand together
                    here, last = left if index < 0 else wanted.setdefault(index, []), index
                here.append(pod)
            seats = self._seats(group.kind, wanted)
            for index, pods in wanted.items():
                number = seats.get(index, 0)
                left += self._seated(Group(group.kind, pods, group.size), {index: number} if number else {})
                for pod in pods[:number] if index not in self._coming else ():
                    self._planned[pod.uid] = self._supply.memory.planned[pod.uid]
            if left:
                rest.append(Group(group.kind, left, group.size))
        return rest

    def _seats(self, kind: Kind, wanted: Mapping[int, Sequence[Pod]]) -> dict[int, int]:
        """Place pods on the nodes that they were planned for, as far as they take them; return index -> pods placed."""
        simulation = self._simulation
        found: dict[int, int] = {}
        if simulation.is_local(kind) and not kind.spec.volumes:
            at, room = simulation.room_among(kind, np.fromiter(wanted, np.int64, len(wanted)))
            found = {
                index: min(len(wanted[index]), most) for index, most in zip(at.tolist(), room.tolist(), strict=True)
            }
            simulation.place_all(kind, found)
            return found
        for index, pods in wanted.items():
            if simulation.is_local(kind):
                found[index] = min(len(pods), simulation.room_on(kind, index))
                simulation.place(kind, index, found[index])
                continue
            found[index] = 0
            while found[index] < len(pods) and simulation.refusal(kind, index) is None:
                simulation.place(kind, index)
                found[index] += 1
        return found

    def _slots_of_pods(self) -> dict[str, int]:
        """Return for whom the last decisions had which node in mind: pod uid -> index.

        A slot whose machine is not known by that name (it was ordered by number, or got another name) is that of any
        coming machine of its pool that nobody is planned for: fresh nodes of a pool are alike.
        """
        planned = self._supply.memory.planned
        wanted = dict.fromkeys(planned.values())
        if not wanted:
            return {}
        where = {slot: index for slot, index in self._slots.items() if slot in wanted}
        for name, slot in slot_of(self._snapshot).items():
            if slot in wanted and slot not in where:
                where[slot] = self._simulation.index[name]
        free: dict[str, list[int]] = {}
        for slot, index in self._slots.items():
            if slot not in wanted:
                free.setdefault(slot.partition("/")[0], []).append(index)
        for slot in wanted:
            if slot not in where and free.get(slot.partition("/")[0]):
                where[slot] = free[slot.partition("/")[0]].pop(0)
        return {uid: where[slot] for uid, slot in planned.items() if slot in where}

    def _seated(self, group: Group, found: dict[int, int]) -> list[Pod]:
        """Note who sits where; return those without a place."""
        pods = list(group.pods)
        for index, number in found.items():
            here, pods = pods[:number], pods[number:]
            slot = self._coming.get(index)
            if slot is None:
                self._needed.add(self._simulation.names[index])
                self._verdicts.add(here, "fits", self._simulation.names[index], reason="there is room for it")
            else:
                for pod in here:
                    self._planned[pod.uid] = slot
                self._verdicts.add(here, "upcoming", slot, reason="a node for it is coming")
        return pods

    def _reclaim(self, groups: list[Group]) -> tuple[frozenset[str], list[Group]]:
        """Look whether nodes whose removal has begun would help; their machines must still be on."""
        simulation = self._simulation
        going = [
            state
            for name, state in self._snapshot.nodes.items()
            if name in self._supply.memory.removing and not state.node.deleting and state.node.ready
        ]
        if not groups or not going:
            return frozenset(), groups
        added = {}
        for state in going:
            here = [pod for pod in state.pods if not is_expendable(pod, self._policy)]
            simulation.remove_node(simulation.index[state.node.name])
            index = simulation.add_node(_taken_back(state.node), daemons=False)
            for pod in here:
                simulation.place(simulation.kind_of(pod), index)
            added[index] = state.node.name
        order = np.array(list(added), dtype=np.int64)
        left: list[Group] = []
        used: set[str] = set()
        for group in groups:
            found = fill(simulation, group.kind, len(group.pods), order)
            used.update(added[index] for index in found)
            rest = self._seated(group, found)
            if rest:
                left.append(Group(group.kind, rest, group.size))
        for index, name in added.items():
            if name not in used:
                simulation.close_node(index)
        return frozenset(used), left

    def _without_parts(self, groups: Sequence[Group]) -> list[Group]:
        """Set pods aside whose gang is not whole yet."""
        parts = not_whole(self._snapshot, self._policy, groups)
        for group in groups if parts else ():
            if gang_of(group.kind) in parts:
                self._verdicts.add(group.pods, "waiting", reason=parts[gang_of(group.kind)])
        return [group for group in groups if gang_of(group.kind) not in parts]

    def _without_unseen(self, groups: Sequence[Group], unseen: set[str]) -> list[Group]:
        """Set pods aside that the scheduler has not looked at, and those that only come together with such."""
        if not unseen:
            return list(groups)
        left = []
        gangs: set[Gang] = set()
        for group in groups:
            waiting = [pod for pod in group.pods if (pod.uid or f"{pod.namespace}/{pod.name}") in unseen]
            rest = [pod for pod in group.pods if (pod.uid or f"{pod.namespace}/{pod.name}") not in unseen]
            self._verdicts.add(waiting, "waiting", reason="the scheduler has not looked at it yet")
            if waiting:
                gangs.add(gang_of(group.kind))
            if rest:
                left.append(Group(group.kind, rest, group.size))
        gangs.discard(NO_GANG)
        for group in left if gangs else ():
            if gang_of(group.kind) in gangs:
                self._verdicts.add(group.pods, "waiting", reason="the scheduler has not looked at its whole gang yet")
        return [group for group in left if gang_of(group.kind) not in gangs]

    def _with_leaving(self, groups: list[Group]) -> list[Group]:
        """Add the pods that will be pending once their node is deleted, as far as no other node has room for them."""
        pods = coming_back(self._snapshot, self._policy)
        if not pods:
            return groups
        simulation = self._simulation
        self._verdicts.with_leaving = True
        for pod in pods:
            simulation.take(simulation.kind_of(pod), simulation.index[pod.node])
        order = np.array([*self._known, *self._coming], dtype=np.int64)
        waiting = {group.kind: group for group in groups}
        for group in self._groups(pods):
            rest = list(group.pods)
            for index, number in fill(simulation, group.kind, len(rest), order).items():
                here, rest = rest[:number], rest[number:]
                if index in self._coming:
                    self._planned.update((pod.uid, self._coming[index]) for pod in here)
            known = waiting.get(group.kind)
            if known is not None:  # those that are pending come first
                known.pods = [*known.pods, *rest]
            elif rest:
                waiting[group.kind] = Group(group.kind, rest, group.size)
        return sorted(waiting.values(), key=lambda item: (-item.priority, -item.size))

    # what is ordered

    def _order(self, groups: list[Group]) -> dict[str, int]:
        closed = self._why_nothing()
        if closed:
            self._notes.append(closed)
            for group in groups:
                self._verdicts.add(group.pods, "unschedulable", refusals=self._refusals(group), reason=closed)
            return {}
        groups = self._with_pools(groups)
        excluded = never_placed(groups)
        trials = self._trials(groups, excluded)
        simulated = [group for group in groups if not group.kind.spec.beyond]
        others = self._others(simulated)
        while True:
            asked = [group for group in simulated if gang_of(group.kind) not in excluded]
            choice = choose(self._simulation, asked, self._pools, self._supply, self._policy, others)
            broken = [group for group in asked if group.kind.spec.gang and choice.helped(group.kind) < len(group.pods)]
            if not broken:
                break
            for group in broken:
                excluded.setdefault(gang_of(group.kind), group)
            trials = self._still_tried(trials, excluded)
        self._tell_ordered(simulated, choice, excluded)
        probed = self._tell_trials(groups, trials, excluded)
        counts = dict(choice.counts)
        if self._policy.balance and counts:
            shared = balanced(counts, self._pools, self._supply, _takers(asked, choice))
            if shared != counts and self._still_holds(asked, shared, choice.total(), others):
                counts = shared
                self._planned = {uid: slot for uid, slot in self._planned.items() if f"/{_NEW}" not in slot}
        for name, number in probed.items():
            counts[name] = counts.get(name, 0) + number
        return self._with_minimum(counts)

    def _others(self, groups: Sequence[Group]) -> NDArray[np.int64]:
        """Return the nodes that pods may use beside fresh ones: those that come, and where fresh ones let them in."""
        coming = np.array(list(self._coming), dtype=np.int64)
        return np.concatenate([beside(self._simulation, groups, self._known), coming])

    def _still_holds(
        self, groups: Sequence[Group], counts: dict[str, int], wanted: int, others: NDArray[np.int64]
    ) -> bool:
        """Whether as many pods have a place on this mix; pods that take every pool of it alike have one anyhow."""
        simulation = self._simulation
        asked = [group for group in groups if group.pools]
        if all(counts.keys() <= set(group.pools) and simulation.is_plain(group.kind) for group in asked):
            return True
        mark = simulation.mark()
        mix = [(pool, counts.get(pool.name, 0)) for pool in self._pools]
        held = pack(simulation, asked, mix, count(), others=others, wanted=wanted).total()
        simulation.undo(mark)
        return held >= wanted

    def _why_nothing(self) -> str:
        if not self._policy.scale_out:
            return "policy.scale_out is false"
        if not self._snapshot.complete:
            return "the picture is not complete yet"
        if not is_fresh(self._snapshot, self._policy):
            return f"the picture is {self._snapshot.stale_s:.0f} s old"
        if not self._healthy:
            return "too many nodes are not ready"
        return ""

    def _with_pools(self, groups: Sequence[Group]) -> list[Group]:
        """Find out whose fresh node would take one pod of each kind; others can never be helped by one node."""
        simulation = self._simulation
        takes: dict[Kind, list[str]] = {group.kind: [] for group in groups}
        for pool in self._pools:
            mark = simulation.mark()
            index = simulation.add_node(fresh_node(pool, f"look-{pool.name}"))
            for group in groups:
                refusal = simulation.refusal(group.kind, index)
                if refusal is None or refusal.rule in {"InterPodAffinity", "PodTopologySpread"}:
                    takes[group.kind].append(pool.name)
            simulation.undo(mark)
        for group in groups:
            group.pools = tuple(takes[group.kind])
        return list(groups)

    def _trials(self, groups: Sequence[Group], excluded: dict[Gang, Group]) -> list[Trial]:
        """Choose one node for each kind of pods beyond simulation, and reserve it; adds gangs that get none."""
        costs = Costs((), self._pools, self._supply, self._policy)
        none = [0] * len(self._pools)
        found: list[Trial] = []
        for group in groups:
            if not group.kind.spec.beyond or gang_of(group.kind) in excluded:
                continue
            key = f"{group.kind.namespace}/{'+'.join(group.kind.spec.beyond)}/{group.pods[0].name}"
            tried = self._supply.memory.probes.get(key)
            fitting = [
                pool for at, pool in enumerate(self._pools) if pool.name in group.pools and costs.most_of(at, none) > 0
            ]
            if tried is not None and self._snapshot.now - tried < self._policy.backoff.reset_s:
                found.append(Trial(group, key, tried, ""))
            elif fitting:
                cheapest = min(fitting, key=lambda pool: (pool.price, pool.name)).name
                self._reserve(cheapest, 1)
                found.append(Trial(group, key, self._snapshot.now, cheapest))
            elif group.kind.spec.gang:
                excluded[gang_of(group.kind)] = group
        return self._still_tried(found, excluded)

    def _still_tried(self, trials: Sequence[Trial], excluded: Mapping[Gang, Group]) -> list[Trial]:
        """Give back what was reserved for gangs that get nothing; return the other trials."""
        for trial in trials:
            if trial.pool and gang_of(trial.group.kind) in excluded:
                self._reserve(trial.pool, -1)
        return [trial for trial in trials if gang_of(trial.group.kind) not in excluded]

    def _reserve(self, pool: str, number: int) -> None:
        supply, holds = self._supply, self._by_name[pool].allocatable
        supply.room[pool] -= number
        if supply.nodes_left is not None:
            supply.nodes_left -= number
        if supply.cores_left_m is not None:
            supply.cores_left_m -= number * holds.get("cpu", 0)
        if supply.memory_left is not None:
            supply.memory_left -= number * holds.get("memory", 0)

    def _tell_trials(
        self, groups: Sequence[Group], trials: Sequence[Trial], excluded: Mapping[Gang, Group]
    ) -> dict[str, int]:
        """Note what becomes of pods beyond simulation; return what is ordered for them."""
        ordered: dict[str, int] = {}
        tried = set()
        for trial in trials:
            tried.add(trial.group.kind)
            self._probes[trial.key] = trial.at
            self._verdicts.add(trial.group.pods, "waiting", trial.pool, reason=trial.why)
            if trial.pool:
                self._reserve(trial.pool, -1)  # from here on it is one of those that are ordered
                ordered[trial.pool] = ordered.get(trial.pool, 0) + 1
                self._tried.append(trial)
        for group in groups:
            if group.kind.spec.beyond and group.kind not in tried:
                self._tell_unhelped(group, group.pods, excluded)
        return ordered

    def _tell_ordered(self, groups: Sequence[Group], choice: Choice, excluded: Mapping[Gang, Group]) -> None:
        planned = self._planned
        for group in groups:
            pods = self._seated(group, choice.beside.get(group.kind, {}))
            at = 0
            by_pool: dict[str, list[Pod]] = {}
            for pool, first, nodes, each in choice.placed.get(group.kind, ()):
                by_pool.setdefault(pool, []).extend(pods[at : at + nodes * each])
                for number in range(first, first + nodes):
                    slot = f"{pool}/{_NEW}{number}"
                    for pod in pods[at : at + each]:
                        planned[pod.uid] = slot
                    at += each
            for pool, here in by_pool.items():
                self._verdicts.add(here, "ordered", pool, reason=f"a node of {pool} is ordered for it")
            if at < len(pods):
                self._tell_unhelped(group, pods[at:], excluded)

    def _tell_unhelped(self, group: Group, pods: Sequence[Pod], excluded: Mapping[Gang, Group]) -> None:
        """Note why nothing is ordered for pods: their own refusals, or those of the member that its gang lacks."""
        cause = excluded.get(gang_of(group.kind), group)
        refusals = self._refusals(cause)
        reason = "not the whole gang would fit" if gang_of(group.kind) in excluded else ""
        if cause is not group:
            whose = f"pod {cause.pods[0].namespace}/{cause.pods[0].name} of its gang"
            reason = f"{reason}: {whose} has no place"
            refusals = [Refusal(one.where, one.rule, f"{whose}: {one.detail}") for one in refusals]
        self._verdicts.add(pods, self._outcome(cause), refusals=refusals, reason=reason)

    def _outcome(self, group: Group) -> str:
        states = {self._supply.closed.get(name, "") for name in group.pools}
        if not group.pools:
            return "unschedulable"
        if "resting" in states:
            return "resting"
        return "limit"

    def _refusals(self, group: Group) -> list[Refusal]:
        """Return the first rule of each pool that refuses."""
        simulation, found = self._simulation, []
        for pool in self._pools:
            mark = simulation.mark()
            refusal = simulation.refusal(group.kind, simulation.add_node(fresh_node(pool, f"look-{pool.name}")))
            simulation.undo(mark)
            closed = self._supply.closed.get(pool.name)
            if refusal is not None:
                found.append(Refusal(pool.name, refusal.rule, refusal.detail))
            elif closed == "resting":
                found.append(Refusal(pool.name, "resting", self._supply.memory.rests[pool.name].reason))
            elif closed == "unhealthy":
                found.append(Refusal(pool.name, "unhealthy", "too many of its nodes are not ready"))
            elif closed == "limit":
                found.append(Refusal(pool.name, "limit", f"it has {self._supply.sizes[pool.name]} nodes already"))
            else:
                found.append(Refusal(pool.name, "limit", "more nodes than the limits allow would be needed"))
        return found

    def _with_minimum(self, counts: dict[str, int]) -> dict[str, int]:
        if not self._policy.enforce_min:
            return counts
        costs = Costs((), self._pools, self._supply, self._policy)
        for position, pool in enumerate(self._pools):
            least = self._supply.limits[pool.name][0]
            missing = least - self._supply.sizes[pool.name] - counts.get(pool.name, 0)
            room = costs.most_of(position, [counts.get(other.name, 0) for other in self._pools])
            if missing > 0 and room > 0:
                counts[pool.name] = counts.get(pool.name, 0) + min(missing, room)
        return counts

    def _headroom(self, orders: dict[str, int]) -> tuple[frozenset[str], dict[str, int]]:
        """Keep empty nodes spare; order what is missing."""
        spare: set[str] = set()
        planned = frozenset(self._planned.values())
        more: dict[str, int] = {}
        if not is_fresh(self._snapshot, self._policy) or not self._healthy:
            return frozenset(), {}
        wishes = [(pool.name, pool.headroom) for pool in self._pools] + [("", self._policy.headroom)]
        for name, wish in wishes:
            wanted = wish.nodes + self._nodes_for_slots(name, wish.pods, wish.cpu_m, wish.memory_bytes)
            if wanted <= 0:
                continue
            idle = [
                node
                for node, state in self._snapshot.nodes.items()
                if (state.pool == name or (not name and state.pool))
                and state.node.ready
                and not state.node.unschedulable
                and node not in self._needed
                and node not in spare
                and not self._is_used(state)
            ]
            coming = [
                index
                for index, slot in self._coming.items()
                if (not name or slot.startswith(f"{name}/")) and slot not in planned
            ]
            spare.update(idle[:wanted])
            missing = wanted - len(idle[:wanted]) - len(coming)
            for pool in sorted(self._pools, key=lambda item: (item.price, item.name)):
                if missing <= 0:
                    break
                if name in {"", pool.name}:
                    room = self._supply.room[pool.name] - orders.get(pool.name, 0) - more.get(pool.name, 0)
                    number = max(0, min(missing, room))
                    if number:
                        more[pool.name] = more.get(pool.name, 0) + number
                        missing -= number
        return frozenset(spare), more

    def _nodes_for_slots(self, name: str, pods: int, cpu_m: int, memory_bytes: int) -> int:
        """Return the nodes that so many slots need, counted on the largest pool in question."""
        if pods <= 0:
            return 0
        holds = 0
        for pool in self._pools:
            if name in {"", pool.name}:
                each = [pool.allocatable.get("pods", 110)]
                each += [pool.allocatable.get("cpu", 0) // cpu_m] if cpu_m else []
                each += [pool.allocatable.get("memory", 0) // memory_bytes] if memory_bytes else []
                holds = max(holds, min(each))
        return -(-pods // holds) if holds else 0

    def _power_on(self, counts: dict[str, int]) -> tuple[PowerOn, ...]:
        made = []
        left = self._supply.booting_left
        of_driver = dict(self._supply.driver_left)
        for pool in self._pools:
            number = min(counts.get(pool.name, 0), self._supply.room[pool.name] if pool.powered else 10**9)
            tried = [trial for trial in self._tried if trial.pool == pool.name]
            for most, limit in (
                (left, "max_booting"),
                (of_driver.get(pool.driver), f"max_booting of the driver {pool.driver}"),
            ):
                if most is None:
                    continue
                if number > most:
                    self._notes.append(f"{number - most} nodes of {pool.name} wait: {limit} is reached")
                    for trial in tried[max(0, len(tried) - (number - most)) :]:
                        del self._probes[trial.key]  # it is ordered when there is room for it
                        tried.remove(trial)
                number = min(number, most)
            if left is not None:
                left -= number
            if pool.driver in of_driver:
                of_driver[pool.driver] -= number
            if number <= 0:
                continue
            machines: tuple[str, ...] = ()
            if pool.powered:
                machines = tuple(item.name for item in self._supply.machines[pool.name][:number])
            ordered: list[Sequence[PodRef]] = [
                verdict.pods
                for verdict in self._verdicts.found
                if verdict.outcome == "ordered" and verdict.place == pool.name
            ]
            leaving = self._verdicts.leaving.get(pool.name, 0)
            pods = sum(map(len, ordered)) - leaving
            ordered += [[pod.ref for pod in trial.group.pods] for trial in tried]
            named = tuple(itertools.islice(itertools.chain.from_iterable(ordered), _MOST_NAMED))
            whose = [f"{pods} pending pods"] if pods else []
            whose += [f"{leaving} pods of nodes that are being deleted"] if leaving else []
            reasons = [f"{' and '.join(whose)} need {number} more"] if whose else []
            reasons += dict.fromkeys(trial.why for trial in tried)
            reason = "; ".join(reasons) or "the minimum or headroom asks for it"
            made.append(PowerOn(pool.name, number, machines, named, reason))
        return tuple(made)


def _takers(groups: Sequence[Group], choice: Choice) -> dict[str, frozenset[str]]:
    """Return, per pool of a choice, the pools whose fresh nodes would take all that is to go onto its new nodes."""
    found: dict[str, frozenset[str]] = {}
    for group in groups:
        for piece in choice.placed.get(group.kind, ()):
            found[piece.pool] = found.get(piece.pool, frozenset(group.pools)).intersection(group.pools)
    return found


def _taken_back(node: Node) -> Node:
    """Return a node as it is once its removal is cancelled."""
    taints = tuple(taint for taint in node.taints if taint.key not in {_REMOVING, "node.kubernetes.io/unschedulable"})
    return msgspec.structs.replace(node, unschedulable=False, taints=taints)
