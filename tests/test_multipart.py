"""Large files: sent in parts that a kill does not lose."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uploads import OPAQUE, PART, a_bench

from index.uploads import UploadedPart
from tiering.file_lease import ignore_sigio
from tiering.multipart import PARTS_MOST, fitting_part_size
from tiering.store import Attributes, UnavailableError
from tiering.stores.faulty import Fail, Hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from uploads import Bench

    from index.asset import Asset

PARTS = 7
CONTENT = os.urandom(PART * PARTS - 1)
DEATH = UnavailableError("the connection broke")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Everything that an upload needs."""
    ignore_sigio()
    async with a_bench(tmp_path) as bench:
        yield bench


async def begun(bench: Bench, *, parts: int, operation: str = "put_part") -> Asset:
    """Upload until so many parts are durable, and break there."""
    asset = await bench.claimed("a.bin", CONTENT)
    bench.store.script = [Fail(operation=operation, first=parts + 1, times=None, error=DEATH)]
    with pytest.raises(UnavailableError):
        await bench.send(asset)
    bench.store.script = []
    bench.store.calls.clear()
    return asset


@given(st.integers(1, 5 * 2**40), st.integers(5 * 2**20, 2**30))
def test_there_are_never_too_many_parts(size: int, part_size: int) -> None:
    """S3 takes ten thousand; no part is smaller than configured."""
    fitting = fitting_part_size(size, part_size)
    assert fitting >= part_size
    assert size <= fitting * PARTS_MOST
    assert fitting == part_size or size > fitting // 2 * PARTS_MOST


@pytest.mark.parametrize("durable", range(PARTS))
async def test_only_the_missing_parts_are_sent_again(bench: Bench, durable: int) -> None:
    """Wherever it broke, what the store had and the index knew is not sent a second time."""
    asset = await begun(bench, parts=durable)
    upload = await bench.catalog.uploads.of(asset.id)
    assert upload is not None
    known = len(upload.parts)
    sent = await bench.send(asset)
    assert bench.store.calls["put_part"] == PARTS - known
    assert bench.store.calls["create_upload"] == 0
    assert sent.sent_bytes == len(CONTENT) - sum(part.size for part in upload.parts)
    assert await bench.holds("a.bin") == CONTENT
    assert known <= durable


async def test_a_kill_at_the_end_only_completes(bench: Bench) -> None:
    """All parts are there: nothing is sent at all."""
    asset = await begun(bench, parts=0, operation="complete")
    await bench.send(asset)
    assert bench.store.calls["put_part"] == 0
    assert await bench.holds("a.bin") == CONTENT


async def test_a_lost_answer_to_the_last_call_is_adopted(bench: Bench) -> None:
    """The object is there and proven; the upload is gone, from the index too."""
    asset = await bench.claimed("a.bin", CONTENT)
    bench.store.script = [Fail(operation="complete", error=DEATH, after=True)]
    with pytest.raises(UnavailableError):
        await bench.send(asset)
    sent = await bench.send(asset)
    assert (sent.result, sent.sent_bytes) == ("adopted", 0)
    assert await bench.catalog.uploads.of(asset.id) is None
    assert await bench.pending_uploads() == 0


async def test_a_part_that_the_store_has_and_we_did_not_record_is_sent_again(bench: Bench) -> None:
    """A kill between the two: what the index does not vouch for is not trusted."""
    asset = await begun(bench, parts=2)
    upload = await bench.catalog.uploads.of(asset.id)
    assert upload is not None
    await bench.catalog.uploads.begin(asset.id, replace(upload, parts=()))
    await bench.send(asset)
    assert bench.store.calls["put_part"] == PARTS
    assert await bench.holds("a.bin") == CONTENT


async def test_foreign_parts_are_not_trusted(bench: Bench) -> None:
    """Somebody else's bytes under our upload id, though the index has their ETag: only our own MD5s count."""
    asset = await begun(bench, parts=2)
    upload = await bench.catalog.uploads.of(asset.id)
    assert upload is not None
    foreign = os.urandom(PART)
    number = upload.parts[0].number
    md5 = hashlib.md5(foreign, usedforsecurity=False)
    part = await bench.memory.put_part("a.bin", upload.upload_id, number, foreign, md5=md5.digest())
    others = [known for known in upload.parts if known.number != number]
    parts = (UploadedPart(number, part.etag, part.size), *others)
    await bench.catalog.uploads.begin(asset.id, replace(upload, parts=parts))
    await bench.send(asset)
    assert await bench.holds("a.bin") == CONTENT


@pytest.mark.parametrize("what", ["generation", "key", "part size"])
async def test_another_upload_than_the_present_one_is_dropped(bench: Bench, what: str) -> None:
    """A file that changed, moved or is cut otherwise begins anew, and leaves nothing in the store that costs money."""
    asset = await begun(bench, parts=3)
    old = await bench.catalog.uploads.of(asset.id)
    assert old is not None
    changed = {"generation": {"generation": 0}, "key": {"key": "b.bin"}, "part size": {"part_size": PART // 2}}[what]
    if what == "key":
        upload_id = await bench.memory.create_upload("b.bin", Attributes())
        await bench.memory.abort("a.bin", old.upload_id)
        old = replace(old, upload_id=upload_id)
    await bench.catalog.uploads.begin(asset.id, replace(old, **changed, parts=()))
    await bench.send(asset)
    assert bench.store.calls["create_upload"] == 1
    assert bench.store.calls["put_part"] == PARTS
    assert await bench.pending_uploads() == 0
    assert await bench.holds("a.bin") == CONTENT


async def test_an_upload_that_the_store_forgot_begins_anew(bench: Bench) -> None:
    """A lifecycle rule of the bucket may have aborted it."""
    asset = await begun(bench, parts=3)
    upload = await bench.catalog.uploads.of(asset.id)
    assert upload is not None
    await bench.memory.abort("a.bin", upload.upload_id)
    await bench.send(asset)
    assert bench.store.calls["put_part"] == PARTS
    assert await bench.holds("a.bin") == CONTENT


async def test_the_upload_is_durable_before_its_first_part(bench: Bench) -> None:
    """Else a kill would leave parts in the store that nobody remembers."""
    hold = Hold(operation="put_part")
    bench.store.script = [hold]
    asset = await bench.claimed("a.bin", CONTENT)
    sending = asyncio.create_task(bench.send(asset))
    await hold.reached.wait()
    upload = await bench.catalog.uploads.of(asset.id)
    assert upload is not None
    assert (upload.key, upload.generation, upload.part_size) == ("a.bin", 1, PART)
    hold.release.set()
    await sending


async def test_a_cancelled_upload_resumes(bench: Bench) -> None:
    """With nothing held, and no task left behind."""
    hold = Hold(operation="put_part", first=5, times=None)
    bench.store.script = [hold]
    asset = await bench.claimed("a.bin", CONTENT)
    before = asyncio.all_tasks()
    sending = asyncio.create_task(bench.send(asset, OPAQUE))
    await hold.reached.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert asyncio.all_tasks() == before
    assert f"0 of {1 << 20}" in repr(bench.budget)
    bench.store.script = []
    await bench.send(asset, OPAQUE)
    assert await bench.holds("a.bin") == CONTENT
    assert bench.store.calls["create_upload"] == 1
