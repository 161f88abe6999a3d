"""Counts the requests that a store answered, where they are made: each part, page and repetition is paid for."""

from __future__ import annotations

import threading
from enum import Enum, auto
from typing import Final


class Fare(Enum):
    """What a request is paid for as. A listing has the price of a write."""

    WRITE = auto()
    READ = auto()
    FREE = auto()


_BY_METHOD: Final = {"GET": Fare.READ, "HEAD": Fare.READ, "DELETE": Fare.FREE}
_FAULT: Final = 500


class Toll:
    """The requests of one store since they were last taken. Small files are sent by threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._writes = 0
        self._reads = 0

    def add(self, fare: Fare) -> None:
        """Count a request."""
        with self._turn:
            self._writes += fare is Fare.WRITE
            self._reads += fare is Fare.READ

    def answered(self, fare: Fare, status: int) -> None:
        """Count a request by its answer: none at all is 0. What is the store's own fault is not paid for."""
        if 0 < status < _FAULT:
            self.add(fare)

    def take(self) -> tuple[int, int]:
        """Return how many writes and reads there were, and begin anew."""
        with self._turn:
            taken = self._writes, self._reads
            self._writes = self._reads = 0
        return taken


def fare_of(method: str) -> Fare:
    """Return what a request by HTTP is paid for as, unless it lists."""
    return _BY_METHOD.get(method, Fare.WRITE)
