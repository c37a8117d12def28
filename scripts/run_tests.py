"""Run the tests that this machine can run, say why it cannot run the others, and leave no process behind.

`--quick`: only those that need nothing. `--only=MARKER`: only those with this marker. `--install`: install the Debian
packages that tests use, as far as allowed. Further words go to pytest.
"""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKERS = (
    "machines",
    "vm",
    "libvirt",
    "pi",
    "ansible",
    "sshd",
    "mtools",
    "first_boot",
    "ipmi",
    "redfish",
    "snmp",
    "oidc_agent",
    "netns",
    "loop",
    "im_server",
    "im_client",
    "schemathesis",
    "browser",
    "controlplane",
    "slurm",
    "postgres",
    "openstack",
    "slow",
    "long",
    "install",
)
TEST_PACKAGES = (
    "openssh-server",
    "mtools",
    "dosfstools",
    "e2fsprogs",
    "openipmi",
    "ipmitool",
    "snmpd",
    "snmp",
    "oidc-agent-cli",
    "iproute2",
    "iputils-ping",
    "dnsmasq-base",
    "slurm-wlm",
    "slurmrestd",
    "munge",
    "postgresql",
    "chromium",
    "fonts-dejavu-core",
    "fonts-inter",
)
LIBVIRT_PACKAGES = ("libvirt-daemon-system", "libvirt-clients", "dnsmasq-base")
PI_PACKAGES = (
    "apt-cacher-ng",
    "binfmt-support",
    "device-tree-compiler",
    "dnsmasq-base",
    "dosfstools",
    "fdisk",
    "mmdebstrap",
    "mtools",
    "qemu-system-arm",
    "qemu-user-static",
    "zstd",
)
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def _needs(*programs: str) -> str:
    missing = [p for p in programs if shutil.which(p, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _machines() -> str:
    if os.geteuid() != 0:
        return "needs root"
    return _needs("systemd-nspawn", "mmdebstrap", "ip")


def _libvirt() -> str:
    if os.environ.get("CI"):
        return "minutes, left out where CI is set: `make test` runs them elsewhere"
    if os.geteuid() != 0:
        return "needs root"
    return _needs("libvirtd", "virtlogd", "virsh", "qemu-system-x86_64", "qemu-img", "dnsmasq", "unshare", "nsenter")


def _pi() -> str:
    if os.environ.get("CI"):
        return "an emulated board takes half an hour, left out where CI is set: `make test` runs it elsewhere"
    if os.geteuid() != 0:
        return "needs root"
    making = ("mmdebstrap", "qemu-aarch64-static", "update-binfmts", "mkfs.vfat", "mke2fs", "sfdisk", "zstd", "mcopy")
    return _needs(*making, "apt-cacher-ng", "qemu-system-aarch64", "fdtput", "losetup", "dnsmasq", "ip")


def _loop() -> str:
    if os.geteuid() != 0:
        return "needs root"
    if missing := _needs("losetup", "mount"):
        return missing
    said = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False)
    return "" if said.returncode == 0 else f"no loop devices: {said.stderr.strip()}"


def _controlplane() -> str:
    """Build the Kubernetes control plane where it is not there yet: before the tests, whose time is limited.

    Where it cannot be had the same tests run on a small one, and pytest's header says so.
    """
    if not os.environ.get("IM_CLUES_CONTROLPLANE", "").startswith("small"):
        argv = [sys.executable, "-m", "tests.controlplane.programs"]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)  # its progress is seen on stderr
        if done.returncode and "IM_CLUES_CONTROLPLANE" not in os.environ:
            os.environ["IM_CLUES_CONTROLPLANE"] = f"small:{done.stdout.strip() or 'the real one cannot be built'}"
    return ""


def _im_server() -> str:
    """Install the Infrastructure Manager where it is not there yet."""
    argv = [sys.executable, "-m", "tests.rigs.im_server"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    return (done.stdout.strip() or "the Infrastructure Manager cannot be installed") if done.returncode else ""


def _im_client() -> str:
    """Install the Infrastructure Manager's client where it is not there yet."""
    argv = [sys.executable, "-m", "tests.rigs.im_client"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    return (done.stdout.strip() or "the client cannot be installed") if done.returncode else ""


def _first_boot() -> str:
    """Fetch cloud-init, netplan and NetworkManager where they are not there yet."""
    argv = [sys.executable, "-m", "tests.rigs.first_boot"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    return (done.stdout.strip() or "they cannot be fetched") if done.returncode else ""


def _redfish() -> str:
    """Install OpenStack's Redfish emulator where it is not there yet."""
    argv = [sys.executable, "-m", "tests.rigs.sushy"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    return (done.stdout.strip() or "the Redfish emulator cannot be installed") if done.returncode else ""


def _postgres() -> str:
    if os.geteuid() == 0 and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        return "no user postgres to run it as"
    there = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return "" if there else _needs("initdb", "postgres")


def _openstack() -> str:
    if os.environ.get("CI"):
        return "minutes, left out where CI is set: `make test-openstack` runs them"
    argv = [sys.executable, "-m", "tests.rigs.openstack", "missing"]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()


def _browser() -> str:
    if importlib.util.find_spec("playwright") is None:
        return "not installed: playwright"
    return "" if shutil.which("chromium") or shutil.which("chromium-browser") else "not installed: chromium"


CONDITIONS: dict[str, Callable[[], str]] = {
    "machines": _machines,
    "vm": lambda: _needs("qemu-system-x86_64", "qemu-img"),
    "libvirt": _libvirt,
    "pi": _pi,
    "ansible": lambda: _needs("ansible-playbook"),
    "sshd": lambda: _needs("sshd", "ssh"),
    "mtools": lambda: _needs("mcopy", "mdel", "mdir", "mtype", "mkfs.vfat", "fsck.vfat", "mke2fs", "debugfs", "e2fsck"),
    "first_boot": _first_boot,
    "oidc_agent": lambda: _needs("oidc-agent"),
    "ipmi": lambda: _needs("ipmi_sim", "ipmitool"),
    "redfish": _redfish,
    "snmp": lambda: _needs("snmpd", "snmpget", "snmpset"),
    "loop": _loop,
    "netns": lambda: "needs root" if os.geteuid() != 0 else _needs("ip"),
    "im_server": _im_server,
    "im_client": _im_client,
    "schemathesis": lambda: "" if importlib.util.find_spec("schemathesis") else "not installed: schemathesis",
    "browser": _browser,
    "controlplane": _controlplane,
    "slurm": lambda: _needs("slurmctld", "slurmd", "munged", "squeue", "scontrol", "sbatch"),
    "postgres": _postgres,
    "openstack": _openstack,
    "slow": lambda: "",
    "long": lambda: "minutes each, left out where CI is set" if os.environ.get("CI") else "",
    "install": lambda: "",
}


def main(words: list[str]) -> int:
    """Run pytest and return its exit code."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"
    os.chdir(ROOT)
    quick = "--quick" in words
    install = "--install" in words
    only = next((word.removeprefix("--only=") for word in words if word.startswith("--only=")), "")
    rest = [word for word in words if word not in {"--quick", "--install"} and not word.startswith("--only=")]
    if install:
        _install()
    reasons = dict.fromkeys(MARKERS, "not part of the quick suite")
    if quick:
        os.environ["IM_CLUES_QUICK"] = "1"  # see tests/laws.py
    else:
        reasons = {marker: why for marker in MARKERS if (why := CONDITIONS[marker]())}
        for marker, why in reasons.items():
            print(f"skipping tests marked {marker!r}: {why}", flush=True)
    if only in reasons:
        return 2
    expression = " and ".join([*([only] if only else []), *(f"not {marker}" for marker in reasons)])
    become_reaper()
    # two processes also on more cores: one boots machines, one runs servers (see tests/conftest.py)
    workers = ["-n", "2", "--dist", "loadgroup"] if (os.cpu_count() or 1) > 1 else []
    chosen = ["-m", expression] if expression else []
    argv = [sys.executable, "-m", "pytest", *workers, *chosen, "--durations=10", *rest]
    status = subprocess.call(argv, stdin=subprocess.DEVNULL)
    left = end_descendants()
    if left:
        print(f"ended processes that the tests had left behind: {', '.join(left)}", file=sys.stderr)
    return status


def _install() -> None:
    packages = [*TEST_PACKAGES, *(() if os.environ.get("CI") else (*LIBVIRT_PACKAGES, *PI_PACKAGES))]
    for kind in ("nspawn", "qemu"):
        argv = [sys.executable, "-m", "im_client.providers.local.packages", kind]
        packages += subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    if subprocess.call(["sh", "scripts/install-packages.sh", *packages], stdin=subprocess.DEVNULL) != 0:
        print("going on with what is installed", flush=True)


def become_reaper() -> None:
    """Become the parent of every process whose own parent ends, so that `end_descendants` finds all."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(grace_s: float = 5.0) -> list[str]:
    """End all processes that descend from this one and return their names."""
    found: list[str] = []
    deadline = time.monotonic() + grace_s
    while children := _descendants():
        hard = time.monotonic() > deadline
        for pid, name in children.items():
            if name not in found:
                found.append(name)
            try:
                os.kill(pid, signal.SIGKILL if hard else signal.SIGTERM)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline + grace_s:
            break
        time.sleep(0.1)
        _reap()
    _reap()
    return found


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _descendants() -> dict[int, str]:
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            head, _, tail = (folder / "stat").read_text(errors="replace").rpartition(")")
        except OSError:
            continue
        state, parent = tail.split()[:2]
        if state != "Z":
            parents[int(folder.name)] = (int(parent), head.partition("(")[2])
    ours = {os.getpid()}
    grown = True
    while grown:
        more = {pid for pid, (parent, _) in parents.items() if parent in ours} - ours
        ours |= more
        grown = bool(more)
    return {pid: parents[pid][1] for pid in ours - {os.getpid()} if pid in parents}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
