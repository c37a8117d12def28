"""The contract between `CloudProvider` and the adapter of one vendor's API.

Rules for every adapter:

- One object is one account at one cloud: one region and project. Opening it does no I/O; the first call does.
- **Typed errors only**, told from the vendor's by code, not by words where there is a code: `Unauthorised` (401,
  expired, not allowed), `QuotaExceeded`, `NoCapacity`, `NotFound`, `Conflict`, `Transient` (429, 5xx, connection,
  time-out; `retry_after_s` from Retry-After), `Unsupported`, `Misconfigured`. Messages name the call, the
  thing and the place, never a secret.
- **No trying again inside** (switch the vendor's own retries off): `CloudProvider` does, by class of error.
- **Marked.** Whatever is made carries `im-clues-infrastructure`, machines `im-clues-token`, `im-clues-name` and
  `im-clues-user` too, in the same call that makes it, or it is removed again if marking fails.
- **May be repeated.** What an infrastructure shares (key pair, firewall, networks) is found before it is made, by its
  mark and name; of two made at once one is removed, or the loser takes the winner's.
- **Safe under threads**, with time limits on every request.
"""

from collections.abc import Sequence
from typing import Protocol

from im_client.plan.model import Limits, Spec
from im_client.providers.base import Finding
from im_client.providers.cloud.model import CloudImage, ImageQuery, Layout, Order, Server, Size
from im_client.providers.offers import Price
from im_client.providers.quotas import Quota
from im_client.providers.things import Thing

__all__ = ["MARK", "NAME_MARK", "TOKEN_MARK", "USER_MARK", "Cloud"]

MARK = "im-clues-infrastructure"
TOKEN_MARK = "im-clues-token"  # noqa: S105 - its name
NAME_MARK = "im-clues-name"
USER_MARK = "im-clues-user"


class Cloud(Protocol):
    """One account at one cloud."""

    kind: str
    """The provider's name: `openstack`, `ec2`."""
    schemes: frozenset[str]
    """Schemes of image addresses that are its own: `ost`."""
    place: str
    """For people, without a secret: `region RegionOne of https://cloud.example.org:5000`."""

    def identity(self) -> str:
        """Return which place it is: see `providers.placed`. No I/O where settings and credentials tell."""
        ...

    def limits(self) -> Limits:
        """Return what it can change and what it cannot honour. No I/O."""
        ...

    def check(self) -> Sequence[Finding]:
        """Log in and look at what is needed. Changes nothing."""
        ...

    def renew(self) -> bool:
        """Get fresh credentials after `Unauthorised`; False where there are none but those that were refused."""
        ...

    def sizes(self) -> Sequence[Size]:
        """List the sizes. `CloudProvider` keeps the answer for a while."""
        ...

    def images(self, query: ImageQuery) -> Sequence[CloudImage]:
        """List images that may fit; choosing is not its business."""
        ...

    def layout(self, spec: Spec, infrastructure: str | None) -> Layout:
        """Choose networks and the pool of public addresses; looks only.

        Raises:
            NotFound: a network that the template names is not there. Unsupported: it cannot be had here.
        """
        ...

    def price(self, size: Size, spec: Spec) -> Price | None:
        """Return what it costs; None where the cloud does not say."""
        ...

    def create(self, order: Order) -> Server:
        """Make what the machine needs (key pair, firewall, networks, disks) and the machine; return at once."""
        ...

    def settle(self, server: Server, order: Order) -> Server:
        """Do what can only be done to a RUNNING machine: addresses, disks. May be repeated; PENDING: call again.

        Image and size of the order are what the machine has; it carries no user data.
        """
        ...

    def server(self, server_id: str) -> Server:
        """Look at one machine. Raises NotFound, also for one that is terminated."""
        ...

    def servers(self, infrastructure: str | None) -> Sequence[Server]:
        """List the machines that carry the mark of one infrastructure, or any of ours."""
        ...

    def start(self, server_id: str) -> None:
        """Ask for it; where it runs already: nothing."""
        ...

    def stop(self, server_id: str) -> None:
        """Ask for it; where it is stopped already: nothing."""
        ...

    def reboot(self, server_id: str) -> None:
        """Ask for it."""
        ...

    def resize(self, server_id: str, size: Size, spec: Spec) -> None:
        """Change what `limits()` names."""
        ...

    def delete(self, server_id: str) -> None:
        """Delete a machine and what was made for it alone: addresses, disks, cards. Absent: succeeds."""
        ...

    def console(self, server_id: str) -> str:
        """Return the end of its console, "" where there is none."""
        ...

    def things(self, infrastructure: str | None) -> Sequence[Thing]:
        """List what carries our mark and is no machine, in the order in which it can go."""
        ...

    def remove(self, thing: Thing) -> None:
        """Ask for one thing to go. Absent: succeeds. Raises Conflict while it is used."""
        ...

    def quotas(self) -> Quota:
        """Return how much there is and how much is used."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
