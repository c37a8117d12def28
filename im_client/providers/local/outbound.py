"""How the machines reach packages and the world: an apt proxy, network address translation, name servers.

Found out in this order where the settings say `auto`: the proxy of this computer's own apt, as far as the
machines can reach it; apt-cacher-ng on the bridge's address (running already, or started by us where it is
installed: several machines that install the same fetch it once); else translation alone.
"""

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from im_client.providers.local.network import BridgeRecord, gateway
from im_client.providers.local.settings import LocalSettings
from infracore.errors import CommandFailed, InfraError, Misconfigured
from infracore.process import run

__all__ = ["Outbound", "WayOut", "host_name_servers", "host_proxy", "nat_problem"]

_PORT: Final = 3142
"""apt-cacher-ng's own default."""
_STOP_S: Final = 3.0
_TABLE: Final = "imclues"
_FORWARD: Final = Path("/proc/sys/net/ipv4/ip_forward")
_CONFIG: Final = """CacheDir: {cache}
LogDir: {logs}
SocketPath: {logs}/socket
PidFile: {logs}/pid
BindAddress: {address}
Port: {port}
ReportPage:
ExThreshold: 30
PassThroughPattern: ^.*:443$
"""


@dataclass(frozen=True, slots=True)
class WayOut:
    """What the machines are given."""

    apt_proxy: str | None
    nat: bool
    name_servers: tuple[str, ...]


def host_proxy() -> str | None:
    """Return the http proxy of this computer's apt, if it has one."""
    dump = run(["apt-config", "dump", "Acquire::http::Proxy"], timeout_s=20, check=False).stdout
    for line in dump.splitlines():
        key, _, value = line.partition(" ")
        if key == "Acquire::http::Proxy" and value.strip('";') not in ("", "DIRECT"):
            return value.strip('";')
    return os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY") or None


def host_name_servers() -> tuple[str, ...]:
    """Return this computer's name servers as far as machines can reach them: none on loopback."""
    for path in (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf")):
        if path.exists():
            lines = (line.split() for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
            found = tuple(w[1] for w in lines if len(w) > 1 and w[0] == "nameserver" and not w[1].startswith("127."))
            if found:
                return found
    return ()


def nat_problem() -> str | None:
    """Say why translation cannot work here; None where nothing speaks against it. Changes nothing."""
    if not run(["ip", "-4", "route", "show", "default"], timeout_s=20).stdout.strip():
        return "this computer has no default route"
    if not os.access(_FORWARD, os.W_OK):
        return f"{_FORWARD} cannot be written"
    if _firewall() is None:
        return "neither nft nor iptables works here"
    return None


def _firewall() -> str | None:
    for program, words in (("nft", ["list", "tables"]), ("iptables", ["-t", "nat", "-S"])):
        with contextlib.suppress(InfraError):
            run([program, *words], timeout_s=20)
            return program
    return None


class Outbound:
    """The way out of one state folder's machines. All methods are to be called under `Records.network_lock`."""

    def __init__(self, root: Path, settings: LocalSettings) -> None:
        self._folder = root / "apt-cache"
        self._settings = settings

    def ensure(self, record: BridgeRecord) -> WayOut:
        """Set up what is wanted and possible. May be repeated.

        Raises:
            Misconfigured: the machines would have no way to packages at all, or `nat = on` cannot be had.
        """
        problem = "the setting `nat` is off" if self._settings.nat == "off" else nat_problem()
        if problem is None:
            try:
                _translate(record)
            except CommandFailed as error:
                problem = error.message
        if self._settings.nat == "on" and problem is not None:
            raise Misconfigured(f"the local machines cannot have a way out: {problem}", "set nat = auto")
        proxy = self._proxy(record)
        if proxy is None and problem is not None and self._settings.apt_proxy != "none":
            raise Misconfigured(
                f"the local machines cannot reach packages: no apt proxy, and {problem}",
                "run: apt-get install apt-cacher-ng (or set `apt_proxy`)",
            )
        return WayOut(proxy, problem is None, host_name_servers() if problem is None else ())

    @staticmethod
    def stands(record: BridgeRecord, way_out: WayOut) -> bool:
        """Tell whether what `ensure` returned is still there: the bridge, and a proxy on it. Quick."""
        if not Path("/sys/class/net", record.bridge).exists():
            return False
        parts = urlsplit(way_out.apt_proxy or "")
        return parts.hostname != gateway(record.network) or _answers(parts.hostname, parts.port or 80)

    def _proxy(self, record: BridgeRecord) -> str | None:
        if self._settings.apt_proxy == "none":
            return None
        if self._settings.apt_proxy != "auto":
            return self._settings.apt_proxy
        address = gateway(record.network)
        own = host_proxy()
        if own is not None:
            parts = urlsplit(own)
            if not _is_loopback(parts.hostname or ""):
                return own
            if _answers(address, parts.port or 80):
                return f"http://{address}:{parts.port or 80}"
        if _answers(address, _PORT) or self._start_cache(address):
            return f"http://{address}:{_PORT}"
        return None

    def _start_cache(self, address: str) -> bool:
        """Start apt-cacher-ng on the bridge; False where it is not installed."""
        program = Path("/usr/sbin/apt-cacher-ng")
        if not program.exists():
            return False
        cache, logs = self._folder / "files", self._folder / "run"
        try:
            account = pwd.getpwnam("apt-cacher-ng")
        except KeyError:
            return False
        self._folder.mkdir(mode=0o755, exist_ok=True)
        for folder in (cache, logs):
            folder.mkdir(exist_ok=True)
            os.chown(folder, account.pw_uid, account.pw_gid)
        config = _CONFIG.format(cache=cache, logs=logs, address=address, port=_PORT)
        (self._folder / "acng.conf").write_text(config, encoding="utf-8")
        log = os.open(self._folder / "start.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            child = subprocess.Popen(
                [program, "-c", str(self._folder), "ForeGround=1"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=(),
                cwd="/",
            )
        finally:
            os.close(log)
        for _ in range(50):
            if _answers(address, _PORT):
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.1)
                break
        return _answers(address, _PORT)

    def remove(self, record: BridgeRecord | None) -> None:
        """Take away the rules and stop the cache that we started; what it has fetched stays.

        Forwarding stays on, as with libvirt and Docker: others may rely on it by now.
        """
        self._stop_cache()
        if record is None:
            return
        name = _table(record)
        with contextlib.suppress(InfraError):
            run(["nft", "delete", "table", "ip", name], timeout_s=20)
        for words in _iptables(record, "-D"):
            with contextlib.suppress(InfraError):
                run(words, timeout_s=20)

    def _stop_cache(self) -> None:
        """Stop the apt-cacher-ng whose command line names our folder, and wait until it answers nobody any more.

        One that is about to end would be taken for one that serves by whoever makes the next machine.
        """
        for entry in Path("/proc").glob("[0-9]*"):
            if self._is_cache(entry):
                for number in (signal.SIGTERM, signal.SIGKILL):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(entry.name), number)
                    end = time.monotonic() + _STOP_S
                    while self._is_cache(entry) and time.monotonic() < end:
                        time.sleep(0.02)

    def _is_cache(self, entry: Path) -> bool:
        """Whether a process is our cache and runs; one that has ended and was not waited for has no words."""
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"apt-cacher-ng" in words[0] and str(self._folder).encode() in words


def _table(record: BridgeRecord) -> str:
    return f"{_TABLE}_{record.bridge.replace('-', '_')}"


def _translate(record: BridgeRecord) -> None:
    """Let packets from the machines leave under this computer's address.

    A table of ours leaves the user's rules alone. But what another table drops stays dropped: where iptables' FORWARD
    chain drops what it does not know (Docker and ufw set it so), the bridge is named in it.
    """
    _FORWARD.write_text("1\n", encoding="ascii")
    if _firewall() != "nft":
        _add(_iptables(record, "-C"), _iptables(record, "-I"))
        return
    rules = f"""
table ip {_table(record)} {{}}
delete table ip {_table(record)}
table ip {_table(record)} {{
  chain out {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {record.network} ip daddr != {record.network} oifname != "{record.bridge}" masquerade
  }}
}}
"""
    run(["nft", "-f", "-"], stdin=rules, timeout_s=20)
    with contextlib.suppress(InfraError):
        if "-P FORWARD DROP" in run(["iptables", "-S", "FORWARD"], timeout_s=20).stdout:
            _add(_iptables(record, "-C")[1:], _iptables(record, "-I")[1:])


def _add(checks: list[list[str]], additions: list[list[str]]) -> None:
    for check, addition in zip(checks, additions, strict=True):
        if run(check, timeout_s=20, check=False).status != 0:
            run(addition, timeout_s=20)


def _iptables(record: BridgeRecord, verb: str) -> list[list[str]]:
    net, bridge = record.network, record.bridge
    return [
        ["iptables", "-t", "nat", verb, "POSTROUTING", "-s", net, "!", "-d", net, "-j", "MASQUERADE"],
        ["iptables", verb, "FORWARD", "-i", bridge, "-j", "ACCEPT"],
        [
            "iptables",
            verb,
            "FORWARD",
            "-o",
            bridge,
            "-m",
            "conntrack",
            "--ctstate",
            "ESTABLISHED,RELATED",
            "-j",
            "ACCEPT",
        ],
    ]


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
