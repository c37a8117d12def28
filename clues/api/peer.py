"""Who is at the other end of a unix socket, as the kernel says (unix(7): SO_PEERCRED; socket(7): SO_PEERGROUPS)."""

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass
from typing import Final

from infracore.errors import Misconfigured

__all__ = ["Peer", "Rights", "peer_of"]

_CREDENTIALS: Final = struct.Struct("3i")
_SO_PEERGROUPS: Final = 59
"""asm-generic/socket.h, Linux 4.13; Python has no name for it."""
_MOST_GROUPS: Final = 65536


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that connected."""

    pid: int
    uid: int
    groups: frozenset[int]

    def __str__(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may change something: root, the daemon's own user, and members of a group. All others may read."""

    uids: frozenset[int]
    gids: frozenset[int] = frozenset()

    @classmethod
    def of_group(cls, group: str) -> "Rights":
        """Return the rights with the members of a group (a name; "": no group).

        Raises:
            Misconfigured: there is no such group.
        """
        uids = frozenset({0, os.geteuid()})
        if not group:
            return cls(uids)
        try:
            return cls(uids, frozenset({grp.getgrnam(group).gr_gid}))
        except KeyError as error:
            raise Misconfigured(
                f"there is no group {group!r}, whose members may change something by clues",
                f"make it: groupadd --system {group}",
            ) from error

    def may_change(self, peer: Peer) -> bool:
        """Return whether it may change something."""
        return peer.uid in self.uids or not self.gids.isdisjoint(peer.groups)


def peer_of(connection: socket.socket) -> Peer:
    """Return who is at the other end. Raises OSError for a socket that is none of the kernel's own."""
    pid, uid, gid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(pid, uid, frozenset({gid, *_groups(connection, uid, gid)}))


def _groups(connection: socket.socket, uid: int, gid: int) -> list[int]:
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS // 64)
        return list(struct.unpack(f"{len(raw) // 4}I", raw))
    except OSError:  # more than 1024 groups, or a kernel without it: what the user database says
        try:
            return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
        except KeyError:
            return []
