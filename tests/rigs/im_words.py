"""`im` in this process, for a server: quick, since nothing is imported twice."""

import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from im_client.cli.main import run
from tests.rigs.servers import Site

__all__ = ["Im", "Ran"]


@dataclass(frozen=True)
class Ran:
    """How one command line ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Im:
    """Runs `im` as a user of a server does; calling it insists on the exit status and returns what was printed."""

    site: Site
    folder: Path

    def run(self, *words: str, flags: tuple[str, ...] | None = None, stdin: str = "", **env: str) -> Ran:
        """Run a command line without a terminal."""
        if flags is None:
            flags = ("--server", self.site.url, "--auth-file", str(self.site.auth_file))
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("IM_")]:
                patch.delenv(name)
            mine = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config"), "NO_COLOR": "1"}
            mine |= {"IM_STATE_DIR": str(self.folder / "mine"), "IM_CACHE_DIR": str(self.folder / "cache")}
            for name, value in {**mine, "IM_REMOTE_POLL_S": "0.1", **env}.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            status = run([*flags, *words])
        return Ran(status, out.getvalue(), err.getvalue())

    def __call__(self, *words: str, status: int = 0) -> str:
        done = self.run(*words)
        said = f"{done.out}\n{done.err}"
        assert done.status == status, f"{words}: {done.status}\n{said}"
        assert "secret" not in said
        assert "correct horse" not in said
        return done.out if status == 0 else done.err

    def json(self, *words: str) -> Any:
        """Return what a command says to a program."""
        return json.loads(self(*words, "--json"))

    def machines(self, infra: str) -> dict[str, str]:
        """Return names and phases in the order of their making."""
        return {node["name"]: node["phase"] for node in self.json("show", infra)["nodes"]}

    def of_group(self, infra: str, group: str) -> list[str]:
        """Return the names of the machines of one kind, the oldest first."""
        return [node["name"] for node in self.json("show", infra)["nodes"] if node["group"] == group]
