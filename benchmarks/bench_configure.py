"""Ten machines of this computer and twenty tasks: our run against `ansible-playbook` with its default settings.

`python benchmarks/bench_configure.py [--machines N] [--repeat N]`; needs what `im doctor` says of the local provider.
The runs take turns, and every run makes files and accounts of its own name, so that all do the same work.
"""

import argparse
import dataclasses
import json
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from report import emit, figure, repository

from im_client.configure.model import AnsibleSettings, Host, Play, PlayEvent, Strategy
from im_client.configure.program import find_program
from im_client.configure.run import run
from im_client.inventory.build import Entry, document, plain
from im_client.plan.model import Phase, Spec
from im_client.providers.base import MachineRequest, Provider
from im_client.providers.registry import provider
from im_client.remote.access import Access
from im_client.remote.hostkeys import new_host_key, new_key_pair
from im_client.remote.options import Files, connection_options
from im_client.remote.wait import wait_reachable
from im_client.topology.model import Artifact, ArtifactKind
from infracore.clock import SystemClock
from infracore.ids import new_token
from infracore.process import run as run_program

_INFRASTRUCTURE = "bench-configure"
_TASKS = repository() / "benchmarks" / "configure_tasks.yml"
_DEFAULTS = "[defaults]\n"


@dataclasses.dataclass(frozen=True)
class Took:
    """What one run took, and of our runs where the time went."""

    wall_s: float
    cpu_s: float
    parts: Mapping[str, float] = dataclasses.field(default_factory=dict)


@contextmanager
def machines(count: int) -> Iterator[list[Access]]:
    """Boot machines; they are deleted at the end."""
    local = provider("local", {})
    local.prepare(lambda text: print(text, file=sys.stderr))
    public, private = new_key_pair(_INFRASTRUCTURE)

    def boot(number: int) -> Access:
        key = new_host_key()
        request = MachineRequest(
            infrastructure=_INFRASTRUCTURE,
            name=f"bench-{number}",
            token=new_token(),
            spec=Spec(mem_bytes=512 * 1024**2),
            authorized_keys=(public,),
            host_key=key,
        )
        access = _running(local, local.create(request).provider_id)
        access = dataclasses.replace(access, private_key=private, host_key=key.public)
        wait_reachable(access, timeout_s=180, clock=SystemClock(), cancel=threading.Event())
        return access

    try:
        with ThreadPoolExecutor(count) as pool:
            yield list(pool.map(boot, range(count)))
    finally:
        for machine in local.list_machines(_INFRASTRUCTURE):
            local.delete(machine.provider_id)
        local.close()


def _running(local: Provider, provider_id: str) -> Access:
    limit = time.monotonic() + 180
    while time.monotonic() < limit:
        machine = local.get(provider_id)
        if machine.phase is Phase.RUNNING and machine.access is not None:
            return machine.access
        time.sleep(0.2)
    raise SystemExit(f"{provider_id} does not run")


def ours(accesses: list[Access], name: str, strategy: Strategy, folder: Path) -> Took:
    """Run the tasks by `run()`; the parts are fact gathering, each task, and what is before and behind them."""
    hosts = [Host(f"bench-{number}", "bench", access) for number, access in enumerate(accesses)]
    names = tuple(host.name for host in hosts)
    play = Play(
        id="bench.Standard.configure",
        component="bench",
        operation="configure",
        hosts=names,
        implementation=Artifact(ArtifactKind.PLAYBOOK, str(_TASKS)),
        inputs={host: {"run": name} for host in names},
    )
    start = time.monotonic()
    before = _cpu()
    marks = [("start of ansible", start)]

    def note(event: PlayEvent) -> None:
        if event.kind == "task":
            marks.append((event.text, time.monotonic()))

    result = run(
        [play],
        hosts,
        settings=AnsibleSettings(strategy=strategy),
        run_dir=folder / name,
        cache_dir=folder / "cache",
        listener=note,
        cancel=threading.Event(),
    )
    end = time.monotonic()
    if not all(node.ok for node in result.nodes.values()):
        raise SystemExit(f"the run failed: {result.log.read_text(encoding='utf-8')[-2000:]}")
    ends = [*(at for _, at in marks[1:]), end]
    return Took(end - start, _cpu() - before, {text: to - at for (text, at), to in zip(marks, ends, strict=True)})


def defaults(accesses: list[Access], name: str, folder: Path) -> Took:
    """Run the tasks by `ansible-playbook` as it is installed."""
    home = folder / name
    home.mkdir(mode=0o700)
    files = Files(home)
    entries = [
        Entry(
            f"bench-{number}",
            ("bench",),
            {
                "ansible_host": access.address,
                "ansible_user": access.user,
                "ansible_port": access.port,
                "ansible_ssh_private_key_file": str(files.key(access.private_key)) if access.private_key else None,
                "ansible_ssh_common_args": " ".join(connection_options(access, files)),
                "ansible_python_interpreter": access.python,
            },
        )
        for number, access in enumerate(accesses)
    ]
    inventory, site, config = home / "hosts.json", home / "site.json", home / "ansible.cfg"
    inventory.write_text(json.dumps(document(entries)), encoding="utf-8")
    play = {"name": "bench", "hosts": "all", "tasks": [{"ansible.builtin.import_tasks": str(_TASKS)}]}
    site.write_text(json.dumps([plain(play)]), encoding="utf-8")
    config.write_text(_DEFAULTS, encoding="utf-8")
    start, before = time.monotonic(), _cpu()
    run_program(
        (find_program(AnsibleSettings()), "-i", inventory, "-e", f"run={name}", site),
        timeout_s=900,
        env={"ANSIBLE_CONFIG": str(config), "ANSIBLE_HOME": str(home), "LC_ALL": "C.UTF-8"},
    )
    return Took(time.monotonic() - start, _cpu() - before)


def _cpu() -> float:
    """Return the CPU time of this process and of its ended children."""
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> int:
    """Boot, run in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=1)
    words = parser.parse_args()
    found: dict[str, list[Took]] = {"ours": [], "plain": [], "defaults": []}
    with tempfile.TemporaryDirectory() as text, machines(words.machines) as accesses:
        folder = Path(text)
        ours(accesses[:1], "warm", Strategy.AUTO, folder)  # the trial of mitogen is made once and remembered
        for number in range(words.repeat):
            found["defaults"].append(defaults(accesses, f"d{number}", folder))
            found["ours"].append(ours(accesses, f"m{number}", Strategy.AUTO, folder))
            found["plain"].append(ours(accesses, f"p{number}", Strategy.PLAIN, folder))
    wall = {name: statistics.median(took.wall_s for took in all_of) for name, all_of in found.items()}
    cpu = {name: statistics.median(took.cpu_s for took in all_of) for name, all_of in found.items()}
    peer = "ansible-playbook, default settings"
    mine = min(found["ours"], key=lambda took: took.wall_s)
    slowest = sorted(mine.parts.items(), key=lambda part: -part[1])
    return emit(
        "configure",
        [
            figure("ours / defaults, wall time", wall["ours"] / wall["defaults"], "", limit=0.45),
            figure("ours (auto)", wall["ours"], "s", peer=wall["defaults"], peer_name=peer),
            figure("ours, strategy plain", wall["plain"], "s", peer=wall["defaults"], peer_name=peer),
            figure("ours (auto), CPU of the controller", cpu["ours"], "s", peer=cpu["defaults"], peer_name=peer),
            figure(
                "ours, strategy plain, CPU of the controller", cpu["plain"], "s", peer=cpu["defaults"], peer_name=peer
            ),
            *(figure(f"part of ours: {text}", took_s, "s") for text, took_s in slowest[:8]),
        ],
        notes=(f"{words.machines} machines, 20 tasks, {words.repeat} runs each, in turns; medians",),
    )


if __name__ == "__main__":
    sys.exit(main())
