"""How to log in to one machine."""

from dataclasses import dataclass

from infracore.secrets import Secret

__all__ = ["Access", "HostKey"]


@dataclass(frozen=True, slots=True)
class HostKey:
    """An SSH host key. `public` is `ssh-ed25519 AAAA...` without a comment."""

    public: str
    private: Secret | None = None
    """OpenSSH private key text; None where only the public half is known."""


@dataclass(frozen=True, slots=True)
class Access:
    """Address, account and the key that the host must show.

    With neither `private_key`, `private_key_file` nor `password`, the user's own agent and default keys are used.
    """

    address: str
    user: str = "root"
    port: int = 22
    private_key: Secret | None = None
    """OpenSSH private key text."""
    private_key_file: str | None = None
    password: Secret | None = None
    host_key: str | None = None
    """The public key that the host must show (`ssh-ed25519 AAAA...`)."""
    known_hosts_file: str | None = None
    """A file of the user's that already holds the host's key; used where `host_key` is None."""
    jump: "Access | None" = None
    become: bool = False
    """Whether root is reached by sudo from this account."""
    become_password: Secret | None = None
    python: str = "/usr/bin/python3"
