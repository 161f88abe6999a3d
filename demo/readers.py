"""Clients that ask for assets, many at once, and compare what they get. A daemon that is down is asked again."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from daemon.client import Client, NotReadyError, TierdError, UnreachableError
from demo.audit import DifferenceError, sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from demo.media import Media

CLIENTS: Final = 16
PATIENCE_SECONDS: Final = 300
PAUSE_SECONDS: Final = 0.2
LATER: Final = {503, 507}
"""What the daemon answers where asking again will help: the store does not answer, there is no room yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one client got: the digest of the bytes, how long that took, and why it had to ask again."""

    media: Media
    sha256: str
    seconds: float
    refused: Counter[str]


class Readers:
    """16 clients; every second asset is asked for by content, every other by open."""

    def __init__(self, client: Client, media: Sequence[Media]) -> None:
        self._client = client
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=CLIENTS)
        self._answers: list[Future[Answer]] = [
            self._pool.submit(self._ask, each, by_content=number % 2 == 0) for number, each in enumerate(media)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown(cancel_futures=True)

    @property
    def answered(self) -> int:
        """How many have their answer."""
        return sum(answer.done() for answer in self._answers)

    def results(self) -> list[Answer]:
        """Return all answers. Raise DifferenceError where one is not right."""
        answers = [answer.result() for answer in self._answers]
        wrong = [
            f"other bytes than it was given: {each.media.path}" for each in answers if each.sha256 != each.media.sha256
        ]
        if wrong:
            raise DifferenceError(wrong)
        return answers

    def _ask(self, media: Media, *, by_content: bool) -> Answer:
        began = time.monotonic()
        refused: Counter[str] = Counter()
        while True:
            try:
                digest = self._content(media.path) if by_content else self._opened(media.path)
                return Answer(media, digest, time.monotonic() - began, refused)
            except TierdError as error:
                if not _is_passing(error) or self._ended.is_set() or time.monotonic() > began + PATIENCE_SECONDS:
                    raise DifferenceError([f"not to be had: {media.path}: {error.code}: {error}"]) from error
                refused[error.code] += 1
                self._ended.wait(PAUSE_SECONDS)

    def _content(self, path: str) -> str:
        digest = hashlib.sha256()
        with self._client.content(path) as content:
            for piece in content:
                digest.update(piece)
        return digest.hexdigest()

    def _opened(self, path: str) -> str:
        with self._client.open(path) as asset:
            return sha256_of(asset.path)


def _is_passing(error: TierdError) -> bool:
    return isinstance(error, UnreachableError | NotReadyError) or error.status in LATER
