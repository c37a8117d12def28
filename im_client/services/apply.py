"""Carrying a plan out: under the lock, step by step, each saved, what fails kept apart from what does not."""

import shutil
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from im_client.execute.engine import Outcome, OutcomeState, run_graph
from im_client.execute.task import Task, TaskContext
from im_client.plan.digest import OperationDigests, configured_digest
from im_client.plan.model import Action, Phase, Step
from im_client.services.configuring import Configured, configure
from im_client.services.context import Context
from im_client.services.elastic import WATCHES_ONLY, front_ends
from im_client.services.known import Stray, facts_of, observe
from im_client.services.machines import Machines
from im_client.services.model import ApplyReport, NodeReport, Prepared, Timing, Verb
from im_client.services.releasing import release
from im_client.services.sites import Sites, site_names
from im_client.services.story import Story
from im_client.state.store import RunState
from im_client.topology.facts import Facts
from im_client.topology.model import OperationPhase
from im_client.topology.resolve import Resolver, Unresolved
from im_client.topology.values import Value
from infracore.errors import Cancelled, CommandFailed, Conflict, InfraError, Locked, Misconfigured
from infracore.events import EventKind, Listener
from infracore.exitcodes import ExitCode

__all__ = ["apply"]

_MAKING: Final = frozenset({Action.CREATE, Action.REPLACE, Action.START, Action.UPDATE, Action.REBOOT})
"""Actions after which the machine must answer again."""
_GATES: Final = 3
"""So many machines with a public address are waited for, before those that are reached through one of them."""
_HOOKED: Final = frozenset({Action.DELETE, Action.REPLACE, Action.STOP})


def apply(
    ctx: Context,
    prepared: Prepared,
    *,
    listener: Listener,
    cancel: threading.Event,
    wait_s: float = 0.0,
) -> ApplyReport:
    """Carry out a plan. Blocks until it is done, has failed or `cancel` is set; then nothing more is started.

    Raises:
        Locked: another command is changing the infrastructure, and still was after `wait_s` (where that is 0,
            after the settings' `lock_wait_s`).
        Conflict: the state has moved on since the plan was made. Nothing was changed.
    """
    record = prepared.infrastructure
    wait_s = wait_s or ctx.settings.lock_wait_s
    with ctx.locks.hold(
        record.id, prepared.verb.value, wait_s=wait_s, clock=ctx.clock, cancel=cancel, name=record.name
    ):
        if prepared.is_new:
            try:
                ctx.store.add_infrastructure(record)
            except Conflict as error:
                raise Locked(
                    f"another command has begun to make {record.name} meanwhile", "run the same command again"
                ) from error
        else:
            now = ctx.store.infrastructure(record.id)
            if now.revision != prepared.plan.revision:
                raise Conflict(
                    f"{record.name} has changed since this plan was made "
                    f"(revision {prepared.plan.revision}, now {now.revision})",
                    "make the plan again",
                )
            if prepared.source_changed:
                ctx.store.set_source(record.id, prepared.source, ctx.clock.now())
            if prepared.terms_changed:
                ctx.store.set_terms(record.id, record.terms, ctx.clock.now())
        return _Run(ctx, prepared, listener, cancel).run()


class _Run:
    """One run of one plan."""

    def __init__(self, ctx: Context, prepared: Prepared, listener: Listener, cancel: threading.Event) -> None:
        self._ctx = ctx
        self._prepared = prepared
        self._cancel = cancel
        self._record = prepared.infrastructure
        self._topology = prepared.topology
        self._sites = sites = Sites(ctx, self._record)
        self._story = Story(ctx, self._record, prepared.verb, listener)
        nodes = ctx.store.nodes(self._record.id)
        self._used = site_names(None, nodes)
        """Sites where machines were when the run began."""
        self._strays: tuple[Stray, ...] = ()
        records = {node.name: node for node in nodes}
        if nodes:
            observed = observe(self._record, nodes, self._topology, sites)
            records = dict(observed.records)
            self._strays = observed.strays if prepared.verb is Verb.DESTROY else ()
        self._machines = Machines(
            ctx,
            self._record,
            sites,
            records,
            cancel=cancel,
            note=self._note,
        )
        self._operations = {operation.id: operation for operation in self._topology.operations}
        self._operated = {o.group for o in self._topology.operations if o.phase is OperationPhase.CONFIGURE}
        self._configured: dict[str, Configured] = {}
        self._hooks: dict[str, Configured] = {}
        self._hooked: set[str] = set()
        """Machines whose hooks must succeed before they go."""
        self._steps = {step.node: step for step in prepared.plan.steps if step.action is not Action.CONFIGURE}
        self._to_configure = {s.node: s.operations for s in prepared.plan.steps if s.action is Action.CONFIGURE}

    def run(self) -> ApplyReport:
        """Carry the plan out and say how it ended."""
        try:
            outcomes = run_graph(
                self._tasks(),
                workers=self._ctx.settings.parallel,
                clock=self._ctx.clock,
                listener=self._story.hear,
                cancel=self._cancel,
            )
            reports = self._reports(outcomes)
            outputs = {} if self._prepared.verb is Verb.DESTROY else self._outputs()
            state = self._state(reports)
            left = self._release() if self._prepared.verb is Verb.DESTROY and state is RunState.DONE else ()
            state = RunState.PARTLY_DONE if left else state
            self._story.end(state, "; ".join((_summary(reports, state), *(f"still there: {one}" for one in left))))
        except Misconfigured as error:  # the state folder: machines were changed all the same
            raise CommandFailed(f"{error.message}; some machines may have been changed already", error.hint) from error
        if self._prepared.verb is Verb.DESTROY and state is RunState.DONE:
            self._ctx.store.remove_infrastructure(self._record.id)
            shutil.rmtree(self._ctx.runs / self._record.id, ignore_errors=True)
        return ApplyReport(
            infrastructure=self._record.id,
            name=self._record.name,
            run=self._story.id,
            verb=self._prepared.verb,
            state=state,
            nodes=tuple(reports),
            outputs=outputs,
            timings=_timings(outcomes),
            log_dir=str(self._story.folder),
            elapsed_s=self._story.elapsed_s,
            left=tuple(left),
        )

    # -- tasks ------------------------------------------------------------------------------------------

    def _tasks(self) -> list[Task]:
        tasks: list[Task] = []
        last: dict[str, str] = {}
        """Step id -> the task that ends it."""
        steps = [step for step in self._prepared.plan.steps if step.action is not Action.CONFIGURE]
        if any(step.action in _MAKING for step in steps):
            tasks.append(Task(id="prepare", phase="prepare", run=self._prepare))
        hooked = [s for s in steps if s.action in _HOOKED and s.operations]
        if hooked and not self._prepared.skip_hooks:
            tasks.append(Task(id="hooks", phase="hooks", run=lambda _: self._run_hooks(hooked)))
        gates = self._gates()
        for step in steps:
            waits = step.action in _MAKING and (not gates or not self._machines.may_be_hidden(step))
            last[step.id] = f"{step.id}/ready" if waits else step.id
        for step in steps:
            after = tuple(last[need] for need in step.needs if need in last)
            needs = ("prepare",) if step.action in _MAKING else ()
            if hooked and not self._prepared.skip_hooks and step.action in _HOOKED:
                after = (*after, "hooks")
            tasks.append(
                Task(id=step.id, node=step.node, phase=step.action.value, needs=needs, after=after, run=self._act(step))
            )
            if step.action in _MAKING:
                after = () if last[step.id] != step.id else gates
                tasks.append(self._ready_task(f"{step.id}/ready", step, needs=(step.id,), after=after))
        tasks += [
            self._ready_task(f"ready:{step.node}", step, after=gates if self._machines.may_be_hidden(step) else ())
            for step in self._prepared.plan.steps
            if step.action is Action.CONFIGURE and step.node not in self._steps
        ]
        tasks += [self._stray_task(stray) for stray in self._strays]
        if self._to_configure:
            everything = tuple(task.id for task in tasks)
            tasks.append(Task(id="configure", phase="configure", after=everything, run=self._run_configure))
        return tasks

    def _stray_task(self, stray: Stray) -> Task:
        return Task(
            id=f"stray:{stray.instance.provider_id}",
            phase="delete",
            run=lambda _: self._machines.delete_stray(stray),
        )

    def _gates(self) -> tuple[str, ...]:
        """Return the tasks that wait for the first machines through which others are reached; none: nobody waits."""
        waiting = [s for s in self._prepared.plan.steps if s.action in _MAKING or s.action is Action.CONFIGURE]
        if not any(self._machines.may_be_hidden(step) for step in waiting):
            return ()
        public = [s for s in waiting if s.action in _MAKING and not self._machines.may_be_hidden(s)]
        return tuple(f"{step.id}/ready" for step in public[:_GATES])

    def _ready_task(self, task_id: str, step: Step, needs: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> Task:
        node, has_operations = step.node, step.group in self._operated
        return Task(
            id=task_id,
            node=node,
            phase="wait",
            needs=needs,
            after=after,
            run=lambda _: self._machines.ready(node, has_operations=has_operations),
        )

    def _act(self, step: Step):  # type: ignore[no-untyped-def]
        has_operations = step.group in self._operated
        machines = self._machines

        def act(_: TaskContext) -> None:
            match step.action:
                case Action.CREATE:
                    machines.create(step, has_operations=has_operations)
                case Action.REPLACE:
                    self._check_hooks(step)
                    machines.replace(step, has_operations=has_operations)
                case Action.UPDATE:
                    machines.update(step)
                case Action.START:
                    machines.start(step.node)
                case Action.DELETE:
                    self._check_hooks(step)
                    machines.delete(step.node)
                    self._story.tell(EventKind.NODE_DONE, step.node, "delete")
                case Action.STOP:
                    self._check_hooks(step)
                    machines.stop(step.node, scrub=self._prepared.scrub)
                    self._story.tell(EventKind.NODE_DONE, step.node, "stop")
                case Action.REBOOT:
                    machines.reboot(step.node)
                case Action.CONFIGURE:
                    pass

        return act

    def _note(self, node: str, text: str) -> None:
        """Tell what a machine's way has come to, or what is prepared for all."""
        kind, phase = (EventKind.RETRY, "") if node else (EventKind.NOTE, "prepare")
        self._story.tell(kind, node, phase, text)

    def _prepare(self, _: TaskContext) -> None:
        """Make what all machines share, at the first site of each; another is made ready when it is needed."""
        records = self._machines.records
        first = {step.sites[0] for step in self._steps.values() if step.sites}
        rest = [step for step in self._steps.values() if step.action in _MAKING and not step.sites]
        first |= {records[s.node].provider if s.node in records else self._record.provider for s in rest}
        for site in sorted(first):
            self._machines.make_ready(site)

    def _check_hooks(self, step: Step) -> None:
        """Refuse to delete a machine whose hooks did not all succeed, unless everything is to go."""
        if step.node not in self._hooked or self._prepared.verb is Verb.DESTROY:
            return
        hook = self._hooks.get(step.node)
        if hook is None or not hook.ok or set(step.operations) - set(hook.ended):
            what = _failure_text(hook) if hook is not None and not hook.ok else "it did not end"
            raise CommandFailed(
                f"{step.node} was left alone: its stop or delete hook failed: {what}",
                "look at im logs; to go on without its hooks add --skip-hooks",
            )

    # -- Ansible ----------------------------------------------------------------------------------------

    def _run_hooks(self, steps: Iterable[Step]) -> None:
        steps = list(steps)
        for node in self._machines.records:
            self._machines.find(node)
        targets = self._machines.targets
        wanted = {
            step.node: step.operations
            for step in steps
            if step.node in targets and targets[step.node].record.phase in {Phase.CONFIGURED, Phase.UNCONFIGURED}
        }
        for step in steps:
            if step.node not in wanted:
                self._story.tell(
                    EventKind.NOTE, step.node, "hooks", "not running or never configured: its hooks are left out"
                )
        self._hooked = set(wanted)
        if wanted:
            results, _ = self._configure(wanted, "hooks")
            self._hooks.update(results)
            for name, result in results.items():
                if not result.ok:
                    self._story.tell(EventKind.NODE_FAILED, name, "hooks", _failure_text(result))

    def _run_configure(self, _: TaskContext) -> None:
        targets = self._machines.targets
        wanted = {node: ops for node, ops in self._to_configure.items() if node in targets}
        if not wanted:
            return
        for node in self._machines.records:
            if node not in targets:
                self._machines.find(node)
        watchers = front_ends(self._topology)
        for node, operations in wanted.items():
            self._story.tell(EventKind.PHASE, node, "configure", WATCHES_ONLY if watchers & {*operations} else "")
            self._machines.save(node, phase=Phase.UNCONFIGURED, configured_digest=None)
        results, facts = self._configure(wanted, "configure")
        self._configured.update(results)
        all_digests = OperationDigests(Resolver(facts), facts)
        for name, result in results.items():
            self._save_configured(name, result, all_digests)
        if self._cancel.is_set():
            raise Cancelled("interrupted while configuring", "run the same command to go on")

    def _configure(self, wanted: Mapping[str, tuple[str, ...]], phase: str) -> tuple[Mapping[str, Configured], Facts]:
        return configure(
            self._ctx,
            self._record,
            self._topology,
            self._machines.targets,
            wanted,
            source=self._prepared.source,
            run_dir=self._story.folder,
            listener=self._story.hear,
            cancel=self._cancel,
            phase=phase,
        )

    def _save_configured(self, name: str, result: Configured, all_digests: OperationDigests) -> None:
        digests = {
            op: digest
            for op, digest in self._machines.records[name].operation_digests.items()
            if op in self._operations and op not in self._to_configure[name]
        }
        for op in result.ended:
            digests[op] = all_digests.of(self._operations[op], name).text
        self._machines.save(
            name,
            phase=Phase.CONFIGURED if result.ok else Phase.UNCONFIGURED,
            configured_digest=configured_digest(digests) if result.ok else None,
            operation_digests=digests,
            outputs=result.record.outputs,
            failure="" if result.ok else _failure_text(result),
        )
        kind = EventKind.NODE_DONE if result.ok else EventKind.NODE_FAILED
        self._story.tell(kind, name, "configure", "" if result.ok else _failure_text(result))

    # -- the end ----------------------------------------------------------------------------------------

    def _release(self) -> Sequence[str]:
        """Remove what the machines shared; say and return what is still there."""
        left = release(
            self._sites,
            used=(self._sites.own, *self._used),
            named=site_names(self._topology, ()),
            note=lambda text: self._story.tell(EventKind.NOTE, "", "release", text),
        )
        for one in left:
            self._story.tell(EventKind.NOTE, "", "release", f"still there: {one}")
        return left

    def _outputs(self) -> Mapping[str, Value]:
        records = self._machines.records
        facts = facts_of(self._record, records.values(), self._topology)
        resolver = Resolver(facts)
        outputs: dict[str, Value] = {}
        for output in self._topology.outputs:
            try:
                outputs[output.name] = resolver.resolve(output.value)
            except Unresolved:
                outputs[output.name] = None
        self._ctx.store.set_outputs(self._record.id, outputs, self._ctx.clock.now())
        return outputs

    def _reports(self, outcomes: Mapping[str, Outcome]) -> list[NodeReport]:
        records = self._machines.records
        failed: dict[str, InfraError] = {}
        shared: InfraError | None = None
        for task_id, outcome in outcomes.items():
            if outcome.error is None:
                continue
            node = outcome.node
            if node:
                failed.setdefault(node, outcome.error)
            elif task_id != "configure" or not self._configured:
                shared = shared or outcome.error
        reports: list[NodeReport] = []
        for name in dict.fromkeys([*self._steps, *self._to_configure]):
            error = failed.get(name)
            result = self._configured.get(name)
            is_configured = name in self._to_configure and name in records and self._machines.is_reachable(name)
            if error is None and is_configured and result is None:
                error = shared or Cancelled(f"{name} was not reached", "run the same command to go on")
            if error is None and not self._settled(outcomes, name):
                error = shared or Cancelled(f"{name} was not reached", "run the same command to go on")
            record = records.get(name)
            phase = record.phase if record else Phase.GONE
            if error is not None and record is not None:
                self._machines.save(name, failure=error.message)
            reports.append(
                NodeReport(
                    name=name,
                    ok=error is None and (result is None or result.ok),
                    phase=phase,
                    error=error.message if error else (result.error if result else ""),
                    hint=error.hint if error else (result.hint if result else ""),
                    failure=result.failure if result else None,
                    exit_code=error.exit_code if error else ExitCode.FAILED,
                )
            )
        return reports

    def _settled(self, outcomes: Mapping[str, Outcome], name: str) -> bool:
        mine = [outcome for outcome in outcomes.values() if outcome.node == name]
        return all(outcome.state is OutcomeState.DONE for outcome in mine)

    def _state(self, reports: list[NodeReport]) -> RunState:
        failed = {report.name for report in reports if not report.ok}
        if self._cancel.is_set() and failed:
            return RunState.INTERRUPTED
        if not failed:
            return RunState.DONE
        healthy = {Phase.CONFIGURED, Phase.RUNNING}
        rest = [r for name, r in self._machines.records.items() if name not in failed and r.phase in healthy]
        done = [report for report in reports if report.ok]
        return RunState.PARTLY_DONE if rest or done else RunState.FAILED


def _failure_text(result: Configured) -> str:
    failure = result.failure
    if failure is None:
        return result.error
    return f"{failure.task} ({failure.file}:{failure.line}): {failure.message}"


def _summary(reports: list[NodeReport], state: RunState) -> str:
    failed = [report.name for report in reports if not report.ok]
    if state is RunState.DONE or not failed:
        return f"{len(reports)} machines"
    return f"{len(reports) - len(failed)} of {len(reports)} machines; not: {', '.join(failed)}"


def _timings(outcomes: Mapping[str, Outcome]) -> tuple[Timing, ...]:
    """Return the wall seconds from the first start to the last end of each phase, in order of their start."""
    spans: dict[str, tuple[float, float]] = {}
    for outcome in outcomes.values():
        if outcome.started_at is None or outcome.ended_at is None:
            continue
        first, last = spans.get(outcome.phase, (outcome.started_at, outcome.ended_at))
        spans[outcome.phase] = (min(first, outcome.started_at), max(last, outcome.ended_at))
    ordered = sorted(spans.items(), key=lambda item: item[1][0])
    return tuple(Timing(phase, last - first) for phase, (first, last) in ordered)
