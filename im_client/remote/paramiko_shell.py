"""paramiko as a `Shell`: where there is no ssh program, and for passwords."""

import base64
import contextlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from im_client.remote.access import Access
from im_client.remote.hostkeys import known_hosts_name, public_of
from infracore.errors import CommandFailed, Conflict, Misconfigured, TimedOut, Transient, Unauthorised
from infracore.process import Completed

if TYPE_CHECKING:
    import paramiko

__all__ = ["ParamikoShell"]

_POLL_S = 0.5
_CHUNK = 1 << 16


class ParamikoShell:
    """See `Shell`."""

    def __init__(self, access: Access, *, connect_timeout_s: float = 10.0) -> None:
        self._access = access
        self._connect_timeout_s = connect_timeout_s

    def run(self, command: str, *, timeout_s: float, stdin: str = "", check: bool = True) -> Completed:
        """See `Shell.run`."""
        deadline = time.monotonic() + timeout_s
        with self._connected(self._access) as client:
            transport = client.get_transport()
            if transport is None:
                raise Transient(f"{self._access.address} closed the connection")
            channel = transport.open_session(timeout=self._connect_timeout_s)
            channel.settimeout(_POLL_S)
            channel.exec_command(command)
            with contextlib.suppress(OSError):  # it may end without reading
                channel.sendall(stdin.encode())
                channel.shutdown_write()
            done = self._collect(channel, command, deadline)
        if check and done.status != 0:
            raise CommandFailed(
                f"{command.split(maxsplit=1)[0]} on {self._access.address} ended with status {done.status}: "
                f"{(done.stderr or done.stdout).strip()[-300:]}",
                status=done.status,
                stderr=done.stderr,
            )
        return done

    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        """See `Shell.put`."""
        with self._sftp(timeout_s) as sftp:
            sftp.put(str(local), remote)

    def get(self, remote: str, local: Path, *, timeout_s: float) -> None:
        """See `Shell.get`."""
        with self._sftp(timeout_s) as sftp:
            sftp.get(remote, str(local))

    def _collect(self, channel: "paramiko.Channel", command: str, deadline: float) -> Completed:
        """Read to the end of the output: the status may come before the last of it (RFC 4254, 6.10)."""
        out, err = bytearray(), bytearray()
        has_ended = False
        while not (has_ended and channel.exit_status_ready()):
            if time.monotonic() > deadline:
                raise TimedOut(f"{command.split(maxsplit=1)[0]} on {self._access.address} did not end in time")
            if has_ended:
                channel.status_event.wait(_POLL_S)
                continue
            with contextlib.suppress(TimeoutError):
                got = channel.recv(_CHUNK)
                out += got
                has_ended = not got
            while channel.recv_stderr_ready():
                err += channel.recv_stderr(_CHUNK)
        while got := channel.recv_stderr(_CHUNK):
            err += got
        status = channel.recv_exit_status()
        return Completed(status, out.decode(errors="replace"), err.decode(errors="replace"))

    @contextlib.contextmanager
    def _sftp(self, timeout_s: float) -> Iterator["paramiko.SFTPClient"]:
        with self._connected(self._access) as client, client.open_sftp() as sftp:
            channel = sftp.get_channel()
            if channel is not None:
                channel.settimeout(timeout_s)
            try:
                yield sftp
            except TimeoutError as error:
                raise TimedOut(f"copying did not end within {timeout_s:g} s on {self._access.address}") from error
            except OSError as error:
                raise CommandFailed(f"copying failed on {self._access.address}: {error}") from error

    @contextlib.contextmanager
    def _connected(self, access: Access) -> Iterator["paramiko.SSHClient"]:
        import paramiko

        where = f"{access.address}:{access.port}"
        with contextlib.ExitStack() as stack:
            sock = None
            if access.jump is not None:
                over = stack.enter_context(self._connected(access.jump)).get_transport()
                if over is None:
                    raise Transient(f"{access.jump.address} closed the connection")
                try:
                    sock = over.open_channel(
                        "direct-tcpip", (access.address, access.port), ("", 0), timeout=self._connect_timeout_s
                    )
                except paramiko.SSHException as error:
                    raise Transient(f"{where} cannot be reached over {access.jump.address}: {error}") from error
            client = stack.enter_context(paramiko.SSHClient())
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            _trust(client, access)
            try:
                self._log_in(client, access, sock)
            except paramiko.BadHostKeyException as error:
                raise Conflict(
                    f"{where} shows another SSH host key than the one that is known",
                    "another machine answers at this address, or it was made anew: look before you trust it",
                ) from error
            except paramiko.AuthenticationException as error:
                raise Unauthorised(f"{where} refuses {access.user}: {error}") from error
            except paramiko.SSHException as error:
                if "not found in known_hosts" in str(error):
                    raise Conflict(f"{where} shows an SSH host key of another type than the known one") from error
                raise Transient(f"{where} cannot be reached by ssh: {error}") from error
            except OSError as error:
                raise Transient(f"{where} cannot be reached: {error}") from error
            yield client

    def _log_in(self, client: "paramiko.SSHClient", access: Access, sock: "paramiko.Channel | None") -> None:
        is_own = access.private_key is None and access.private_key_file is None and access.password is None
        client.connect(
            access.address,
            port=access.port,
            username=access.user,
            pkey=_private_key(access),
            password=access.password.reveal() if access.password is not None else None,
            timeout=self._connect_timeout_s,
            banner_timeout=self._connect_timeout_s,
            auth_timeout=self._connect_timeout_s,
            allow_agent=is_own,
            look_for_keys=is_own,
            sock=sock,
        )


def _trust(client: "paramiko.SSHClient", access: Access) -> None:
    """Tell paramiko the one key that the machine must show."""
    import paramiko

    if access.host_key is not None:
        kind, text = public_of(access.host_key).split()
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(text))
        client.get_host_keys().add(known_hosts_name(access.address, access.port), kind, key)
        return
    if access.known_hosts_file is None:
        raise Misconfigured(f"the SSH host key of {access.address} is not known", "give host_key or known_hosts")
    try:
        client.load_host_keys(str(Path(access.known_hosts_file).expanduser()))
    except OSError as error:
        raise Misconfigured(f"cannot read {access.known_hosts_file}: {error.strerror}") from error


def _private_key(access: Access) -> "paramiko.PKey | None":
    import paramiko

    text = access.private_key.reveal() if access.private_key is not None else None
    if text is None and access.private_key_file is not None:
        try:
            text = Path(access.private_key_file).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise Misconfigured(f"cannot read the key file {access.private_key_file}: {error.strerror}") from error
    if text is None:
        return None
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        with contextlib.suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text))
    raise Misconfigured(
        f"the private key for {access.address} is of no kind that is known, or has a passphrase",
        "add it to an ssh-agent and leave key_file out",
    )
