"""The manifest says what is where, is never half there, and is nobody's asset."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place

from index.asset import RelPath
from tiering import manifest as module
from tiering.answers import VerifyReport
from tiering.keys import MirrorLayout
from tiering.layouts import named
from tiering.manifest import KEY, MARKER, PAGES, Manifest, is_manifest
from tiering.rollout import Mode, Rollout
from tiering.stocktaking import Stocktaking
from tiering.store import Attributes, NotFoundError, UnavailableError
from tiering.stores.faulty import Fail
from tiering.verifier import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

LOCAL = Rollout.of(Mode.LOCAL, None)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


def a_manifest(core: Core, host: str = "root") -> Manifest:
    """Return what keeps the manifest of this core."""
    return Manifest(core.catalog, core.store, host=host, clock=core.clock)


async def read(core: Core, key: str = KEY) -> dict[str, Any]:
    """Return a document in the store."""
    async with core.store.get(key) as download:
        found: dict[str, Any] = json.loads(b"".join([chunk async for chunk in download.chunks()]))
    return found


async def keys(core: Core) -> set[str]:
    """Return every object in the store."""
    return {info.key async for page in core.store.list() for info in page}


async def entries(core: Core) -> list[dict[str, Any]]:
    """Return what the manifest says, as a reader would put it together."""
    document = await read(core)
    if "entries" in document:
        found: list[dict[str, Any]] = document["entries"]
        return found
    return [each for page in document["pages"] for each in (await read(core, page["key"]))["entries"]]


async def test_it_says_what_is_where(place: Place) -> None:
    """Of everything that has a remote copy; nothing is written where nothing is new."""
    async with place.core(layout=named("creative")) as core:
        asset = await core.hot("in/red.png", b"red")
        fields = {"variant": "original", "category": "soap", "product": "Power Dish Soap"}
        await core.catalog.describe(asset.id, type="product", fields=fields, tags={"campaign": "spring"})
        await core.rekeyer.place_all()
        await core.cold("cold.bin")
        await core.new("new.bin")
        assert await a_manifest(core).write()
        document = await read(core)
        assert (document["assets"], document["host"], document["version"]) == (2, "root", 1)
        cold, red = document["entries"]
        assert cold["key"] == "other/cold.bin"
        assert red["key"] == "products/original/soap/power-dish-soap/red.png"
        assert (red["path"], red["type"], red["fields"], red["size"]) == ("in/red.png", "product", fields, 3)
        puts = core.store.calls["put"]
        assert not await a_manifest(core).write()
        assert core.store.calls["put"] == puts
        await core.hot("more.bin")
        assert await a_manifest(core).write()
        assert len(await entries(core)) == 4


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages be of a few assets."""
    for name, value in {"LEAST": 2, "SPREAD": 3, "MOST": 6}.items():
        monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("short_pages")
async def test_much_is_paged(place: Place) -> None:
    """Each page once, in order; another asset alters the page that it is on, and some beyond at most."""
    async with place.core(layout=named("creative")) as core:
        paths = [f"dir/{number:03}" for number in range(0, 120, 2)]
        for path in paths:
            await core.hot(path, path.encode())
        await a_manifest(core).write()
        before = (await read(core))["pages"]
        assert len(before) > 5
        assert all(page["assets"] <= 6 for page in before)
        assert [each["path"] for each in await entries(core)] == paths
        assert not await a_manifest(core).write()
        await core.hot("dir/061")
        await a_manifest(core).write()
        after = (await read(core))["pages"]
        unchanged = {page["key"] for page in before} & {page["key"] for page in after}
        assert len(unchanged) > len(before) / 2
        assert [each["path"] for each in await entries(core)] == sorted([*paths, "dir/061"])


@pytest.mark.usefixtures("short_pages")
async def test_pages_that_nobody_names_go(place: Place) -> None:
    """An hour later, since a reader may have the older document; what is not ours stays."""
    async with place.core(layout=named("creative")) as core:
        for number in range(20):
            await core.hot(f"{number:03}")
        await a_manifest(core).write()
        old = {page["key"] for page in (await read(core))["pages"]}
        foreign = f"{PAGES}{'0' * 32}.json"
        await core.store.put(foreign, b"{}", Attributes())
        await core.hot("000a")
        await a_manifest(core).write()
        named_now = {page["key"] for page in (await read(core))["pages"]}
        assert old - named_now
        assert old <= await keys(core)
        core.clock.ahead += 2 * module.LEFT_SECONDS
        await a_manifest(core).write()
        assert {key for key in await keys(core) if key.startswith(PAGES)} == named_now | {foreign}


@pytest.mark.usefixtures("short_pages")
async def test_a_reader_never_finds_half_of_it(place: Place) -> None:
    """Whenever a write breaks off, what the document names is there."""
    async with place.core(layout=named("creative")) as core:
        for number in range(20):
            await core.hot(f"{number:03}")
        await a_manifest(core).write()
        before = await entries(core)
        for number in range(20):
            await core.hot(f"{number:03}a")
        for skip in range(1, 20):
            fault = Fail(operation="put", error=UnavailableError("503"), first=core.store.calls["put"] + skip)
            core.store.script = [fault]
            with_more = len(before) + 20
            try:
                await a_manifest(core).write()
            except UnavailableError:
                assert await entries(core) == before
            else:
                assert skip > 2
                assert len(await entries(core)) == with_more
                return
        pytest.fail("it was never written")


async def test_it_is_nobodys_asset(place: Place) -> None:
    """A rebuilt index does not take it in, and a comparison does not call it an orphan."""
    async with place.core(layout=named("creative")) as core:
        await core.hot("a.jpg")
        await a_manifest(core).write()
        verifier = Verifier(core.catalog, core.tree, core.store, clock=core.clock)
        *_, report = [step async for step in verifier.verify(deep=False)]
        assert isinstance(report, VerifyReport)
        assert report.counts == {}
    place.directory.joinpath("index.db").unlink()
    async with place.core(layout=named("creative")) as core:
        await core.discovery.discover()
        assert [asset.path for asset in await core.assets()] == ["a.jpg"]
        taking = Stocktaking(
            core.catalog, core.store, MirrorLayout(), is_ignored=lambda _: False, host="root", clock=core.clock
        )
        *_, inventory = [step async for step in taking.take(sync=True, foreign=True)]
        assert (inventory.strangers, inventory.lacking, inventory.foreign) == (0, (), ())
    assert named("creative").parse(KEY) is None


@pytest.mark.parametrize("content", [b"", b"an asset"])
async def test_what_is_at_its_key_stays(place: Place, content: bytes) -> None:
    """An asset of that very path, from when the layout was another one, or somebody's own."""
    async with place.core(layout=MirrorLayout()) as core:
        asset = await core.cold(KEY, content)
        assert not await a_manifest(core).write()
        assert await core.read(KEY) == content
        assert not is_manifest(await core.store.head(asset.path))


async def test_two_hosts_do_not_overwrite_each_other(place: Place) -> None:
    """Whoever wrote it keeps it, and the other takes over when that one has been silent for a day."""
    async with place.core(layout=named("creative")) as core:
        await core.hot("a.jpg")
        assert await a_manifest(core).write()
        assert not await a_manifest(core, "other").write()
        core.clock.ahead += module.OTHERS_SECONDS + 1
        assert await a_manifest(core, "other").write()
        assert (await read(core))["host"] == "other"


async def test_one_that_makes_no_sense_is_written_anew(place: Place) -> None:
    """Its marker says that it is ours."""
    async with place.core(layout=named("creative")) as core:
        await core.hot("a.jpg")
        await core.store.put(KEY, b"[]", Attributes(metadata={MARKER: "1"}))
        assert await a_manifest(core).write()
        assert len(await entries(core)) == 1


async def test_where_nothing_is_uploaded_nothing_is_told(place: Place) -> None:
    """[store] mode local."""
    async with place.core(layout=named("creative")) as core:
        await core.hot("a.jpg")
        assert not await Manifest(
            core.catalog, core.store, host="root", clock=core.clock, rollout=lambda: LOCAL
        ).write()
        with pytest.raises(NotFoundError):
            await core.store.head(KEY)


async def test_changes_are_gathered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the daemon runs it: many changes are one manifest, and a store that fails is asked again."""
    monkeypatch.setattr(module, "DELAY_SECONDS", 0.05)
    async with place.core(layout=named("creative")) as core:
        for number in range(5):
            await core.hot(f"{number}.jpg")
        core.store.script = [Fail(operation="get", error=UnavailableError("503"))]
        puts = core.store.calls["put"]
        running = asyncio.create_task(a_manifest(core).run())
        try:
            async with asyncio.timeout(20):
                while KEY not in await keys(core):  # noqa: ASYNC110 - the store sets no event
                    await asyncio.sleep(0.001)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert core.store.calls["put"] == puts + 1
        assert [each["path"] for each in await entries(core)] == [f"{number}.jpg" for number in range(5)]
        assert (await core.find("0.jpg")).path == RelPath("0.jpg")
