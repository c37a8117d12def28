"""The engine: order, isolation, retries, limits, cancelling."""

import threading
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from im_client.execute.engine import Outcome, OutcomeState, run_graph
from im_client.execute.task import Backoff, Task, TaskContext
from infracore.clock import FakeClock, SystemClock
from infracore.errors import Cancelled, CommandFailed, InfraError, NoCapacity, TimedOut, Transient
from infracore.events import Event, EventKind
from tests.laws import some

DONE, FAILED, SKIPPED, CANCELLED = OutcomeState


def run(
    *tasks: Task, workers: int = 4, cancel: threading.Event | None = None, events: list[Event] | None = None,
    clock: FakeClock | None = None,
) -> Mapping[str, Outcome]:  # fmt: skip
    heard = events if events is not None else []
    return run_graph(
        tasks, workers=workers, clock=clock or FakeClock(), listener=heard.append, cancel=cancel or threading.Event()
    )


def states(outcomes: Mapping[str, Outcome]) -> dict[str, OutcomeState]:
    return {task: outcome.state for task, outcome in outcomes.items()}


def nothing(_: TaskContext) -> None:
    """Succeed."""


def raises(*errors: BaseException) -> Callable[[TaskContext], str]:
    """Return a function that raises these errors, one a call, and then succeeds."""
    left = list(errors)

    def act(_: TaskContext) -> str:
        if left:
            raise left.pop(0)
        return "well"

    return act


def test_no_tasks_are_done_at_once() -> None:
    assert run() == {}


def test_a_failure_skips_only_what_needs_it() -> None:
    outcomes = run(
        Task("a", raises(CommandFailed("no")), node="n1"),
        Task("b", nothing, needs=("a",)),
        Task("c", nothing, needs=("b",)),
        Task("cleanup", nothing, after=("a", "c")),
        Task("other", nothing),
        Task("both", nothing, needs=("other", "a")),
    )
    assert states(outcomes) == {
        "a": FAILED, "b": SKIPPED, "c": SKIPPED, "cleanup": DONE, "other": DONE, "both": SKIPPED,
    }  # fmt: skip
    assert [outcomes[t].because for t in ("b", "c", "both")] == ["a", "a", "a"]
    assert isinstance(outcomes["a"].error, CommandFailed)


def test_outcomes_stand_in_the_order_of_the_tasks_with_what_was_returned() -> None:
    outcomes = run(Task("z", lambda _: 1, phase="p", node="n"), Task("a", lambda _: 2), Task("m", lambda _: 3))
    assert [(o.task, o.value) for o in outcomes.values()] == [("z", 1), ("a", 2), ("m", 3)]
    assert (outcomes["z"].node, outcomes["z"].phase, outcomes["z"].attempts) == ("n", "p", 1)


@settings(max_examples=some(60), deadline=None)
@given(st.data())
def test_every_task_runs_once_after_all_that_it_waits_for(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 12))
    edges = [
        data.draw(st.lists(st.tuples(st.integers(0, i - 1), st.booleans()), max_size=4, unique_by=lambda e: e[0]))
        if i
        else []
        for i in range(size)
    ]
    failing = data.draw(st.sets(st.integers(0, size - 1)))
    ended: list[str] = []
    lock = threading.Lock()

    def act(number: int) -> Callable[[TaskContext], None]:
        def body(_: TaskContext) -> None:
            with lock:
                ended.append(f"t{number}")
            if number in failing:
                raise NoCapacity("full")

        return body

    tasks = [
        Task(
            f"t{i}",
            act(i),
            needs=tuple(f"t{b}" for b, strict in edges[i] if strict),
            after=tuple(f"t{b}" for b, strict in edges[i] if not strict),
        )
        for i in range(size)
    ]
    outcomes = run(*data.draw(st.permutations(tasks)), workers=data.draw(st.integers(1, 4)))
    well: set[int] = set()
    for i in range(size):
        ready = all(before in well for before, strict in edges[i] if strict)
        expected = SKIPPED if not ready else FAILED if i in failing else DONE
        assert outcomes[f"t{i}"].state is expected
        if expected is DONE:
            well.add(i)
        if expected is not SKIPPED:
            earlier = {f"t{before}" for before, _ in edges[i] if outcomes[f"t{before}"].state is not SKIPPED}
            assert earlier <= set(ended[: ended.index(f"t{i}")])
    assert sorted(ended) == sorted(t for t, o in outcomes.items() if o.state is not SKIPPED)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([Task("a", nothing), Task("a", nothing)], "two tasks have the same id"),
        ([Task("a", nothing, needs=("x",))], "'a' waits for 'x', which does not exist"),
        (
            [Task("a", nothing, needs=("b",)), Task("b", nothing, after=("a",)), Task("c", nothing)],
            "circle, among them a, b",
        ),
    ],
)
def test_a_graph_that_cannot_be_run_is_refused_before_anything_starts(tasks: list[Task], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(*tasks)


def test_no_more_tasks_run_at_once_than_there_are_workers_and_their_threads_are_named() -> None:
    both = threading.Barrier(3, timeout=30)
    names: list[str] = []
    running: list[int] = []
    lock = threading.Lock()
    most = 0

    def act(_: TaskContext) -> None:
        nonlocal most
        with lock:
            names.append(threading.current_thread().name)
            running.append(1)
            most = max(most, len(running))
        both.wait()  # passes only if three run at the same time
        with lock:
            running.pop()

    outcomes = run(*(Task(f"t{i}", act) for i in range(9)), workers=3)
    assert set(states(outcomes).values()) == {DONE}
    assert most == 3
    assert set(names) <= {"im-step-0", "im-step-1", "im-step-2"}


def test_the_threads_have_ended_when_the_run_has() -> None:
    run(*(Task(f"t{i}", nothing) for i in range(50)))
    assert not [t for t in threading.enumerate() if t.name.startswith("im-step-")]


def test_a_transient_error_is_tried_again_after_a_growing_pause() -> None:
    clock, events = FakeClock(0.0), list[Event]()
    task = Task("a", raises(Transient("busy"), Transient("busy"), Transient("busy", retry_after_s=60)), node="n")
    outcomes = run(task, clock=clock, events=events)
    assert (outcomes["a"].state, outcomes["a"].attempts, outcomes["a"].value) == (DONE, 4, "well")
    assert clock.now() == 1 + 2 + 60
    assert [e.text for e in events if e.kind is EventKind.RETRY] == [
        "busy; trying again in 1 s",
        "busy; trying again in 2 s",
        "busy; trying again in 60 s",
    ]


def test_a_transient_error_is_given_up_after_the_last_try() -> None:
    outcomes = run(Task("a", raises(*[Transient("busy")] * 9), retry={Transient: Backoff(attempts=3)}))
    assert (outcomes["a"].state, outcomes["a"].attempts) == (FAILED, 3)


def test_errors_that_no_rule_names_are_not_tried_again_and_rules_hold_for_subclasses() -> None:
    assert run(Task("a", raises(NoCapacity("full"))))["a"].attempts == 1
    everything: dict[type[InfraError], Backoff] = {InfraError: Backoff(attempts=2), NoCapacity: Backoff(attempts=4)}
    assert run(Task("a", raises(*[CommandFailed("x")] * 9), retry=everything))["a"].attempts == 2
    assert run(Task("a", raises(*[NoCapacity("x")] * 9), retry=everything))["a"].attempts == 4


def test_the_limit_ends_retrying_with_the_last_reason() -> None:
    outcomes = run(Task("a", raises(*[Transient("busy")] * 99), timeout_s=4.0))
    assert isinstance(outcomes["a"].error, TimedOut)
    assert outcomes["a"].error.message == "a was given up after 4 s: busy"
    assert outcomes["a"].attempts == 3  # at 0, 1 and 3 seconds


def test_a_task_sees_its_limit() -> None:
    seen: list[float | None] = []

    def act(ctx: TaskContext) -> None:
        while True:
            seen.append(ctx.remaining_s)
            ctx.wait(4.0)

    outcomes = run(Task("a", act, timeout_s=10.0))
    assert isinstance(outcomes["a"].error, TimedOut)
    assert seen == [10.0, 6.0, 2.0]
    assert run(Task("a", lambda ctx: ctx.remaining_s))["a"].value is None


def test_a_defect_fails_its_step_with_a_logged_traceback_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = run(Task("bad", raises(ZeroDivisionError("oops"))), Task("good", nothing))
    assert states(outcomes) == {"bad": FAILED, "good": DONE}
    assert type(outcomes["bad"].error) is InfraError
    assert "ZeroDivisionError: oops" in outcomes["bad"].error.message
    assert "Traceback" in caplog.text


def test_after_cancelling_nothing_starts_and_what_runs_sees_it() -> None:
    cancel, started = threading.Event(), list[str]()

    def act(ctx: TaskContext) -> None:
        started.append(ctx.task.id)
        cancel.set()
        ctx.check()

    outcomes = run(Task("a", act), Task("b", nothing), Task("c", nothing, needs=("a",)), workers=1, cancel=cancel)
    assert started == ["a"]
    assert states(outcomes) == {"a": CANCELLED, "b": CANCELLED, "c": CANCELLED}
    assert isinstance(outcomes["a"].error, Cancelled)
    assert outcomes["b"].started_at is None


def test_a_task_that_ends_well_while_all_is_cancelled_is_done() -> None:
    cancel = threading.Event()
    outcomes = run(Task("a", lambda _: cancel.set()), Task("b", nothing, after=("a",)), cancel=cancel)
    assert states(outcomes) == {"a": DONE, "b": CANCELLED}


def test_cancelling_ends_the_pause_before_a_retry() -> None:
    cancel = threading.Event()

    def act(_: TaskContext) -> None:
        cancel.set()
        raise Transient("busy", retry_after_s=3600)

    outcomes = run_graph([Task("a", act)], workers=1, clock=SystemClock(), listener=lambda _: None, cancel=cancel)
    assert outcomes["a"].state is CANCELLED


def test_events_tell_the_phase_notes_and_the_failure_of_a_node_with_its_elapsed_time() -> None:
    clock, events = FakeClock(100.0), list[Event]()

    def act(ctx: TaskContext) -> None:
        ctx.note("asking")
        clock.advance(5.0)
        raise CommandFailed("broken")

    run(Task("a", act, node="wn-1", phase="create"), Task("b", nothing), clock=clock, events=events)
    assert [(e.kind, e.node, e.phase, e.text, e.elapsed_s) for e in events] == [
        (EventKind.PHASE, "wn-1", "create", "", 0.0),
        (EventKind.NOTE, "wn-1", "create", "asking", 0.0),
        (EventKind.NODE_FAILED, "wn-1", "create", "broken", 5.0),
    ]


def test_a_listener_that_raises_ends_the_run_with_its_error_rather_than_hanging() -> None:
    def deaf(_: Event) -> None:
        raise RuntimeError("deaf")

    with pytest.raises(RuntimeError, match="deaf"):
        run_graph(
            [Task("a", nothing, node="n"), Task("b", nothing, needs=("a",))],
            workers=2,
            clock=FakeClock(),
            listener=deaf,
            cancel=threading.Event(),
        )


def test_thousands_that_wait_for_thousands_are_run() -> None:
    everyone = tuple(f"a{i}" for i in range(2000))
    tasks = [Task(name, nothing) for name in everyone]
    tasks += [Task(f"b{i}", nothing, needs=everyone) for i in range(2000)]
    outcomes = run(*tasks)
    assert set(states(outcomes).values()) == {DONE}
    assert len(outcomes) == 4000
