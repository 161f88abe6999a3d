"""What goes wrong around the catalog: files that are no index, callers that go away, disks that fill up."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from catalogs import a_sighting, bring_to, change, discover
from samples import NOW

from index import connection as connections
from index.asset import AssetId, RelPath
from index.catalog import Catalog
from index.changes import Change, Observations
from index.errors import (
    CatalogError,
    CorruptIndexError,
    IndexFaultError,
    IndexFullError,
    StaleTransitionError,
    UnknownAssetError,
)
from index.lifecycle import Event, IllegalTransitionError, State
from index.listing import Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from index.asset import Asset

COUNT = 300


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    """Give an empty catalog."""
    catalog = await Catalog.open(tmp_path / "index.db", clock=lambda: NOW)
    yield catalog
    await catalog.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an index with assets in every state, closed in order; nobody may touch it."""
    path = tmp_path_factory.mktemp("template") / "index.db"

    async def fill() -> None:
        catalog = await Catalog.open(path, clock=lambda: NOW)
        files = [(a_sighting(f"{number:04}", inode=number), NOW) for number in range(COUNT)]
        await catalog.observe(Observations(discovered=files))
        for state in State:
            await bring_to(catalog, state, state.value)
        await catalog.close()

    asyncio.run(fill())
    return path


@pytest.fixture
def full(template: Path, tmp_path: Path) -> Path:
    """Give a copy of it."""
    return shutil.copy(template, tmp_path / "full.db")


def truncate(path: Path, size: Callable[[int], float]) -> None:
    """Cut the file."""
    os.truncate(path, int(size(path.stat().st_size)))


def spoil_a_page(path: Path, chance: random.Random) -> int:
    """Flip some bytes, or all, of some page, and return where it begins."""
    content = bytearray(path.read_bytes())
    page = chance.randrange(len(content) // 4096) * 4096
    for _ in range(chance.choice([1, 20, 4096])):
        content[page + chance.randrange(4096)] = chance.randrange(256)
    path.write_bytes(content)
    return page


def is_open(path: Path) -> bool:
    """Return whether this process has the file open."""
    return any(fd.is_symlink() and fd.readlink() == path for fd in Path("/proc/self/fd").iterdir())


def substitute(path: Path, old: bytes, new: bytes) -> None:
    """Write other bytes, of the same length, in place of these."""
    path.write_bytes(path.read_bytes().replace(old, new))


async def read_everything(path: Path) -> list[Asset]:
    """Open an index, ask it everything, and close it."""
    catalog = await Catalog.open(path, clock=lambda: NOW)
    try:
        page, _ = await catalog.list(Query(states=tuple(State)), limit=10_000)
        for asset in page:
            await catalog.get(asset.id)
        await catalog.between("", None)
        await catalog.candidates(order=("last_access",), limit=1000)
        await catalog.events(0, limit=10_000)
        await catalog.claim(10, now=NOW)
        await catalog.observe(Observations(discovered=[(a_sighting("another"), NOW)]))
        await catalog.uploads.all()
        await catalog.recall("x")
        return page
    finally:
        await catalog.close()


async def threads_left() -> list[threading.Thread]:
    """Return the threads of connections that do not end."""
    threads = [thread for thread in threading.enumerate() if thread.name == "index"]
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
    return [thread for thread in threads if thread.is_alive()]


# Files


@pytest.mark.parametrize("content", [None, b"", b"x"])
async def test_no_index_is_a_new_one(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, empty, or too short for a header becomes an index, and it says that it is fresh."""
    path = tmp_path / "index.db"
    if content is not None:
        path.write_bytes(content)
    catalog = await Catalog.open(path)
    assert catalog.fresh
    await catalog.close()


@pytest.mark.parametrize("content", [b"\0" * 8192, b"not a database at all" * 500, b"SQLite format 3\0" * 100])
async def test_garbage_is_recognised(tmp_path: Path, content: bytes) -> None:
    """A file that is no index is damage, it is left as it is, and its name is in the error."""
    path = tmp_path / "index.db"
    path.write_bytes(content)
    with pytest.raises(CorruptIndexError, match=r"index\.db"):
        await Catalog.open(path)
    assert path.read_bytes() == content
    assert await threads_left() == []


async def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """A wrong [index] path never costs anybody their data: it is refused, not taken for damage."""
    path = tmp_path / "photos.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE photo (name)")
    other.commit()
    other.close()
    content = path.read_bytes()
    with pytest.raises(CatalogError, match="another program") as caught:
        await Catalog.open(path)
    assert not isinstance(caught.value, CorruptIndexError)
    assert path.read_bytes() == content


async def test_a_newer_index_is_left_alone(full: Path) -> None:
    """An index of a later version is refused, not rebuilt and not migrated backwards."""
    other = sqlite3.connect(full)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(CatalogError, match="newer tierd") as caught:
        await Catalog.open(full)
    assert not isinstance(caught.value, CorruptIndexError)


async def test_no_place_for_an_index(tmp_path: Path) -> None:
    """A directory that is not there is no damage, and no thread is left of the attempt."""
    for path in (tmp_path / "missing" / "index.db", tmp_path):
        with pytest.raises(CatalogError, match=str(path)) as caught:
            await Catalog.open(path)
        assert not isinstance(caught.value, CorruptIndexError)
    assert await threads_left() == []


async def test_a_second_daemon_is_refused(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is open cannot be opened again, and that is not taken for damage."""
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.0)
    with pytest.raises(CatalogError, match="locked") as caught:
        await Catalog.open(tmp_path / "index.db")
    assert not isinstance(caught.value, CorruptIndexError)
    assert (await discover(catalog)).state is State.NEW


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
async def test_a_cut_file_is_recognised(full: Path, share: float) -> None:
    """Whatever is missing at the end, it is noticed at once, however big the index."""
    truncate(full, lambda size: size * share)
    with pytest.raises(CorruptIndexError):
        await Catalog.open(full)


async def test_a_cut_file_is_recognised_without_a_check(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index too big to be checked at every open is no exception."""
    monkeypatch.setattr(connections, "CHECKED_ALWAYS_BYTES", 0)
    truncate(full, lambda size: size - 4096)
    with pytest.raises(CorruptIndexError):
        await Catalog.open(full)


async def test_a_big_index_is_checked_after_a_crash(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed in order it is believed; with a log left beside it every page is read."""
    monkeypatch.setattr(connections, "CHECKED_ALWAYS_BYTES", 0)
    checks: list[str] = []
    check = connections._check
    monkeypatch.setattr(connections, "_check", lambda raw: (checks.append("checked"), check(raw)))
    catalog = await Catalog.open(full)
    await catalog.remember("something", "new")
    assert checks == []
    crashed = full.with_name("crashed.db")
    for suffix in ("", "-wal"):
        shutil.copy(f"{full}{suffix}", f"{crashed}{suffix}")
    await catalog.close()
    catalog = await Catalog.open(crashed)
    assert checks == ["checked"]
    assert await catalog.recall("something") == "new"
    await catalog.close()


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("seed", range(60))
async def test_flipped_bytes_are_damage_or_harmless(
    full: Path,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
    checked: bool,  # noqa: FBT001 - pytest's
) -> None:
    """A page that went bad is recognised when it is read, or does no harm; nothing else is ever raised."""
    if not checked:
        monkeypatch.setattr(connections, "CHECKED_ALWAYS_BYTES", 0)
    page = spoil_a_page(full, random.Random(seed))
    try:
        await read_everything(full)
    except (CorruptIndexError, UnknownAssetError):
        # An entry that went bad in the index of ids hides its asset, of which nothing is lost.
        pass
    except CatalogError:
        # A flip in the header may also look like another program's file, or one of a newer version.
        assert page == 0
    assert await threads_left() == []


@pytest.mark.parametrize("lost", ["", "-wal"])
async def test_a_lost_half_of_an_index_is_damage_or_old(tmp_path: Path, full: Path, lost: str) -> None:
    """Without its log an index is as it was before; a log without its index is nothing."""
    catalog = await Catalog.open(full, clock=lambda: NOW)
    await discover(catalog, "later")
    crashed = tmp_path / "crashed.db"
    for suffix in {"", "-wal"} - {lost}:
        shutil.copy(f"{full}{suffix}", f"{crashed}{suffix}")
    await catalog.close()
    catalog = await Catalog.open(crashed)
    assert catalog.fresh is (lost == "")
    with pytest.raises(UnknownAssetError):
        await catalog.find(RelPath("later"))
    await catalog.close()


async def test_a_log_of_another_index_is_damage_or_harmless(tmp_path: Path, full: Path) -> None:
    """Whatever SQLite makes of a foreign log, it is an index of ours in the end, or said to be none."""
    other = await Catalog.open(tmp_path / "other.db", clock=lambda: NOW)
    await discover(other, "x")
    crashed = tmp_path / "crashed.db"
    shutil.copy(full, crashed)
    shutil.copy(tmp_path / "other.db-wal", tmp_path / "crashed.db-wal")
    await other.close()
    try:
        await read_everything(crashed)
    except CorruptIndexError:
        assert await threads_left() == []


async def test_a_row_that_makes_no_sense_is_damage(catalog: Catalog) -> None:
    """What we would never have written is not interpreted."""
    asset = await discover(catalog)
    with pytest.raises(CorruptIndexError, match="malformed JSON"):
        await catalog._commits.share(lambda raw: raw.execute("UPDATE asset SET fields = '[}'").rowcount)
    await catalog._commits.share(lambda raw: raw.execute("DROP TRIGGER asset_redescribed").rowcount)
    for column, value in (("fields", "[}"), ("proof_key", "k"), ("inode", None)):
        sql = f"UPDATE asset SET {column} = ?"
        await catalog._commits.share(lambda raw, sql=sql, value=value: raw.execute(sql, (value,)).rowcount)
        with pytest.raises(CorruptIndexError, match="makes no sense"):
            await catalog.get(asset.id)
        await catalog._commits.share(lambda raw, sql=sql: raw.execute(sql, (None,)).rowcount)


async def test_a_row_without_the_one_beside_it_is_damage(catalog: Catalog) -> None:
    """An asset that has lost what accesses made of it is not passed over: neither by who asks nor by a scan."""
    asset = await discover(catalog)
    await catalog._commits.share(lambda raw: raw.execute("DELETE FROM warmth").rowcount)
    with pytest.raises(CorruptIndexError, match="makes no sense"):
        await catalog.get(asset.id)
    with pytest.raises(CorruptIndexError, match="makes no sense"):
        await catalog.between("", None)


async def test_text_that_is_none_is_damage(catalog: Catalog) -> None:
    """Bytes that are no UTF-8 where text should be are recognised."""
    asset = await discover(catalog)
    await catalog._commits.share(lambda raw: raw.execute("UPDATE asset SET type = CAST(x'ff' AS TEXT)").rowcount)
    with pytest.raises(CorruptIndexError):
        await catalog.get(asset.id)


async def test_lost_totals_are_damage(full: Path) -> None:
    """An index that cannot say how much there is, is not opened."""
    other = sqlite3.connect(full)
    other.execute("DELETE FROM total WHERE state = 'cold'")
    other.commit()
    other.close()
    with pytest.raises(CorruptIndexError, match="totals"):
        await Catalog.open(full)
    assert await threads_left() == []


@pytest.mark.parametrize("spoilt", [b"proof_exag", b"proof_et\xffg"])
async def test_a_spoilt_definition_is_damage(full: Path, spoilt: bytes) -> None:
    """A flip in what the tables are made of is recognised before anything is asked of them."""
    substitute(full, b"proof_etag", spoilt)
    with pytest.raises(CorruptIndexError):
        await Catalog.open(full)


async def limit(catalog: Catalog, pages: int | None) -> None:
    """Leave the index no room to grow, or all the room there is."""
    if pages is None:
        (pages,) = await catalog._connection.submit(lambda raw: raw.execute("PRAGMA page_count").fetchone())
    await catalog._connection.submit(lambda raw: raw.execute(f"PRAGMA max_page_count = {pages}").fetchall())


MANY = Observations(discovered=[(a_sighting(f"many{number}"), NOW) for number in range(2000)])


async def test_a_full_disk_undoes_the_whole_commit(catalog: Catalog) -> None:
    """Where a commit finds no room all who share it are told, nothing of it is left, and later it works."""
    assets = [await discover(catalog, f"{number}") for number in range(3)]
    await limit(catalog, None)
    results = await asyncio.gather(
        catalog.apply(change(assets[0], Event.CLAIMED), patient=False),
        catalog.apply(change(assets[1], Event.CLAIMED), patient=False),
        catalog.observe(MANY, patient=False),
        return_exceptions=True,
    )
    assert [type(result) for result in results[1:]] == [IndexFullError, IndexFullError]
    assert "full" in str(results[2])
    assert catalog.is_full
    assert await catalog.get(assets[1].id) == assets[1]
    assert catalog.totals.assets[State.NEW] == 2
    await limit(catalog, 1073741823)
    await catalog.observe(MANY)
    assert catalog.totals.assets[State.NEW] == 2002
    assert not catalog.is_full


async def test_who_must_come_to_an_end_waits_for_room(catalog: Catalog) -> None:
    """It waits, and is done when there is room; meanwhile whatever is read is read, and new work is refused at once."""
    asset = await discover(catalog, "a")
    await limit(catalog, None)
    waits = asyncio.create_task(catalog.observe(MANY))
    with pytest.raises(IndexFullError):
        await catalog.observe(MANY, patient=False)
    with pytest.raises(IndexFullError):
        await catalog.set_pinned([asset.id], pinned=True)
    assert await catalog.get(asset.id) == asset
    assert not waits.done()
    await limit(catalog, 1073741823)
    await waits
    assert catalog.totals.assets[State.NEW] == 2001
    assert await catalog.set_pinned([asset.id], pinned=True) == 1


async def test_who_is_cancelled_does_not_wait_for_room(catalog: Catalog) -> None:
    """A stop does not wait for somebody to free space."""
    await discover(catalog, "a")
    await limit(catalog, None)
    waits = asyncio.create_task(catalog.observe(MANY))
    with pytest.raises(IndexFullError):
        await catalog.observe(MANY, patient=False)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits


async def test_a_close_does_not_wait_for_room(tmp_path: Path) -> None:
    """What still waits is told, and nothing of it is left."""
    catalog = await Catalog.open(tmp_path / "index.db", clock=lambda: NOW)
    await discover(catalog, "a")
    await limit(catalog, None)
    waits = asyncio.create_task(catalog.observe(MANY))
    with pytest.raises(IndexFullError):
        await catalog.observe(MANY, patient=False)
    await catalog.close()
    with pytest.raises(IndexFullError):
        await waits
    assert await threads_left() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True, timeout=30)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True, timeout=30)


async def test_the_log_gives_its_room_back(small_disk: Path) -> None:
    """On a disk that cannot hold as long a log as SQLite would let grow, what is in it is brought home in time."""
    path = small_disk / "index.db"
    catalog = await Catalog.open(path, clock=lambda: NOW)
    asset = await discover(catalog, "a")
    await catalog.close()
    catalog = await Catalog.open(path, clock=lambda: NOW)
    try:
        for number in range(300):
            await catalog.set_pinned([asset.id], pinned=number % 2 == 0)
        assert not catalog.is_full
    finally:
        await catalog.close()


async def test_who_watches_is_told_of_a_fault(catalog: Catalog) -> None:
    """Whoever met it first: an index that cannot be read or written is everybody's trouble. Want of room passes."""
    watch = asyncio.create_task(catalog.watch())
    await discover(catalog, "a")
    await limit(catalog, None)
    with pytest.raises(IndexFullError):
        await catalog.observe(MANY, patient=False)
    assert not watch.done()
    with pytest.raises(IndexFaultError):
        await catalog._connection.submit(lambda raw: raw.execute("SELECT nonsense"))
    with pytest.raises(IndexFaultError, match="nonsense"):
        await watch


@pytest.mark.parametrize("how", ["read", "commit"])
async def test_who_watches_is_told_of_a_row_that_makes_no_sense(catalog: Catalog, how: str) -> None:
    """Also where whoever met it goes on: an index that is not what we wrote must be rebuilt."""
    asset = await discover(catalog)
    watch = asyncio.create_task(catalog.watch())
    await catalog._commits.share(lambda raw: raw.execute("UPDATE asset SET inode = NULL").rowcount)
    with pytest.raises(CorruptIndexError):
        await (catalog.get(asset.id) if how == "read" else catalog.apply(Change.about(asset, Event.CLAIMED)))
    with pytest.raises(CorruptIndexError, match="makes no sense"):
        await watch


# Callers


class Gate:
    """Keeps the connection's thread busy until it is opened, so that what happens meanwhile is no matter of luck."""

    def __init__(self, catalog: Catalog) -> None:
        self._open = threading.Event()
        self._future = catalog._connection.submit(lambda _: self._open.wait(30))

    async def open(self) -> None:
        """Let the thread go on."""
        self._open.set()
        assert await self._future


async def test_a_cancelled_change_is_made_and_then_seen(catalog: Catalog) -> None:
    """A caller cancelled in the middle of a commit goes on when it is durable, and sees it made."""
    asset = await discover(catalog)
    gate = Gate(catalog)
    seen: list[State] = []

    async def act() -> None:
        try:
            await catalog.apply(change(asset, Event.CLAIMED))
        except asyncio.CancelledError:
            seen.append((await catalog.get(asset.id)).state)
            seen.append(State.UPLOADING if catalog.totals.assets[State.UPLOADING] else State.NEW)
            raise

    task = asyncio.create_task(act())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    await gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [State.UPLOADING, State.UPLOADING]


async def test_a_change_cancelled_before_its_commit_began(catalog: Catalog) -> None:
    """Also a caller that only waits for its turn sees what is true when it goes on."""
    first, second = await discover(catalog, "a"), await discover(catalog, "b")
    gate = Gate(catalog)
    tasks = [asyncio.create_task(catalog.apply(change(asset, Event.CLAIMED))) for asset in (first, second)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not tasks[1].done()
    await gate.open()
    assert (await tasks[0]).state is State.UPLOADING
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert (await catalog.get(second.id)).state is State.UPLOADING


async def test_a_second_cancellation_lets_go_at_once(catalog: Catalog) -> None:
    """Who is cut off does not wait; the index and its totals are right all the same."""
    asset = await discover(catalog)
    gate = Gate(catalog)
    task = asyncio.create_task(catalog.apply(change(asset, Event.CLAIMED)))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gate.open()
    assert (await catalog.get(asset.id)).state is State.UPLOADING
    await catalog.remember("after", "it")
    assert catalog.totals.assets[State.UPLOADING] == 1


async def test_a_cancelled_failure_is_nobodys(catalog: Catalog) -> None:
    """The error of a caller that has gone is not reported as forgotten."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    asset = await discover(catalog)
    gate = Gate(catalog)
    task = asyncio.create_task(catalog.apply(replace(change(asset, Event.CLAIMED), generation=9)))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gate.open()
    await catalog.get(asset.id)
    del task
    assert reported == []


async def test_a_cancelled_read_leaves_the_thread_to_others(catalog: Catalog) -> None:
    """A reader that goes away takes nothing with it."""
    asset = await discover(catalog)
    gate = Gate(catalog)
    task = asyncio.create_task(catalog.get(asset.id))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gate.open()
    assert await catalog.get(asset.id) == asset


async def test_concurrent_changes_share_a_commit(catalog: Catalog) -> None:
    """Fifty callers at once take two commits: that of the first, and that of all who came meanwhile."""
    assets = [await discover(catalog, f"{number:02}") for number in range(50)]
    statements: list[str] = []
    await catalog._connection.submit(lambda raw: raw.set_trace_callback(statements.append))
    await asyncio.gather(*(catalog.apply(change(asset, Event.CLAIMED)) for asset in assets))
    await catalog._connection.submit(lambda raw: raw.set_trace_callback(None))
    assert statements.count("COMMIT") == 2
    assert catalog.totals.assets[State.UPLOADING] == 50


@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        (lambda change: replace(change, generation=9), StaleTransitionError),
        (lambda change: replace(change, id=AssetId("nobody")), ValueError),
        (lambda change: replace(change, event=Event.EVICTED), IllegalTransitionError),
        (lambda change: replace(change, event=Event.VANISHED), CatalogError),
        (lambda change: replace(change, reason=7), AttributeError),
    ],
)
async def test_in_a_shared_commit_everybody_fails_alone(
    catalog: Catalog, break_it: Callable[[Change], Change], error: type[Exception]
) -> None:
    """A change that cannot be made fails its own caller, wholly, and nobody else who shares the commit."""
    assets = [await discover(catalog, f"{number}") for number in range(4)]
    changes = [change(asset, Event.CLAIMED) for asset in assets]
    broken = break_it(replace(change(assets[2], Event.SENT), state=State.UPLOADING))
    gate = Gate(catalog)
    first = asyncio.create_task(catalog.apply(changes[0]))
    await asyncio.sleep(0)
    calls = [
        catalog.apply(changes[1]),
        catalog.apply(changes[2], broken),
        catalog.apply(changes[3]),
    ]
    rest = asyncio.gather(*calls, return_exceptions=True)
    await asyncio.sleep(0)
    await gate.open()
    await first
    results = await rest
    assert [type(result) for result in results[::2]] == [type(assets[0])] * 2
    assert isinstance(results[1], error)
    states = [(await catalog.get(asset.id)).state for asset in assets]
    assert states == [State.UPLOADING, State.UPLOADING, State.NEW, State.UPLOADING]
    assert catalog.totals.assets[State.UPLOADING] == 3


# Threads and processes


async def test_no_thread_is_left_after_close(catalog: Catalog) -> None:
    """Closing ends the connection's thread."""
    assert catalog._connection._thread.is_alive()
    await catalog.close()
    assert await threads_left() == []


async def test_a_connection_that_nobody_took_is_closed(tmp_path: Path) -> None:
    """Where waiting for the connection is cancelled, it is closed and not left to the garbage collector."""
    connection = connections.Connection(tmp_path / "index.db")
    task = asyncio.create_task(asyncio.wait_for(connection, None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await threads_left() == []
    assert connection._raw is not None
    assert not is_open(tmp_path / "index.db")


async def test_a_cancelled_open_leaves_nothing(tmp_path: Path) -> None:
    """Wherever opening is cancelled, no thread and no lock is left, and the index can be opened."""
    path = tmp_path / "index.db"
    for steps in range(12):
        task = asyncio.create_task(Catalog.open(path))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        try:
            catalog = await task
        except asyncio.CancelledError:
            continue
        await catalog.close()
    assert await threads_left() == []
    catalog = await Catalog.open(path)
    await catalog.close()


@pytest.mark.parametrize(
    "body",
    [
        "await catalog.close()",
        "pass  # forgotten",
        "raise SystemExit(0)",
        "asyncio.get_running_loop().stop()",
    ],
)
def test_the_thread_never_keeps_the_process_alive(tmp_path: Path, body: str) -> None:
    """However a process ends, closed or not, it ends."""
    script = f"""
        import asyncio, sys, pathlib
        sys.path[:] = {sys.path!r}
        from index.catalog import Catalog
        async def main():
            global catalog
            catalog = await Catalog.open(pathlib.Path({str(tmp_path / "index.db")!r}))
            {body}
        try:
            asyncio.run(main())
        except RuntimeError:
            pass
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=20, check=True, capture_output=True)


def test_a_killed_process_loses_nothing_it_was_told_is_done(tmp_path: Path) -> None:
    """After a SIGKILL everything that a call returned for is there, and the index opens as it is."""
    script = f"""
        import asyncio, os, sys, pathlib
        sys.path[:] = {sys.path!r}
        from index.catalog import Catalog
        async def main():
            catalog = await Catalog.open(pathlib.Path({str(tmp_path / "index.db")!r}))
            for number in range(10**6):
                await catalog.remember("number", str(number))
                os.write(1, b"%d\\n" % number)
        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(50):
            last = process.stdout.readline()
        process.kill()
        last = (process.stdout.read().splitlines() or [last])[-1]

    async def recall() -> str | None:
        catalog = await Catalog.open(tmp_path / "index.db")
        try:
            return await catalog.recall("number")
        finally:
            await catalog.close()

    assert int(asyncio.run(recall()) or -1) in {int(last), int(last) + 1}
