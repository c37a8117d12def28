"""A small batch system of files, its programs, and a cluesd that serves it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from clues.api.client import Client, NotRunning
from clues.control import NodeView
from tests.rigs.process import wait_until

__all__ = ["Batch", "batch"]

ROOT = Path(__file__).resolve().parents[3]
_PROGRAM = """
import pathlib, sys, time
word, folder, name = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""
def note(*words):
    with (folder / "orders").open("a") as orders:
        orders.write(" ".join(words) + "\\n")
is_on = lambda node: (folder / "on" / node).exists()
jobs = [line.split() for line in (folder / "jobs").read_text().splitlines()]  # NUMBER NODE, or NUMBER -
def polls():
    return (folder / "polls").stat().st_size
if word == "nodes":
    with (folder / "polls").open("a") as polled:
        polled.write(".")
    for node in (folder / "names").read_text().split():
        used = any(place == node for _, place in jobs)
        late = (folder / "late").exists()  # it has not noticed yet what went off
        state = "used" if used else "idle" if is_on(node) or late else "off"
        print(f"name={node};state={state};slots_count=4;slots_free={0 if used else 4}")
elif word == "jobs":
    for number, place in jobs:
        where = "state=pending" if place == "-" else f"state=running;nodes={place}"
        print(f"jobid={number};slots=4;{where}")
elif word in {"on", "off"}:
    note(word, name)
    if word == "on":  # it boots for as long as five looks
        begun = polls()
        while polls() < begun + 5:
            time.sleep(0.05)
        (folder / "on" / name).touch()
    else:
        while (folder / "slow").exists():
            time.sleep(0.05)
        (folder / "on" / name).unlink(missing_ok=True)
elif word == "status":
    print("on" if is_on(name) else "off")
else:
    note(word, name)
"""


@dataclass
class Batch:
    """The batch system and its daemon. `orders` is what drivers and programs were told, in order."""

    folder: Path
    config: Path
    process: "subprocess.Popen[bytes] | None" = None

    def run(self, *places: str) -> None:
        """Let these be the jobs: each has a node, or waits (`-`)."""
        new = self.folder / "jobs.new"
        new.write_text("".join(f"{number} {place}\n" for number, place in enumerate(places, 1)))
        new.replace(self.folder / "jobs")

    def orders(self, *kinds: str) -> list[str]:
        path = self.folder / "orders"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if not kinds or line.split()[0] in kinds]

    def set(self, mark: str, there: bool = True) -> None:
        """`slow`: machines do not go off until it is taken away; `late`: what is off still shows idle."""
        path = self.folder / mark
        if there:
            path.touch()
        else:
            path.unlink(missing_ok=True)

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from clues.cli.main import daemon; daemon()", "--config", str(self.config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.until(lambda: self.status().get("complete", False), "cluesd answers")

    def kill(self) -> None:
        """kill -9, the programs that it runs among them."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def status(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = msgspec.to_builtins(Client(self.folder / "s", timeout_s=10.0).status())
        except NotRunning:
            return {}
        return found

    def node(self, name: str = "n1") -> NodeView:
        """Return what `clues nodes` says of a node."""
        return next(item for item in Client(self.folder / "s", timeout_s=10.0).nodes() if item.name == name)

    def phase(self) -> str:
        """Return the phase of the one action that is under way; "" where there is none."""
        actions = self.status()["actions"]
        return str(actions[0]["phase"]) if actions else ""

    def until(self, what: Any, words: str, limit_s: float = 40) -> None:
        wait_until(what, words, limit_s, said=self.said)

    def said(self) -> str:
        return f"{(self.folder / 'log').read_text()[-6000:]}\n{self.orders()}\n{self.status()}"


@contextmanager
def batch(
    folder: Path, nodes: int = 2, *, drains: bool = False, pool: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Batch]:
    """Run a cluesd for nodes n1, n2 ..., all of them on; `drains` says whether the site has programs for that."""
    (folder / "on").mkdir(parents=True)
    (folder / "jobs").touch()
    names = [f"n{number}" for number in range(1, nodes + 1)]
    (folder / "names").write_text(" ".join(names))
    for name in names:
        (folder / "on" / name).touch()
    (folder / "program.py").write_text(_PROGRAM)

    def words(word: str, *more: str) -> list[str]:
        return [sys.executable, str(folder / "program.py"), word, str(folder), *more]

    text = {
        "cluster": "command",
        "command": {"nodes": words("nodes"), "jobs": words("jobs"), "poll_s": 0.2}
        | ({word: words(word, "{node}") for word in ("drain", "resume")} if drains else {}),
        "drivers": {"rack": {"type": "command"} | {w: words(w, "{machine}") for w in ("on", "off", "status")}},
        "pools": [
            {
                "name": "rack",
                "driver": "rack",
                "powered": True,
                "machines": [{"name": name} for name in names],
                "max": nodes,
                **(pool or {}),
            }
        ],
        "policy": {"unneeded_s": 1, "max_provision_s": 60, **settings.pop("policy", {})},
        "loop": {"tick_s": 0.5},
        "actions": {"look_again_s": 0.5, "list_s": 1, **settings.pop("actions", {})},
        "daemon": {"state_dir": str(folder / "state"), "socket": str(folder / "s"), "metrics_listen": ""},
    }
    (folder / "clues.yaml").write_text(yaml.safe_dump(text))
    made = Batch(folder, folder / "clues.yaml")
    try:
        made.start()
        yield made
    finally:
        if made.process is not None:
            made.process.terminate()
            made.process.wait(15)
