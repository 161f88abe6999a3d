"""What lies in an archive: asked for once, waited for at no cost, and back by itself when it is there."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from buckets import NAME, Bucket
from core import a_place

from index.asset import RelPath
from index.lifecycle import State
from tiering.answers import Selection
from tiering.outcome import ConflictError, RestoringError
from tiering.store import ArchivedError, UnavailableError
from tiering.stores.faulty import Fail
from tiering.thaw import PENDING, Speed, Thaw, Thawed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from core import Core, Place
    from daemon_process import Launch

SPEED = Speed("Standard", 7)
HOUR = 3600.0
ARCHIVED = Fail(operation="get", times=None, error=ArchivedError("403 InvalidObjectState"))


class Archive:
    """Counts what it is asked, and has things ready when it is told so."""

    def __init__(self, storage_class: str = "GLACIER") -> None:
        self.storage_class = storage_class
        self.readable = False
        self.error: Exception | None = None
        self.asked: Counter[str] = Counter()

    async def restore(self, key: str, *, tier: str, days: int) -> None:
        """Note it."""
        assert (tier, days) == (SPEED.tier, SPEED.days)
        self.asked[f"restore {key}"] += 1

    async def thawed(self, key: str) -> Thawed:
        """Say how it is."""
        self.asked[f"look {key}"] += 1
        if self.error is not None:
            raise self.error
        return Thawed(self.storage_class, self.readable)


@pytest.fixture
def archive() -> Archive:
    """One of Glacier."""
    return Archive()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where a daemon can be begun again."""
    return a_place(tmp_path)


@pytest.fixture
async def core(place: Place, archive: Archive) -> AsyncIterator[Core]:
    """A core whose store has an archive."""
    async with place.core(archive=archive, speed=SPEED) as made:
        yield made


async def open_at_once(core: Core, path: str) -> Any:
    """Ask for a file, and wait for nothing but an answer."""
    return await core.tiers.open((await core.find(path)).path, wait=20)


async def look(core: Core, *, later: float) -> None:
    """Let time pass, and look."""
    core.clock.ahead += later
    await core.thaw.look(core.promoter.begin)
    for arrival in list(core.promoter._arrivals.values()):
        await arrival.wait()


@pytest.mark.parametrize(("storage_class", "hours"), [("GLACIER", 5), ("DEEP_ARCHIVE", 12), ("STRANGE", 48)])
async def test_it_is_asked_for_once(core: Core, archive: Archive, storage_class: str, hours: float) -> None:
    """However many ask how often; they are told when to expect it, and the asset is cold meanwhile."""
    archive.storage_class = storage_class
    await core.cold("a")
    core.store.script[:] = [ARCHIVED]
    now = core.clock()
    answers = [await open_at_once(core, "a") for _ in range(5)]
    assert {answer.ready for answer in answers} == {False}
    assert all(abs(answer.expected - now - hours * HOUR) < 60 for answer in answers)
    assert archive.asked == {"look a": 1, "restore a": 1}
    assert core.store.calls["get"] == 1
    explained = await core.inspector.explain(RelPath("a"))
    assert explained.next == "is promoted once it is out of its archive"
    assert "was asked for" in explained.reasons[0]
    assert await core.state("a") is State.COLD
    with pytest.raises(RestoringError):
        await core.read("a")


async def test_it_comes_back_by_itself(core: Core, archive: Archive) -> None:
    """Once it is there; before, the store is asked now and then, and a store that is away changes nothing."""
    await core.cold("a", b"content")
    core.store.script[:] = [ARCHIVED]
    await open_at_once(core, "a")
    await look(core, later=60)
    assert archive.asked["look a"] == 1
    await look(core, later=2 * HOUR)
    assert (archive.asked["look a"], len(core.thaw)) == (2, 1)
    archive.error = UnavailableError("503")
    await look(core, later=2 * HOUR)
    archive.error, archive.readable = None, True
    core.store.script.clear()
    await look(core, later=2 * HOUR)
    assert await core.state("a") is State.REPLICATED
    assert core.on_disk("a") == b"content"
    assert len(core.thaw) == 0


async def test_a_restart_remembers(place: Place, archive: Archive) -> None:
    """What was asked for is not asked for again."""
    async with place.core(archive=archive, speed=SPEED) as core:
        await core.cold("a", b"content")
        core.store.script[:] = [ARCHIVED]
        await open_at_once(core, "a")
    archive.readable = True
    async with place.core(archive=archive, speed=SPEED) as core:
        await core.thaw.recall()
        assert not (await open_at_once(core, "a")).ready
        await look(core, later=6 * HOUR)
        assert core.on_disk("a") == b"content"
        assert await core.catalog.recall(PENDING) == "[]"
    assert archive.asked["restore a"] == 1


async def test_what_was_removed_is_waited_for_no_more(core: Core, archive: Archive) -> None:
    """Nor what its owner wrote anew meanwhile."""
    for path in ("a", "b"):
        await core.cold(path)
        core.store.script[:] = [ARCHIVED]
        await open_at_once(core, path)
        core.store.script.clear()
    await core.registry.remove((await core.find("a")).path)
    await core.new("b", b"anew")
    await look(core, later=2 * HOUR)
    assert len(core.thaw) == 0
    assert core.on_disk("b") == b"anew"


async def test_nobody_wished_for_it(place: Place, archive: Archive) -> None:
    """Then nothing is asked for, which costs money, and whoever wants it is told what to do."""
    async with place.core(archive=archive) as core:
        await core.cold("a")
        core.store.script[:] = [ARCHIVED]
        with pytest.raises(ConflictError, match="lies in an archive") as caught:
            await open_at_once(core, "a")
        assert "[store] restore" in caught.value.hint
        assert archive.asked == {}
        assert await core.state("a") is State.COLD


async def test_an_order_is_begun(core: Core) -> None:
    """Promoting what is archived is no failure: it was begun, and says for when."""
    asset = await core.cold("a")
    core.store.script[:] = [ARCHIVED]
    (result,) = await core.orders.promote(Selection(paths=[asset.path]))
    assert (result.outcome, result.state) == ("started", State.COLD)
    assert "expected within 5.0 hours" in result.reason


async def test_a_damaged_memory_of_it(place: Place) -> None:
    """No more are asked for than anybody can keep in mind."""
    async with place.core() as core:
        thaw = Thaw(core.catalog, Archive(), SPEED, clock=core.clock)
        asset = await core.cold("a")
        assert asset.proof is not None
        thaw._pending = dict.fromkeys(range(10000))  # type: ignore[misc,assignment]
        with pytest.raises(ConflictError, match="asked for already"):
            await thaw.ask(asset, asset.proof)


async def test_a_renamed_file_is_sent_again(core: Core) -> None:
    """What lies in an archive cannot be copied to its new name: the file is there, and nothing gets stuck."""
    await core.hot("a", b"content")
    core.store.script[:] = [Fail(operation="copy", times=None, error=ArchivedError("403 InvalidObjectState"))]
    (core.tree.root / "a").rename(core.tree.root / "b")
    await core.scan()
    await core.upload_all()
    assert await core.state("b") is State.REPLICATED
    assert core.store.calls["copy"] == 1


def test_glacier(moto_endpoint: str, launch: Launch) -> None:
    """On a server that has an archive: 202 with the time, then it is there, and readable by everybody."""
    bucket = Bucket(moto_endpoint)
    bucket.make()
    daemon = launch(bucket, STORE__RESTORE="Bulk", TIERING__COLD_AFTER="30d")
    daemon.drop({"a": b"content"})
    daemon.wait_replicated(1)
    daemon.client.demote("a")
    whole = f"{bucket.prefix}/a"
    source = {"Bucket": NAME, "Key": whole}
    metadata = bucket.head("a")["Metadata"]
    bucket._s3.copy_object(
        Bucket=NAME,
        Key=whole,
        CopySource=source,
        StorageClass="GLACIER",
        MetadataDirective="REPLACE",
        Metadata=metadata,
    )
    with daemon.client._wire.answer("GET", "/v1/open/a?wait=20") as answer:
        pending = json.loads(answer.read())
        assert (answer.status, answer.headers["Retry-After"]) == (202, "900")
    assert (pending["state"], pending["ready"]) == ("cold", False)
    assert 0 < pending["expected"] - time.time() - 11 * HOUR < HOUR
    head = bucket.head("a")
    assert (head["StorageClass"], 'ongoing-request="false"' in head["Restore"]) == ("GLACIER", True)
    bucket.close()
