"""The `im` command as a user runs it, with a state folder of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parent / "site"


class Im:
    """Runs `im` as a process and reads its JSON."""

    def __init__(self, state: Path) -> None:
        self.env = {
            **os.environ,
            "IM_STATE_DIR": str(state),
            "IM_CACHE_DIR": str(state / "cache"),
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "im_client.cli.main", *words]

    def __call__(self, *words: str, status: int | None = 0, timeout: float = 280) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.argv(*words),
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if status is not None:
            assert done.returncode == status, f"im {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, status: int | None = 0) -> Any:
        return json.loads(self(*words, "--json", status=status).stdout)

    def report(self, *words: str, status: int | None = 0) -> dict[str, Any]:
        """Run a command that streams JSON lines; return its last line, the report."""
        lines = [json.loads(line) for line in self(*words, "--json", status=status).stdout.splitlines()]
        assert lines[-1]["type"] == "report"
        return lines[-1]

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.argv(*words, "--json"),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill_when(self, phase: str, *words: str) -> None:
        """Run a command and kill it (SIGKILL) as soon as any machine, or the run, is in a phase."""
        process = self.start(*words)
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            event = json.loads(line)
            seen.append(event)
            if event.get("phase") == phase:
                process.kill()
                break
        process.wait(30)
        process.stdout.close()
        assert process.returncode == -9, f"it ended before it was in {phase}: {seen[-5:]}"

    def machines(self, name: str) -> dict[str, Any]:
        return {node["name"]: node for node in self.json("show", name)["nodes"]}


@pytest.fixture
def im(tmp_path: Path) -> Iterator[Im]:
    """`im` with a fresh state folder; what the test deployed is destroyed at the end."""
    command = Im(tmp_path / "state")
    yield command
    for infrastructure in command.json("list")["infrastructures"]:
        command("destroy", infrastructure["name"], "-y", "--skip-hooks", status=None)


@pytest.fixture
def template() -> str:
    return str(SITE / "cluster.yaml")
