"""What went wrong lately, and what to do about it: the last warnings and errors of the log, each once."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from daemon.journal import Masking, known_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT: Final = 20
SOURCES: Final = ("daemon", "tiering", "index")
"""Whose words are kept: what libraries have to say is for the log alone."""

_WAIT: Final = "tierd doctor, if it stays so"
_REPAIR: Final = "restore the object in the store, then tierd retry; or write the file anew"
REMEDIES: Final = {
    "conflict": "rename the file, or let it replace the object: tierd retry --overwrite",
    "damaged": _REPAIR,
    "corrupt": _REPAIR,
    "refused": "see what the store refuses: tierd explain; then tierd retry",
    "not-regular": "put a plain file at its path, or take it away",
    "removed": "upload it again: tierd retry; or remove it here too: tierd rm",
    "bug": "the log has a traceback: report it; then tierd retry",
}
"""What helps an asset that waits for a person, by the code of its failure."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that went wrong, `times` times, the last of them at `at` (seconds since the epoch)."""

    at: float
    what: str
    remedy: str
    times: int


class Trouble(logging.Handler):
    """Keeps the last of what is logged as a warning or worse, without secrets."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._words = Masking(known_secrets())
        self._incidents: dict[str, Incident] = {}

    def __repr__(self) -> str:
        return f"<Trouble {len(self._incidents)} incidents>"

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it. What was said before in the same words is the same trouble."""
        what = self._words.message(record)
        before = self._incidents.pop(what, None)
        remedy = _WAIT if record.levelno == logging.WARNING else "see the log; then: tierd doctor"
        self._incidents[what] = Incident(record.created, what, remedy, 1 if before is None else before.times + 1)
        if len(self._incidents) > KEPT:
            del self._incidents[next(iter(self._incidents))]

    def latest(self) -> list[Incident]:
        """Return what is kept, the latest first."""
        with self._held():
            return list(self._incidents.values())[::-1]

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Keep threads from logging meanwhile."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear what is logged while the block runs."""
        loggers = [logging.getLogger(name) for name in SOURCES]
        for each in loggers:
            each.addHandler(self)
        try:
            yield
        finally:
            for each in loggers:
                each.removeHandler(self)
