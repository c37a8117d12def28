"""SSH keys: made here, so that a machine's first connection is checked already."""

import hmac
from base64 import b64decode
from collections.abc import Iterable
from ipaddress import ip_address

from im_client.remote.access import Access, HostKey
from infracore.secrets import Secret

__all__ = [
    "find_known_host",
    "known_hosts",
    "known_hosts_line",
    "known_hosts_name",
    "new_host_key",
    "new_key_pair",
    "public_of",
]


def new_key_pair(comment: str = "") -> tuple[str, Secret]:
    """Make an ed25519 pair: the public line (`ssh-ed25519 AAAA... comment`) and OpenSSH private key text."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return f"{public.decode()} {comment}".strip(), Secret(private.decode())


def new_host_key() -> HostKey:
    """Make an ed25519 host key."""
    public, private = new_key_pair()
    return HostKey(public, private)


def public_of(line: str) -> str:
    """Return `type base64` of a public key line, without options in front and comment behind.

    Raises:
        ValueError: there is no key in it.
    """
    words = line.split()
    for place, word in enumerate(words[:-1]):
        if word.startswith(("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")) and words[place + 1].startswith("AAAA"):
            return f"{word} {words[place + 1]}"
    raise ValueError("this is not an OpenSSH public key, such as ssh-ed25519 AAAA...")


def known_hosts_name(address: str, port: int) -> str:
    """Return a host as known_hosts has it: `host`, or `[host]:port` (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    try:
        address = str(ip_address(address))
    except ValueError:
        address = address.lower()
    return address if port == 22 else f"[{address}]:{port}"


def known_hosts_line(access: Access) -> str | None:
    """Return the line for a machine, None where its key is not given (its `known_hosts_file` is asked then)."""
    if access.host_key is None:
        return None
    return f"{known_hosts_name(access.address, access.port)} {public_of(access.host_key)}"


def known_hosts(machines: Iterable[Access]) -> str:
    """Return the text of a known_hosts file for machines and the hosts that are jumped over."""
    lines = []
    for machine in machines:
        at: Access | None = machine
        while at is not None:
            line = known_hosts_line(at)
            if line is not None and line not in lines:
                lines.append(line)
            at = at.jump
    return "".join(f"{line}\n" for line in lines)


def find_known_host(text: str, address: str, port: int) -> str | None:
    """Return the key of a host in the text of a known_hosts file: ed25519 before ECDSA before RSA, None for none.

    Names may be hashed (`|1|salt|hash`, HMAC-SHA1). Revoked keys and certificate authorities are passed over.
    """
    name = known_hosts_name(address, port)
    found: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and not line.startswith(("#", "@")) and _names(words[0], name):
            found.setdefault(words[1], f"{words[1]} {words[2]}")
    order = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
    return next((found[kind] for kind in order if kind in found), None)


def _names(field: str, name: str) -> bool:
    if not field.startswith("|1|"):
        return name in field.lower().split(",")
    parts = field.split("|")
    try:
        salt, digest = b64decode(parts[2]), b64decode(parts[3])
    except (IndexError, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)
