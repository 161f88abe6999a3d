"""A cold asset whose object was replaced by a later content of it: that one is taken in, and nothing is damaged."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from core import a_place
from trees import plant

from index.lifecycle import State
from tiering.metadata import Passport
from tiering.outcome import DamagedError
from tiering.scrubber import AGAIN_SECONDS
from tiering.store import Attributes, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core, Place

    from index.asset import Asset

LATER = b"what was uploaded last"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty root, index and store."""
    return a_place(tmp_path)


async def replace_object(place: Place, asset: Asset, *, generations: int = 0, **passport: object) -> None:
    """Put a later content at the key, as an upload that ended in the store and nowhere else."""
    assert asset.proof is not None
    digest = hashlib.sha256(LATER).hexdigest()
    said = Passport(asset.id, asset.generation + generations, asset.path, digest, 1, 0o644, asset.proof.sha256)
    metadata = replace(said, **passport).to_metadata()  # type: ignore[arg-type]
    await place.memory.put(asset.proof.key, LATER, Attributes(metadata=metadata))


@pytest.mark.parametrize("generations", [-1, 0, 1])
async def test_whoever_asks_gets_it_the_second_time(place: Place, generations: int) -> None:
    """The first is told to ask again: what he was promised has another length.

    The index may have counted on since that content was sent, or not have counted as far.
    """
    async with place.core() as core:
        asset = await core.cold("a.jpg", b"what was proven once")
        await replace_object(place, asset, generations=generations)
        with pytest.raises(UnavailableError):
            await core.read("a.jpg")
        assert await core.read("a.jpg") == LATER
        known = await core.catalog.find(asset.path)
        assert (known.state, known.generation) == (State.REPLICATED, asset.generation + max(generations, 0))


async def test_an_upload_whose_end_nobody_wrote_down_is_found(place: Place) -> None:
    """Though its owner wrote once more before his file was lost, and the index counted that."""
    async with place.core() as core:
        await core.hot("a.jpg", b"what was proven once")
        plant(core.tree, "a.jpg", LATER)
        await core.scan()
        (claimed,) = await core.catalog.claim(1, now=core.clock())
        await core.uploader._send(claimed)
        await core.recover()
        plant(core.tree, "a.jpg", b"never uploaded")
        await core.scan()
        (core.tree.root / "a.jpg").unlink()
        await core.scan()
        assert await core.state("a.jpg") is State.COLD
        with pytest.raises(UnavailableError):
            await core.read("a.jpg")
        assert await core.read("a.jpg") == LATER


async def scrub(core: Core) -> None:
    """Look at every cold asset, and a second time at what seemed wrong."""
    core.clock.ahead += 8 * 86400
    await core.scrubber.ask()
    core.clock.ahead += AGAIN_SECONDS + 1
    await core.scrubber.ask()


async def test_the_scrubber_takes_it_in(place: Place) -> None:
    """And whoever asks then gets it at once."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", b"what was proven once")
        await replace_object(place, asset)
        await scrub(core)
        assert await core.state("a.jpg") is State.COLD
        assert await core.read("a.jpg") == LATER


@pytest.mark.parametrize("passport", [{"id": "f" * 32}, {"replaces": None}], ids=["another asset", "not said"])
async def test_what_is_no_later_content_of_it_is_not(place: Place, passport: dict[str, object]) -> None:
    """Somebody else's object is no copy of it, nor one that does not say that it came after it: it is damaged."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", b"what was proven once")
        await replace_object(place, asset, **passport)
        with pytest.raises(DamagedError):
            await core.read("a.jpg")


async def test_a_claim_that_is_not_true_is_damage(place: Place) -> None:
    """What an object says of itself is proven by reading it, as always."""
    async with place.core() as core:
        asset = await core.cold("a.jpg", b"what was proven once")
        await replace_object(place, asset, sha256="0" * 64)
        for expected in (UnavailableError, DamagedError):
            with pytest.raises(expected):
                await core.tiers.open(asset.path, wait=10.0)
        assert await core.state("a.jpg") is State.DAMAGED
