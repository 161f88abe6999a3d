"""How the daemon ends: the first signal drains, a second one or the deadline cuts, and nothing outlives that.

A stop that hangs is worse than a kill, and a kill loses nothing: so after the deadline the process simply ends.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import queue
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

log = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 10.0
"""For how long what is under way may go on after the first signal."""
CUT_SECONDS: Final = 15.0
"""When the process ends whatever still hangs, counted from the first signal."""
_LAST_WORDS_SECONDS: Final = 1.0


class Stopping:
    """Turns signals into two events: `requested`, and after that `cut`. To be made inside the running loop."""

    def __init__(self, *, drain_seconds: float = DRAIN_SECONDS, cut_seconds: float = CUT_SECONDS) -> None:
        self.requested = asyncio.Event()
        self.cut = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._drain_seconds = drain_seconds
        self._cut_seconds = cut_seconds
        # Not an Event: a signal handler that interrupts its own kind would wait for that one's lock, for ever.
        self._begun: queue.SimpleQueue[None] = queue.SimpleQueue()

    def install(self, *, reload: Callable[[], None]) -> None:
        """Listen to SIGTERM and SIGINT, and to SIGHUP for `reload`; from the first of the two on, keep the deadline."""
        for number in (signal.SIGTERM, signal.SIGINT):
            # Not a handler of the loop: that would not run while the loop is blocked, and then nothing would end us.
            signal.signal(number, self._signalled)
        self._loop.add_signal_handler(signal.SIGHUP, reload)
        threading.Thread(target=self._end_process, name="deadline", daemon=True).start()

    def request(self) -> None:
        """Begin to stop; asked again, cut."""
        self._begun.put(None)
        if self.requested.is_set():
            self.cut.set()
            return
        self.requested.set()
        self._loop.call_later(self._drain_seconds, self.cut.set)

    def hear_no_more(self) -> None:
        """Ignore both signals from now on: the interpreter, as it ends, would let one that comes late kill us."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self._begun.put(None)
        with suppress(RuntimeError):  # The loop is closed: nothing is left to stop.
            self._loop.call_soon_threadsafe(self._hear, signal.Signals(number).name)

    def _hear(self, name: str) -> None:
        log.info("stopping", extra={"signal": name})
        self.request()

    def _end_process(self) -> None:
        """End the process at the deadline, even where the loop is blocked or another thread hangs in the kernel."""
        self._begun.get()
        time.sleep(self._cut_seconds)
        # Said by another thread: where it is stderr that hangs, saying so would hang, too.
        threading.Thread(target=_say_what_hangs, name="last words", daemon=True).start()
        time.sleep(_LAST_WORDS_SECONDS)
        os._exit(0)


def end_without(threads: str, code: int) -> None:
    """End the process where threads whose name begins so still wait for an answer: the interpreter would wait, too.

    To be called when everything is closed; what those threads are about, the next start looks at again.
    """
    if any(thread.name.startswith(threads) for thread in threading.enumerate()):
        logging.shutdown()
        os._exit(code)


def _say_what_hangs() -> None:
    log.error("stop deadline reached; ending now: the next start recovers")
    faulthandler.dump_traceback()
