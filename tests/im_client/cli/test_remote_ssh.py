"""`im --server URL ssh`: the key comes from the server, the host key is that of the first time."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from im_client.remote.hostkeys import new_key_pair
from tests.im_client.remote.loopback import Loopback, serve
from tests.rigs.small_im import Reply, SmallIm, small_im


def answers(**features: Any) -> dict[str, Any]:
    system = {"class": "system", "id": "front", "net_interface.0.dns_name": "front"}
    net = {"class": "network", "id": "net", "outbound": "yes"}
    system |= {"net_interface.0.connection": "net", **features}
    return {
        "GET /infrastructures": Reply(body={"uri-list": [{"uri": "http://x/infrastructures/abcd-1"}]}),
        "GET /infrastructures/abcd-1/radl": Reply(body={"radl": "description d (name = 'demo')\n"}),
        "GET /infrastructures/abcd-1/state": Reply(
            body={"state": {"state": "configured", "vm_states": {"0": "configured"}}}
        ),
        "GET /infrastructures/abcd-1/vms/0": Reply(body={"radl": [net, system]}),
    }


def im(server: SmallIm, folder: Path, *words: str, path: str = "") -> "subprocess.CompletedProcess[str]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("IM_")}
    env |= {"HOME": str(folder), "IM_STATE_DIR": str(folder / "state"), "IM_TOKEN": "t", "IM_SERVER": server.url}
    env["PATH"] = f"{path}:{env['PATH']}"
    argv = [sys.executable, "-m", "im_client.cli.main", *words]
    return subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Loopback]:
    running = serve(tmp_path / "sshd")
    yield running
    running.stop()


def described(machine: Loopback) -> dict[str, Any]:
    assert machine.access.private_key is not None
    return answers(
        **{
            "net_interface.0.ip": machine.access.address,
            "disk.0.os.credentials.username": machine.access.user,
            "disk.0.os.credentials.private_key": machine.access.private_key.reveal(),
        }
    )


@pytest.mark.sshd
def test_a_command_runs_with_the_servers_key_and_another_host_key_later_is_refused(
    machine: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = described(machine)
    net, system = found["GET /infrastructures/abcd-1/vms/0"].body["radl"]
    net["outports"] = f"{machine.access.port}/tcp-22/tcp"  # forwarded, as some clouds do
    system["net_interface.0.ip"] = "localhost"
    with small_im(found) as server:
        done = im(server, tmp_path, "ssh", "demo", "front", "--", "echo", "hello; exit 3")
        assert (done.returncode, done.stdout) == (3, "hello\n"), done.stderr
        (tmp_path / "job").write_text("work")
        done = im(server, tmp_path, "scp", "demo", "job", f"front:{machine.home}/")
        assert (done.returncode, (machine.home / "job").read_text()) == (0, "work"), done.stderr
        kept = list((tmp_path / "state" / "remote-hosts").rglob("0"))
        assert [path.read_text().strip() for path in kept] == [machine.access.host_key]
        assert list(tmp_path.rglob("key-*")) == []
        kept[0].write_text(new_key_pair()[0] + "\n")
        done = im(server, tmp_path, "ssh", "demo", "--", "echo", "hello")
        assert done.returncode == 255
        assert "hello" not in done.stdout


@pytest.mark.slow
def test_a_password_reaches_ssh_by_a_program_and_by_no_word(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    key = new_key_pair()[0]
    (programs / "ssh-keyscan").write_text(f"#!/bin/sh\necho '192.0.2.9 {key}'\n")
    (programs / "ssh").write_text('#!/bin/sh\necho "$@" >&2\n"$SSH_ASKPASS" password:\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    more = {"net_interface.0.ip": "192.0.2.9", "disk.0.os.credentials.password": "hush hush"}
    with small_im(answers(**more)) as server:
        done = im(server, tmp_path, "ssh", "demo", path=str(programs))
    assert (done.returncode, done.stdout) == (0, "hush hush\n"), done.stderr
    assert "hush" not in done.stderr
    assert "root@192.0.2.9" in done.stderr
