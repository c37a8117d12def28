"""What was seen of a cluster over time, drawn in a terminal. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GLYPHS = {
    "pending": "·",
    "running": "█",
    "booting": "░",
    "ready": "▒",
    "busy": "█",
    "draining": "▚",
    "stopping": "▁",
}
LEGEND = (
    "jobs: · waits  █ runs        workers: ░ boots and is configured  █ has a job  ▒ is idle  ▚ is drained  ▁ goes away"
)


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment: job or worker -> one of GLYPHS."""

    at: float
    jobs: Mapping[str, str]
    workers: Mapping[str, str]


def draw(samples: Sequence[Sample], width: int) -> str:
    """Draw a line for each job and worker; of what is seen within one column the last counts."""
    if not samples:
        return ""
    begin, end = samples[0].at, samples[-1].at
    jobs = list(dict.fromkeys(name for sample in samples for name in sample.jobs))
    workers = sorted({name for sample in samples for name in sample.workers})
    rows = [(f"job {name}", "jobs", name) for name in jobs] + [(name, "workers", name) for name in workers]
    margin = max((len(label) for label, _, _ in rows), default=0) + 2
    columns = max(10, width - margin)
    step = max(1.0, (end - begin) / columns)
    by_column: dict[int, Sample] = {}
    for sample in samples:
        by_column[int((sample.at - begin) / step)] = sample
    last = max(by_column)
    lines = [" " * margin + _axis(step, last + 1)]
    for label, kind, name in rows:
        line, shown = "", samples[0]
        for column in range(last + 1):
            shown = by_column.get(column, shown)
            state = (shown.jobs if kind == "jobs" else shown.workers).get(name, "")
            line += GLYPHS.get(state, " ")
        lines.append(f"{label:<{margin}}{line.rstrip()}")
    return "\n".join([*lines, "", LEGEND])


def _axis(step: float, columns: int) -> str:
    """Write the seconds where a round number of them falls."""
    each = next(size for size in (10, 15, 20, 30, 60, 120, 300, 600, 10**9) if size / step >= 8)
    line = ""
    second = 0
    while second / step < columns:
        place = round(second / step)
        line = f"{line:<{place}}" + f"{second} s"
        second += each
    return line
