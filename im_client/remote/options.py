"""How an `Access` becomes options of OpenSSH. Host keys are always checked: an unknown one is refused."""

import re
import shlex
from pathlib import Path

from im_client.remote.access import Access
from im_client.remote.hostkeys import known_hosts
from im_client.remote.private import write_private
from infracore.errors import Misconfigured
from infracore.secrets import Secret

__all__ = ["Files", "connection_options", "destination", "ssh_options"]

_SAFE_ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:%-]*")
_SAFE_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._@$-]*")


class Files:
    """Key files and known_hosts files of several machines in one private folder; the same key is written once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys: dict[Secret, Path] = {}
        self._known: dict[str, Path] = {}

    def key(self, secret: Secret) -> Path:
        """Return a file (0600) with this private key."""
        if secret not in self._keys:
            text = secret.reveal().replace("\r\n", "\n").rstrip("\n") + "\n"
            self._keys[secret] = write_private(self.folder / f"key-{len(self._keys)}", text)
        return self._keys[secret]

    def known(self, text: str) -> Path:
        """Return a known_hosts file with this text."""
        if text not in self._known:
            self._known[text] = write_private(self.folder / f"known-{len(self._known)}", text)
        return self._known[text]


def destination(access: Access) -> str:
    """Return `user@address`.

    Raises:
        Misconfigured: an address or a user that a command line could take for something else.
    """
    if not _SAFE_ADDRESS.fullmatch(access.address):
        raise Misconfigured(f"{access.address!r} is not an address that ssh can use")
    if not _SAFE_USER.fullmatch(access.user):
        raise Misconfigured(f"{access.user!r} is not a user name that ssh can use")
    return f"{access.user}@{access.address}"


def connection_options(
    access: Access, files: Files, *, connect_timeout_s: float = 20.0, known: Path | None = None
) -> tuple[str, ...]:
    """Return the `-o` options that Ansible and ssh share: host keys, jump host, time limits. Not user, port, key.

    `known` is a known_hosts file that already holds the machine's key.
    """
    options = {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known or _known_file(access, files)),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "HashKnownHosts": "no",
        "ConnectTimeout": str(max(1, round(connect_timeout_s))),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
    }
    if access.private_key is not None or access.private_key_file is not None:
        options["IdentitiesOnly"] = "yes"
    if access.host_key is not None:
        options["HostKeyAlgorithms"] = _algorithms(access.host_key)
    if access.jump is not None:
        inner = ("ssh", *ssh_options(access.jump, files, connect_timeout_s=connect_timeout_s), "-W", "[%h]:%p")
        options["ProxyCommand"] = shlex.join((*inner, destination(access.jump))).replace("'[%h]:%p'", "[%h]:%p")
    return tuple(word for name, value in options.items() for word in ("-o", f"{name}={value}"))


def ssh_options(
    access: Access, files: Files, *, connect_timeout_s: float = 20.0, batch: bool = True
) -> tuple[str, ...]:
    """Return all options of an `ssh` or `sftp` command. With `batch` it never asks on the terminal."""
    words: list[str] = ["-o", f"Port={access.port}"]
    if access.private_key is not None:
        words += ["-i", str(files.key(access.private_key))]
    elif access.private_key_file is not None:
        words += ["-i", str(Path(access.private_key_file).expanduser())]
    if batch:
        words += ["-o", "BatchMode=yes"]
    return (*words, *connection_options(access, files, connect_timeout_s=connect_timeout_s))


def _known_file(access: Access, files: Files) -> Path:
    if access.host_key is not None:
        return files.known(known_hosts((access,)))
    if access.known_hosts_file is not None:
        return Path(access.known_hosts_file).expanduser()
    raise Misconfigured(
        f"the SSH host key of {access.address} is not known",
        "give host_key (ssh-keyscan prints it; compare its fingerprint on the machine) or known_hosts",
    )


def _algorithms(host_key: str) -> str:
    """Return the signature algorithms for a key type: RSA keys sign with SHA-2 (RFC 8332)."""
    kind = host_key.split(maxsplit=1)[0]
    return "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind
