"""What every act of the tour plays with, and the two things that all of them do: wait, and kill."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from demo.audit import DifferenceError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from demo.media import Media
    from demo.s5cmd import S5cmd
    from demo.service import Service

KILLS: Final = 5
MIB: Final = 1024**2
PATIENCE_SECONDS: Final = 300


class Account:
    """Tells what happens, and when: seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, text: str) -> None:
        """Say it."""
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", flush=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """The daemon, the bucket, and the media. `url` is where the daemon keeps them, `directory` is for scratch."""

    directory: Path
    url: str
    media: Sequence[Media]
    s5cmd: S5cmd
    service: Service
    chance: random.Random
    say: Account

    @property
    def mib(self) -> float:
        """Return how much all media are."""
        return sum(each.size for each in self.media) / MIB

    def wait(self, what: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the status is so, and return it. Raise DifferenceError where it does not come about."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so(status := self.service.status()):
            if time.monotonic() > deadline:
                raise DifferenceError([f"waited {PATIENCE_SECONDS} s for {what}; the status is {status}"])
            time.sleep(0.01)
        return status

    def kill(self, when: str) -> None:
        """Kill the daemon with SIGKILL at a random moment from now, start it again, and say what that interrupted."""
        time.sleep(self.chance.uniform(0, 0.02))
        states = ", ".join(f"{count:,} {state}" for state, count in self.service.status()["assets"].items() if count)
        seconds = self.service.kill()
        self.say(f"SIGKILL {self.service.kills} of {KILLS}, {when}: {states}; up again in {seconds:.2f} s")
