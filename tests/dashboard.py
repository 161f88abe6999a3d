"""The dashboard over a daemon at work: `make dashboard` takes its picture for docs/.

A script, not a test: it lets owners write and readers read for some minutes, and has the store be away for a while.
tests/test_monitoring.py sees that every panel has data.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from buckets import Bucket
from daemon_process import MIB, Daemon, a_directory
from test_monitoring import scraping, script

from daemon.client import TierdError
from demo.child import program
from demo.seaweed import Seaweed

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE: Final = Path(__file__).parent.parent / "docs" / "images" / "dashboard.svg"
SECONDS: Final = 180
AWAY: Final = (100, 115)
"""From when to when the store is away."""
FILES_A_SECOND: Final = 4
READS_A_SECOND: Final = 25
SIZES: Final = (20_000, 90_000, 400_000, 2 * MIB)


class Load:
    """What owners and readers do: new files all the time, of which the newer are read more."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._chance = random.Random(7)
        self._paths: list[str] = []

    def write(self) -> None:
        """Drop a file."""
        path = f"shoot-{len(self._paths) // 50:02}/{len(self._paths):05}.jpg"
        self._daemon.drop({path: self._chance.randbytes(self._chance.choice(SIZES))})
        self._paths.append(path)

    def read(self) -> None:
        """Read one; while the store is away, what is cold cannot be had."""
        if self._paths:
            back = min(len(self._paths), int(self._chance.paretovariate(0.6)))
            try:
                self._daemon.read(self._paths[-back])
            except TierdError:
                time.sleep(0.05)


def keep(act: Callable[[], None], times_a_second: int, end: float) -> None:
    """Do it again and again."""
    while time.monotonic() < end:
        act()
        time.sleep(1 / times_a_second)


def main() -> None:
    """Work for some minutes, and draw what Prometheus has seen."""
    with ExitStack() as stack:
        directory = stack.enter_context(a_directory(dir="/var/tmp"))
        store = stack.enter_context(Seaweed(directory / "store"))
        bucket = Bucket(store.endpoint)
        stack.callback(bucket.close)
        bucket.make()
        daemon = Daemon(directory, bucket, {"CACHE__SIZE_LIMIT": "80 MiB"})
        daemon.log.touch()
        stack.callback(daemon.crash)
        daemon.start()
        server = stack.enter_context(scraping(Path(program("prometheus")), daemon))
        began, load = time.time(), Load(daemon)
        end = time.monotonic() + SECONDS
        for act, often in ((load.write, FILES_A_SECOND), (load.read, READS_A_SECOND)):
            threading.Thread(target=keep, args=(act, often, end)).start()
        time.sleep(AWAY[0])
        store.kill()
        time.sleep(AWAY[1] - AWAY[0])
        store.start()
        time.sleep(SECONDS - AWAY[1])
        draw = script("picture")
        PICTURE.write_text(draw.picture(server.url, draw.Span(began, time.time())), encoding="utf-8")


if __name__ == "__main__":
    main()
