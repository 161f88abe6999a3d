"""Group commit: whoever asks while a commit is under way shares the next one, and its one wait for the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from index.connection import FOREIGN_ERRORS, translated
from index.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from index.connection import Connection

    Work = Callable[[sqlite3.Connection], Any]
    Outcome = tuple[Any, Exception | None]

T = TypeVar("T")
S = TypeVar("S")


class Commits(Generic[S]):
    """Runs functions that write, each all or nothing, several to a commit.

    There is no task and no lock: the end of one commit starts the next, so no caller's cancellation can leave one
    half-way. `summarise` runs in the thread as the last thing of every commit; `publish` gets its result on the event
    loop before any caller goes on.
    """

    def __init__(
        self,
        connection: Connection,
        path: Path,
        *,
        summarise: Callable[[sqlite3.Connection], S],
        publish: Callable[[S], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._summarise = summarise
        self._publish = publish
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._running: asyncio.Future[tuple[Sequence[Outcome], S]] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Commits {len(self._waiting)} waiting{', one running' if self._running else ''}>"

    async def share(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` returns once it is durable, or raise what it raises, and then nothing of it is left.

        A cancelled caller still waits for the end, and only then sees its CancelledError: whatever it looks at next,
        it sees the index as it stays. A second cancellation lets it go at once.
        """
        if self._closed:
            raise CatalogError(f"the index {self._path} is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_notice)
        self._waiting.append((work, future))
        self._start()
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise
        return future.result()

    async def close(self) -> None:
        """Finish what was asked for, and take no more."""
        self._closed = True
        while self._running is not None:
            await asyncio.wait({self._running})

    def _start(self) -> None:
        if self._running is not None or not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        self._running = self._connection.submit(partial(self._commit, [work for work, _ in batch]))
        self._running.add_done_callback(partial(self._settle, [future for _, future in batch]))

    def _settle(
        self, futures: Sequence[asyncio.Future[Any]], done: asyncio.Future[tuple[Sequence[Outcome], S]]
    ) -> None:
        self._running = None
        failure = done.exception()
        if failure is not None:
            for future in futures:
                future.set_exception(failure)
        else:
            outcomes, summary = done.result()
            self._publish(summary)
            for future, (result, error) in zip(futures, outcomes, strict=True):
                if error is None:
                    future.set_result(result)
                else:
                    future.set_exception(error)
        self._start()

    def _commit(self, works: Sequence[Work], connection: sqlite3.Connection) -> tuple[Sequence[Outcome], S]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [self._attempt(work, connection) for work in works]
            summary = self._summarise(connection)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return outcomes, summary

    def _attempt(self, work: Work, connection: sqlite3.Connection) -> Outcome:
        connection.execute("SAVEPOINT attempt")
        try:
            result = work(connection)
        except Exception as error:
            # It is its caller's to handle, and nobody else's work is undone for it, unless the disk is to blame.
            if isinstance(error, sqlite3.IntegrityError):
                error = _because(error, self._path)
            elif isinstance(error, FOREIGN_ERRORS):
                raise
            connection.execute("ROLLBACK TO attempt")
            connection.execute("RELEASE attempt")
            return None, error
        connection.execute("RELEASE attempt")
        return result, None


def _because(error: Exception, path: Path) -> CatalogError:
    ours = translated(error, path)
    ours.__cause__ = error
    return ours


def _notice(future: asyncio.Future[Any]) -> None:
    """See the exception: its caller may have been cut off, and nobody else would."""
    future.exception()
