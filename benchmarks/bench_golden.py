"""From the order of one more worker to a configured one, from the plain image and from a golden one. Needs root.

`python benchmarks/bench_golden.py [--repeat N] [slurm|compilers ...]`. Both ways take turns in the same run, on the
same cluster; packages come from a cache of this computer, so that no network helps the golden image. It has a state
folder and bridge of its own and removes all.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.report import Figure, emit, figure, repository
from im_client.providers.local.settings import default_state_dir
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import ApplyReport, DeployRequest, Prepared
from im_client.services.prepare import prepare_deploy, prepare_destroy, prepare_scale
from im_client.services.saving import SaveRequest, check_save, save_image
from im_client.state.store import RunState
from im_client.topology.values import Value


@dataclass(frozen=True)
class Case:
    """A cluster and the group that grows."""

    template: str
    group: str
    what: str
    inputs: Mapping[str, Value]


_CASES = {
    "slurm": Case("slurm_cluster", "worker", "a Slurm worker", {"worker_count": 1}),
    "compilers": Case(
        "simple_node",
        "node",
        "a worker with compilers and MPI",
        {"packages": ("gcc", "g++", "gfortran", "make", "openmpi-bin", "libopenmpi-dev", "python3-numpy")},
    ),
}


def _do(ctx: Context, prepared: Prepared) -> ApplyReport:
    report = apply(ctx, prepared, listener=lambda _event: None, cancel=threading.Event())
    if report.state is not RunState.DONE:
        raise SystemExit(f"{report.name}: {report.state}: {[node.error for node in report.nodes]}; {report.log_dir}")
    return report


def _grown(ctx: Context, case: Case, image: str) -> tuple[float, float]:
    """Add one machine and take it away; return the seconds of all, and of configuring alone."""
    report = _do(ctx, prepare_scale(ctx, "bench", {case.group: 2}, images={case.group: image}))
    _do(ctx, prepare_scale(ctx, "bench", {case.group: 1}))
    return report.elapsed_s, next(t.seconds for t in report.timings if t.phase == "configure")


def measure(ctx: Context, case: Case, repeat: int) -> list[Figure]:
    """Deploy, save a machine, grow both ways in turns, destroy."""
    template = str(repository() / "tosca_templates" / f"{case.template}.yaml")
    _do(ctx, prepare_deploy(ctx, DeployRequest(template, name="bench", inputs=case.inputs)))
    try:
        began = time.monotonic()
        plan = check_save(ctx, SaveRequest("bench", f"{case.group}-1", "bench"))
        image = save_image(ctx, plan, listener=lambda _event: None, cancel=threading.Event())
        saved_s = time.monotonic() - began
        found: dict[str, list[tuple[float, float]]] = {"": [], image.name: []}
        for _ in range(repeat):
            for name, times in found.items():
                times.append(_grown(ctx, case, name))
    finally:
        _do(ctx, prepare_destroy(ctx, "bench", skip_hooks=True))
    plan_keeper = ctx.provider("local")
    plan_keeper.delete_image(image.id)  # type: ignore[attr-defined]
    all_s = {name: statistics.median(pair[0] for pair in times) for name, times in found.items()}
    own_s = {name: statistics.median(pair[1] for pair in times) for name, times in found.items()}
    peer = "the same without a golden image"
    return [
        figure(f"{case.what}: order to configured, golden", all_s[image.name], "s", peer=all_s[""], peer_name=peer),
        figure(f"{case.what}: configure alone, golden", own_s[image.name], "s", peer=own_s[""], peer_name=peer),
        figure(f"{case.what}: stop, save, start again", saved_s, "s"),
        figure(f"{case.what}: size of the image", image.size_bytes / 2**20, "MiB"),
    ]


def main() -> int:
    """Measure each case that is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("cases", nargs="*", choices=[[], *_CASES], default=[])
    words = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench_golden needs root")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "state_dir": f"{folder}/state",
            "provider": "local",
            "providers.local.state_dir": f"{folder}/local",
            "providers.local.image_dir": str(default_state_dir() / "images"),
            "providers.local.bridge": "imcluesg",
        }
        with open_context(overrides=overrides, cwd=Path(folder)) as ctx:
            for name in words.cases or _CASES:
                figures += measure(ctx, _CASES[name], words.repeat)
    return emit("golden", figures, notes=(f"{words.repeat} machines each way, in turns; medians",))


if __name__ == "__main__":
    sys.exit(main())
