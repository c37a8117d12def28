"""`im` in this process, with a state folder of the test's own."""

import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from im_client.cli.main import run


@dataclass(frozen=True)
class Ran:
    """How one command line ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def im(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs `im WORDS` without a terminal and catches what it prints."""
    for name in [name for name in os.environ if name.startswith("IM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("IM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("NO_COLOR", "1")
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
