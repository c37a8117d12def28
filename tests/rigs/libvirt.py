"""A libvirtd of its own: in a mount, process and network namespace, with all its state in one folder.

Nothing of it is seen outside but its socket: not its bridges, not its firewall rules, not its DHCP server. It ends with
its first process, and all its machines with it. Machines are reached from inside: `Libvirt.inside(argv)`.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.needs import need_programs, need_root
from tests.rigs.process import daemon

__all__ = ["Libvirt", "libvirt"]

_QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "logd"
"""
_CONF = """
listen_tls = 0
listen_tcp = 0
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
unix_sock_dir = "{folder}/sock"
"""
# The shell is the first process: it reaps what libvirtd leaves, without which its probing of QEMU takes minutes.
_UP = """
set -e
for pair in run:/run etc:/etc/libvirt lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
    mkdir -p "${pair#*:}"
    mount --bind "{folder}/${pair%%:*}" "${pair#*:}"
done
ip link set lo up
virtlogd &
libvirtd
"""
_NETWORK = """
<network><name>{name}</name><bridge stp="off" delay="0"/>
<ip address="{net}.1" netmask="255.255.255.0"><dhcp><range start="{net}.10" end="{net}.250"/></dhcp></ip></network>
"""


class Libvirt:
    """A running libvirtd."""

    def __init__(self, folder: Path, pid: int) -> None:
        self.folder = folder
        self.uri = f"qemu+unix:///system?socket={folder}/sock/libvirt-sock"
        self.pool = folder / "pool"
        self._pid = pid

    def virsh(self, *words: str, stdin: str = "") -> str:
        """Run virsh; what it prints."""
        argv = ["virsh", "-q", "-c", self.uri, *words]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answers(self) -> bool:
        """Say whether it can be asked."""
        argv = ["virsh", "-q", "-c", self.uri, "version"]
        return subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode == 0

    def inside(self, argv: Sequence[str]) -> list[str]:
        """Return a command that runs where the machines' networks are."""
        child = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()[0]
        return ["nsenter", f"--net=/proc/{child}/ns/net", "--", *argv]


@contextmanager
def libvirt(folder: Path) -> Iterator[Libvirt]:
    """Run a libvirtd with the pool `default` and the networks `default` and `second`, without a way out."""
    need_root()
    need_programs("libvirtd", "virtlogd", "virsh", "qemu-system-x86_64", "qemu-img", "dnsmasq", "unshare", "nsenter")
    for name in ("run", "etc", "lib", "cache", "log", "sock", "pool"):
        (folder / name).mkdir()
    (folder / "etc" / "qemu.conf").write_text(_QEMU_CONF)
    (folder / "etc" / "libvirtd.conf").write_text(_CONF.replace("{folder}", str(folder)))
    spaces = [
        "setpriv",
        "--pdeathsig=KILL",
        "unshare",
        "--mount",
        "--propagation=private",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    with daemon([*spaces, "sh", "-c", _UP.replace("{folder}", str(folder))], folder) as process:
        opened = Libvirt(folder, process.process.pid)
        process.wait_for(opened.answers)
        opened.virsh("pool-define-as", "default", "dir", "--target", str(opened.pool))
        opened.virsh("pool-start", "default")
        for name, net in (("default", "10.79.1"), ("second", "10.79.2")):
            opened.virsh("net-define", "/dev/stdin", stdin=_NETWORK.format(name=name, net=net))
            opened.virsh("net-start", name)
        yield opened
