"""What the daemon says to systemd's journal: one datagram a fact, its fields told apart by their lengths.

No value can forge a field or a line, whatever is in it: what follows a length is data. A journal that does not take
what is said costs that line and never the time of who said it; how many were lost is said when it takes them again.
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daemon.journal import Masking

SOCKET: Final = Path("/run/systemd/journal/socket")
LONGEST: Final = 32 << 10
"""So many bytes of a value are kept: a datagram has an end."""
_PRIORITIES: Final = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def leads_to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether the service manager has connected this stream to the journal, and nobody has redirected it since."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}" and SOCKET.is_socket()


class JournalHandler(logging.Handler):
    """Sends each record with its facts as fields of their own, in capitals: `asset` is searched for as `ASSET=`."""

    def __init__(self, facts: Masking, *, address: Path = SOCKET) -> None:
        super().__init__()
        self._facts = facts
        self._address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Send it. What the journal does not take is counted."""
        fields = {name.upper(): str(value) for name, value in self._facts.facts(record)}
        fields |= {
            "MESSAGE": self._facts.message(record),
            "PRIORITY": str(_PRIORITIES.get(record.levelname, 6)),
            "SYSLOG_IDENTIFIER": "tierd",
            "LOGGER": record.name,
        }
        if trace := self._facts.trace(record):
            fields["TRACE"] = trace
        if self._lost and self._send(
            {"MESSAGE": f"the journal did not take {self._lost} lines", "PRIORITY": "4", "SYSLOG_IDENTIFIER": "tierd"}
        ):
            self._lost = 0
        self._lost += not self._send(fields)

    def _send(self, fields: Mapping[str, str]) -> bool:
        datagram = b"".join(_field(name, value) for name, value in fields.items())
        try:
            self._socket.sendto(datagram, self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close its socket."""
        with suppress(OSError):
            self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    """Return a field in the journal's own form: name, length in eight bytes, value."""
    raw = value.encode("utf-8", "backslashreplace")[:LONGEST]
    return b"%b\n%b%b\n" % (name.encode("ascii"), len(raw).to_bytes(8, "little"), raw)
