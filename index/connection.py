"""The one connection to SQLite, and the one thread that uses it (docs/adr/0002).

What leaves this module are CatalogErrors: sqlite3's own are translated here and nowhere else.
"""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import aiosqlite

from index.errors import CatalogError, CorruptIndexError, IndexFaultError, IndexFullError
from index.schema import migrate, require_ours, require_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

BUSY_SECONDS: Final = 2.0
CHECKED_ALWAYS_BYTES: Final = 64 << 20
"""Up to this size an index is checked at every open."""

_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "mmap_size = 0",
    "cell_size_check = ON",
    "trusted_schema = OFF",
    "temp_store = MEMORY",
    "cache_size = -65536",
    "journal_size_limit = 16777216",
)

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_WEATHER: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
    }
)


FOREIGN_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What the module raises; the second where it cannot even repeat what SQLite says of a damaged schema."""


class Connection(aiosqlite.Connection):
    """Runs whole functions in the connection's thread, one after the other."""

    def __init__(self, path: Path) -> None:
        super().__init__(self._connect_here, iter_chunk_size=64)
        self._path = path
        self._raw: sqlite3.Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._fallen: asyncio.Future[None] = self._loop.create_future()
        self._fallen.add_done_callback(_notice)
        # Whatever goes wrong, this thread never keeps the process alive; SQLite does not mind being cut off.
        self._thread.daemon = True
        self._thread.name = "index"

    def __repr__(self) -> str:
        return f"<Connection to {self._path}{'' if self._running else ', closed'}>"

    @classmethod
    async def open(cls, path: Path, *, now: float) -> tuple[Connection, bool]:
        """Return the connection, and whether the index is a new one.

        Raise CorruptIndexError where SQLite does not recognise its own file, CatalogError where it cannot be used.
        """
        connection = cls(path)
        try:
            await connection
            fresh = await connection.submit(partial(_prepare, path=path, now=now))
        except sqlite3.Error as error:
            raise translated(error, path) from error
        except BaseException:
            # Closed before the caller hears of it: closing removes the -wal beside whatever then has this name.
            await connection.close()
            raise
        return connection, fresh

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Queue `work` for the thread. It runs whole, in the order of submission, even if the future is cancelled."""
        if not self._running or self._connection is None:
            raise CatalogError(f"the index {self._path} is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, partial(self._run, work)))
        return future

    async def watch(self) -> None:
        """Wait for ever. Raise the first IndexFaultError that anybody met, but for want of room, which passes."""
        await asyncio.shield(self._fallen)

    def stop(self) -> asyncio.Future[None] | None:
        """Stop the thread; also where `await` was cancelled before the connection was handed over."""
        self._tx.put_nowait((None, self._close_here))
        return super().stop()

    def _connect_here(self) -> sqlite3.Connection:
        self._raw = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256)
        return self._raw

    def _close_here(self) -> None:
        if self._raw is not None:
            self._raw.close()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._conn)
        except CorruptIndexError as error:
            # What the file holds is none of what we wrote, though SQLite can read it.
            self._loop.call_soon_threadsafe(self._fall, error)
            raise
        except FOREIGN_ERRORS as error:
            ours = translated(error, self._path)
            if isinstance(ours, IndexFaultError) and not isinstance(ours, IndexFullError):
                self._loop.call_soon_threadsafe(self._fall, ours)
            raise ours from error

    def _fall(self, error: IndexFaultError) -> None:
        if not self._fallen.done():
            self._fallen.set_exception(error)


def _notice(fallen: asyncio.Future[None]) -> None:
    """See the exception: whoever met it was told."""
    if not fallen.cancelled():
        fallen.exception()


def is_full(error: Exception) -> bool:
    """Return whether one of the FOREIGN_ERRORS says that there is no room."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_FULL


def translated(error: Exception, path: Path) -> CatalogError:
    """Return one of the FOREIGN_ERRORS as ours."""
    code = getattr(error, "sqlite_errorcode", None)
    # Without a code it is the module that complains: of text that is not UTF-8, which we never write.
    # And JSON is only ever what we wrote.
    unreadable = code is None and isinstance(error, sqlite3.OperationalError | UnicodeDecodeError)
    unreadable = unreadable or str(error) == "malformed JSON"
    kind: type[CatalogError] = IndexFaultError
    if unreadable or (code or 0) & 0xFF in _DAMAGE:
        kind = CorruptIndexError
    elif is_full(error):
        kind = IndexFullError
    elif isinstance(error, sqlite3.IntegrityError):
        kind = CatalogError
    return kind(f"index {path}: {error}")


def _prepare(connection: sqlite3.Connection, *, path: Path, now: float) -> bool:
    try:
        return _open(connection, path, now)
    except CorruptIndexError as error:
        raise CorruptIndexError(f"index {path}: {error}") from error
    except CatalogError as error:
        raise CatalogError(f"index {path}: {error}") from error
    except sqlite3.Error as error:
        # Nothing but damage makes our own statements wrong here.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _WEATHER:
            raise
        raise CorruptIndexError(f"index {path}: {error}") from error


def _open(connection: sqlite3.Connection, path: Path, now: float) -> bool:
    left_open = _size(path.with_name(f"{path.name}-wal")) > 0
    # Before the first read: SQLite then keeps every other process out, and needs no shared memory.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    require_ours(connection)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    if left_open or _size(path) <= CHECKED_ALWAYS_BYTES:
        _check(connection)
    fresh = migrate(connection, now=now)
    require_whole(connection)
    return fresh


def _check(connection: sqlite3.Connection) -> None:
    """Read every page, which takes about a second a million assets.

    A big index that was closed in order is believed: SQLite notices at once that a file was cut short, and a page that
    has gone bad since when it is next read. Only after a stop without a close, which is what a failing disk or a loss
    of power looks like, is there reason to look at all of it.
    """
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise CorruptIndexError(f"{verdict}")


def _size(path: Path) -> int:
    # By stat alone: opening and closing the file would drop the locks that SQLite holds on it.
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
