"""Debian's cloud-init, netplan and NetworkManager, unpacked into a cache folder and not installed.

cloud-init would take this computer for a new one.

`python -m tests.rigs.first_boot` fetches it where it is not there yet and prints the place.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["accounts", "folder", "generated", "keyfile", "read_seed", "schema"]

_PACKAGES = ("cloud-init", "python3-configobj", "netplan.io", "network-manager", "libnm0")
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

_SHIPPED = "users: [default]\nsystem_info: {default_user: {name: pi}}\n"
"""What an image has in /etc/cloud/cloud.cfg."""
_ACCOUNTS = """
import json, sys
from pathlib import Path
from cloudinit import helpers
from cloudinit.distros import debian, ug_util
from cloudinit.util import load_yaml, mergemanydict, read_conf_with_confd

folder = Path(sys.argv[1])
base = read_conf_with_confd(str(folder / "cloud.cfg"))
config = mergemanydict([load_yaml((folder / "user-data").read_text()), base])
distro = debian.Distro("debian", base["system_info"], helpers.Paths({"cloud_dir": str(folder), "run_dir": str(folder)}))
users, _ = ug_util.normalize_users_groups(config, distro)
print(json.dumps([{"name": name, **keys} for name, keys in users.items()]))
"""


def folder() -> Path:
    """Return the folder that they are unpacked in, fetching them where they are not there yet.

    Raises:
        RuntimeError: apt-get cannot; the text says why.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "im-clues-tests"
    place = cache / "first-boot-readers"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "first-boot-readers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            place.mkdir(exist_ok=True)
            try:
                depends = _run(["apt-cache", "depends", "netplan.io"], place).split()
                library = next(word for word in depends if word.startswith("libnetplan"))
                _run(["apt-get", "-q", "download", *_PACKAGES, library], place)
                for package in sorted(place.glob("*.deb")):
                    _run(["dpkg-deb", "-x", str(package), "."], place)
            except (OSError, StopIteration, subprocess.SubprocessError) as error:
                said = str(getattr(error, "stderr", "") or error).strip()[-300:]
                raise RuntimeError(f"cloud-init, netplan or NetworkManager cannot be fetched: {said}") from error
            (place / "complete").touch()
    return place


def _run(argv: list[str], place: Path) -> str:
    return subprocess.run(argv, cwd=place, check=True, capture_output=True, text=True, timeout=_FETCH_S).stdout


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


def accounts(user_data: str, part: str, folder: Path) -> list[dict[str, Any]]:
    """Return the accounts that cloud-init makes of user-data and a part of its own configuration ("" without one)."""
    (folder / "cloud.cfg.d").mkdir()
    for name, text in {"cloud.cfg": _SHIPPED, "cloud.cfg.d/99-im-clues.cfg": part, "user-data": user_data}.items():
        (folder / name).write_text(text)
    done = _python("-c", _ACCOUNTS, str(folder))
    assert done.returncode == 0, done.stderr
    made: list[dict[str, Any]] = json.loads(done.stdout)
    return made


def generated(netplan: Sequence[str], root: Path) -> dict[str, str]:
    """Return the files that netplan's generator makes of files, by name."""
    (root / "etc" / "netplan").mkdir(parents=True)
    for number, text in enumerate(netplan):
        file = root / "etc" / "netplan" / f"5{number}-test.yaml"
        file.touch(mode=0o600)
        file.write_text(text)
    place = folder()
    library = next(place.rglob("libnetplan.so*")).parent
    program = next(path for path in place.rglob("netplan/generate") if path.is_file())
    argv = [program, "--root-dir", root]
    env = {**os.environ, "LD_LIBRARY_PATH": str(library)}
    done = subprocess.run(argv, env=env, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_text() for path in (root / "run").rglob("*") if path.is_file()}


def keyfile(text: str) -> str:
    """Return a connection as NetworkManager writes it after it read ours."""
    library = next(folder().rglob("libnm.so*")).parent
    argv = [
        folder() / "usr" / "bin" / "nmcli",
        "--offline",
        "connection",
        "modify",
        "connection.autoconnect-priority",
        "7",
    ]
    env = {**os.environ, "LD_LIBRARY_PATH": str(library), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, env=env, input=text, check=False, capture_output=True, text=True, timeout=60)
    if "error while loading shared libraries" in done.stderr:
        pytest.skip(f"nmcli cannot run here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _python(*words: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(folder() / "usr" / "lib" / "python3" / "dist-packages")}
    return subprocess.run(
        [sys.executable, *words], env=env, cwd="/", check=False, capture_output=True, text=True, timeout=120
    )


if __name__ == "__main__":
    try:
        print(folder())
    except RuntimeError as error:
        print(error)
        sys.exit(1)
