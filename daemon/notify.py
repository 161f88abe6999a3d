"""What the service manager is told, systemd's way: one datagram to $NOTIFY_SOCKET. Without one, nothing is told."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_MICRO: Final = 1_000_000


class Notifier:
    """Tells the service manager at `address`. `watchdog_seconds`: how long it hears nothing before it ends us."""

    def __init__(self, address: str | None, *, watchdog_seconds: float | None = None) -> None:
        self._address = address
        self.watchdog_seconds = watchdog_seconds

    def __repr__(self) -> str:
        return f"<Notifier {self._address or 'of nobody'}>"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the one that the service manager has asked for; what it asked of another process is not for us."""
        interval = environment.get("WATCHDOG_USEC", "")
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        seconds = int(interval) / _MICRO if is_ours and interval.isdecimal() and int(interval) else None
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog_seconds=seconds)

    def starting(self, *, within: float) -> None:
        """The start still makes progress, and may take so many seconds more."""
        self._tell(f"EXTEND_TIMEOUT_USEC={int(within * _MICRO)}", "STATUS=starting")

    def ready(self) -> None:
        """All that was asked for is done: the start, or the reload."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The configuration is read anew; `ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, *, within: float) -> None:
        """The end has begun, and may take so many seconds."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(within * _MICRO)}", "STATUS=stopping")

    def status(self, text: str) -> None:
        """Say in a line how things stand."""
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        # An abstract name begins with a zero byte, which no variable can hold.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as messenger:
            messenger.settimeout(0)
            try:
                messenger.sendto("\n".join(lines).encode(), address)
            except OSError as error:
                log.warning("the service manager at %s was not told %s: %s", self._address, lines[0], error)
