"""The driver `redfish`: two services of our own, over TLS."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clues.options import MachineOption
from infracore.errors import InfraError, Unauthorised
from tests.rigs.redfish_server import PASSWORD, USER, Bmc, redfish_bmc

MARKERS = ("slow",)


class RedfishHarness:
    """See `PowerHarness`."""

    refusal: type[InfraError] = Unauthorised
    refuses_on = True

    def __init__(self, folder: Path, bmcs: Mapping[str, Bmc]) -> None:
        self._bmcs = bmcs
        self.machines = (
            MachineOption("m1", node="n1", address="127.0.0.1", port=bmcs["m1"].port),
            MachineOption("m2", address="127.0.0.1", port=bmcs["m2"].port),
        )
        trusted = folder / "ca.pem"
        trusted.write_text("".join(one.ca_file.read_text() for one in bmcs.values()))
        text = {"type": "redfish", "user": USER, "ca_file": str(trusted), "poll_s": 0.1, "grace_s": 10.0}
        self.text: Mapping[str, Any] = text | {"password": _file(folder / "password", PASSWORD)}
        self.refused: Mapping[str, Any] | None = text | {"password": _file(folder / "wrong", "another")}

    def powered(self) -> Mapping[str, bool] | None:
        return {name: one.on for name, one in self._bmcs.items()}

    def switch(self, machine: str, on: bool) -> bool:
        self._bmcs[machine].on = on
        return True

    def hang(self) -> bool:
        for one in self._bmcs.values():
            one.hangs = True
        return True


@contextmanager
def harness(folder: Path) -> Iterator[RedfishHarness]:
    """Start two services."""
    with redfish_bmc(folder / "m1") as first, redfish_bmc(folder / "m2") as second:
        yield RedfishHarness(folder, {"m1": first, "m2": second})


def _file(path: Path, secret: str) -> dict[str, str]:
    path.touch(mode=0o600)
    path.write_text(secret)
    return {"file": str(path)}
