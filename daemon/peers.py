"""Who is on the other end of the socket, and what they may do.

The kernel tells: credentials and groups are those of the moment of connect(2), and nobody can claim others.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from daemon.accounts import group_id, user_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SO_PEERGROUPS: Final = 59
"""From the kernel's asm-generic/socket.h; the socket module has no name for it."""

_OPTION_BYTES: Final = 1024
"""The most that getsockopt() of Python takes: 256 groups."""

_CREDENTIALS: Final = struct.Struct("iII")

_ROOT: Final = 0


class Right(IntEnum):
    """What one may do; each includes those before it."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that connected. `pid` is for logs only: numbers are used again."""

    pid: int
    uid: int
    groups: frozenset[int]

    def __str__(self) -> str:
        return f"uid {self.uid}, pid {self.pid}"


def peer_of(sock: socket.socket) -> Peer | None:
    """Return who connected to this socket; None where it is not a unix socket."""
    if sock.family != socket.AF_UNIX:
        return None
    pid, uid, gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid, frozenset({gid, *_groups(sock)}))


def _groups(sock: socket.socket) -> Sequence[int]:
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _OPTION_BYTES)
    except OSError:
        return ()  # More groups than fit, or a kernel that does not tell: then only the primary group counts.
    return struct.unpack(f"{len(raw) // 4}I", raw)


@dataclass(frozen=True, slots=True)
class Principals:
    """Users and groups, by number."""

    uids: frozenset[int]
    gids: frozenset[int]

    @classmethod
    def named(cls, names: Iterable[str]) -> Principals:
        """Look names up: users, and groups with `@` before them; numbers too. Raise LookupError for an unknown one."""
        names = list(names)
        return cls(
            frozenset(user_id(name) for name in names if not name.startswith("@")),
            frozenset(group_id(name[1:]) for name in names if name.startswith("@")),
        )

    def __contains__(self, peer: Peer) -> bool:
        return peer.uid in self.uids or not self.gids.isdisjoint(peer.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who has which right, and who may ask for presigned URLs: by these others reach the store without us.

    Unset `read`: whoever can open the socket. Unset `write`: whoever may read. Root and the daemon's own user may do
    everything whatever is set: they could read and write the files themselves.
    """

    read: Principals | None = None
    write: Principals | None = None
    admin: Principals | None = None
    presign: Principals | None = None
    own_uid: int

    @classmethod
    def named(
        cls,
        *,
        read: Iterable[str] | None,
        write: Iterable[str] | None,
        admin: Iterable[str] | None,
        presign: Iterable[str] | None = None,
    ) -> Access:
        """Take names as the configuration has them. Raise LookupError for an unknown one."""
        return cls(
            read=None if read is None else Principals.named(read),
            write=None if write is None else Principals.named(write),
            admin=None if admin is None else Principals.named(admin),
            presign=None if presign is None else Principals.named(presign),
            own_uid=os.geteuid(),
        )

    def right_of(self, peer: Peer | None) -> Right:
        """Return the highest right of a peer; one that is not on the unix socket has none."""
        if peer is None:
            return Right.NONE
        if peer.uid in {_ROOT, self.own_uid} or (self.admin is not None and peer in self.admin):
            return Right.ADMIN
        may_read = self.read is None or peer in self.read
        if may_read if self.write is None else peer in self.write:
            return Right.WRITE
        return Right.READ if may_read else Right.NONE

    def may_presign(self, peer: Peer | None) -> bool:
        """Whether a peer may ask for presigned URLs. Unset: whoever may write."""
        right = self.right_of(peer)
        if self.presign is None or right is Right.ADMIN:
            return right >= Right.WRITE
        return right >= Right.READ and peer is not None and peer in self.presign
