"""Listening sockets: the service manager's, or our own, with the right mode from their first moment."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from daemon.accounts import group_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BACKLOG: Final = 256
_FIRST_PASSED: Final = 3
"""The descriptor that systemd passes first."""
_DIRECTORY: Final = "its directory must be there, and ours to write in"
_REMEDIES: Final = {
    errno.ENOENT: _DIRECTORY,
    errno.EACCES: _DIRECTORY,
    errno.EROFS: _DIRECTORY,
    errno.EADDRINUSE: 'somebody else has the port: name another one, or "" for none',
}


class SocketError(Exception):
    """A socket cannot be listened on; the message says which and why."""


def take_passed(environment: Mapping[str, str]) -> socket.socket | None:
    """Return the unix socket that the service manager listens on for us; None where it passed none. Raise SocketError.

    Whoever connects while no daemon runs waits in its queue. Its name, owner and mode are the service manager's.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None  # Passed to another process, whose environment we have.
    count = environment.get("LISTEN_FDS", "")
    if count != "1":
        raise SocketError(f"the service manager passed {count or 'no'} sockets: give its socket unit one ListenStream=")
    try:
        sock = socket.socket(fileno=_FIRST_PASSED)
    except OSError as error:
        raise SocketError(f"what the service manager passed is no socket: {error.strerror}") from error
    if sock.family != socket.AF_UNIX or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise SocketError(
            "what the service manager passed is no listening unix socket: give its unit a ListenStream=/…"
        )
    os.set_inheritable(_FIRST_PASSED, False)  # noqa: FBT003 - the only way to call it
    sock.settimeout(0)
    return sock


def bind_unix(path: Path, *, mode: int, group: str | None) -> socket.socket:
    """Return a unix socket that listens on `path`. Raise SocketError.

    A socket file that nobody answers on is replaced; anything else that is in the way stays. Until its group and mode
    are right nobody can connect: it is made 0600, and listens last.
    """
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        os.fchmod(sock.fileno(), 0o600)  # On Linux the file that bind() makes takes its mode from the socket.
        sock.bind(os.fspath(path))
        if group is not None:
            os.chown(path, -1, _gid(group))
        path.chmod(mode)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise SocketError(f"cannot listen on {path}: {_why(error)}") from error
    except BaseException:
        sock.close()
        raise
    return sock


def _why(error: OSError) -> str:
    """Return what the system says, and what to do where that is known."""
    return "; ".join(filter(None, (error.strerror or str(error), _REMEDIES.get(error.errno or 0))))


def _gid(group: str) -> int:
    try:
        return group_id(group)
    except LookupError as error:
        raise SocketError(f"{error} ([api] group)") from None


def exposed(path: Path) -> str | None:
    """Return why others can put a socket of their own in the place of this one; None where they cannot."""
    ours = {0, os.geteuid(), path.lstat().st_uid}
    for directory in path.absolute().parents:
        found = directory.stat()
        if found.st_uid not in ours:
            return f"{directory} belongs to uid {found.st_uid}"
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            return f"everybody may write in {directory}"
    return None


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketError(f"cannot look at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise SocketError(f"{path} is in the way and is no socket: remove it or set [api] socket")
    if _is_answered(path):
        raise SocketError(f"somebody listens on {path} already: is another tierd running?")
    path.unlink(missing_ok=True)


def _is_answered(path: Path) -> bool:
    """Whether somebody listens. Whatever is not a plain refusal counts as somebody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


def bind_tcp(host: str, port: int, *, key: str) -> socket.socket:
    """Return a TCP socket that listens where the configuration's `key` says. Raise SocketError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    except OSError as error:
        raise SocketError(f"cannot listen on {host}:{port} ({key}): {_why(error)}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise SocketError(f"cannot listen on {host}:{port} ({key}): {_why(error)}") from error
    return sock
