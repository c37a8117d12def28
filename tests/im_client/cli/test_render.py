"""What people see of plans and reports."""

import dataclasses
import io

import pytest
from rich.console import Console, RenderableType

from im_client.cli.render import failure_lines, plan_view, report_view
from im_client.cli.tables import infrastructure_table
from im_client.configure.model import Failure
from im_client.plan.model import Action, Change, Phase, Plan, Reason, ReasonCode, Spec, Step
from im_client.services.model import ApplyReport, InfrastructureView, NodeReport, Prepared, Timing, Verb
from im_client.state.store import InfrastructureRecord, RunRecord, RunState, Source
from im_client.topology.model import Topology
from infracore.secrets import Secret

SMALL = Spec(num_cpus=2, mem_bytes=2**30)


def shown(view: RenderableType) -> str:
    stream = io.StringIO()
    Console(file=stream, width=300, markup=False, highlight=False).print(view)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def prepared(
    *steps: Step, unchanged: tuple[str, ...] = (), name: str = "demo", notes: tuple[str, ...] = ()
) -> Prepared:
    record = InfrastructureRecord(
        "i", name, "fake", 0.0, 0.0, 1, Source("/t.yaml"), "ssh-ed25519 AAAA", Secret("private")
    )
    return Prepared(
        Verb.DEPLOY, record, False, Plan("i", 1, steps, unchanged), Topology("t"), Source("/t.yaml"), notes=notes
    )


def step(action: Action, node: str, code: ReasonCode, text: str, **more: object) -> Step:
    return Step(f"{action}:{node}", action, node, node.rpartition("-")[0], 1, Reason(code, text), **more)  # type: ignore[arg-type]


def test_a_plan_names_action_machine_and_reason_and_counts_the_steps() -> None:
    text = shown(
        plan_view(
            prepared(
                step(Action.CREATE, "worker-3", ReasonCode.SCALE_OUT, "3 are wanted", spec=SMALL),
                step(Action.DELETE, "worker-9", ReasonCode.SCALE_IN, "one too many", operations=("slurm.stop",)),
                unchanged=("front-1",),
            )
        )
    )  # fmt: skip
    assert "    +  create  worker-3  3 are wanted" in text
    assert "2 CPUs, 1 GiB memory" in text
    assert "    -  delete  worker-9  one too many" in text
    assert "before: slurm.stop" in text
    assert text.endswith("Plan: 1 to create, 1 to delete; 1 machine unchanged.")


def test_a_replacement_marks_the_property_that_forces_it() -> None:
    change = Change("image", "debian 12", "debian 13", forces_replace=True)
    text = shown(
        plan_view(prepared(step(Action.REPLACE, "w-1", ReasonCode.CHANGED, "image changed", changes=(change,))))
    )
    assert "-/+  replace  w-1  image changed" in text
    assert "image: debian 12 -> debian 13  forces replacement" in text


def test_an_empty_plan_says_that_nothing_is_to_be_done() -> None:
    assert shown(plan_view(prepared(unchanged=("a-1", "b-1")))) == "demo on fake: nothing to do; 2 machines as wanted"


def test_names_and_notes_from_outside_are_neither_markup_nor_escapes() -> None:
    text = shown(plan_view(prepared(name="[red]x[/red]\x1b[2J", notes=("[bold]note\x07",))))
    assert "[red]x[/red]\\x1b[2J" in text
    assert "note: [bold]note\\x07" in text


def test_a_failed_task_reads_in_five_lines() -> None:
    failure = Failure("w-1", "slurm.configure", "install slurmd", "roles/slurm/tasks/main.yml", 12, "No package\nmore",
                      ("one", "two", "three"))  # fmt: skip
    assert failure_lines(NodeReport("w-1", False, Phase.UNCONFIGURED, failure=failure)) == [
        "failed: w-1: task 'install slurmd' failed",
        "  at roles/slurm/tasks/main.yml:12, in slurm.configure",
        "  No package",
        "  | two",
        "  | three",
    ]


@pytest.mark.parametrize("hint", ["", "make room on the disk", "one\ntwo"])
@pytest.mark.parametrize("output", [(), ("one",), ("one", "two", "three")])
@pytest.mark.parametrize("file", ["", "roles/slurm/tasks/main.yml"])
def test_a_failure_with_a_hint_still_reads_in_five_lines_and_the_hint_is_the_last(
    file: str, output: tuple[str, ...], hint: str
) -> None:
    failure = Failure("w-1", "slurm.configure", "install slurmd", file, 12, "No package", output)
    node = NodeReport("w-1", False, Phase.UNCONFIGURED, error="a\nb\nc\nd", hint=hint, failure=failure)
    for report in (node, dataclasses.replace(node, failure=None)):
        lines = failure_lines(report)
        assert len(lines) <= 5
        assert lines[-1].startswith("  hint: ") == bool(hint)
    assert output[-1:] == () or f"  | {output[-1]}" in failure_lines(node)


def test_a_report_says_how_to_go_on_after_a_failure() -> None:
    report = ApplyReport(
        "i", "demo", "r", Verb.DEPLOY, RunState.PARTLY_DONE,
        (NodeReport("a-1", True, Phase.CONFIGURED), NodeReport("a-2", False, Phase.FAILED, "no room")),
        {}, (Timing("create", 2.0),), "/log", 3.0,
    )  # fmt: skip
    text = shown(report_view(report, again="im deploy t.yaml"))
    assert "failed: a-2: no room" in text
    assert "demo: deploy partly done, 1 machine well, 1 not, in 3.0 s" in text
    assert text.endswith("to go on from here: im deploy t.yaml")


def test_a_run_that_nobody_carries_on_is_shown_as_interrupted() -> None:
    run = RunRecord("r", "i", "deploy", 0.0)
    view = InfrastructureView(prepared().infrastructure, {}, last_run=run)
    assert "deploy: interrupted" in shown(infrastructure_table([view], 0.0))
    busy = dataclasses.replace(view, busy_with="im deploy, process 7")
    assert "now: im deploy, process 7" in shown(infrastructure_table([busy], 0.0))
