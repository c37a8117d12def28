"""Time from `create` to an answering sshd for 1 and 10 local machines, and the memory of each. Needs root.

Use: `python benchmarks/bench_local.py [MACHINES]`. It has a state folder and bridge of its own and removes all.
"""

import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.report import Figure, emit, figure
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.local.cgroups import find_groups
from im_client.providers.local.network import link_name
from im_client.providers.local.nspawn_provider import NspawnProvider
from im_client.providers.local.settings import LocalSettings, default_state_dir
from infracore.ids import new_token

_LIMIT_S = 120.0


def _greets(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _until_ssh(provider: NspawnProvider, name: str) -> tuple[str, float]:
    started = time.monotonic()
    machine = provider.create(MachineRequest("bench", name, new_token(), Spec()))
    pause = threading.Event()
    while not _greets(machine.private_address or ""):
        if time.monotonic() - started > _LIMIT_S:
            raise SystemExit(f"{name} did not answer:\n{provider.console(machine.provider_id)[-2000:]}")
        pause.wait(0.05)
    return machine.token, time.monotonic() - started


def _supervisor_bytes(folder: Path) -> int:
    """Return the proportional set size of a machine's supervisor."""
    pid = (folder / "run.lock").read_text().strip()
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure(provider: NspawnProvider, settings: LocalSettings, count: int) -> list[Figure]:
    """Make machines at once, look at them, delete them."""
    started = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        made = list(pool.map(lambda n: _until_ssh(provider, f"bench-{n}"), range(count)))
    all_s = time.monotonic() - started
    tree = find_groups()
    memory = [tree.memory_bytes(link_name(settings.root, token)) or 0 for token, _ in made]
    watchers = [_supervisor_bytes(settings.root / "machines" / token) for token, _ in made]
    started = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda pair: provider.delete(pair[0]), made))
    deleted_s = time.monotonic() - started
    mib = 1024**2
    return [
        figure(f"create to ssh, {count} at once, the last", all_s, "s"),
        figure(f"create to ssh, {count} at once, median", statistics.median(s for _, s in made), "s"),
        figure(f"memory of a machine of {count}, with page cache", statistics.median(memory) / mib, "MiB"),
        figure(f"memory of a supervisor of {count} (PSS)", statistics.median(watchers) / mib, "MiB"),
        figure(f"delete {count} at once", deleted_s, "s"),
    ]


def main() -> int:
    """Measure one machine, then several."""
    if os.geteuid() != 0:
        raise SystemExit("bench_local needs root")
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        settings = LocalSettings(
            state_dir=folder,
            image_dir=str(default_state_dir() / "images"),
            bridge="imcluesb",
            nat="off",
            apt_proxy="none",
        )
        provider = NspawnProvider(settings)
        started = time.monotonic()
        provider.prepare(lambda text: print(text, file=sys.stderr))
        prepared = figure("prepare (a base image is made only once)", time.monotonic() - started, "s")
        try:
            figures = [prepared, *(f for count in (1, many) for f in measure(provider, settings, count))]
        finally:
            for machine in provider.list_machines():
                provider.delete(machine.provider_id)
    return emit("local", figures)


if __name__ == "__main__":
    sys.exit(main())
