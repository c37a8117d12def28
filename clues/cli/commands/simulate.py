"""`clues simulate`."""

import os
from pathlib import Path

import click

from clues.cli.session import loaded_settings
from infracore.cli.console import print_data, print_json
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import FiniteRange, json_option
from infracore.errors import InvalidUsage

__all__ = ["command"]

_FILE = click.Path(path_type=Path, allow_dash=True)


@click.command(
    "simulate",
    cls=ExampleCommand,
    short_help="Run the whole loop on a workload in virtual time.",
    examples=(
        ("clues simulate --workload trace.swf --config clues.yaml", "A trace in the Standard Workload Format."),
        (
            "clues simulate --workload pods.yaml --config clues.yaml --compare patient.yaml --compare eager.yaml",
            "Which settings wait less, and what they cost.",
        ),
    ),
)
@click.option("--workload", required=True, type=_FILE, metavar="FILE", help="SWF trace, or YAML of pod arrivals.")
@click.option("--config", type=_FILE, metavar="FILE", help="Settings with pools and policy.")
@click.option("--compare", type=_FILE, multiple=True, metavar="FILE", help="Other settings beside; may be repeated.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of boot times and failures.")
@click.option("--fail", type=FiniteRange(0, 1), default=0.0, help="Share of orders that never become a node.")
@click.option("--jitter", type=FiniteRange(0, 1), default=0.1, help="Boot times vary by this share.")
@click.option("--jobs", type=click.IntRange(1), help="Only so many jobs, the first ones.")
@click.option(
    "--memory-per-cpu", default="0", metavar="QUANTITY", help="Of SWF jobs that do not say how much memory they use."
)
@json_option
def command(
    *,
    workload: Path,
    config: Path | None,
    compare: tuple[Path, ...],
    seed: int,
    fail: float,
    jitter: float,
    jobs: int | None,
    memory_per_cpu: str,
    as_json: bool,
) -> None:
    """Run a workload through the whole loop on a simulated cluster, and tell waiting times, energy and cost.

    The same decision code as the daemon's decides; jobs, machines and clock are simulated. One seed, one outcome.
    """
    from clues.settings import load_settings
    from clues.sim.report import result_shape
    from clues.sim.run import Chances, simulate
    from clues.sim.workload import read_workload
    from infracore.quantities import quantity_units

    try:
        memory_bytes = quantity_units(memory_per_cpu)
    except ValueError as error:
        raise InvalidUsage(f"--memory-per-cpu: {error}") from error
    first = loaded_settings().value if config is None else load_settings(environ=os.environ, config=config).value
    settings = [("settings" if config is None else config.stem, first)]
    settings += [(path.stem, load_settings(environ=os.environ, config=path).value) for path in compare]
    load = read_workload(workload, most=jobs, memory_per_cpu_bytes=memory_bytes)
    chances = Chances(seed=seed, fail=fail, jitter=jitter)
    results = [simulate(load, chosen, chances=chances, name=name) for name, chosen in settings]
    if as_json:
        print_json({"workload": load.name, "seed": seed, "results": [result_shape(item) for item in results]})
        return
    from clues.cli.plans import results_view

    print_data(results_view(results, settings[0][1].report.currency))
