"""`clues` in this process, with a fake daemon behind a real socket."""

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from clues.api.server import start_servers
from clues.cli.main import run
from tests.clues.api.fake_control import FakeControl


@dataclass(frozen=True)
class Ran:
    """How one command line ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def clues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs `clues WORDS` without a terminal and catches what it prints."""
    for name in [name for name in os.environ if name.startswith("CLUES_")]:
        monkeypatch.delenv(name)
    (tmp_path / "clues.yaml").write_text(f"daemon:\n  socket: {tmp_path}/s\n  state_dir: {tmp_path}/state\n")
    monkeypatch.setenv("CLUES_CONFIG", str(tmp_path / "clues.yaml"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as streams:
            streams.setattr(sys, "stdin", io.StringIO())
            streams.setattr(sys, "stdout", out)
            streams.setattr(sys, "stderr", err)
            status = run(list(words))
        return Ran(status, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def control(tmp_path: Path) -> Iterator[FakeControl]:
    """A daemon that `clues` finds by its settings."""
    fake = FakeControl()
    with capture_logs():  # the daemon's log is not the command's output
        servers = start_servers(fake, socket_path=tmp_path / "s", poll_s=0.005)
        yield fake
        servers.close()
