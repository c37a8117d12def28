"""A cluesd that serves a Slurm of the rig, with the driver `command`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.rigs.process import wait_until
from tests.rigs.slurm import SlurmRig

__all__ = ["Site", "site"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Site:
    """A daemon, its settings and its questions."""

    rig: SlurmRig
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    settings: dict[str, Any] = field(default_factory=dict)

    def write(
        self,
        *,
        slurm: dict[str, Any] | None = None,
        pool: dict[str, Any] | None = None,
        actions: dict[str, Any] | None = None,
        **policy: Any,
    ) -> None:
        """Write the settings: one pool of all nodes of the rig, quick timers."""
        self.settings = {
            "cluster": "slurm",
            "slurm": {"config": str(self.rig.conf), "poll_s": 0.3, **(slurm or {})},
            "pools": [
                {
                    "name": "rack",
                    "driver": "nodes",
                    "powered": True,
                    "machines": [{"name": name} for name in self.rig.nodes],
                    **(pool or {}),
                }
            ],
            "drivers": {
                "nodes": {"type": "command"} | {word: self.rig.power(word) for word in ("on", "off", "status")}
            },
            "policy": {"unneeded_s": 3, "max_provision_s": 60, **policy},
            "loop": {"tick_s": 0.5},
            "actions": {"look_again_s": 0.5, "list_s": 2, **(actions or {})},
            "daemon": {
                "state_dir": str(self.folder / "state"),
                "socket": str(self.folder / "clues.sock"),
                "metrics_listen": "",
            },
        }
        (self.folder / "clues.yaml").write_text(yaml.safe_dump(self.settings))

    def start(self) -> None:
        with (self.folder / "cluesd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from clues.cli.main import daemon; daemon()", "--config", self._config],
                cwd=ROOT,
                env=self.rig.env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self.status().get("complete", False), "cluesd answers", said=self.said)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(15)
            self.process = None

    def clues(self, *words: str, check: bool = True) -> str:
        argv = [sys.executable, "-c", "from clues.cli.main import main; main()", "--config", self._config, *words]
        done = subprocess.run(
            argv, cwd=ROOT, env=self.rig.env(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0 or not check, f"clues {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        text = self.clues("status", "--json", check=False)
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def why(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.clues("why", name, "--json"))
        return found

    def said(self) -> str:
        path = self.folder / "cluesd.log"
        return path.read_text()[-6000:] if path.exists() else ""

    def told(self) -> str:
        """Return what cluesd said, and what Slurm says of its jobs and nodes: the message of a failing test."""
        return f"{self.said()}{self.rig.run('scontrol', 'show', 'job', check=False)}\n{self.rig.states()}"

    def orders(self, word: str) -> list[str]:
        """Return the nodes that the driver was told to turn on (or off), in order."""
        return [line.split()[1] for line in self.rig.orders() if line.split()[0] == word]

    @property
    def _config(self) -> str:
        return str(self.folder / "clues.yaml")


@contextmanager
def site(rig: SlurmRig, folder: Path, **settings: Any) -> Iterator[Site]:
    """Run a cluesd with these settings (see `Site.write`)."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Site(rig, folder)
    made.write(**settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()
