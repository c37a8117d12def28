"""`im serve`: start with 300 infrastructures, memory, 500 machines by one POST, short answers beside a large template.

The server runs in a process of its own on loopback, with the provider `fake`; figures are those of that process.
"""

import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from report import emit, figure

PASSWORD = "correct horse"
INFRASTRUCTURES = 300
STARTS = 5
POSTS = 3
REQUESTS = 50


def template(count: int) -> str:
    """Return a template with so many machines of one kind."""
    return (
        "tosca_definitions_version: tosca_simple_yaml_1_3\n"
        "metadata: {template_name: bench}\n"
        "topology_template:\n"
        "  node_templates:\n"
        "    node:\n"
        "      type: tosca.nodes.Compute\n"
        "      capabilities:\n"
        "        host: {properties: {num_cpus: 1, mem_size: 512 MiB}}\n"
        f"        scalable: {{properties: {{min_instances: 0, max_instances: 1000, default_instances: {count}}}}}\n"
    )


def large() -> str:
    """Return a template of some 1 MB: 2,500 node templates, each with its own hardware, none deployed."""
    node = (
        "    node{n}:\n"
        "      type: tosca.nodes.Compute\n"
        "      metadata: {{about: 'machine {n} of a template that a program has made, with a long text'}}\n"
        "      capabilities:\n"
        "        host: {{properties: {{num_cpus: {c}, mem_size: {c} GiB, disk_size: 10 GiB}}}}\n"
        "        os: {{properties: {{type: linux, distribution: debian, version: 13, architecture: x86_64}}}}\n"
        "        scalable: {{properties: {{min_instances: 0, max_instances: 10, default_instances: 0}}}}\n"
    )
    head = template(0).split("    node:\n")[0]
    return head + "".join(node.format(n=n, c=n % 8 + 1) for n in range(2500))


class Server:
    """A running server."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, ready_s: float) -> None:
        self.pid = process.pid
        self.url = url
        self.ready_s = ready_s

    def ask(self, method: str, path: str, body: str = "") -> bytes:
        """Send one request and return the answer."""
        headers = {
            "Authorization": f"type = InfrastructureManager; username = ana; password = {PASSWORD}",
            "Content-Type": "text/yaml",
        }
        request = urllib.request.Request(self.url + path, body.encode() or None, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            found: bytes = answer.read()
        return found

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used, its children that ended included."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    @property
    def rss_mib(self) -> float:
        """Memory that it has now."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0


def environment(folder: str) -> dict[str, str]:
    """Return the environment of a server whose state is in a folder."""
    own = {"HOME": folder, "IM_STATE_DIR": f"{folder}/state", "IM_CACHE_DIR": f"{folder}/cache", "IM_PROVIDER": "fake"}
    own["IM_SERVER_MOST_MACHINES"] = "4000"
    return {**os.environ, **own}


@contextmanager
def server(folder: str) -> Iterator[Server]:
    """Run a server until it is not needed any more."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "im_client.cli.main", "serve", "-p", "0"],
        env=environment(folder),
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"im serve: (\S+)", line)
        if found is None:
            raise SystemExit(f"no server: {line}{process.stderr.read()}")
        running = Server(process, found[1], 0.0)
        urllib.request.urlopen(f"{running.url}/version", timeout=10).close()
        running.ready_s = time.perf_counter() - began
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def fill(folder: str) -> None:
    """Record many infrastructures of three machines each, without a server."""
    code = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from im_client.services.server import changes\n"
        "from im_client.services.server.callers import Caller\n"
        "from im_client.services.server.changes import Body\n"
        "from im_client.services.server.house import open_house\n"
        "from infracore.secrets import Secret\n"
        "with open_house(cwd=Path(sys.argv[1])) as house:\n"
        f"    house.accounts.add('ana', Secret({PASSWORD!r}))\n"
        "    caller = Caller('ana', False)\n"
        "    body = Body(sys.stdin.read())\n"
        f"    made = [changes.create(house, caller, body) for _ in range({INFRASTRUCTURES})]\n"
        "    for one in made:\n"
        "        assert one.ticket.done.result(120).state == 'done'\n"
    )
    argv = [sys.executable, "-c", code, folder]
    subprocess.run(argv, env=environment(folder), input=template(3), text=True, check=True, timeout=280, cwd=folder)


def settle(running: Server, infra: str) -> None:
    """Wait until all machines of an infrastructure are configured."""
    while b'{"state": {"state": "configured"' not in running.ask("GET", f"/infrastructures/{infra}/state"):
        time.sleep(0.2)


def latencies(running: Server) -> list[float]:
    """Return how long `/version` took, 50 at once, over and over while a large template is read."""
    found: list[float] = []
    body = large()
    over = threading.Event()

    def send() -> None:
        try:
            running.ask("POST", "/infrastructures?dry_run=yes", body)
        finally:
            over.set()

    def ask() -> None:
        while not over.is_set():
            began = time.perf_counter()
            urllib.request.urlopen(f"{running.url}/version", timeout=30).close()
            found.append(time.perf_counter() - began)
            over.wait(0.5)

    threads = [threading.Thread(target=ask) for _ in range(REQUESTS)]
    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(0.5)
    for number, thread in enumerate(threads):
        thread.start()
        time.sleep(0.5 / REQUESTS if number else 0)
    for thread in (sender, *threads):
        thread.join()
    return found


def main() -> None:
    """Print the figures as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        fill(folder)
        starts = []
        for _ in range(STARTS - 1):
            with server(folder) as running:
                starts.append(running.ready_s)
        with server(folder) as running:
            restart_s = min(*starts, running.ready_s)  # what it costs; the rest is what the machine did meanwhile
            time.sleep(1)
            idle_mib = running.rss_mib
            running.ask("GET", "/infrastructures")
            began = time.perf_counter()
            running.ask("GET", "/infrastructures")
            list_s = time.perf_counter() - began
        posts = []
        for _ in range(POSTS):
            with server(folder) as running:
                settle(running, running.ask("POST", "/infrastructures", template(1)).decode().rsplit("/", 1)[1])
                before = running.cpu_s
                infra = running.ask("POST", "/infrastructures", template(500)).decode().rsplit("/", 1)[1]
                settle(running, infra)
                posts.append(running.cpu_s - before)
                after_mib = running.rss_mib
        post_cpu_s = min(posts)
        with server(folder) as running:
            running.ask("GET", "/infrastructures?limit=1")
            found = sorted(latencies(running))
    p99_ms = found[min(len(found) - 1, int(len(found) * 0.99))] * 1000
    figures = [
        figure(f"start with {INFRASTRUCTURES} infrastructures, until it answers", restart_s, "s", limit=1.0),
        figure("memory when idle", idle_mib, "MiB", limit=60.0),
        figure(f"list of {INFRASTRUCTURES} infrastructures", list_s * 1000, "ms"),
        figure("500 machines by POST, CPU", post_cpu_s, "s", limit=2.0),
        figure("memory after that", after_mib, "MiB"),
        figure(
            f"/version beside a template of {len(large()) >> 10} KiB, median of {len(found)}",
            statistics.median(found) * 1000,
            "ms",
        ),
        figure("/version beside it, 99th percentile", p99_ms, "ms", limit=50.0),
        figure("CPU of this benchmark", resource.getrusage(resource.RUSAGE_SELF).ru_utime, "s"),
    ]
    sys.exit(emit("serve", figures))


if __name__ == "__main__":
    main()
