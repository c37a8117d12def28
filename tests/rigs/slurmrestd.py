"""A real slurmrestd of a Slurm of the rig, on a unix socket (rest_auth/local) or on loopback (rest_auth/jwt)."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.process import daemon
from tests.rigs.slurm import SlurmRig

__all__ = ["slurmrestd"]

_PLUGINS = "openapi/v0.0.37,openapi/v0.0.38"
"""Without those for slurmdbd, which a Slurm without accounting has not."""


@contextmanager
def slurmrestd(rig: SlurmRig, auth: str = "rest_auth/local") -> Iterator[str]:
    """Run it and yield its address as `slurm.restd` has it."""
    path = rig.folder / "restd.sock"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    local = auth == "rest_auth/local"
    # it refuses to run as root or as SlurmUser, which the rig has only one of
    env = {**rig.env(), "SLURMRESTD_SECURITY": "disable_user_check,disable_unshare_files,disable_unshare_sysv"}
    env["SLURM_BITSTR_LEN"] = "0"  # array tasks in full
    listen = f"unix:{path}" if local else f"127.0.0.1:{port}"
    with daemon(["slurmrestd", "-f", rig.conf, "-s", _PLUGINS, "-a", auth, listen], rig.folder, env) as started:
        started.wait_for(lambda: _answers(path) if local else _listens(port))
        yield listen if local else f"http://{listen}"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return path.exists() and probe.connect_ex(str(path)) == 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
