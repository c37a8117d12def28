"""The certificate of the role `registry_mirror`: for the address and the names, made anew only where it has to be."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.rigs.needs import need_programs

TASKS = Path(__file__).parents[2] / "playbooks" / "roles" / "registry_mirror" / "tasks" / "main.yml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where certificates are made, beside a `chown` to an account that only a registry's machine has."""
    need_programs("openssl")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "chown").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "chown").chmod(0o755)
    (tmp_path / "made").mkdir()
    return tmp_path


def make(folder: Path, address: str, names: str) -> str:
    """Run the role's own task; return what it says."""
    (task,) = [t for t in yaml.safe_load(TASKS.read_text(encoding="utf-8")) if t["name"] == "Make a certificate"]
    env = {**os.environ, "ADDRESS": address, "NAMES": names}
    env["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
    argv = ["/bin/sh", "-c", task["ansible.builtin.shell"]]
    done = subprocess.run(argv, cwd=folder / "made", env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def is_for(folder: Path, *words: str) -> bool:
    argv = ["openssl", "x509", "-in", str(folder / "made" / "mirror.pem"), "-noout", *words]
    return "does match" in subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def test_it_is_for_the_address_and_every_name_and_stays(folder: Path) -> None:
    assert make(folder, "192.0.2.21", "box-1 registry.lan") == "made"
    assert is_for(folder, "-checkip", "192.0.2.21")
    assert all(is_for(folder, "-checkhost", name) for name in ("box-1", "registry.lan"))
    assert not is_for(folder, "-checkhost", "box-2")
    assert make(folder, "192.0.2.21", "box-1 registry.lan") == ""
    assert (folder / "made" / "mirror.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("address", "names"), [("192.0.2.22", "box-1"), ("192.0.2.21", "box-1 registry.lan")])
def test_another_address_and_a_new_name_make_another_one(folder: Path, address: str, names: str) -> None:
    make(folder, "192.0.2.21", "box-1")
    assert make(folder, address, names) == "made"
    assert make(folder, address, names) == ""


def test_one_without_names_is_for_the_address_alone(folder: Path) -> None:
    assert make(folder, "192.0.2.21", "") == "made"
    assert is_for(folder, "-checkip", "192.0.2.21")
