"""What another asset has in the store already is not sent again; and who has a content is found by its digest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from core import a_place
from samples import an_asset

from daemon.cli_find import verdict
from index.asset import ProofMethod, RelPath
from index.lifecycle import State
from tiering.metadata import Passport
from tiering.sender import Sizes
from tiering.store import Attributes, RefusedError
from tiering.stores.faulty import Fail
from tiering.twins import copy_source

if TYPE_CHECKING:
    from pathlib import Path

    from core import Place

LARGE = b"0123456789abcdef" * 80_000
SIZES = Sizes(500_000, 500_000)
A, B = RelPath("a.mov"), RelPath("elsewhere/b.mp4")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


@pytest.mark.parametrize("state", [State.REPLICATED, State.COLD])
async def test_a_large_file_that_was_moved_is_copied_within_the_store(place: Place, state: State) -> None:
    """Under another name and inode it is another asset, with an object of its own; nothing was sent for it."""
    async with place.core(sizes=SIZES) as core:
        before = await (core.hot(A, LARGE) if state is State.REPLICATED else core.cold(A, LARGE))
        parts = core.store.calls["put_part"]
        after = await core.hot(B, LARGE)
        assert (core.store.calls["put_part"], core.store.calls["put"]) == (parts, 0)
        assert after.proof is not None
        assert (after.id != before.id, after.proof.key) == (True, B)
        passport = Passport.from_metadata((await core.store.head(B)).metadata or {})
        assert passport is not None
        assert (passport.id, passport.path) == (after.id, B)
        assert await core.read(A) == LARGE
        assert await core.read(B) == LARGE


async def test_it_is_sent_where_it_cannot_be_copied(place: Place) -> None:
    """Who may write need not be allowed to read; and what is gone from the store is no source."""
    async with place.core(sizes=SIZES) as core:
        await core.hot(A, LARGE)
        core.store.script = [Fail(operation="copy", error=RefusedError("not allowed"))]
        await core.hot(B, LARGE)
        await core.store.delete(A)
        await core.store.delete(B)
        third = await core.hot("c.mov", LARGE)
        assert third.proof is not None
        assert third.proof.method is not ProofMethod.COPIED
        assert await core.read("c.mov") == LARGE


async def test_what_lies_at_its_key_is_not_overwritten(place: Place) -> None:
    """A copy knows no conditions: where anything is there, the upload says what becomes of it."""
    async with place.core(sizes=SIZES) as core:
        await core.hot(A, LARGE)
        await core.new(B, LARGE)
        await core.store.put(B, b"a stranger's", Attributes())
        await core.upload_all()
        assert await core.state(B) is State.STUCK
        assert (await core.store.head(B)).size == len(b"a stranger's")


async def test_a_content_is_found_by_its_digest_in_both_tiers(place: Place) -> None:
    """Small ones too; by MD5 where that is known."""
    async with place.core() as core:
        await core.hot("hot.jpg", b"content")
        await core.cold("cold.jpg", b"content")
        await core.new("other.jpg", b"something else")
        sha256, md5 = hashlib.sha256(b"content").hexdigest(), hashlib.md5(b"content").hexdigest()
        for found in (await core.catalog.holding(sha256=sha256), await core.catalog.holding(md5=md5)):
            assert {asset.path for asset in found} == {"hot.jpg", "cold.jpg"}
        assert await core.catalog.holding(sha256="0" * 64) == []
        (core.tree.root / "hot.jpg").unlink()
        await core.scan()
        assert len(await core.catalog.holding(sha256=sha256)) == 2


def test_the_source_of_a_copy_is_at_rest_and_best_proven() -> None:
    """Never the asset itself; what an object only says of itself goes last."""
    asset = an_asset()
    assert asset.proof is not None
    claimed = replace(asset, id="1" * 32, proof=replace(asset.proof, method=ProofMethod.CLAIMED))
    proven = replace(asset, id="2" * 32, state=State.COLD)
    assert copy_source(asset, [asset, replace(proven, state=State.DAMAGED)]) is None
    assert copy_source(asset, [claimed, proven]) == proven.proof
    assert copy_source(asset, [claimed]) == claimed.proof


@pytest.mark.parametrize(
    ("path", "state", "said"),
    [("a.mov", "cold", "itself"), ("b.mp4", "cold", "moved"), ("b.mp4", "replicated", "copy")],
)
def test_what_a_file_is_to_an_asset(path: str, state: str, said: str) -> None:
    """An asset that has a file of its own was not moved."""
    assert verdict({"path": "a.mov", "state": state}, path) == said
