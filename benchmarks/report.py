"""What every benchmark prints: its name, figures with their limit and the peer's figure, and the machine.

Use: `sys.exit(emit("deploy", [figure("deploy 500", 1.4, "s", limit=2.0, peer=11.6)]))`.
A benchmark is a program that is run by hand or by `make bench`; nothing in `tests/` asserts a time.
"""

import gc
import json
import os
import platform
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "child_cpu_s",
    "cpu_s",
    "emit",
    "figure",
    "machine",
    "peak_memory_mib",
    "repository",
    "shared_cases",
]

Figure = dict[str, Any]


def figure(
    what: str,
    value: float,
    unit: str,
    *,
    limit: float | None = None,
    peer: float | None = None,
    peer_name: str = "",
    at_least: bool = False,
) -> Figure:
    """Return one figure. `limit` is the most it may be (the least, with `at_least`); `ratio` is value / peer.

    `ok` is None where there is no limit: a figure that only informs.
    """
    ok = None if limit is None else (value >= limit if at_least else value <= limit)
    return {
        "what": what,
        "value": _rounded(value),
        "unit": unit,
        "limit": limit,
        "peer": None if peer is None else _rounded(peer),
        "peer_name": peer_name,
        "ratio": _rounded(value / peer) if peer else None,
        "ok": ok,
    }


def emit(name: str, figures: Sequence[Figure], *, notes: Sequence[str] = ()) -> int:
    """Print the JSON of a benchmark; return 0 when every figure keeps its limit, else 1."""
    document = {"name": name, "figures": list(figures), "notes": list(notes), "machine": machine()}
    print(json.dumps(document, indent=1))
    return 1 if any(f["ok"] is False for f in figures) else 0


def cpu_s(action: Callable[[], object], *, repeat: int = 5, warm_up: int = 1) -> float:
    """Return the least CPU time of the process, all its threads, that one call took, in seconds.

    The least of several is what the work costs; the rest is what the machine did meanwhile.
    """
    for _ in range(warm_up):
        action()
    least = float("inf")
    for _ in range(repeat):
        gc.collect()
        start = time.process_time()
        action()
        least = min(least, time.process_time() - start)
    return least


def child_cpu_s(argv: Sequence[str], *, repeat: int = 5, timeout_s: float = 60.0) -> float:
    """Return the least CPU time (user and system) of a program and its children, in seconds.

    Raises:
        RuntimeError: it failed, with the end of what it said.
    """
    least = float("inf")
    for _ in range(repeat):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=repository())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-500:]}")
        least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return least


def peak_memory_mib() -> float:
    """Return the largest resident size that this process has had, in MiB (Linux counts in KiB)."""
    status = Path("/proc/self/status").read_text()  # ru_maxrss would be the parent's where that was larger
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def machine() -> dict[str, Any]:
    """Return what a reader needs to compare figures: processor, cores, memory, load, versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _rounded(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3),
        "load": [_rounded(x) for x in os.getloadavg()],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def repository() -> Path:
    """Return the root of the checkout."""
    return Path(__file__).resolve().parent.parent


def shared_cases() -> Path | None:
    """Return the folder of shared cases (`IMCLUES_SHARED`, else `../shared`), or None where there is none."""
    folder = Path(os.environ.get("IMCLUES_SHARED") or repository().parent / "shared") / "cases"
    return folder if folder.is_dir() else None


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()
