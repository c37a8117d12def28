"""The driver `command`: a program that keeps a file for each machine that is on."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clues.options import MachineOption
from infracore.errors import InfraError, Unauthorised

_PROGRAM = """
import pathlib, sys, time
word, folder, machine = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
while (folder / "hangs").exists():
    time.sleep(1)
if word == "on":
    (folder / machine).touch()
elif word == "off":
    (folder / machine).unlink(missing_ok=True)
else:
    print("on" if (folder / machine).exists() else "off")
"""


class CommandHarness:
    """See `PowerHarness`."""

    machines = (MachineOption("m1", node="n1"), MachineOption("m2"))
    refused: Mapping[str, Any] | None = None
    refusal: type[InfraError] = Unauthorised
    refuses_on = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.text: Mapping[str, Any] = {"type": "command"} | {
            word: [sys.executable, "-c", _PROGRAM, word, str(folder), "{machine}"] for word in ("on", "off", "status")
        }

    def powered(self) -> Mapping[str, bool] | None:
        return {machine.name: (self._folder / machine.name).exists() for machine in self.machines}

    def switch(self, machine: str, on: bool) -> bool:
        if on:
            (self._folder / machine).touch()
        else:
            (self._folder / machine).unlink(missing_ok=True)
        return True

    def hang(self) -> bool:
        (self._folder / "hangs").touch()
        return True


@contextmanager
def harness(folder: Path) -> Iterator[CommandHarness]:
    """Nothing but the folder is needed."""
    yield CommandHarness(folder)
