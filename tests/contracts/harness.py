"""What the contract suite must know of a provider under test, beyond the protocol itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from im_client.plan.model import Spec
from im_client.providers.base import Instance, Provider
from im_client.remote.access import HostKey
from infracore.secrets import Secret

__all__ = ["Harness", "KeyPair", "new_key_pair"]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An SSH key pair in OpenSSH's formats."""

    public: str
    private: str

    @property
    def host_key(self) -> HostKey:
        """The pair as the host key of a machine."""
        return HostKey(self.public, Secret(self.private))


def new_key_pair() -> KeyPair:
    """Make a fresh ed25519 pair."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(public.decode(), private.decode())


class Harness(Protocol):
    """One provider, ready for use, and what it can do.

    Write `tests/contracts/harness_NAME.py` with `harness(folder: Path) -> AbstractContextManager[Harness]` and
    `MARKERS`, the names of the pytest markers that its tests carry (if any): it is found by itself. With `FIXTURE`, the
    name of a fixture, `harness` gets that one's value too.
    Leaving the context removes every machine.
    """

    name: str
    can_stop: bool
    can_reboot: bool
    injects_host_key: bool
    """Whether a machine shows the host key of its request."""
    brings_keys: bool
    """Whether the place makes the keys by which its machines are logged in to."""
    has_addresses: bool
    """Whether each machine has an address of its own."""
    has_ssh: bool
    """Whether a RUNNING machine can be connected to."""
    concurrent: int
    """How many machines may be asked for at once in a test."""
    settle_s: float
    """Within how many seconds a phase that was asked for is reached."""

    def provider(self) -> Provider:
        """Open the provider anew, as another process would: it finds what earlier ones made."""
        ...

    def spec(self) -> Spec:
        """Return what a small machine is."""
        ...

    def names(self, count: int) -> list[str]:
        """Return names of machines that may be created."""
        ...

    def unsupported(self) -> Spec | None:
        """Return a machine that `create` refuses as `Unsupported`; None where there is none."""
        ...

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        """Run `create` in other processes and kill them at ever later moments, yielding after each.

        None where a killed process leaves nothing to look at.
        """
        ...

    def shown_host_key(self, instance: Instance) -> str | None:
        """Connect and return the host key that is shown, `ssh-ed25519 AAAA...`; None while nothing answers."""
        ...
