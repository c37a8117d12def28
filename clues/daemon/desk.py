"""Who asks is answered here: `clues.control.Control` over the loop's last pass, and over its inbox for changes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from clues.actions.machines import MachineBook
from clues.control import NodeView, PoolView, Status
from clues.daemon.views import action_view, node_views, pool_views
from clues.decision import Block, Decision, PodVerdict, PowerOn, Removal, RemovalKind
from clues.history import History
from clues.history.pod_answer import NO_POD_HINT, pod_answer
from clues.loop import Loop, View
from clues.options import Pool
from clues.settings import Settings
from clues.snapshot import Machine, MachineState, NodeState
from infracore.clock import Clock
from infracore.errors import Conflict, InvalidUsage, NotFound

__all__ = ["Desk"]

_POD_BLOCKS: Final = frozenset(
    {Block.POD_NOT_SAFE, Block.POD_UNREPLICATED, Block.POD_LOCAL_STORAGE, Block.POD_KUBE_SYSTEM, Block.PDB}
)
"""Only a person may go past these, with `force`."""
_MOST_NODES: Final = 1000
_UNHELPED: Final = frozenset({"unschedulable", "resting", "limit"})


class Desk:
    """See `clues.control.Control`. Its methods are called from any thread."""

    def __init__(
        self,
        *,
        loop: Loop,
        book: MachineBook,
        history: History,
        settings: Callable[[], Settings],
        clock: Clock,
        holder: Callable[[], str],
        reload: Callable[[], Sequence[str]],
        version: str,
    ) -> None:
        self._loop = loop
        self._book = book
        self._history = history
        self._settings = settings
        self._clock = clock
        self._holder = holder
        self._reload = reload
        self._version = version
        self._started_at = clock.now()

    # asking

    def status(self) -> Status:
        view = self._loop.view
        decision = view.decision
        verdicts = decision.pods if decision is not None else ()
        return Status(
            version=self._version,
            now=self._clock.now(),
            started_at=self._started_at,
            leader=view.leader and self._loop.passes > 0,
            holder=self._holder(),
            dry_run=self._settings().daemon.dry_run,
            paused=bool(view.paused),
            complete=view.snapshot.complete,
            stale_s=view.snapshot.stale_s,
            last_pass_at=view.now if self._loop.passes else None,
            last_pass_ms=view.pass_ms,
            pending=len(view.snapshot.pending),
            unschedulable=sum(len(verdict.pods) for verdict in verdicts if verdict.outcome in _UNHELPED),
            pools=self._pools(view),
            actions=tuple(action_view(record) for record in view.actions),
            notes=(*((f"paused: {view.paused}",) if view.paused else ()), *(decision.notes if decision else ())),
            problems=view.problems,
            work="job" if view.snapshot.slurm is not None else "pod",
        )

    def _pools(self, view: View) -> tuple[PoolView, ...]:
        return pool_views(view, self._settings().pools)

    def nodes(self) -> Sequence[NodeView]:
        return node_views(self._loop.view)

    def pods(self) -> Sequence[PodVerdict]:
        decision = self._loop.view.decision
        return decision.pods if decision is not None else ()

    def last_decision(self) -> Decision | None:
        return self._loop.view.decision

    def records(self, *, since: float, until: float) -> Sequence[Mapping[str, object]]:
        return list(self._history.records(since=since, until=until))

    def why(self, name: str) -> Mapping[str, object]:
        view = self._loop.view
        found = None if name.startswith("job:") else self._why_node(view, name)
        said = "pending, and not decided about yet" if view.leader else "pending; another daemon decides"
        found = found or pod_answer(view.snapshot, view.decision, name, undecided=said)
        if found is None:
            work = "pod" if view.snapshot.slurm is None else "job"
            raise NotFound(
                f"there is neither a node, nor a machine, nor a {work} {name!r}",
                f"`clues nodes` and `clues pods` list them; {NO_POD_HINT}",
            )
        return found

    def _why_node(self, view: View, name: str) -> Mapping[str, object] | None:
        for node in node_views(view):
            if name not in {node.name, node.machine, f"{node.pool}/{node.machine}"}:
                continue
            removals = [r for r in view.decision.remove if r.node == node.name] if view.decision is not None else []
            doing = [r for r in view.actions if (r.node or r.machine) in {node.name, node.machine}]
            verdict = node.verdict
            if doing:
                summary = f"{doing[0].kind}, {doing[0].phase}: {doing[0].reason}"
                if doing[0].error:
                    summary += f" ({doing[0].error})"
            elif removals:
                summary = f"it goes: {removals[0].reason or removals[0].kind}"
            elif verdict is not None and verdict.block is not None:
                summary = f"it stays: {verdict.block}" + (f": {verdict.detail}" if verdict.detail else "")
            else:
                record = self._book.record(node.pool, node.machine)
                why = record.reason if record is not None else ""
                summary = f"it is {node.state}" + (f": {why}" if why else "")
            details = {
                "view": node,
                "removal": removals[0] if removals else None,
                "action": action_view(doing[0]) if doing else None,
            }
            return {"kind": "node", "name": node.name, "summary": summary, "details": details}
        return None

    # changing

    def power_on(self, names: Sequence[str]) -> Sequence[str]:
        return self._loop.ask(lambda: self._on_each(names, self._power_on))

    def power_off(self, names: Sequence[str], *, force: bool = False) -> Sequence[str]:
        return self._loop.ask(lambda: self._on_each(names, lambda name: self._power_off(name, force, "")))

    def hold(self, names: Sequence[str], *, reason: str = "") -> Sequence[str]:
        def hold(name: str) -> str:
            machine = self._machine(name)
            self._change(machine, held=True, reason=reason)
            return f"{machine.name} is held: it stays {machine.state}"

        def pause() -> Sequence[str]:
            self._loop.pause(reason or "held by a person")
            self._note("hold", "", reason)
            return ["nothing is ordered or turned off by decision any more; `clues release` goes on"]

        return self._loop.ask(lambda: self._on_each(names, hold) if names else pause())

    def release(self, names: Sequence[str]) -> Sequence[str]:
        def release(name: str) -> str:
            machine = self._machine(name)
            self._change(machine, held=False, reason="")
            return f"{machine.name} is released"

        def go_on() -> Sequence[str]:
            was = self._loop.paused
            self._loop.pause("")
            self._note("release", "", "")
            return ["decisions are acted on again" if was else "nothing was held"]

        return self._loop.ask(lambda: self._on_each(names, release) if names else go_on())

    def enable(self, names: Sequence[str]) -> Sequence[str]:
        def enable(name: str) -> str:
            machine = self._machine(name)
            state = MachineState.OFF if machine.state is MachineState.FAILED else machine.state
            self._change(machine, disabled=False, failures=0, state=state, reason="")
            return f"{machine.name} may be used; its failures are forgotten"

        return self._loop.ask(lambda: self._on_each(names, enable))

    def disable(self, names: Sequence[str], *, reason: str = "") -> Sequence[str]:
        def disable(name: str) -> str:
            machine = self._machine(name)
            self._change(machine, disabled=True, reason=reason or "disabled by a person")
            if machine.state in {MachineState.OFF, MachineState.FAILED, MachineState.UNKNOWN}:
                return f"{machine.name} is out of use"
            return f"{machine.name} is out of use; {self._power_off(name, False, reason)}"

        return self._loop.ask(lambda: self._on_each(names, disable))

    def reload(self) -> Sequence[str]:
        return self._reload()

    # in the loop's thread

    def _on_each(self, names: Sequence[str], do: Callable[[str], str]) -> Sequence[str]:
        if not names:
            raise InvalidUsage("no name was given", "name machines or nodes: `clues nodes` lists them")
        if not self._loop.view.leader:
            raise Conflict(f"this daemon does not lead; {self._holder() or 'nobody'} does", "ask that one")
        return [do(name) for name in names]

    def _power_on(self, name: str) -> str:
        pool_name, equals, count = name.partition("=")
        if equals:
            pool = self._pool(pool_name)
            if not (count.isascii() and count.isdigit() and 0 < int(count[:6]) <= _MOST_NODES):
                raise InvalidUsage(f"{name!r}: how many must be a number from 1 to {_MOST_NODES}")
            machines = self._free(pool, int(count)) if pool.powered else ()
            self._order(PowerOn(pool.name, int(count), machines, reason="a person asked for it"))
            return f"{count} nodes of {pool.name} are ordered"
        machine = self._machine(name)
        if self._book.option(machine.pool, machine.name) is None:
            raise Conflict(f"{name} is not a machine that can be turned on by name", f"say {machine.pool}=1")
        if machine.state in {MachineState.ON, MachineState.BOOTING}:
            return f"{machine.name} is {machine.state} already"
        if machine.disabled:
            raise Conflict(f"{machine.name} is disabled", f"run: clues enable {machine.name}")
        if machine.state is MachineState.STOPPING:
            raise Conflict(f"{machine.name} is being turned off", "try again when it is off")
        self._order(PowerOn(machine.pool, 1, (machine.name,), reason="a person asked for it"))
        return f"{machine.name} is ordered"

    def _order(self, order: PowerOn) -> None:
        self._loop.runner.order(order)
        self._note("power-on", ", ".join(order.machines) or f"{order.pool}={order.count}", "")
        if self._loop.runner.problem:
            raise Conflict(self._loop.runner.problem)

    def _free(self, pool: Pool, count: int) -> tuple[str, ...]:
        off = [
            machine
            for machine in self._book.machines().get(pool.name, ())
            if machine.state is MachineState.OFF and not machine.disabled and not machine.held
        ]
        if len(off) < count:
            raise Conflict(f"pool {pool.name} has {len(off)} machines that are off and may be used", "ask for fewer")
        off.sort(key=lambda machine: (machine.failures, machine.power_ons, machine.name))
        return tuple(machine.name for machine in off[:count])

    def _power_off(self, name: str, force: bool, reason: str) -> str:
        view = self._loop.view
        machine, state = self._find(name)
        node = state.node.name if state is not None else ""
        pool = machine.pool if machine is not None else state.pool if state is not None else ""
        if not pool:
            raise Conflict(f"{name} belongs to no pool: cluesd cannot turn it off", "see `pools` in the settings")
        if state is None and machine is not None and machine.state is MachineState.OFF:
            return f"{machine.name} is off already"
        verdict = next((v for v in view.decision.nodes if v.node == node), None) if view.decision else None
        if verdict is not None and verdict.block in _POD_BLOCKS and not force:
            raise Conflict(f"{node}: {verdict.block}: {verdict.detail}", "--force goes on all the same")
        pods = [pod for pod in state.pods if not pod.stays_with_node] if state is not None else []
        removal = Removal(
            node,
            pool,
            machine.name if machine is not None else node,
            RemovalKind.UNDERUSED if pods else RemovalKind.EMPTY,
            evict=tuple(pod.ref for pod in sorted(pods, key=lambda pod: pod.spec.priority)),
            reason=reason or "a person asked for it",
        )
        if not self._loop.runner.remove(removal, force=force):
            return f"{name}: something is being done to it already"
        self._note("power-off", name, "forced" if force else "")
        return f"{name} is being emptied and turned off" if pods else f"{name} is being turned off"

    def _find(self, name: str) -> tuple[Machine | None, NodeState | None]:
        found = self._book.named(name)
        if len(found) > 1:
            names = ", ".join(f"{machine.pool}/{machine.name}" for machine in found[:5])
            raise Conflict(f"several machines are called {name!r}: {names}", "say POOL/NAME")
        nodes = self._loop.view.snapshot.nodes
        state = nodes.get(found[0].node if found else name)
        if not found and state is None:
            raise NotFound(f"there is no node and no machine {name!r}", "`clues nodes` lists them")
        return (found[0] if found else None), state

    def _machine(self, name: str) -> Machine:
        machine, state = self._find(name)
        if machine is not None:
            return machine
        if state is None or not state.pool:
            raise Conflict(f"{name} belongs to no pool: cluesd leaves it alone anyway")
        return self._book.change(state.pool, name, state=MachineState.ON, since=self._clock.now(), node=name)

    def _change(self, machine: Machine, *, reason: str, **changes: object) -> None:
        self._book.change(machine.pool, machine.name, reason=reason, **changes)
        self._note(",".join(changes), machine.name, reason)

    def _pool(self, name: str) -> Pool:
        for pool in self._settings().pools:
            if pool.name == name:
                return pool
        raise NotFound(f"there is no pool {name!r}", "`clues status` lists them")

    def _note(self, what: str, name: str, reason: str) -> None:
        self._loop.note("control", {"what": what, "name": name, "reason": reason})
