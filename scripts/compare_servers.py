"""Ask the same of both servers, the original Infrastructure Manager and ours, and write what they answered.

The original runs with its Dummy cloud, ours with the provider `fake`, both on loopback. Writes the table of
docs/reference/rest-operations.md; `--check` compares instead, and ends with 1 where the page is not what was seen.
"""

import json
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.rigs.servers import Site, site  # noqa: E402 - the checkout's own tests

PAGE: Final = ROOT / "docs" / "reference" / "rest-operations.md"
BEGIN, END = "<!-- observed: begin -->", "<!-- observed: end -->"
RADL: Final = """\
description cluster (name = 'cluster')
network net (outbound = 'yes')
system front (
  cpu.count = 1 and memory.size = 512m and net_interface.0.connection = 'net' and
  net_interface.0.dns_name = 'front' and disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux'
)
system worker (
  cpu.count = 1 and memory.size = 512m and net_interface.0.connection = 'net' and
  disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux'
)
contextualize ()
deploy front 1
deploy worker 1
"""
TOSCA: Final = """\
tosca_definitions_version: tosca_simple_yaml_1_0
topology_template:
  node_templates:
    front:
      type: tosca.nodes.Compute
      capabilities:
        host: {properties: {num_cpus: 1, mem_size: 512 MB}}
        os: {properties: {type: linux}}
        scalable: {properties: {min_instances: 0, max_instances: 6, default_instances: COUNT}}
  outputs:
    ip: {value: {get_attribute: [front, private_address]}}
"""
RADL_JSON: Final = json.dumps(
    [
        {"class": "network", "id": "net", "outbound": "yes"},
        {
            "class": "system", "id": "front", "cpu.count_min": 1, "memory.size_min": 512000000,
            "net_interface.0.connection": "net", "disk.0.os.name": "linux", "disk.0.image.url": "mock0://linux",
        },
        {"class": "deploy", "system": "front", "vm_number": 1},
    ]
)  # fmt: skip
PLAIN, YAML, JSON = "text/plain", "text/yaml", "application/json"


@dataclass(frozen=True)
class Ask:
    """One request. `{r}` and `{t}` are the infrastructures made from RADL and from TOSCA."""

    request: str
    body: str = ""
    kind: str = ""
    accept: str = JSON
    auth: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    keep: str = ""
    """Under which name the id in the answer is kept."""
    why: str = ""
    """Why ours is another on purpose."""
    shown: str = ""
    """How the table calls it, where the request alone does not tell."""


ASKS: Final = (
    Ask("GET /version"),
    Ask("GET /version", accept=PLAIN, shown="GET /version, text"),
    Ask("GET /infrastructures", auth=False, shown="GET /infrastructures, without credentials"),
    Ask("GET /infrastructures"),
    Ask("GET /infrastructures", accept="text/uri-list", shown="GET /infrastructures, text/uri-list"),
    Ask("GET /infrastructures", accept="image/png", shown="GET /infrastructures, an Accept that none has",
        why="the status that the original's manual promises"),
    Ask("POST /infrastructures?dry_run=yes", RADL, PLAIN),
    Ask("POST /infrastructures", RADL, PLAIN, keep="r", shown="POST /infrastructures, RADL"),
    Ask("POST /infrastructures", TOSCA.replace("COUNT", "1"), YAML, keep="t", shown="POST /infrastructures, TOSCA"),
    Ask("POST /infrastructures", RADL_JSON, JSON, shown="POST /infrastructures, RADL in JSON"),
    Ask("POST /infrastructures", "a,b", "text/csv", shown="POST /infrastructures, text/csv"),
    Ask("POST /infrastructures", "system (", PLAIN, shown="POST /infrastructures, broken RADL"),
    Ask("POST /infrastructures", "a: [", YAML, shown="POST /infrastructures, broken TOSCA"),
    Ask("GET /infrastructures/{r}"),
    Ask("GET /infrastructures/nosuch", shown="GET /infrastructures/ID, of nobody"),
    Ask("GET /infrastructures/{r}/state"),
    Ask("GET /infrastructures/{r}/state", accept=PLAIN, shown="GET /infrastructures/ID/state, text"),
    Ask("GET /infrastructures/{r}/contmsg"),
    Ask("GET /infrastructures/{r}/contmsg?headeronly=yes"),
    Ask("GET /infrastructures/{r}/radl"),
    Ask("GET /infrastructures/{r}/tosca", shown="GET /infrastructures/ID/tosca, made from RADL",
        why="it is the request that does not fit, not the caller"),
    Ask("GET /infrastructures/{t}/tosca", shown="GET /infrastructures/ID/tosca"),
    Ask("GET /infrastructures/{r}/outputs", shown="GET /infrastructures/ID/outputs, made from RADL",
        why="it has none: an empty object"),
    Ask("GET /infrastructures/{t}/outputs", shown="GET /infrastructures/ID/outputs"),
    Ask("GET /infrastructures/{r}/data"),
    Ask("GET /infrastructures/{r}/authorization"),
    Ask("GET /infrastructures/{r}/nosuch", why="an unknown property is not there (the original's manual says so too)"),
    Ask("GET /infrastructures/{r}/vms/0"),
    Ask("GET /infrastructures/{r}/vms/0", accept=PLAIN, shown="GET /infrastructures/ID/vms/N, text"),
    Ask("GET /infrastructures/{r}/vms/99", shown="GET /infrastructures/ID/vms/N, of no VM"),
    Ask("GET /infrastructures/{r}/vms/0/state"),
    Ask("GET /infrastructures/{r}/vms/0/cpu.count"),
    Ask("GET /infrastructures/{r}/vms/0/nosuch"),
    Ask("GET /infrastructures/{r}/vms/0/contmsg"),
    Ask("GET /infrastructures/{r}/vms/0/command", why="our machines need no reverse SSH"),
    Ask("POST /infrastructures/{r}", "network net\nsystem worker\ndeploy worker 1\n", PLAIN,
        shown="POST /infrastructures/ID, RADL"),
    Ask("POST /infrastructures/{t}", TOSCA.replace("COUNT", "2"), YAML, shown="POST /infrastructures/ID, TOSCA"),
    Ask("POST /infrastructures/{r}", "", PLAIN, shown="POST /infrastructures/ID, empty",
        why="nothing is asked for"),
    Ask("PUT /infrastructures/{r}/stop"),
    Ask("PUT /infrastructures/{r}/start"),
    Ask("PUT /infrastructures/{r}/reboot", why="restarts all VMs; the original restarts single ones only"),
    Ask("PUT /infrastructures/{r}/reconfigure"),
    Ask("PUT /infrastructures/{r}/vms/0/stop"),
    Ask("PUT /infrastructures/{r}/vms/0/start"),
    Ask("PUT /infrastructures/{r}/vms/0/reboot"),
    Ask("PUT /infrastructures/{r}/vms/0", "system front (cpu.count = 2 and memory.size = 512m)", PLAIN),
    Ask("PUT /infrastructures/{r}/vms/0/disks/0/snapshot?image_name=one",
        why="the form that is asked for"),
    Ask("PUT /infrastructures/{r}/stop", headers=(("If-Match", '"v0"'),),
        shown="PUT /infrastructures/ID/stop, If-Match of an old version", why="of two changes one wins"),
    Ask("POST /infrastructures/{r}/authorization", '{"username": "nobody", "password": "x"}', JSON,
        why="only accounts become owners"),
    Ask("DELETE /infrastructures/{r}/vms/1"),
    Ask("DELETE /infrastructures/{r}/vms/99", shown="DELETE /infrastructures/ID/vms/N, of no VM"),
    Ask("PUT /infrastructures", "{}", JSON, shown="PUT /infrastructures, what nobody exported"),
    Ask("GET /clouds/dummy/images"),
    Ask("GET /clouds/dummy/quotas"),
    Ask("GET /stats"),
    Ask("GET /stats", accept="text/csv", shown="GET /stats, text/csv"),
    Ask("GET /stats?init_date=never", shown="GET /stats, a date that is none"),
    Ask("GET /infrastructures/{r}/operations", why="new"),
    Ask("POST /infrastructures/{r}/clone?dry_run=yes", '{"name": "other"}', JSON, why="new"),
    Ask("GET /clouds", why="new"),
    Ask("GET /users", why="new; for administrators"),
    Ask("GET /healthz", accept="*/*", auth=False, why="new"),
    Ask("GET /metrics", accept="*/*", auth=False, why="new"),
    Ask("GET /openapi.json", auth=False),
    Ask("GET /vault", why="new; 404 where the server has none"),
    Ask("DELETE /infrastructures/{t}"),
    Ask("DELETE /infrastructures/{t}", shown="DELETE /infrastructures/ID, the second time"),
    Ask("GET /infrastructures/{t}/state", shown="GET /infrastructures/ID/state, of a destroyed one"),
)  # fmt: skip


def observe(running: Site) -> list[str]:
    """Ask a server everything, one after the other, and return an answer a request: `200 text/plain`."""
    ids: dict[str, str] = {}
    found = []
    for ask in ASKS:
        status, kind, text = _send(running, ask, ids)
        if ask.keep:
            ids[ask.keep] = text.rsplit("/", 1)[-1].strip('"} \n')
        found.append(f"{status} {kind}".strip())
        _settle(running, ids)
    return found


def _send(running: Site, ask: Ask, ids: dict[str, str]) -> tuple[int, str, str]:
    method, _, path = ask.request.partition(" ")
    headers = {"Accept": ask.accept, **dict(ask.headers)}
    if ask.auth:
        headers["Authorization"] = "\\n".join(running.auth.strip().splitlines())
    if ask.kind:
        headers["Content-Type"] = ask.kind
    data = ask.body.encode() if ask.kind else None
    request = urllib.request.Request(running.url + path.format(**ids), data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, _kind(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _kind(error.headers), error.read().decode()


def _kind(headers: Message) -> str:
    return str(headers.get("content-type", "")).split(";")[0]


def _settle(running: Site, ids: dict[str, str]) -> None:
    """Wait until nothing goes on, so that answers do not depend on how quick this computer is."""
    for name in ids:
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            status, _, text = _send(running, Ask(f"GET /infrastructures/{{{name}}}/state"), ids)
            if status != 200 or json.loads(text)["state"]["state"] not in {"pending", "running"}:
                break
            time.sleep(0.05)


def written(page: str) -> dict[str, list[str]]:
    """Return the answers that a page tells, by whose they are: `original` and `ours`."""
    rows = [
        line.split(" | ")
        for line in page.split(BEGIN)[1].split(END, maxsplit=1)[0].splitlines()
        if line.startswith("| `")
    ]
    return {"original": [row[1] for row in rows], "ours": [row[2] for row in rows]}


def table(original: list[str], ours: list[str]) -> str:
    """Return the table of what both answered."""
    lines = ["| Request | IM 2.0.0 | `im serve` | Why it differs |", "|---|---|---|---|"]
    for ask, theirs, mine in zip(ASKS, original, ours, strict=True):
        plain = ask.request.replace("{r}", "ID").replace("{t}", "ID")
        shown = ask.shown or plain.replace("vms/0", "vms/N").replace("disks/0", "disks/D")
        request, comma, remark = shown.partition(", ")
        why = ask.why if theirs != mine else ""
        if not why and theirs.split()[0] != mine.split()[0]:
            why = "**not on purpose**"
        lines.append(f"| `{request}`{comma}{remark} | {theirs} | {mine} | {why} |")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """Write the page, or check it."""
    seen = {}
    for which in ("original", "ours"):
        with tempfile.TemporaryDirectory(prefix="compare-") as folder, site(which, Path(folder)) as running:
            seen[which] = observe(running)
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(BEGIN)
    fresh = f"{head}{BEGIN}\n{table(seen['original'], seen['ours'])}\n{END}{rest.split(END)[1]}"
    if "--check" in words:
        print("the page is what was seen" if fresh == page else "the page is not what was seen: leave --check out")
        return int(fresh != page)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
