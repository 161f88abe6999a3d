"""Opening what a daemon stands on: nothing is deleted, and a disk that is not mounted never looks new."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from catalogs import bring_to
from trees import make_tree

from daemon import config
from daemon.opening import (
    STORE,
    ForeignStoreError,
    UnusableStoreError,
    mark_root,
    open_catalog,
    open_store,
    set_aside,
    shares_file_system,
)
from index.asset import RelPath
from index.catalog import Catalog
from index.lifecycle import State
from tiering.store import Attributes, StoreError
from tiering.stores.file import FileStore
from tiering.stores.memory import MemoryStore
from tiering.stores.s3 import S3Store
from tiering.tree import FileError

if TYPE_CHECKING:
    from pathlib import Path

    from daemon.settings import Settings


def settings(place: Path, url: str = "file:./cold") -> Settings:
    """Return the settings of a daemon with this store."""
    (place / "media").mkdir(exist_ok=True)
    file = place / "config.toml"
    file.write_text(f'[store]\nurl = "{url}"\n[index]\npath = "index.db"\n')
    return config.load(file, {})


# --- the index


def listing(place: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(file.name for file in place.iterdir())


async def test_a_broken_index_is_set_aside_and_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A person may still want it."""
    path = tmp_path / "index.db"
    await (await open_catalog(path, store_url="file:a")).close()
    path.write_bytes(b"not a database" * 1000)
    catalog = await open_catalog(path, store_url="file:a")
    assert catalog.fresh
    await catalog.close()
    name, aside = listing(path.parent)
    assert (name, path.with_name(aside).read_bytes()) == ("index.db", b"not a database" * 1000)
    assert aside in caplog.text


def test_an_index_is_set_aside_with_its_log(tmp_path: Path) -> None:
    """And with its shared memory: one without the others is worth nothing."""
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"index.db{suffix}").write_text(suffix)
    (tmp_path / "index.db.lock").touch()
    set_aside(tmp_path / "index.db", "broken")
    aside, shared, log, lock = listing(tmp_path)
    assert (shared, log, lock) == (f"{aside}-shm", f"{aside}-wal", "index.db.lock")
    assert (tmp_path / log).read_text() == "-wal"


async def test_a_sound_index_is_kept(tmp_path: Path) -> None:
    """And nothing is set aside."""
    for is_fresh in (True, False):
        catalog = await open_catalog(tmp_path / "index.db", store_url="file:a")
        assert catalog.fresh is is_fresh
        await catalog.close()
    assert listing(tmp_path) == ["index.db"]


# --- the root


async def test_a_new_root_is_marked_once(tmp_path: Path) -> None:
    """Then index and root know each other."""
    tree = make_tree(tmp_path / "media")
    catalog = await Catalog.open(tmp_path / "index.db")
    root_id, is_new = await mark_root(catalog, tree)
    assert (tree.read_marker(), is_new) == (root_id, True)
    assert await mark_root(catalog, tree) == (root_id, False)
    await catalog.close()


async def test_an_index_that_knows_no_asset_takes_another_root(tmp_path: Path) -> None:
    """A package starts where nothing is configured yet; the root that is named on the first day is no lost disk."""
    catalog = await Catalog.open(tmp_path / "index.db")
    first, _ = await mark_root(catalog, make_tree(tmp_path / "media"))
    tree = make_tree(tmp_path / "configured")
    second, is_new = await mark_root(catalog, tree)
    assert (tree.read_marker(), is_new) == (second, True)
    assert second != first
    assert await mark_root(catalog, tree) == (second, False)
    await catalog.close()


async def test_an_index_that_knows_assets_never_marks_another_root(tmp_path: Path) -> None:
    """The disk is not mounted: what is there instead must not be taken for ours, or all would look deleted."""
    catalog = await Catalog.open(tmp_path / "index.db")
    root_id, _ = await mark_root(catalog, make_tree(tmp_path / "media"))
    await bring_to(catalog, State.NEW, "a")
    empty = make_tree(tmp_path / "mountpoint")
    assert await mark_root(catalog, empty) == (root_id, False)
    assert empty.read_marker() is None
    await catalog.close()


async def test_a_new_index_takes_the_root_as_it_is_marked(tmp_path: Path) -> None:
    """The index was lost, the root was not: leases of before may still be held."""
    tree = make_tree(tmp_path / "media")
    tree.write_marker("known before")
    catalog = await Catalog.open(tmp_path / "index.db")
    assert await mark_root(catalog, tree) == ("known before", False)
    await catalog.close()


# --- the store


@pytest.mark.parametrize(
    ("url", "kind"), [("file:./cold", FileStore), ("memory://", MemoryStore), ("s3://bucket/some/prefix", S3Store)]
)
async def test_the_store_is_what_the_configuration_names(tmp_path: Path, url: str, kind: type) -> None:
    """It need not be reachable yet."""
    wanted = settings(tmp_path, url)
    catalog = await Catalog.open(tmp_path / "index.db")
    store = await open_store(wanted, catalog, make_tree(tmp_path / "media"))
    assert isinstance(store, kind)
    assert store.url == wanted.store.url
    await store.close()
    await catalog.close()


async def an_index(place: Path, url: str, *states: State) -> None:
    """Leave an index that belongs to this store, with one asset in each of these states."""
    catalog = await open_catalog(place / "index.db", store_url=url)
    await catalog.remember(STORE, url)
    for number, state in enumerate(states):
        await bring_to(catalog, state, f"{number}")
    await catalog.close()


@pytest.mark.parametrize("url", ["file:b", "memory://"])
async def test_where_all_is_on_disk_another_store_begins_another_index(
    tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was proven there is proven nowhere else: not in another store, and not in a memory that forgot."""
    await an_index(tmp_path, "memory://", State.REPLICATED)
    catalog = await open_catalog(tmp_path / "index.db", store_url=url)
    assert catalog.fresh
    await catalog.close()
    assert "index.db.other-store-" in caplog.text


@pytest.mark.parametrize("state", [State.COLD, State.PROMOTING, State.DAMAGED, State.DEMOTING])
async def test_an_index_that_knows_of_assets_elsewhere_is_not_left(tmp_path: Path, state: State) -> None:
    """They would be unknown, and their readers told so."""
    await an_index(tmp_path, "file:a", state)
    with pytest.raises(ForeignStoreError, match=r"1 assets that are only in the store file:a.*an index of its own"):
        await open_catalog(tmp_path / "index.db", store_url="file:b")
    catalog = await open_catalog(tmp_path / "index.db", store_url="file:a")
    assert not catalog.fresh
    await catalog.close()


async def test_a_directory_that_cannot_be_made_is_no_store(tmp_path: Path) -> None:
    """Whoever starts it is told which, why, and what to do."""
    (tmp_path / "cold").write_bytes(b"a file")
    catalog = await Catalog.open(tmp_path / "index.db")
    with pytest.raises(UnusableStoreError, match=r"/cold cannot be made \(File exists\); mount its disk"):
        await open_store(settings(tmp_path), catalog, make_tree(tmp_path / "media"))
    assert await catalog.recall(STORE) is None
    await catalog.close()


@pytest.mark.parametrize("is_index_lost", [False, True])
async def test_a_directory_is_made_a_store_once(tmp_path: Path, *, is_index_lost: bool) -> None:
    """Later its absence is a disk that is not mounted: it is neither made again, nor empty.

    Also where the index does not know of it any more: what was cold would be lost sight of.
    """
    wanted, tree = settings(tmp_path), make_tree(tmp_path / "media")
    catalog = await Catalog.open(tmp_path / "index.db")
    store = await open_store(wanted, catalog, tree)
    await store.put(RelPath("a"), b"body", Attributes())
    await store.close()
    (tmp_path / "cold").rename(tmp_path / "unmounted")
    if is_index_lost:
        await catalog.close()
        set_aside(tmp_path / "index.db", "broken")
        catalog = await Catalog.open(tmp_path / "index.db")
    store = await open_store(wanted, catalog, tree)
    with pytest.raises(StoreError) as caught:
        await store.head("a")
    assert caught.value.code != "not-found"
    assert not (tmp_path / "cold").exists()
    await store.close()
    await catalog.close()


def test_a_store_beside_the_files_shares_their_disk(tmp_path: Path) -> None:
    """What is demoted would only move about on it; of a bucket or an absent directory nothing can be said."""
    assert not shares_file_system(settings(tmp_path))
    (tmp_path / "cold").mkdir()
    assert shares_file_system(settings(tmp_path))
    assert not shares_file_system(settings(tmp_path, "s3://bucket"))


async def test_another_directory_is_made_a_store_for_the_same_root(tmp_path: Path) -> None:
    """Whoever configures one wants it; each is known from then on."""
    tree = make_tree(tmp_path / "media")
    known = []
    for name in ("cold", "n\u00e4chste"):
        wanted = settings(tmp_path, f"file:./{name}")
        catalog = await Catalog.open(tmp_path / f"{name}.db")
        store = await open_store(wanted, catalog, tree)
        await store.put(RelPath("a"), b"body", Attributes())
        known.append(wanted.store.url)
        assert tree.stores() == set(known)
        await store.close()
        await catalog.close()


async def test_where_no_note_can_be_left_the_store_is_used_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may be full."""
    tree = make_tree(tmp_path / "media")
    catalog = await Catalog.open(tmp_path / "index.db")
    monkeypatch.setattr(tree, "note_store", Mock(side_effect=FileError(".tierd/stores", "there is no room")))
    store = await open_store(settings(tmp_path), catalog, tree)
    await store.put(RelPath("a"), b"body", Attributes())
    assert "will be taken for a new one: .tierd/stores: there is no room" in caplog.text
    await store.close()
    await catalog.close()
