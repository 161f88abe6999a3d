"""What feeds the service manager's watchdog: only a daemon whose loop, index and file threads make progress.

A daemon that hangs is ended and started anew by the service manager; a start recovers. So the watchdog must see every
hang, and never take long work for one: threads that do not answer, but work, are alive.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from daemon.notify import Notifier

log = logging.getLogger(__name__)

TIMES_AN_INTERVAL: Final = 4
"""How often the watchdog is fed before it would bite."""
STATUS_SECONDS: Final = 10.0
"""How often the status is told where nobody has set a watchdog."""

_STOOD_STILL: Final = (
    "everything stood still for %.1f s, and after %g s the service manager may end tierd: give it more processor time, "
    "or raise WatchdogSec="
)


class Pulse:
    """Whether threads make progress. `ask` returns once they got to it; theirs are the names that begin with `name`."""

    def __init__(self, name: str, ask: Callable[[], Awaitable[object]]) -> None:
        self.name = name
        self._ask = ask
        self._asked: asyncio.Future[object] | None = None
        self._spent = 0

    def __repr__(self) -> str:
        return f"<Pulse of {self.name}>"

    def beats(self) -> bool:
        """Whether they have answered, or at least worked, since this was last asked. Raise what they answered."""
        spent, before = _spent(self.name), self._spent
        self._spent = spent
        if self._asked is not None and not self._asked.done():
            return spent > before
        if self._asked is not None:
            self._asked.result()
        self._asked = asyncio.ensure_future(self._ask())
        return True


class Watchdog:
    """Feeds the watchdog as long as every pulse beats, and tells the status."""

    def __init__(self, notifier: Notifier, pulses: Sequence[Pulse], *, status: Callable[[], str]) -> None:
        self._notifier = notifier
        self._pulses = pulses
        self._status = status
        self._hanging: list[str] = []

    async def run(self) -> None:
        """Feed it, for ever."""
        interval = self._notifier.watchdog_seconds
        pause = STATUS_SECONDS if interval is None else interval / TIMES_AN_INTERVAL
        while True:
            self._look()
            before = time.monotonic()
            await asyncio.sleep(pause)
            stood = time.monotonic() - before
            if interval is not None and stood > interval:
                log.warning(_STOOD_STILL, stood, interval)

    def _look(self) -> None:
        hanging = [pulse.name for pulse in self._pulses if not pulse.beats()]
        if hanging and hanging != self._hanging:
            log.error(
                "no progress any more in: %s; the watchdog is not fed meanwhile: see whether their disk still answers",
                ", ".join(hanging),
            )
        if self._hanging and not hanging:
            log.warning("progress again in: %s", ", ".join(self._hanging))
        self._hanging = hanging
        self._notifier.status(f"hanging: {', '.join(hanging)}" if hanging else self._status())
        if not hanging:
            self._notifier.alive()


def _spent(name: str) -> int:
    """Return the processor time of all threads whose names begin with `name`, in nanoseconds."""
    return sum(_time_of(thread) for thread in threading.enumerate() if thread.name.startswith(name))


def _time_of(thread: threading.Thread) -> int:
    try:
        return int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="ascii").split()[0])
    except OSError:  # It has just ended.
        return 0
