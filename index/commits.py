"""Group commit: whoever asks while a commit is under way shares the next one, and its one wait for the disk."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from index.connection import FOREIGN_ERRORS, is_full, translated
from index.errors import CatalogError, CorruptIndexError, IndexFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from index.connection import Connection

    Work = Callable[[sqlite3.Connection], Any]
    Outcome = tuple[Any, Exception | None]

T = TypeVar("T")
S = TypeVar("S")

log = logging.getLogger(__name__)

ROOM_SECONDS: Final = 1.0
"""How long after a commit found no room it is tried again."""


@dataclass(slots=True, eq=False)
class Asked:
    """One function that is to be committed. Where there is no room it waits for some, if it is `patient`."""

    work: Work
    future: asyncio.Future[Any]
    patient: bool


class Commits(Generic[S]):
    """Runs functions that write, each all or nothing, several to a commit.

    There is no task and no lock: the end of one commit starts the next, so no caller's cancellation can leave one
    half-way. `summarise` runs in the thread as the last thing of every commit; `publish` gets its result on the event
    loop before any caller goes on.

    Where the disk has no room, those who begin something are refused, and those who must bring something to its end
    wait until there is some: what they did cannot be undone, and is not to be forgotten.
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
        self._waiting: list[Asked] = []
        self._full: IndexFullError | None = None
        self._again: asyncio.TimerHandle | None = None
        self._running: asyncio.Future[tuple[Sequence[Outcome], S]] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Commits {len(self._waiting)} waiting{', one running' if self._running else ''}>"

    @property
    def is_full(self) -> bool:
        """Whether the last commit found no room."""
        return self._full is not None

    async def share(self, work: Callable[[sqlite3.Connection], T], *, patient: bool = True) -> T:
        """Return what `work` returns once it is durable, or raise what it raises, and then nothing of it is left.

        Raise IndexFullError where there is no room for it, unless it is patient: then it waits.

        A cancelled caller still waits for the end, and only then sees its CancelledError: whatever it looks at next,
        it sees the index as it stays. A second cancellation lets it go at once.
        """
        if self._closed:
            raise CatalogError(f"the index {self._path} is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_notice)
        asked = Asked(work, future, patient)
        self._waiting.append(asked)
        self._proceed()
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            asked.patient = False
            self._proceed()
            await asyncio.wait({future})
            raise
        return future.result()

    async def close(self) -> None:
        """Finish what was asked for, and take no more."""
        self._closed = True
        for asked in self._waiting:
            asked.patient = False
        self._proceed()
        while self._running is not None:
            await asyncio.wait({self._running})
        if self._again is not None:
            self._again.cancel()

    def _proceed(self) -> None:
        """Begin the next commit, unless one has just found no room: then the next has its time."""
        if self._full is not None and self._again is not None:
            self._refuse(self._full)
        else:
            self._start()

    def _start(self) -> None:
        self._again = None
        if self._running is not None or not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        self._running = self._connection.submit(partial(self._commit, [asked.work for asked in batch]))
        self._running.add_done_callback(partial(self._settle, batch))

    def _refuse(self, full: IndexFullError) -> None:
        """Tell the impatient, and let the others wait for their next try."""
        for asked in self._waiting:
            if not asked.patient or self._closed:
                asked.future.set_exception(full)
        self._waiting = [asked for asked in self._waiting if not asked.future.done()]

    def _settle(self, batch: list[Asked], done: asyncio.Future[tuple[Sequence[Outcome], S]]) -> None:
        self._running = None
        failure = done.exception()
        if isinstance(failure, IndexFullError):
            self._run_out(failure, batch)
            return
        if self._full is not None:
            self._full = None
            log.info("there is room for the index again")
        if failure is not None:
            for asked in batch:
                asked.future.set_exception(failure)
        else:
            outcomes, summary = done.result()
            self._publish(summary)
            for asked, (result, error) in zip(batch, outcomes, strict=True):
                if error is None:
                    asked.future.set_result(result)
                else:
                    asked.future.set_exception(error)
        self._start()

    def _run_out(self, full: IndexFullError, batch: list[Asked]) -> None:
        if self._full is None:
            log.error("there is no room for the index: what must be written waits, new work is refused: %s", full)
        self._full = full
        self._waiting = batch + self._waiting
        self._again = asyncio.get_running_loop().call_later(ROOM_SECONDS, self._start)
        self._refuse(full)

    def _commit(self, works: Sequence[Work], connection: sqlite3.Connection) -> tuple[Sequence[Outcome], S]:
        try:
            return self._transact(works, connection)
        except sqlite3.Error as error:
            if not is_full(error):
                raise
        # It is the log that grows: what it holds is brought where it belongs, and its room is used again.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return self._transact(works, connection)

    def _transact(self, works: Sequence[Work], connection: sqlite3.Connection) -> tuple[Sequence[Outcome], S]:
        failed: dict[int, Exception] = {}
        while True:
            connection.execute("BEGIN IMMEDIATE")
            try:
                outcomes = self._attempt_all(works, failed, connection)
                if outcomes is not None:
                    summary = self._summarise(connection)
                    connection.execute("COMMIT")
                    return outcomes, summary
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _attempt_all(
        self, works: Sequence[Work], failed: dict[int, Exception], connection: sqlite3.Connection
    ) -> Sequence[Outcome] | None:
        """Return what came of each; None where one failed half-way: then the rest is to be done again without it.

        That is rare. With a savepoint around each, SQLite would look through all that was written since, after every
        statement that has a trigger: a large one would take a time that grows with its square.
        """
        outcomes: list[Outcome] = []
        for number, work in enumerate(works):
            before = connection.total_changes
            outcome = (None, failed[number]) if number in failed else self._attempt(work, connection)
            if outcome[1] is not None and connection.total_changes != before:
                failed[number] = outcome[1]
                return None
            outcomes.append(outcome)
        return outcomes

    def _attempt(self, work: Work, connection: sqlite3.Connection) -> Outcome:
        try:
            return work(connection), None
        except Exception as error:
            # It is its caller's to handle, and nobody else's work is undone for it, unless the disk is to blame.
            if isinstance(error, sqlite3.IntegrityError):
                return None, _because(error, self._path)
            if isinstance(error, (*FOREIGN_ERRORS, CorruptIndexError)):
                raise
            return None, error


def _because(error: Exception, path: Path) -> CatalogError:
    ours = translated(error, path)
    ours.__cause__ = error
    return ours


def _notice(future: asyncio.Future[Any]) -> None:
    """See the exception: its caller may have been cut off, and nobody else would."""
    future.exception()
