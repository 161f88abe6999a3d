"""Where an asset goes by its meaning, and that two assets that mean the same never share an object."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from uploads import ABLE, a_bench, again, md5

from tiering.file_lease import ignore_sigio
from tiering.label import Label
from tiering.layouts import named
from tiering.metadata import Passport
from tiering.sender import ForeignObjectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from uploads import Bench

    from index.asset import Asset

FIELDS = {"kind": "thumbnails", "show": "rhobh", "season": "5", "episode": "2"}
FIRST = "artifacts/thumbnails/rhobh/s05/e02/f.jpg"
LARGE = bytes(range(250)) * 20
BLIND = replace(ABLE, create_only=False)
"""A store that overwrites whatever is there."""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Everything that an upload needs."""
    ignore_sigio()
    async with a_bench(tmp_path) as bench:
        bench.sender._layout = named("episodic")
        yield bench


async def described(bench: Bench, path: str, content: bytes) -> Asset:
    """Return a claimed asset that is the thumbnail of an episode."""
    asset = await bench.claimed(path, content)
    return await bench.catalog.describe(asset.id, type="artifact", fields=FIELDS, tags={})


def _ignore_conditions(bench: Bench) -> None:
    put, complete = bench.memory.put, bench.memory.complete
    bench.memory.put = lambda *what: put(*what[:3])  # type: ignore[method-assign]
    bench.memory.complete = lambda *what: complete(*what[:3])  # type: ignore[method-assign]


@pytest.mark.parametrize("able", [ABLE, BLIND])
@pytest.mark.parametrize("content", [b"small", LARGE])
@pytest.mark.parametrize("other", [b"smell", b"small", LARGE])
async def test_the_second_of_two_takes_its_second_key(bench: Bench, content: bytes, other: bytes, able: object) -> None:
    """Also where both have the same content: who removes one must not take the other with it."""
    if able is BLIND:
        _ignore_conditions(bench)
    one, two = await described(bench, "a/f.jpg", content), await described(bench, "b/f.jpg", other)
    first, second = await asyncio.gather(bench.send(one, able), bench.send(two, able))  # type: ignore[arg-type]
    keys = {first.proof.key, second.proof.key}
    assert FIRST in keys
    assert len(keys) == 2
    assert all(key.startswith("artifacts/thumbnails/rhobh/s05/e02/f") for key in keys)
    assert (await bench.holds(first.proof.key), await bench.holds(second.proof.key)) == (content, other)
    for asset, sent in ((one, first), (two, second)):
        passport = Passport.from_metadata((await bench.memory.head(sent.proof.key)).metadata or {})
        assert passport is not None
        assert passport.id == asset.id


async def test_who_has_his_second_key_keeps_it(bench: Bench) -> None:
    """A later content replaces the one before, though the first key may be free by now."""
    one, two = await described(bench, "a/f.jpg", b"one"), await described(bench, "b/f.jpg", b"two")
    await bench.send(one)
    sent = await bench.send(two)
    await bench.memory.delete(FIRST)
    (bench.tree.root / "b/f.jpg").write_bytes(b"later")
    later = again(two, sent, fingerprint=bench.tree.sight("b/f.jpg").fingerprint)
    assert (await bench.send(later)).proof.key == sent.proof.key
    assert await bench.holds(sent.proof.key) == b"later"


async def test_an_object_of_nobody_is_not_passed_by(bench: Bench) -> None:
    """Whoever put it there meant this place: a person decides."""
    await bench.put(FIRST, b"somebody's")
    with pytest.raises(ForeignObjectError, match=FIRST):
        await bench.send(await described(bench, "a/f.jpg", b"one"))


async def test_an_object_at_the_second_key_is_not_overwritten(bench: Bench) -> None:
    """It is of the same path on another host, and there is no third."""
    await bench.send(await described(bench, "b/f.jpg", b"other"))
    sent = await bench.send(await described(bench, "a/f.jpg", b"one"))
    stranger = await described(bench, "c/f.jpg", b"two")
    bench.sender._layout = _With(sent.proof.key)  # type: ignore[assignment]
    with pytest.raises(ForeignObjectError):
        await bench.send(stranger)
    assert await bench.holds(sent.proof.key) == b"one"


class _With:
    """A layout in which everybody's keys are these."""

    needs_md5 = False

    def __init__(self, second: str) -> None:
        self._second = second

    def keys_for(self, _subject: object) -> tuple[str, ...]:
        return FIRST, self._second


@pytest.mark.parametrize("content", [b"small", LARGE])
async def test_the_content_tells_its_md5(bench: Bench, content: bytes) -> None:
    """Also that of a file that goes in parts."""
    bench.sender._layout = named("dated")
    asset = await bench.claimed("x.bin", content)
    sent = await bench.send(asset)
    assert sent.proof.key.startswith("cache/20")
    assert sent.proof.key.endswith(f"/{md5(content)}.bin")


async def test_what_means_something_else_now_is_copied_to_its_new_place(bench: Bench) -> None:
    """Nothing is sent again, and what was there stays."""
    asset = await described(bench, "a/f.jpg", b"one")
    sent = await bench.send(asset)
    later = again(asset, sent, fields=FIELDS | {"season": "6"})
    copied = await bench.send(later)
    assert (copied.result, copied.proof.key) == ("copied", FIRST.replace("s05", "s06"))
    assert await bench.holds(FIRST) == b"one"


async def said_of(bench: Bench, key: str) -> Label:
    """Return what an object says about its asset."""
    return Label.from_metadata((await bench.memory.head(key)).metadata or {})


@pytest.mark.parametrize("content", [b"small", LARGE])
async def test_what_people_say_travels_with_the_object(bench: Bench, content: bytes) -> None:
    """So that it comes back with it when the index is rebuilt."""
    asset = await described(bench, "a/f.jpg", content)
    asset = await bench.catalog.describe(asset.id, type="artifact", fields=FIELDS, tags={"mood": "calm"})
    assert await said_of(bench, (await bench.send(asset)).proof.key) == Label("artifact", FIELDS, {"mood": "calm"})


async def test_what_is_said_since_is_brought_to_the_object(bench: Bench) -> None:
    """Though content and key are as they were: the store copies the object onto itself, and nothing is sent."""
    asset = await described(bench, "a/f.jpg", b"one")
    sent = await bench.send(asset)
    copied = await bench.send(again(asset, sent, fields=FIELDS | {"note": "new"}))
    assert (copied.result, copied.proof.key) == ("copied", FIRST)
    assert (await said_of(bench, FIRST)).fields == FIELDS | {"note": "new"}
    assert (await bench.send(again(asset, copied, fields=FIELDS | {"note": "new"}))).result == "adopted"


async def test_an_earlier_object_is_not_taken_for_the_present_one(bench: Bench) -> None:
    """It has the content, but an index that is rebuilt would believe the later one, which is elsewhere."""
    asset = await described(bench, "a/f.jpg", b"one")
    first = await bench.send(asset)
    (bench.tree.root / "a/f.jpg").write_bytes(b"two")
    seen = bench.tree.sight("a/f.jpg").fingerprint
    second = await bench.send(again(asset, first, fields=FIELDS | {"season": "6"}, fingerprint=seen))
    assert second.proof.key != FIRST
    (bench.tree.root / "a/f.jpg").write_bytes(b"one")
    seen = bench.tree.sight("a/f.jpg").fingerprint
    back = await bench.send(replace(again(asset, second, fingerprint=seen), generation=3))
    assert back.proof.key == FIRST
    passport = Passport.from_metadata((await bench.memory.head(FIRST)).metadata or {})
    assert passport is not None
    assert passport.generation == 3
