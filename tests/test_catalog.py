"""The catalog on a real file: what is written is there, what is stale changes nothing, and order is kept."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from catalogs import A_FAILURE, WAYS, a_sighting, bring_to, change, discover, drive, proof_of
from samples import NOW, a_proof

from index.asset import AssetId, Fingerprint, RelPath, path_from_bytes
from index.catalog import Catalog
from index.changes import Change, FoundObject, Observations
from index.errors import CatalogError, StaleTransitionError, UnknownAssetError
from index.figures import Figure
from index.lifecycle import HOT, IN_FLIGHT, Event, IllegalTransitionError, State
from index.listing import Key, Order, Query
from index.records import Record
from index.schema import MIGRATIONS, migrate
from index.uploads import Upload, UploadedPart
from index.warmth import Use

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    """Give an empty catalog whose clock stands at NOW."""
    catalog = await Catalog.open(tmp_path / "index.db", clock=lambda: NOW)
    yield catalog
    await catalog.close()


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Catalog]:
    """Open a catalog and close it again."""
    catalog = await Catalog.open(path, clock=lambda: NOW)
    try:
        yield catalog
    finally:
        await catalog.close()


async def all_records(catalog: Catalog) -> list[Record]:
    """Return everything that was ever written down."""
    return [*await catalog.events(0, limit=10_000)]


# What is there


async def test_a_new_index_says_so(tmp_path: Path) -> None:
    """An index is fresh when it was created, and never again."""
    for fresh in (True, False):
        async with opened(tmp_path / "index.db") as catalog:
            assert catalog.fresh is fresh


async def test_a_discovered_file_is_an_asset(catalog: Catalog) -> None:
    """Everything that the scan saw is in the asset, which is new and of generation 1."""
    asset = await discover(catalog, "d/a.jpg", due_at=NOW + 5)
    sighting = a_sighting("d/a.jpg")
    assert asset == await catalog.get(asset.id)
    assert (asset.path, asset.state, asset.generation) == ("d/a.jpg", State.NEW, 1)
    assert (asset.fingerprint, asset.ctime_ns) == (sighting.fingerprint, sighting.ctime_ns)
    assert (asset.disk_bytes, asset.mode, asset.links) == (4096, 0o640, 1)
    assert (asset.discovered_at, asset.changed_at, asset.due_at) == (NOW, NOW, NOW + 5)
    assert asset.last_access == sighting.atime_ns / 1e9
    assert (asset.sha256, asset.proof, asset.failure, asset.pinned) == (None, None, None, False)


@pytest.mark.parametrize("state", State)
async def test_every_asset_survives_a_restart(tmp_path: Path, state: State) -> None:
    """In whatever state it is, an asset is the same after the index was closed and opened."""
    async with opened(tmp_path / "index.db") as catalog:
        asset = await bring_to(catalog, state)
        await catalog.set_pinned([asset.id], pinned=True)
        asset = await catalog.describe(asset.id, type="scan", fields={"ü": "'\""}, tags={"a": "\udc80"})
        totals = catalog.totals
    async with opened(tmp_path / "index.db") as catalog:
        assert await catalog.get(asset.id) == asset
        assert catalog.totals == totals


async def test_names_are_bytes(catalog: Catalog) -> None:
    """Any name that a file can have is found again, exactly."""
    names = [b"\xff\xfe", b"a\nb", b"a\\b", b"%41", "ü/日".encode(), b"x" * 255, b"'; DROP TABLE asset; --"]
    await catalog.observe(Observations(discovered=[(a_sighting(path_from_bytes(name)), NOW) for name in names]))
    for name in names:
        assert (await catalog.find(path_from_bytes(name))).path == path_from_bytes(name)


async def test_numbers_beyond_sqlite_are_no_obstacle(catalog: Catalog) -> None:
    """Inodes of 64 bits come back whole; a time stamp beyond the year 2262 stops no scan."""
    fingerprint = Fingerprint(1, 2**66, 2**64 - 3)
    asset = await discover(catalog, fingerprint=fingerprint, ctime_ns=2**70)
    assert asset.fingerprint == fingerprint._replace(mtime_ns=2**63 - 1)
    assert [known.id for known in await catalog.by_fingerprint([fingerprint])] == [asset.id]


async def test_text_from_elsewhere_is_no_obstacle(catalog: Catalog) -> None:
    """A message with bytes that are no text is stored legibly instead of failing."""
    asset = await discover(catalog)
    failure = replace(A_FAILURE, message="cannot read \udcff")
    asset = await catalog.apply(change(asset, Event.REFUSED, failure=failure, reason="\udcff"))
    assert asset == replace(await catalog.get(asset.id), failure=failure)
    assert (await all_records(catalog))[-1].reason == "?"


async def test_unknown_is_said(catalog: Catalog) -> None:
    """Neither an id nor a path that was never seen is an asset."""
    with pytest.raises(UnknownAssetError, match="no asset with the id nobody"):
        await catalog.get(AssetId("nobody"))
    with pytest.raises(UnknownAssetError, match=r"no asset d/\ufffd"):
        await catalog.find(path_from_bytes(b"d/\xff"))
    with pytest.raises(UnknownAssetError):
        await catalog.describe(AssetId("nobody"), type=None, fields={}, tags={})


# What changes


@pytest.mark.parametrize("state", State)
async def test_a_change_is_what_get_returns(catalog: Catalog, state: State) -> None:
    """`apply` returns the asset exactly as the index has it from then on."""
    asset = await bring_to(catalog, state)
    if state is not State.NEW:
        assert asset == await catalog.get(asset.id)
    assert asset.state is state


async def test_a_stale_change_changes_nothing(catalog: Catalog) -> None:
    """Who acts on what is not so any more is told, and nothing of the call is done."""
    asset = await discover(catalog)
    claimed = await catalog.apply(change(asset, Event.CLAIMED))
    before = await all_records(catalog)
    with pytest.raises(StaleTransitionError):
        await catalog.apply(change(asset, Event.CLAIMED))
    with pytest.raises(UnknownAssetError):
        await catalog.apply(replace(change(claimed, Event.SENT), id=AssetId("nobody")))
    assert await catalog.get(asset.id) == claimed
    assert await all_records(catalog) == before


async def test_what_was_found_is_found_as_of_the_last_commit(catalog: Catalog) -> None:
    """Whatever was found before, and also where a commit overtakes the looking: what it did is seen by all after it."""
    asset = await discover(catalog, "a")
    assert await catalog.find(asset.path) == asset
    await catalog.set_pinned([asset.id], pinned=True)
    assert (await catalog.find(asset.path)).pinned
    await catalog.set_pinned([asset.id], pinned=False)
    looking = asyncio.create_task(catalog.find(asset.path))
    await asyncio.sleep(0)
    await catalog.set_pinned([asset.id], pinned=True)
    await looking
    assert (await catalog.find(asset.path)).pinned


async def test_all_changes_of_a_call_or_none(catalog: Catalog) -> None:
    """Where the second of two changes is stale, the first is not made either."""
    asset = await discover(catalog, "a")
    sent = replace(change(asset, Event.SENT), state=State.UPLOADING)
    with pytest.raises(StaleTransitionError):
        await catalog.apply(change(asset, Event.CLAIMED), replace(sent, generation=9))
    assert await catalog.get(asset.id) == asset
    assert await catalog.events(0, limit=10) == await catalog.events(0, limit=1)


async def test_a_change_to_another_asset_is_not_made_to_this_one(catalog: Catalog) -> None:
    """A call is about one asset: anything else is a bug, and nothing of it is made."""
    first, second = await discover(catalog, "a"), await discover(catalog, "b")
    with pytest.raises(ValueError, match=second.id):
        await catalog.apply(change(first, Event.CLAIMED), change(second, Event.CLAIMED))
    assert [await catalog.get(asset.id) for asset in (first, second)] == [first, second]


async def test_several_changes_of_one_asset(catalog: Catalog) -> None:
    """The changes of a call build on one another, and the asset after the last is returned."""
    asset = await discover(catalog)
    sent = replace(change(asset, Event.SENT), state=State.UPLOADING)
    verified = replace(change(asset, Event.VERIFIED), state=State.VERIFYING)
    after = await catalog.apply(change(asset, Event.CLAIMED), sent, verified)
    assert (after.state, after.is_proven) == (State.REPLICATED, True)


async def test_a_bug_is_not_committed(catalog: Catalog) -> None:
    """An edge that the lifecycle does not have is refused as what it is."""
    asset = await discover(catalog)
    with pytest.raises(IllegalTransitionError):
        await catalog.apply(change(asset, Event.EVICTED))
    assert await catalog.get(asset.id) == asset


@pytest.mark.parametrize(
    ("state", "event", "what"),
    [
        (State.VERIFYING, Event.VERIFIED, {"proof": a_proof(generation=2)}),
        (State.NEW, Event.VANISHED, {}),
        (State.NEW, Event.CHANGED, {"path": None, "sighting": None}),
        (State.GONE, Event.CHANGED, {"sighting": None}),
        (State.PROMOTING, Event.RESTORED, {"sighting": None}),
    ],
)
async def test_the_table_itself_refuses_what_must_not_be(
    catalog: Catalog, state: State, event: Event, what: dict[str, object]
) -> None:
    """No row is replicated without a proof of its content, cold without any, or hot without a file."""
    asset = await bring_to(catalog, state)
    if event is Event.CHANGED and state is State.NEW:
        assert (await catalog.apply(change(asset, event, **what))).fingerprint == asset.fingerprint
        return
    with pytest.raises(CatalogError, match="bytes_are_where_the_state_says"):
        await catalog.apply(change(asset, event, **what))
    assert await catalog.get(asset.id) == asset


async def test_a_move_takes_the_place_of_a_tombstone(catalog: Catalog) -> None:
    """An asset moves to a free path, or to one where only a tombstone is left."""
    gone = await bring_to(catalog, State.GONE, "b")
    asset = await discover(catalog, "a")
    moved = change(asset, Event.CHANGED, path=RelPath("b"), sighting=a_sighting("b"))
    assert (await catalog.apply(moved)).id == asset.id
    assert (await catalog.find(RelPath("b"))).id == asset.id
    with pytest.raises(UnknownAssetError):
        await catalog.find(RelPath("a"))
    with pytest.raises(UnknownAssetError):
        await catalog.get(gone.id)


@pytest.mark.parametrize("purge", [False, True])
async def test_a_move_never_takes_the_place_of_another(catalog: Catalog, purge: bool) -> None:  # noqa: FBT001 - pytest's
    """Where another asset is, or a tombstone that must still be purged, the move is stale."""
    other = await bring_to(catalog, State.COLD, "b")
    if purge:
        await catalog.apply(change(other, Event.REMOVED, purge=True))
    asset = await discover(catalog, "a", inode=8)
    moved = change(asset, Event.CHANGED, path=RelPath("b"), sighting=a_sighting("b"))
    with pytest.raises(StaleTransitionError, match="b: another asset is there"):
        await catalog.apply(moved)
    assert await catalog.get(asset.id) == asset


# The queue


async def test_claims_are_in_order_and_exclusive(catalog: Catalog) -> None:
    """What is due longest is claimed first, nothing that is not due, and nothing twice."""
    for number, due_at in enumerate([NOW - 1, NOW - 3, NOW + 1, NOW - 2]):
        await discover(catalog, f"{number}", due_at=due_at)
    first, second, third = await asyncio.gather(*(catalog.claim(2, now=NOW) for _ in range(3)))
    assert [asset.path for asset in first] == ["1", "3"]
    assert [asset.path for asset in second] == ["0"]
    assert third == []
    assert {asset.state for asset in first + second} == {State.UPLOADING}
    assert await catalog.next_due() == NOW + 1


async def test_nothing_is_due_where_nothing_is_new(catalog: Catalog) -> None:
    """Without new assets there is no next time."""
    assert await catalog.next_due() is None


async def test_work_wakes_when_something_becomes_new(catalog: Catalog) -> None:
    """`work` is set by a discovery, a deferral, a retry; not by what is no work for an uploader."""
    assert not catalog.work.is_set()
    asset = await discover(catalog)
    for event, wakes in [
        (None, True),
        (Event.CLAIMED, False),
        (Event.DEFERRED, True),
        (Event.REFUSED, False),
        (Event.RETRIED, True),
    ]:
        asset = asset if event is None else await drive(catalog, asset, event)
        assert catalog.work.is_set() is wakes
        catalog.work.clear()
    await catalog.touch({asset.id: Use(NOW, 1)})
    assert not catalog.work.is_set()


async def test_work_waits_for_a_start(tmp_path: Path) -> None:
    """What was new when the index was closed is work when it is opened."""
    async with opened(tmp_path / "index.db") as catalog:
        await discover(catalog)
    async with opened(tmp_path / "index.db") as catalog:
        assert catalog.work.is_set()


# What a scan finds


async def test_a_known_path_is_not_discovered_again(catalog: Catalog) -> None:
    """A discovery of what the index knows already leaves the asset as it is, and takes in the others."""
    asset = await bring_to(catalog, State.REPLICATED, "b")
    files = [(a_sighting(name, size=5), NOW) for name in "abc"]
    await catalog.observe(Observations(discovered=files))
    assert await catalog.find(RelPath("b")) == asset
    assert catalog.totals.assets[State.NEW] == 2


async def test_a_batch_of_any_size_is_taken_in_whole(catalog: Catalog) -> None:
    """Neither the first nor the last of many is lost, and each is written down once."""
    count = 1234
    files = [(a_sighting(f"{number:05}", inode=number), NOW) for number in range(count)]
    await catalog.observe(Observations(discovered=files))
    assert [known.path for known in await catalog.between("", None)] == [sighting.path for sighting, _ in files]
    records = await all_records(catalog)
    assert [record.path for record in records] == [sighting.path for sighting, _ in files]
    assert {(record.event, record.before, record.after) for record in records} == {("discovered", None, State.NEW)}


async def test_a_file_at_a_tombstone_is_a_new_generation(catalog: Catalog) -> None:
    """A discovery at the path of a tombstone brings the asset back as new."""
    gone = await bring_to(catalog, State.GONE, "b")
    await catalog.observe(Observations(discovered=[(a_sighting("a"), NOW), (a_sighting("b", size=5), NOW + 9)]))
    asset = await catalog.find(RelPath("b"))
    assert (asset.id, asset.state, asset.generation) == (gone.id, State.NEW, gone.generation + 1)
    assert (asset.size, asset.due_at) == (5, NOW + 9)


async def test_a_stale_observation_is_left_out(catalog: Catalog) -> None:
    """Of a scan's changes those that are not so any more are dropped, and the others are made."""
    first, second = await discover(catalog, "a"), await discover(catalog, "b")
    await catalog.apply(change(first, Event.CLAIMED))
    changes = [change(first, Event.LOST), change(second, Event.LOST)]
    changes.append(replace(changes[0], id=AssetId("nobody")))
    await catalog.observe(Observations(changes=changes))
    assert (await catalog.get(first.id)).state is State.UPLOADING
    assert (await catalog.get(second.id)).state is State.GONE


async def test_a_refresh_is_of_the_same_content(catalog: Catalog) -> None:
    """A file that did not change gets its new stat; one that did is not touched by what was seen before."""
    asset = await bring_to(catalog, State.REPLICATED)
    later = int((NOW - 5) * 1e9)
    seen = a_sighting(ctime_ns=5, disk_bytes=8192, links=2, mode=0o600, atime_ns=later)
    other = seen._replace(fingerprint=Fingerprint(1, 2, 3), disk_bytes=0)
    await catalog.observe(Observations(refreshed=[(asset.id, seen), (asset.id, other)]))
    expected = replace(asset, ctime_ns=5, disk_bytes=8192, links=2, mode=0o600, last_access=NOW - 5)
    assert await catalog.get(asset.id) == expected
    assert catalog.totals.disk_bytes == 8192
    await catalog.observe(Observations(refreshed=[(asset.id, seen._replace(atime_ns=0))]))
    assert await catalog.get(asset.id) == expected
    await catalog.observe(Observations(refreshed=[(asset.id, seen._replace(atime_ns=2**62))]))
    assert (await catalog.get(asset.id)).last_access == NOW


async def test_ranges_are_in_the_order_of_bytes(catalog: Catalog) -> None:
    """Beyond `after`, up to and with `upto`, sorted as a walk of the tree is; tombstones are not there."""
    for name in ("a", "a/b", "a.b", "B", "\udcff"):
        await discover(catalog, name)
    await bring_to(catalog, State.GONE, "aa")
    paths = ["B", "a", "a.b", "a/b", "\udcff"]
    assert [known.path for known in await catalog.between("", None)] == paths
    assert [known.path for known in await catalog.between("B", RelPath("a.b"))] == ["a", "a.b"]
    assert [known.path for known in await catalog.between("", RelPath("a/b"))] == paths[:4]


async def test_below_is_a_file_or_a_directory(catalog: Catalog) -> None:
    """Below a path are the asset of this name and what is in the directory of this name, nothing beside it."""
    for name in ("d", "d/a", "d/e/f", "d.x", "d0", "e"):
        await discover(catalog, name)
    assert [known.path for known in await catalog.below(RelPath("d"))] == ["d", "d/a", "d/e/f"]
    assert [known.path for known in await catalog.below(RelPath("d/e"))] == ["d/e/f"]
    assert len(await catalog.below(RelPath(""))) == 6


async def test_renames_are_found_by_fingerprint(catalog: Catalog) -> None:
    """Inode, size and time must all be those of a hot asset."""
    hot = await bring_to(catalog, State.REPLICATED, "a", inode=5)
    await bring_to(catalog, State.COLD, "b", inode=6)
    mtime_ns = hot.fingerprint.mtime_ns if hot.fingerprint else 0
    asked = [Fingerprint(1000, mtime_ns, 5), Fingerprint(1000, mtime_ns, 7)]
    (known,) = await catalog.by_fingerprint(asked)
    assert (known.id, known.path, known.state, known.fingerprint) == (hot.id, hot.path, hot.state, hot.fingerprint)
    others = [Fingerprint(1001, mtime_ns, 5), Fingerprint(1000, mtime_ns + 1, 5), Fingerprint(1000, mtime_ns, 6)]
    assert await catalog.by_fingerprint(others) == []


# What the store has


def found(path: str = "a", *, name: str = "x", generation: int = 1, size: int = 1000) -> FoundObject:
    """Return an object that says whose it is."""
    proof = a_proof(key=f"k/{path}", generation=generation, size=size, mtime_ns=1_700_000_000_000_000_000)
    return FoundObject(AssetId(name), RelPath(path), proof, "image/jpeg")


async def test_an_unknown_object_is_a_cold_asset(catalog: Catalog) -> None:
    """An object at a path that has no row is that asset, cold, under its own id, of its own generation."""
    assert await catalog.adopt_cold([found(generation=4)]) == 1
    asset = await catalog.get(AssetId("x"))
    assert (asset.path, asset.state, asset.generation) == ("a", State.COLD, 4)
    assert (asset.proof, asset.content_type) == (found(generation=4).proof, "image/jpeg")
    (record,) = await all_records(catalog)
    assert (record.event, record.before, record.after, record.key) == ("discovered", None, State.COLD, "k/a")


async def test_a_known_asset_is_not_overruled(catalog: Catalog) -> None:
    """No object changes an asset that knows its remote copy, one in flight, or a tombstone."""
    known = [await bring_to(catalog, state, state.value) for state in State if state is not State.NEW]
    assert await catalog.adopt_cold([found(asset.path, name=f"x{asset.path}") for asset in known]) == 0
    assert [await catalog.get(asset.id) for asset in known] == known
    open_to_news = {State.COLD, State.DAMAGED}
    newer = [found("elsewhere", name=asset.id, generation=9) for asset in known if asset.state not in open_to_news]
    assert await catalog.adopt_cold(newer) == 0


@pytest.mark.parametrize(("size", "generation"), [(1000, 4), (999, 5)])
async def test_a_forgotten_file_gets_its_identity_back(catalog: Catalog, size: int, generation: int) -> None:
    """A new file at the path of an object is that asset again; it stays new, of a newer generation if it differs."""
    asset = await discover(catalog, "a")
    catalog.work.clear()
    assert await catalog.adopt_cold([found(generation=4, size=size)]) == 1
    again = await catalog.find(RelPath("a"))
    assert (again.id, again.state, again.generation) == ("x", State.NEW, generation)
    assert (again.fingerprint, again.proof) == (asset.fingerprint, found(generation=4, size=size).proof)
    assert catalog.work.is_set()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_highest_generation_is_the_asset(catalog: Catalog, order: tuple[int, int]) -> None:
    """Of two objects of one asset the newer one counts, whichever is found first."""
    objects = [found("old", generation=1), found("now", generation=2)]
    for each in order:
        await catalog.adopt_cold([objects[each]])
    assert (await catalog.get(AssetId("x"))).path == "now"
    with pytest.raises(UnknownAssetError):
        await catalog.find(RelPath("old"))
    assert sum(catalog.totals.assets.values()) == 1


async def test_the_highest_generation_may_be_on_disk(catalog: Catalog) -> None:
    """Where the newer object's file is there, it takes the asset from the older object."""
    await discover(catalog, "now")
    await catalog.adopt_cold([found("old", generation=1)])
    await catalog.adopt_cold([found("now", generation=2)])
    asset = await catalog.get(AssetId("x"))
    assert (asset.path, asset.state, asset.generation) == ("now", State.NEW, 2)
    assert sum(catalog.totals.assets.values()) == 1


# Pages


async def test_candidates_come_coldest_first_and_page_by_page(catalog: Catalog) -> None:
    """Only what is replicated and not pinned, by last access, each once, however small the pages."""
    for number in range(7):
        asset = await bring_to(catalog, State.REPLICATED, f"{number}")
        await catalog.touch({asset.id: Use(NOW - number // 2, 1)})
    await bring_to(catalog, State.COLD, "cold")
    pinned = await bring_to(catalog, State.REPLICATED, "pinned")
    await catalog.set_pinned([pinned.id], pinned=True)
    paths, position = [], None
    while True:
        page, position = await catalog.candidates(order=("last_access",), limit=2, after=position)
        if not page:
            break
        paths += [asset.path for asset in page]
    assert paths == ["6", "4", "5", "2", "3", "0", "1"]


async def test_a_candidate_is_replicated_and_not_pinned(catalog: Catalog) -> None:
    """Whatever makes it so or not, at once: the order lies beside the table that knows."""

    async def candidates() -> list[str]:
        page, _ = await catalog.candidates(order=("last_access",), limit=9)
        return [asset.path for asset in page]

    asset = await bring_to(catalog, State.REPLICATED, "a")
    assert await candidates() == ["a"]
    await catalog.set_pinned([asset.id], pinned=True)
    assert await candidates() == []
    await catalog.set_pinned([asset.id], pinned=False)
    assert await candidates() == ["a"]
    asset = await catalog.apply(Change.about(asset, Event.CHOSEN))
    assert await candidates() == []
    await catalog.apply(Change.about(asset, Event.SPARED))
    assert await candidates() == ["a"]


async def test_candidates_by_age(catalog: Catalog) -> None:
    """The order of age is that of discovery, whatever was used since."""
    first, second = [await bring_to(catalog, State.REPLICATED, name) for name in "ab"]
    await catalog.touch({first.id: Use(NOW, 1)})
    page, _ = await catalog.candidates(order=("discovered_at",), limit=9)
    assert [asset.id for asset in page] == [first.id, second.id]


async def test_states_are_read_page_by_page(catalog: Catalog) -> None:
    """Every asset in one of the states comes once, in the order of discovery."""
    names = [f"{state.value}{number}" for number in range(3) for state in State]
    assets = [await bring_to(catalog, state, names.pop(0)) for _ in range(3) for state in State]
    seen: list[str] = []
    after = ""
    while page := await catalog.in_states(IN_FLIGHT, limit=2, after=after):
        seen += [asset.path for asset in page]
        after = page[-1].id
    assert seen == [asset.path for asset in assets if asset.state in IN_FLIGHT]


async def test_the_list_is_in_the_order_of_paths(catalog: Catalog) -> None:
    """Pages meet exactly, the last has no cursor, and tombstones are listed only when asked for."""
    names = sorted(f"{state.value}{number}" for number in range(3) for state in State if state is not State.GONE)
    for number in range(3):
        for state in State:
            await bring_to(catalog, state, f"{state.value}{number}")
    for limit in (1, 4, len(names), 99):
        seen, cursor = [], None
        while True:
            page, cursor = await catalog.list(Query(), limit=limit, cursor=cursor)
            seen += [asset.path for asset in page]
            if cursor is None:
                break
        assert seen == names
    page, _ = await catalog.list(Query(states=(State.GONE,)), limit=9)
    assert [asset.path for asset in page] == ["gone0", "gone1", "gone2"]


async def test_the_list_goes_through_more_than_a_slice(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """However far apart they are, all that fit are found, with a limit or without."""
    monkeypatch.setattr("index.search.SLICE", 10)
    monkeypatch.setattr("index.search.READ_AT_ONCE", 7)
    files = [(a_sighting(f"{n % 7}/{n:03}", inode=n, size=1000 - n), NOW) for n in range(100)]
    await catalog.observe(Observations(discovered=files))
    everything = sorted(sighting.path for sighting, _ in files)
    sevenths = [path for path in everything if path.startswith("3/")]
    for path in sevenths:
        await catalog.describe((await catalog.find(path)).id, type="t", fields={}, tags={})
    for query, fitting in [
        (Query(text="3"), sevenths),
        (Query(type="t"), sevenths),
        (Query(min_size=950), [path for path in everything if int(path[2:]) <= 50]),
        (Query(states=(State.NEW,)), everything),
    ]:
        for order, expected in [
            (Order(), fitting),
            (Order(descending=True), fitting[::-1]),
            (Order(Key.SIZE), sorted(fitting, key=lambda path: path[2:], reverse=True)),
            (Order(Key.SIZE, descending=True), sorted(fitting, key=lambda path: path[2:])),
            (Order(Key.MTIME), fitting),
            (Order(Key.LAST_ACCESS, descending=True), fitting[::-1]),
        ]:
            for limit in (1, 4, 100):
                assert await everything_listed(catalog, query, order, limit) == expected, (query, order, limit)


async def test_figures_are_of_all_that_there_is(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """By state, type, campaign and media type; tombstones are not counted, and stored is what is proven."""
    monkeypatch.setattr("index.figures.ROWS_AT_ONCE", 2)
    await bring_to(catalog, State.GONE, "gone")
    cold = await bring_to(catalog, State.COLD, "cold", size=10)
    new = await discover(catalog, "new", size=5)
    await catalog.describe(cold.id, type="composite", fields={"campaign": "x"}, tags={"campaign": "y"})
    await catalog.describe(new.id, type=None, fields={}, tags={"campaign": "é"})
    media = (cold.content_type or "").partition("/")[0]
    assert set(await catalog.figures()) == {
        Figure(State.COLD, "composite", "x", media, 1, 10, 10),
        Figure(State.NEW, "", "é", "", 1, 5, 0),
    }


async def everything_listed(catalog: Catalog, query: Query, order: Order, limit: int) -> list[str]:
    """Return the paths of all pages, one after the other."""
    seen: list[str] = []
    cursor = None
    while True:
        page, cursor = await catalog.list(query, limit=limit, cursor=cursor, order=order)
        assert len(page) <= limit
        seen += [asset.path for asset in page]
        if cursor is None:
            return seen


async def test_a_cursor_is_of_its_order(catalog: Catalog) -> None:
    """It stays true where assets come and go, and says nothing about a list that is sorted otherwise."""
    for name in "bcd":
        await discover(catalog, name)
    _, cursor = await catalog.list(Query(), limit=1, order=Order(Key.SIZE))
    await catalog.apply(Change.about(await catalog.find(RelPath("b")), Event.LOST))
    await discover(catalog, "a")
    page, _ = await catalog.list(Query(), limit=9, cursor=cursor, order=Order(Key.SIZE))
    assert [asset.path for asset in page] == ["c", "d"]
    with pytest.raises(ValueError, match="sorted by -size; begin again"):
        await catalog.list(Query(), limit=1, cursor=cursor, order=Order(Key.SIZE, descending=True))


async def test_text_is_what_paths_and_words_say_now(catalog: Catalog) -> None:
    """What was read is read again where it changed; a row that is used again is another asset's."""
    first = await discover(catalog, "shoot/one.jpg")
    last = await discover(catalog, "shoot/two.jpg")

    async def found(text: str) -> list[str]:
        return await everything_listed(catalog, Query(text=text), Order(), 9)

    assert await found("shoot") == ["shoot/one.jpg", "shoot/two.jpg"]
    await catalog.describe(first.id, type="t", fields={"product": "Power Dish Soap"}, tags={"season": "été"})
    assert await found("dish soap") == await found("ETE") == ["shoot/one.jpg"]
    await catalog.describe(first.id, type="t", fields={}, tags={})
    assert await found("dish") == []
    moved = Change.about(first, Event.CHANGED, path=RelPath("other/un.jpg"))
    await catalog.apply(moved)
    assert (await found("one"), await found("un")) == ([], ["other/un.jpg"])
    await catalog.apply(Change.about(last, Event.LOST))
    await catalog.forget_gone(NOW + 1)
    await discover(catalog, "shoot/three.jpg")
    assert (await found("two"), await found("shoot")) == ([], ["shoot/three.jpg"])


async def test_words_are_what_is_said_now(catalog: Catalog) -> None:
    """Fields, tags and the campaign are found where they are said, at the path where the asset is, and nowhere else."""
    asset = await discover(catalog, "a.jpg")
    await catalog.describe(asset.id, type="composite", fields={"campaign": "x"}, tags={"campaign": "y"})
    for query in (Query(campaign="x"), Query(campaign="y"), Query(fields={"campaign": "x"})):
        assert await everything_listed(catalog, query, Order(), 9) == ["a.jpg"]
    assert await everything_listed(catalog, Query(tags={"campaign": "x"}), Order(), 9) == []
    await catalog.apply(Change.about(asset, Event.CHANGED, path=RelPath("b.jpg")))
    assert await everything_listed(catalog, Query(campaign="x", type="composite"), Order(), 9) == ["b.jpg"]
    await catalog.describe(asset.id, type=None, fields={"campaign": "z"}, tags={})
    assert await everything_listed(catalog, Query(type="composite"), Order(), 9) == []
    assert await everything_listed(catalog, Query(campaign="x"), Order(), 9) == []
    await catalog.apply(Change.about(await catalog.get(asset.id), Event.LOST))
    await catalog.forget_gone(NOW + 1)
    assert await catalog._connection.submit(lambda raw: raw.execute("SELECT * FROM word").fetchall()) == []


async def test_an_index_without_words_gets_them(tmp_path: Path) -> None:
    """What was said before there was a list of it is found after the migration."""
    path = tmp_path / "index.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for statement in (each for migration in MIGRATIONS[:3] for each in migration):
            raw.execute(statement)
        raw.execute("PRAGMA application_id = 0x74697264")
        raw.execute("PRAGMA user_version = 3")
        raw.execute(
            "INSERT INTO asset (id, path, state, generation, size, mtime_ns, inode, discovered_at, changed_at, due_at,"
            " last_access, fields) VALUES ('i', x'61', 'new', 1, 1, 1, 1, 0, 0, 0, 0, '{\"region\": \"US\"}')"
        )
        raw.execute("INSERT INTO sqlite_sequence VALUES ('event', 1)")
    async with opened(path) as catalog:
        assert await everything_listed(catalog, Query(fields={"region": "US"}, text="us"), Order(), 9) == ["a"]


async def test_the_list_is_filtered(catalog: Catalog) -> None:
    """Everything that is asked for must be so."""
    first = await bring_to(catalog, State.COLD, "Dir/Über.JPG")
    second = await discover(catalog, "dir/b.jpg")
    await catalog.describe(first.id, type="scan", fields={'a"b': "1"}, tags={"k": "v"})
    await catalog.describe(second.id, type="scan", fields={'a"b': "2"}, tags={"k": "v", "l": "w"})
    await catalog.set_pinned([second.id], pinned=True)
    for query, paths in [
        (Query(type="scan"), [first.path, second.path]),
        (Query(type="scans"), []),
        (Query(text="dir/"), [first.path, second.path]),
        (Query(text="uber.jp"), [first.path]),
        (Query(text="ber.jpg"), []),
        (Query(text="%"), []),
        (Query(text='dir" OR "b'), []),
        *((Query(text=text), []) for text in ('"', " ", "\0", "*", "-", "NOT", "\udcff", "text:dir")),
        (Query(text="^dir (* -"), [first.path, second.path]),
        (Query(text="dir", pinned=True), [second.path]),
        (Query(text="dir", type="scan", fields={'a"b': "2"}), [second.path]),
        (Query(max_size=first.size), [first.path, second.path]),
        (Query(max_size=first.size - 1), []),
        (Query(min_size=first.size + 1), []),
        (Query(modified_before=0), []),
        (Query(modified_after=0), [first.path, second.path]),
        (Query(accessed_after=2 * NOW), []),
        (Query(accessed_before=2 * NOW), [first.path, second.path]),
        (Query(fields={'a"b': "1"}), [first.path]),
        (Query(fields={"k": "v"}), []),
        (Query(tags={"k": "v"}), [first.path, second.path]),
        (Query(tags={"k": "v", "l": "w"}), [second.path]),
        (Query(fields={'a"b': "1"}, tags={"l": "w"}), []),
        (Query(pinned=True), [second.path]),
        (Query(pinned=False), [first.path]),
        (Query(states=HOT), [second.path]),
        (Query(states=(State.COLD, State.NEW), type="scan", pinned=False), [first.path]),
    ]:
        page, _ = await catalog.list(query, limit=9)
        assert [asset.path for asset in page] == paths, query


@pytest.mark.parametrize("cursor", ["", "x", "xyz", "AAAAAA", "not base64!", "AAAAAGE", "\udcff", "é"])
async def test_a_cursor_that_is_none_of_ours(catalog: Catalog, cursor: str) -> None:
    """What the catalog did not give out as a cursor is refused."""
    with pytest.raises(ValueError, match="no cursor"):
        await catalog.list(Query(), limit=1, cursor=cursor)


# What else is known


async def test_totals_are_right_in_every_state(catalog: Catalog) -> None:
    """Counts and bytes are by state; the disk is what the hot ones occupy."""
    for number, state in enumerate(State):
        await bring_to(catalog, state, state.value, size=10**number)
    totals = catalog.totals
    assert totals.assets == dict.fromkeys(State, 1)
    sizes = {state: 10**number for number, state in enumerate(State)} | {State.GONE: 0}
    assert totals.bytes == sizes
    assert totals.disk_bytes == sum(-(-sizes[state] // 4096) * 4096 for state in HOT)


async def test_what_is_unprotected(catalog: Catalog) -> None:
    """The bytes whose only copy is local, and since when the oldest of them exists."""
    assert (catalog.totals.unprotected_bytes, await catalog.oldest_unprotected()) == (0, None)
    now = NOW
    catalog._clock = lambda: now
    for state in State:
        now += 1
        await bring_to(catalog, state, state.value, size=100)
    assert (catalog.totals.unprotected_bytes, await catalog.oldest_unprotected()) == (400, NOW + 1)
    now += 1
    await drive(catalog, await catalog.find(RelPath("new")), *WAYS[State.REPLICATED])
    assert (catalog.totals.unprotected_bytes, await catalog.oldest_unprotected()) == (300, NOW + 2)


async def test_touch_counts_and_never_goes_back(catalog: Catalog) -> None:
    """Accesses add up; the last of them counts, whatever the order of the batches; unknown ones are nobody's."""
    asset = await discover(catalog)
    await catalog.touch({asset.id: Use(NOW - 1, 2), AssetId("nobody"): Use(NOW, 1)})
    await catalog.touch({asset.id: Use(NOW - 2, 3)})
    asset = await catalog.get(asset.id)
    assert (asset.last_access, asset.access_count) == (NOW - 1, 5)


async def test_pins_are_counted(catalog: Catalog) -> None:
    """Pinning says how many were not pinned before."""
    ids = [(await discover(catalog, name)).id for name in "abc"]
    assert await catalog.set_pinned(ids[:2], pinned=True) == 2
    assert await catalog.set_pinned(ids, pinned=True) == 1
    assert await catalog.set_pinned([ids[0], AssetId("nobody")], pinned=False) == 1
    assert [(await catalog.get(each)).pinned for each in ids] == [False, True, True]


async def test_tombstones_are_purged_and_forgotten(catalog: Catalog) -> None:
    """A tombstone whose object must go is kept until it has gone, and may then be forgotten."""
    plain = await bring_to(catalog, State.GONE, "plain")
    asset = await bring_to(catalog, State.COLD, "purge")
    gone = await catalog.apply(change(asset, Event.REMOVED, purge=True))
    assert await catalog.to_purge(limit=9) == [gone]
    assert await catalog.forget_gone(NOW) == 0
    assert await catalog.forget_gone(NOW + 1) == 1
    with pytest.raises(UnknownAssetError):
        await catalog.get(plain.id)
    await catalog.purged(gone.id)
    assert await catalog.to_purge(limit=9) == []
    assert (await catalog.get(gone.id)).proof is None
    assert await catalog.forget_gone(NOW + 1) == 1
    assert sum(catalog.totals.assets.values()) == 0


async def test_facts_are_remembered(tmp_path: Path) -> None:
    """A fact is what it was last said to be, also after a restart."""
    async with opened(tmp_path / "index.db") as catalog:
        assert await catalog.recall("root") is None
        await catalog.remember("root", "1")
        await catalog.remember("root", "2")
    async with opened(tmp_path / "index.db") as catalog:
        assert await catalog.recall("root") == "2"


# Multipart uploads


def an_upload(asset_id: str) -> Upload:
    """Return an upload with nothing sent yet."""
    return Upload(AssetId(asset_id), "k/a", "u1", 1 << 24, 1)


async def test_parts_survive_a_restart(tmp_path: Path) -> None:
    """What was sent of an upload is known after a restart, in the order of the parts."""
    parts = UploadedPart(1, "e1", 5), UploadedPart(2, "e2", 6)
    async with opened(tmp_path / "index.db") as catalog:
        asset = await bring_to(catalog, State.UPLOADING)
        await catalog.uploads.begin(asset.id, an_upload(asset.id))
        for part in (parts[1], replace(parts[0], etag="old"), parts[0]):
            await catalog.uploads.add_part(asset.id, part)
    async with opened(tmp_path / "index.db") as catalog:
        upload = replace(an_upload(asset.id), parts=parts)
        assert await catalog.uploads.of(asset.id) == upload
        assert await catalog.uploads.all() == [upload]
        await catalog.uploads.begin(asset.id, an_upload(asset.id))
        assert await catalog.uploads.of(asset.id) == an_upload(asset.id)
        await catalog.uploads.end(asset.id)
        assert await catalog.uploads.of(asset.id) is None


async def test_a_part_of_an_ended_upload_is_stale(catalog: Catalog) -> None:
    """Who sends parts of an upload that has ended is told."""
    with pytest.raises(StaleTransitionError, match="part 1 is lost"):
        await catalog.uploads.add_part(AssetId("nobody"), UploadedPart(1, "e", 5))


@pytest.mark.parametrize("event", [Event.CHANGED, Event.LOST, Event.REFUSED])
async def test_an_upload_is_known_until_it_is_ended(catalog: Catalog, event: Event) -> None:
    """Whatever becomes of the asset, its upload is there to be resumed or aborted."""
    asset = await bring_to(catalog, State.UPLOADING)
    await catalog.uploads.begin(asset.id, an_upload(asset.id))
    await drive(catalog, asset, event)
    assert await catalog.uploads.of(asset.id) == an_upload(asset.id)


# Events


async def test_every_change_of_state_is_written_down(catalog: Catalog) -> None:
    """The records tell the whole life, in order, with reason and key."""
    asset = await bring_to(catalog, State.VERIFYING)
    asset = await catalog.apply(change(asset, Event.VERIFIED, reason="etag-md5"))
    records = await all_records(catalog)
    assert [(record.event, record.before, record.after) for record in records] == [
        ("discovered", None, State.NEW),
        ("claimed", State.NEW, State.UPLOADING),
        ("sent", State.UPLOADING, State.VERIFYING),
        ("verified", State.VERIFYING, State.REPLICATED),
    ]
    last = records[-1]
    assert last.cursor == await catalog.newest_event() == records[0].cursor + 3
    assert last == Record(last.cursor, NOW, asset.id, asset.path, "verified", State.VERIFYING, State.REPLICATED, 1,
                          "etag-md5", proof_of(asset).key, asset.path, None)  # fmt: skip
    assert await catalog.events(records[1].cursor, limit=1) == [records[2]]


async def test_cursors_are_never_given_twice(tmp_path: Path) -> None:
    """Pruned or rebuilt, an index gives no cursor that was given before."""
    async with opened(tmp_path / "index.db") as catalog:
        before = await catalog.newest_event()
        assert await catalog.oldest_event() == before + 1
        await bring_to(catalog, State.REPLICATED)
        newest = await catalog.newest_event()
        await catalog.prune_events(1)
        assert await catalog.oldest_event() == newest
        await catalog.prune_events(0)
        assert await catalog.oldest_event() == newest + 1
    async with opened(tmp_path / "index.db") as catalog:
        await discover(catalog, "b")
        assert await catalog.newest_event() == await catalog.oldest_event() == newest + 1
    async with await_later(tmp_path / "rebuilt.db") as catalog:
        assert await catalog.newest_event() > newest + 1


@asynccontextmanager
async def await_later(path: Path) -> AsyncIterator[Catalog]:
    """Open a catalog a minute later."""
    catalog = await Catalog.open(path, clock=lambda: NOW + 60)
    yield catalog
    await catalog.close()


async def test_pruning_goes_in_steps(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records there are, exactly the newest are kept."""
    monkeypatch.setattr("index.records.PRUNED_AT_ONCE", 3)
    await catalog.observe(Observations(discovered=[(a_sighting(f"{number:02}"), NOW) for number in range(20)]))
    await catalog.prune_events(4)
    assert [record.path for record in await all_records(catalog)] == ["16", "17", "18", "19"]


async def test_a_waiter_hears_of_the_next_event(catalog: Catalog) -> None:
    """Who waits for a change goes on when it is committed, and at once where there is one already."""
    before = await catalog.newest_event()
    waiters = [asyncio.create_task(catalog.wait_change(before)) for _ in range(3)]
    await catalog.remember("something", "else")
    assert not any(waiter.done() for waiter in waiters)
    await discover(catalog)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiters)
        await catalog.wait_change(before)


# The file


async def test_one_connection(tmp_path: Path) -> None:
    """While a catalog is open nobody else can read or write its file."""
    path = tmp_path / "index.db"
    async with opened(path):
        other = sqlite3.connect(path, timeout=0)
        try:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("SELECT * FROM asset").fetchone()
        finally:
            other.close()


async def test_the_promises_of_the_connection(catalog: Catalog) -> None:
    """Every commit is synced, the log is a WAL, nothing is mapped into memory."""

    def pragmas(raw: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "mmap_size", "foreign_keys", "locking_mode", "user_version")
        return [raw.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await catalog._connection.submit(pragmas) == ["wal", 2, 0, 1, "exclusive", len(MIGRATIONS)]


async def test_a_closed_catalog_says_so(tmp_path: Path) -> None:
    """After close every call fails, and close is harmless."""
    async with opened(tmp_path / "index.db") as catalog:
        asset = await discover(catalog)
    with pytest.raises(CatalogError, match="closed"):
        await catalog.get(asset.id)
    with pytest.raises(CatalogError, match="closed"):
        await catalog.apply(change(asset, Event.CLAIMED))
    await catalog.close()


async def test_close_finishes_what_was_asked_for(tmp_path: Path) -> None:
    """Changes on their way when the catalog is closed are made."""
    async with opened(tmp_path / "index.db") as catalog:
        assets = [await discover(catalog, f"{number}") for number in range(5)]
        tasks = [asyncio.create_task(catalog.apply(change(asset, Event.CLAIMED))) for asset in assets]
        await asyncio.sleep(0)
        await catalog.close()
        assert {asset.state for asset in await asyncio.gather(*tasks)} == {State.UPLOADING}
    async with opened(tmp_path / "index.db") as catalog:
        assert catalog.totals.assets[State.UPLOADING] == 5


async def test_objects_show_their_state(catalog: Catalog) -> None:
    """What lives long says in its repr how it is."""
    await discover(catalog)
    assert repr(catalog).endswith("index.db 1 assets>")
    assert repr(catalog._commits) == "<Commits 0 waiting>"
    assert "index.db" in repr(catalog._connection)


def test_about_is_enough_for_a_change() -> None:
    """The constructor of a change takes keywords only: positions of eleven things would be confused."""
    with pytest.raises(TypeError):
        Change("id")  # type: ignore[call-arg]


# What the store was asked about again


async def test_cold_assets_are_checked_longest_ago_first(catalog: Catalog) -> None:
    """An eviction counts as a look, since the store was just asked; what was looked at now comes last."""
    assets = [await bring_to(catalog, State.COLD, f"{number}") for number in range(3)]
    assert [asset.checked_at for asset in assets] == [NOW] * 3
    assert await catalog.oldest_check() == NOW
    assert await catalog.least_checked(before=NOW, limit=9) == []
    await catalog.note_checked([assets[1].id], at=NOW + 20)
    await catalog.note_checked([assets[0].id], at=NOW + 30)
    page = await catalog.least_checked(before=NOW + 30, limit=9)
    assert [asset.path for asset in page] == ["2", "1"]
    assert [asset.path for asset in await catalog.least_checked(before=NOW + 99, limit=1)] == ["2"]
    await catalog.apply(change(assets[2], Event.WANTED))
    assert await catalog.oldest_check() == NOW + 20


async def test_heat_of_another_arithmetic_is_forgotten(tmp_path: Path) -> None:
    """With the clock that it went by: what is on disk gets its place anew, by when it was last used."""
    path = tmp_path / "index.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as raw, pytest.MonkeyPatch.context() as patch:
        patch.setattr("index.schema.MIGRATIONS", MIGRATIONS[:7])
        migrate(raw, now=NOW)
        raw.execute(
            "INSERT INTO asset (id, path, state, generation, size, mtime_ns, inode, ctime_ns, disk_bytes, mode, links,"
            " discovered_at, changed_at, due_at, last_access, access_count, heat)"
            " VALUES ('1', CAST('a' AS BLOB), 'new', 1, 5, 0, 1, 0, 4096, 420, 1, 0, 0, 0, 9, 3, 1.5)"
        )
        raw.execute("INSERT INTO fact VALUES ('heat', '{\"volumes\": 7}')")
    async with opened(path) as catalog:
        asset = await catalog.find(RelPath("a"))
        assert (asset.heat, asset.last_access, asset.access_count) == (None, 9, 3)
        assert await catalog.recall("heat") is None


async def test_an_index_without_a_table_of_warmth_gets_it(tmp_path: Path) -> None:
    """What was known of each access is known after the migration, and who may leave, in the same order."""
    path = tmp_path / "index.db"
    rows = [
        ("a", "replicated", 5, 0, 1.5, 9.0, 3),
        ("b", "replicated", 5, 1, 0.5, 8.0, 0),
        ("c", "cold", None, 0, 2.5, 7.0, 1),
        ("d", "new", 6, 0, None, 6.0, 0),
        ("e", "gone", None, 0, 3.5, 5.0, 2),
        ("f", "replicated", 5, 0, 0.25, 4.0, 1),
    ]
    with closing(sqlite3.connect(path, isolation_level=None)) as raw, pytest.MonkeyPatch.context() as patch:
        patch.setattr("index.schema.MIGRATIONS", MIGRATIONS[:12])
        migrate(raw, now=NOW)
        raw.executemany(
            "INSERT INTO asset (id, path, state, size, pinned, heat, last_access, access_count, generation, mtime_ns,"
            " inode, discovered_at, changed_at, due_at, proof_generation, proof_key, proof_etag, proof_size,"
            " proof_sha256, proof_mtime_ns, proof_mode, proof_method, proof_at)"
            " VALUES (?1, CAST(?1 AS BLOB), ?2, ?3, ?4, ?5, ?6, ?7, 1, 0, 1, 0, 0, 0, 1, ?1, 'e', 5, 's', 0, 0,"
            " 'etag-md5', 7)",
            rows,
        )
    async with opened(path) as catalog:
        page, _ = await catalog.list(Query(states=tuple(State)), limit=9)
        found = [(each.path, each.heat, each.last_access, each.access_count) for each in page]
        assert found == [(row[0], *row[4:]) for row in rows]
        coldest, _ = await catalog.candidates(order=("heat",), limit=9)
        assert [each.path for each in coldest] == ["f", "a"]
        await catalog.touch({each.id: Use(NOW, 1) for each in page})
        page, _ = await catalog.list(Query(states=tuple(State)), limit=9)
        assert [each.access_count for each in page] == [4, 1, 2, 1, 2, 2]


async def test_an_index_without_checks_learns_them(tmp_path: Path) -> None:
    """One of the first version is brought up to date: what was proven was last looked at when it was proven."""
    path = tmp_path / "index.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as raw, pytest.MonkeyPatch.context() as patch:
        patch.setattr("index.schema.MIGRATIONS", MIGRATIONS[:1])
        migrate(raw, now=NOW)
        raw.execute(
            "INSERT INTO asset (id, path, state, generation, proof_generation, proof_key, proof_etag, proof_size,"
            " proof_sha256, proof_mtime_ns, proof_mode, proof_method, proof_at, discovered_at, changed_at, due_at,"
            " last_access)"
            " VALUES ('1', CAST('a' AS BLOB), 'cold', 1, 1, 'a', 'e', 5, 's', 0, 0, 'etag-md5', 7, 0, 0, 0, 0)"
        )
    async with opened(path) as catalog:
        assert (await catalog.find(RelPath("a"))).checked_at == 7
        assert await catalog.oldest_check() == 7
