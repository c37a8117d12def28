"""A real sshd on the loopback address, with its own host key, configuration, port and home folder."""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from im_client.remote.access import Access
from im_client.remote.hostkeys import new_key_pair
from infracore.secrets import Secret

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else "")


@dataclass(slots=True)
class Loopback:
    """A server; `access` logs in to it."""

    access: Access
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def home(self) -> Path:
        """The home folder of whoever logs in."""
        return self.folder / "home"

    def hang(self) -> None:
        """Let it accept connections and say nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        """End the server and the sessions that it serves."""
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(
    folder: Path,
    *,
    authorized: bool = True,
    host_key: tuple[str, Secret] | None = None,
    port: int = 0,
    address: str = "127.0.0.1",
    key: str = "",
) -> Loopback:
    """Start a server in a folder; return when it accepts connections. `key` may log in, too."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
    _fake_programs(folder / "bin", home)
    host_public, host_private = host_key or new_key_pair()
    public, private = new_key_pair("test")
    port = port or free_port()
    _write(folder / "host_key", host_private.reveal())
    _write(home / ".ssh" / "authorized_keys", f"{public}\n{key}\n" if authorized else "")
    config = folder / "sshd_config"
    config.write_text(
        f"""
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {home}/.ssh/authorized_keys
SetEnv HOME={home} PATH={folder}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 200
MaxSessions 100
Subsystem sftp internal-sftp
{_penalties()}
""",
        encoding="utf-8",
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line.decode())
        if b"listening on" in line:
            break
    else:
        raise RuntimeError("sshd did not start: " + "".join(said))
    threading.Thread(target=process.stderr.read, name="sshd-stderr", daemon=True).start()
    access = Access(address=address, port=port, user=getpass.getuser(), private_key=private, host_key=host_public)
    return Loopback(access, folder, process)


def _penalties() -> str:
    """From OpenSSH 9.8 on a server drops clients that fail often; the tests fail on purpose, and often."""
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr
    found = re.match(r"OpenSSH_(\d+)\.(\d+)", said)
    return "PerSourcePenalties no" if found and (int(found[1]), int(found[2])) >= (9, 8) else ""


def _fake_programs(folder: Path, home: Path) -> None:
    """Put programs in front of PATH that would otherwise switch off the computer that the tests run on."""
    folder.mkdir(exist_ok=True)
    for name in ("systemctl", "reboot", "poweroff", "shutdown", "halt"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {home}/power.log\n', encoding="utf-8")
        program.chmod(0o755)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
