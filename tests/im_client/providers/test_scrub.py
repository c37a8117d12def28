"""What does not go into a golden image, from trees that a hostile machine may have made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from im_client.providers.scrub import PATTERNS, check_patterns, scrub, scrub_program
from infracore.errors import InvalidUsage


def _tree(root: Path, *files: str) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def _left(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())


@pytest.mark.parametrize(
    "path",
    [
        "etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_rsa_key.pub", "etc/machine-id", "etc/hostname", "etc/hosts",
        "etc/resolv.conf", "var/log/journal/0123/system.journal", "var/log/munge/munged.log", "var/lib/dhcp/a.leases",
        "root/.ssh/authorized_keys", "home/ana/.ssh/id_ed25519", "root/.bash_history", "tmp/x/y", "run/x",
        "etc/munge/munge.key", "var/spool/slurmd/cred_state", "var/lib/rancher/k3s/agent/client-kubelet.key",
        "etc/rancher/k3s/config.yaml", "etc/rancher/node/password", "etc/kubernetes/kubelet.conf",
        "var/lib/kubelet/pki/kubelet.key", "root/.kube/config", "var/lib/systemd/random-seed", "root/.ansible/tmp/a",
    ],
)  # fmt: skip
def test_identity_and_secrets_go(tmp_path: Path, path: str) -> None:
    _tree(tmp_path, path)
    scrub(tmp_path)
    assert _left(tmp_path) == []


@pytest.mark.parametrize(
    "path",
    [
        "usr/sbin/slurmd", "etc/slurm/slurm.conf", "etc/ssh/sshd_config", "etc/munge/other", "var/lib/dpkg/status",
        "etc/systemd/system/slurmd.service.d/im.conf", "var/lib/apt/lists/x", "home/ana/data", "opt/app/etc/machine-id",
        "usr/local/bin/k3s", "var/log", "root/notes",
    ],
)  # fmt: skip
def test_what_roles_installed_stays(tmp_path: Path, path: str) -> None:
    _tree(tmp_path, f"{path}/file" if path == "var/log" else path)
    scrub(tmp_path)
    assert _left(tmp_path) == ([] if path == "var/log" else [path])
    assert (tmp_path / path).exists()  # the folder of logs stays, with its owner


def test_links_are_taken_away_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    _tree(outside, "ssh_host_rsa_key", "deep/authorized_keys", "machine-id")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "ssh").symlink_to(outside)
    (root / "etc" / "machine-id").symlink_to(outside / "machine-id")
    (root / "root").symlink_to(outside / "deep")
    (root / "tmp").mkdir()
    (root / "tmp" / "all").symlink_to("/")
    done = scrub(root)
    assert _left(outside) == ["deep/authorized_keys", "machine-id", "ssh_host_rsa_key"]
    assert done.removed == ("/etc/machine-id", "/tmp/all")
    assert _left(root) == ["etc/ssh", "root"]


def test_private_files_that_stay_are_named_and_further_patterns_take_them(tmp_path: Path) -> None:
    _tree(tmp_path, "etc/app/secret.key", "etc/app/open.conf", "usr/share/private")
    for name in ("etc/app/secret.key", "usr/share/private"):
        (tmp_path / name).chmod(0o600)
    assert scrub(tmp_path).private == ("/etc/app/secret.key",)
    done = scrub(tmp_path, check_patterns(["/etc/*/secret.*"]))
    assert (done.private, done.removed) == ((), ("/etc/app/secret.key",))


@pytest.mark.parametrize("pattern", ["", "/", "etc/x", "/etc/../x", "/./x", "/etc//x"])
def test_a_pattern_that_is_no_path_of_a_machine_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidUsage):
        check_patterns([pattern])


def run_program(root: Path, *patterns: str) -> subprocess.CompletedProcess[str]:
    program = scrub_program(patterns, str(root))
    return subprocess.run(
        [sys.executable, "-I", "-"], input=program, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_machine_scrubs_itself_by_a_program_that_needs_nothing_of_ours(tmp_path: Path) -> None:
    for name in ("etc/machine-id", "etc/keep", "root/.ssh/id", "home/ana/.ssh/id", "opt/own.key"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    done = run_program(tmp_path, *PATTERNS)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"removed": 3, "private": ["/etc/keep", "/opt/own.key"]}
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == [
        "etc/keep",
        "opt/own.key",
    ]


def test_the_server_of_a_cluster_does_not_scrub_itself(tmp_path: Path) -> None:
    state = tmp_path / "var/lib/rancher/k3s/server/db"
    state.mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("x")
    for patterns in (PATTERNS, ()):
        done = run_program(tmp_path, *patterns)
        assert done.returncode == 3
        assert "var/lib/rancher/k3s/server" in done.stderr
    assert (tmp_path / "etc/machine-id").exists()
    assert state.exists()


def test_a_look_whether_a_machine_may_scrub_itself_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("x")
    assert run_program(tmp_path).returncode == 0
    assert (tmp_path / "etc/machine-id").exists()
