"""`clues plan`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clues.cli.session import client, loaded_settings
from infracore.cli.console import print_data, print_json, print_text, say, say_error
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import FiniteRange, json_option
from infracore.cli.text import clean
from infracore.errors import InfraError, InvalidUsage
from infracore.exitcodes import ExitCode

if TYPE_CHECKING:
    from clues.settings import Settings

__all__ = ["command"]

_MOST_SAID = 50
_FILE = click.Path(path_type=Path, allow_dash=True)


@click.command(
    "plan",
    cls=ExampleCommand,
    short_help="Decide on a dump of a cluster, and change nothing.",
    examples=(
        ("clues plan", "What the running daemon decided last."),
        (
            "kubectl get no,po,ds,pdb,pvc,pv,sc,ns -A -o json | clues plan --objects - --config clues.yaml",
            "What cluesd would do with this cluster.",
        ),
        ("clues --config clues.yaml plan --slurm", "What cluesd would do with the Slurm that answers here."),
        ("clues plan --scenario scenarios.yaml --json", "The answer to every scenario of a file."),
        ("clues plan --fits scheduler_verdicts.jsonl.gz", "Which rule keeps which pod from which node."),
    ),
)
@click.option("--objects", type=_FILE, metavar="FILE", help="A dump of Kubernetes objects: JSON or YAML; - is stdin.")
@click.option("--config", type=_FILE, metavar="FILE", help="Settings with pools and policy, for --objects.")
@click.option("--slurm", is_flag=True, help="Look at Slurm (or the programs of `command`) once, without a daemon.")
@click.option("--scenario", type=_FILE, metavar="FILE", help="A file of scenarios: decide on each.")
@click.option("--fits", type=_FILE, metavar="FILE", help="Lines of clusters: the first refusing plugin, or nothing.")
@click.option("--only", "only", multiple=True, metavar="ID", help="Only these scenarios; may be repeated.")
@click.option(
    "--unneeded-for", default="0s", metavar="TIME", help="With --objects: so long every node has been unneeded (10m)."
)
@click.option(
    "--at", type=FiniteRange(min=0), metavar="SECONDS", help="With --objects: when the dump was made, Unix time."
)
@click.option("--record", type=_FILE, metavar="FILE", help="With --objects: write the decision for `clues replay`.")
@json_option
def command(
    *,
    objects: Path | None,
    config: Path | None,
    slurm: bool,
    scenario: Path | None,
    fits: Path | None,
    only: tuple[str, ...],
    unneeded_for: str,
    at: float | None,
    record: Path | None,
    as_json: bool,
) -> int:
    """Say what would be ordered and removed, and why. Nothing is changed.

    Without a file it is the running daemon's last decision.

    What cannot be read is named on standard error and hides nothing else: of --scenario and --fits all others are
    answered, and it ends with 2; of --objects it is set aside, as by the daemon, and it ends with 0. An empty file,
    or one that holds nothing of its kind, ends with 2. With --fits it ends with 1 where a line's own verdict differs,
    with --scenario where no answer is found.
    """
    chosen = [path for path in (objects, scenario, fits) if path is not None]
    if len(chosen) + slurm > 1:
        raise InvalidUsage("only one of --objects, --slurm, --scenario and --fits can be planned at once")
    if objects is None and (record is not None or at is not None or unneeded_for != "0s"):
        raise InvalidUsage("--record, --at and --unneeded-for belong to --objects")
    if only and scenario is None:
        raise InvalidUsage("--only belongs to --scenario")
    if scenario is not None:
        return _scenarios(scenario, only, as_json)
    if fits is not None:
        return _fits(fits, as_json)
    if objects is not None:
        return _objects(objects, _settings(config), unneeded_for=unneeded_for, at=at, record=record, as_json=as_json)
    if slurm:
        return _slurm(_settings(config), as_json)
    return _daemon(as_json)


def _slurm(settings: "Settings", as_json: bool) -> int:
    from clues.cli.plans import decision_shape, decision_view
    from clues.cli.slurm_plan import plan_slurm
    from clues.settings import ClusterKind
    from clues.sources.command import programs_of
    from clues.sources.slurm_asked import slurm_of
    from infracore.clock import SystemClock

    is_command = settings.cluster is ClusterKind.COMMAND
    asked = programs_of(settings.command) if is_command else slurm_of(settings.slurm)
    decision = plan_slurm(settings, asked, SystemClock())
    if as_json:
        print_json(decision_shape(decision))
    else:
        print_data(decision_view(decision))
    return ExitCode.DONE


def _settings(config: Path | None) -> "Settings":
    if config is None:
        return loaded_settings().value
    from clues.settings import load_settings

    return load_settings(environ=os.environ, config=config).value


def _scenarios(path: Path, only: tuple[str, ...], as_json: bool) -> int:
    from clues.offline.answer import answer
    from clues.offline.scenario import read_scenarios

    read = read_scenarios(path)
    errors: list[InfraError] = list(read.errors)
    known = {scenario.id for scenario in read.scenarios}
    if unknown := [name for name in only if name not in known]:
        raise InvalidUsage(f"{path} has no readable scenario {', '.join(unknown)}")
    answers = []
    for scenario in read.scenarios:
        if only and scenario.id not in only:
            continue
        try:
            answers.append(answer(scenario, f"{path}: scenario {scenario.id}"))
        except InfraError as error:
            errors.append(error)
        except Exception as error:  # noqa: BLE001 - a defect that one scenario shows must not hide the other answers
            errors.append(InfraError(f"{path}: scenario {scenario.id}: a defect: {type(error).__name__}: {error}"))
    if as_json:
        print_json({item.id: item.shape() for item in answers})
    else:
        from clues.cli.plans import answers_view

        titles = {scenario.id: scenario.title for scenario in read.scenarios}
        print_data(answers_view(answers, titles, explain=bool(only)))
    for problem in errors:
        say_error(problem)
    if errors and all(error.exit_code == ExitCode.INVALID for error in errors):
        return ExitCode.INVALID
    return ExitCode.FAILED if errors else ExitCode.DONE


def _fits(path: Path, as_json: bool) -> int:
    from clues.offline.verdicts import read_fits

    errors = clusters = verdicts = 0
    differences: list[str] = []
    for item in read_fits(path):
        if isinstance(item, InfraError):
            errors += 1
            say_error(item)
            continue
        clusters += 1
        verdicts += sum(len(nodes) for nodes in item.verdict.values())
        differences += [
            f"{item.id}: {pod} on {node}: the line says {said or 'fits'}, found {found or 'fits'}"
            for pod, node, said, found in item.differences
        ]
        if as_json:
            print_json({"id": item.id, "verdict": item.verdict}, in_one_line=True)
        elif not item.expected:
            for pod, nodes in item.verdict.items():
                for node, rule in nodes.items():
                    why = item.details.get(pod, {}).get(node, "")
                    print_text(clean(f"{item.id}: {pod} on {node}: {f'{rule}: {why}' if rule else 'fits'}"))
    for line in differences[:100]:
        say(clean(line))
    told = f"{clusters} clusters, {verdicts} verdicts"
    say(f"{told}; {len(differences)} differ from what the lines say")
    if errors:
        return ExitCode.INVALID
    return ExitCode.FAILED if differences else ExitCode.DONE


def _objects(
    path: Path, settings: "Settings", *, unneeded_for: str, at: float | None, record: Path | None, as_json: bool
) -> int:
    import time

    from clues.offline.dump import plan_dump
    from clues.offline.scenario import duration_s

    unneeded_s = duration_s(unneeded_for, "--unneeded-for")
    if at is not None and not 0 <= at < 1e11:
        raise InvalidUsage(f"--at {at} is no Unix time")
    plan = plan_dump(path, settings, now=time.time() if at is None else at, unneeded_for_s=unneeded_s)
    if record is not None:
        from clues.offline.record import save_record

        save_record(
            record,
            snapshot=plan.snapshot,
            pools=settings.pools,
            policy=settings.policy,
            memory=plan.memory,
            decision=plan.decision,
            program="clues plan",
        )
    for problem in plan.set_aside[:_MOST_SAID]:
        say(clean(f"set aside: {problem}"))
    if len(plan.set_aside) > _MOST_SAID:
        say(f"set aside: {len(plan.set_aside) - _MOST_SAID} more")
    _show(plan.decision, as_json, read=plan.read, passed_over=plan.passed_over, set_aside=plan.set_aside)
    return ExitCode.DONE


def _daemon(as_json: bool) -> int:
    decision = client().last_decision()
    if decision is None:
        say("cluesd has not decided anything yet")
        return ExitCode.DONE
    _show(decision, as_json)
    return ExitCode.DONE


def _show(decision: Any, as_json: bool, **counts: Mapping[str, int] | Sequence[str]) -> None:
    from clues.cli.plans import decision_shape, decision_view

    if as_json:
        print_json({**decision_shape(decision), **counts})
    else:
        print_data(decision_view(decision))
