"""Debian's cloud-init, unpacked into a cache folder and not installed: it would take this computer for a new one.

`python -m tests.rigs.cloud_init` fetches it where it is not there yet and prints the place.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["folder", "read_seed", "schema"]

_PACKAGES = ("cloud-init", "python3-configobj")
_FETCH_S = 300
_READ = """
import json, sys, tempfile
from pathlib import Path
from cloudinit import helpers
from cloudinit.net.netplan import Renderer
from cloudinit.net.network_state import parse_net_config_data
from cloudinit.sources.DataSourceNoCloud import DataSourceNoCloud
from cloudinit.util import load_yaml

seed = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    source = DataSourceNoCloud({}, None, helpers.Paths({"cloud_dir": folder, "run_dir": folder}))
    source.seed_dirs = [seed]
    found = source._get_data()
    config = source.network_config
    state = parse_net_config_data(config.get("network", config))
    Renderer({"netplan_path": "netplan.yaml"}).render_network_state(state, target=folder)
    print(json.dumps({
        "found": found,
        "metadata": source.metadata,
        "userdata": load_yaml(source.userdata_raw),
        "netplan": load_yaml((Path(folder) / "netplan.yaml").read_text()),
    }))
"""


def folder() -> Path:
    """Return the folder of its Python packages, fetching them where they are not there yet.

    Raises:
        RuntimeError: apt-get cannot; the text says why.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "im-clues-tests"
    place = cache / "cloud-init"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "cloud-init.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            place.mkdir(exist_ok=True)
            try:
                for argv in (
                    ["apt-get", "-q", "download", *_PACKAGES],
                    ["sh", "-c", "set -e; for d in *.deb; do dpkg-deb -x $d .; done"],
                ):
                    subprocess.run(argv, cwd=place, check=True, capture_output=True, text=True, timeout=_FETCH_S)
            except (OSError, subprocess.SubprocessError) as error:
                said = str(getattr(error, "stderr", "") or error).strip()[-300:]
                raise RuntimeError(f"cloud-init cannot be fetched: {said}") from error
            (place / "complete").touch()
    return place / "usr" / "lib" / "python3" / "dist-packages"


def schema(user_data: Path) -> str:
    """Return what `cloud-init schema` says of a file, and "" where it finds nothing wrong."""
    done = _python("-m", "cloudinit.cmd.main", "schema", "-c", str(user_data))
    return "" if done.returncode == 0 and "Valid cloud-config" in done.stdout else done.stdout + done.stderr


def read_seed(seed: Path) -> dict[str, Any]:
    """Return what NoCloud reads in a folder, and the netplan that cloud-init makes of it."""
    done = _python("-c", _READ, str(seed))
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def _python(*words: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(folder())}
    return subprocess.run(
        [sys.executable, *words], env=env, cwd="/", check=False, capture_output=True, text=True, timeout=120
    )


if __name__ == "__main__":
    try:
        print(folder())
    except RuntimeError as error:
        print(error)
        sys.exit(1)
