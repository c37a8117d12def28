"""K3s of every architecture: which files a machine gets, and what is known of them before anything is changed."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rigs.needs import need_root

ROOT = Path(__file__).parents[2]
VERSION = "v1.36.4+k3s1"
PROGRAMS = {"amd64": "k3s", "arm64": "k3s-arm64", "arm": "k3s-armhf"}
MACHINES = {
    "box": ("x86_64", "64", "amd64"),
    "pi-64": ("aarch64", "64", "arm64"),
    "pi-32-on-64": ("aarch64", "32", "arm"),
    "pi-32": ("armv7l", "32", "arm"),
    "pi-zero": ("armv6l", "32", ""),
}
"""Name -> what the kernel says, bits of the system, and what K3s calls it; nothing where K3s is not made for it."""

pytestmark = [pytest.mark.ansible, pytest.mark.slow]


def release(folder: Path) -> Path:
    """Lay out a release of K3s as it is collected."""
    files = folder / VERSION
    files.mkdir(parents=True)
    for architecture, program in PROGRAMS.items():
        names = (program, f"k3s-airgap-images-{architecture}.tar.zst")
        for name in names:
            (files / name).write_text(f"{name} of {architecture}")
        (files / f"sha256sum-{architecture}.txt").write_text("".join(f"{digest(files / n)}  {n}\n" for n in names))
    return files


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def play(folder: Path, names: tuple[str, ...], *tasks: dict[str, Any], **said: Any) -> subprocess.CompletedProcess[str]:
    """Run tasks for machines that are this one, and say of themselves what those of the table do."""
    hosts = {
        name: {"ansible_connection": "local", "machine": MACHINES[name][0], "bits": MACHINES[name][1]} for name in names
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    facts = {"architecture": "{{ machine }}", "userspace_bits": "{{ bits }}", "cacheable": True}
    plays = [
        {
            "hosts": "all",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable, "k3s_program_version": VERSION, **said},
            "tasks": [{"ansible.builtin.set_fact": facts}, *tasks],
        }
    ]
    (folder / "site.yml").write_text(yaml.safe_dump(plays))
    argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(folder / "hosts.yml")]
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    argv.append(str(folder / "site.yml"))
    return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


def note(folder: Path, **values: str) -> dict[str, Any]:
    """Write values of a machine to `NAME.json`."""
    content = "{{ said | to_json }}"
    return {
        "ansible.builtin.copy": {"dest": f"{folder}/{{{{ inventory_hostname }}}}.json", "content": content},
        "vars": {"said": values},
    }


def test_a_32_bit_system_on_a_64_bit_kernel_gets_the_k3s_of_armhf(tmp_path: Path) -> None:
    values = {name: f"{{{{ {name} }}}}" for name in ("k3s_program_architecture", "k3s_program_list_name")}
    values |= {
        "name": "{{ k3s_program_name if k3s_program_architecture else '' }}",
        "served": "{{ air_gap_architecture }}",
    }
    roles = ROOT / "playbooks" / "roles"
    files = [str(roles / role / "vars" / "main.yml") for role in ("k3s_program", "air_gap")]
    reading = [{"ansible.builtin.include_vars": {"file": file}} for file in files]
    done = play(tmp_path, tuple(MACHINES), *reading, note(tmp_path, **values))
    assert done.returncode == 0, done.stdout
    for name, (machine, _, ours) in MACHINES.items():
        assert json.loads((tmp_path / f"{name}.json").read_text()) == {
            "k3s_program_architecture": ours,
            "k3s_program_list_name": f"sha256sum-{ours}.txt",
            "name": PROGRAMS.get(ours, ""),
            "served": ours or machine,
        }


CHECK = {"ansible.builtin.include_role": {"name": "air_gap", "tasks_from": "check"}}


def test_the_sums_that_a_mirror_has_to_keep_to_are_those_of_this_computers_lists(tmp_path: Path) -> None:
    files = release(tmp_path / "k3s")
    given = {"air_gap_folder": str(tmp_path / "k3s"), "air_gap_version": VERSION}
    example = yaml.safe_load((ROOT / "inventories" / "raspberry_pi" / "group_vars" / "all.yml").read_text())
    said = {name: example[name] for name in ("k3s_program_sha256", "k3s_program_images_sha256")}
    done = play(tmp_path, ("box", "pi-32-on-64"), CHECK, note(tmp_path, **said), **given)
    assert done.returncode == 0, done.stdout
    for name in ("box", "pi-32-on-64"):
        assert json.loads((tmp_path / f"{name}.json").read_text()) == {
            "k3s_program_sha256": {a: digest(files / PROGRAMS[a]) for a in ("amd64", "arm")},
            "k3s_program_images_sha256": {
                a: digest(files / f"k3s-airgap-images-{a}.tar.zst") for a in ("amd64", "arm")
            },
        }


def test_a_release_that_lacks_something_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    files = release(tmp_path / "k3s")
    (files / "k3s-armhf").write_text("another program")
    (files / "k3s-airgap-images-amd64.tar.zst").unlink()
    given = {"air_gap_folder": str(tmp_path / "k3s"), "air_gap_version": VERSION}
    done = play(tmp_path, ("box", "pi-32", "pi-64"), CHECK, **given)
    assert done.returncode != 0
    assert "k3s-armhf: the sum is not that of sha256sum-arm.txt" in done.stdout
    assert "k3s-airgap-images-amd64.tar.zst is missing" in done.stdout
    assert "k3s-arm64" not in done.stdout


def test_a_mirror_that_hands_out_another_program_with_a_list_that_fits_it_is_refused(tmp_path: Path) -> None:
    need_root()
    files = release(tmp_path / "k3s")
    served = release(tmp_path / "served")
    (served / "k3s").write_text("another program")
    (served / "sha256sum-amd64.txt").write_text(f"{digest(served / 'k3s')}  k3s\n")
    example = yaml.safe_load((ROOT / "inventories" / "raspberry_pi" / "group_vars" / "all.yml").read_text())
    given = {"air_gap_folder": str(tmp_path / "k3s"), "air_gap_version": VERSION, "got": str(tmp_path / "got")}
    given["k3s_program_sha256"] = example["k3s_program_sha256"]
    one = {"item": "{{ k3s_program_files[0] | combine({'dest': got}) }}"}
    fetch = {
        "ansible.builtin.include_role": {"name": "k3s_program", "tasks_from": "fetch"},
        "vars": {"k3s_program_one": one},
    }
    with serving(tmp_path / "served") as address:
        done = play(tmp_path, ("box",), CHECK, fetch, k3s_program_mirror=address, **given)
    assert done.returncode != 0
    assert "checksum" in done.stdout
    assert not (tmp_path / "got").exists()
    with serving(tmp_path / "k3s") as address:
        done = play(tmp_path, ("box",), CHECK, fetch, k3s_program_mirror=address, **given)
    assert done.returncode == 0, done.stdout
    assert digest(tmp_path / "got") == digest(files / "k3s")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP on loopback."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="mirror", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)
