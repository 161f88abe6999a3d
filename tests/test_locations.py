"""An application that stores where assets are: its table is true, whoever was stopped meanwhile, and how."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place
from trees import plant

from daemon.addresses import Addresses
from daemon.views import is_move, record_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from buckets import Bucket
    from daemon_process import Daemon, Launch

SCRIPT = Path(__file__).parent.parent / "docs" / "locations.py"


def the_example() -> Any:
    """Return the example of the documentation as a module."""
    spec = importlib.util.spec_from_file_location("locations", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = the_example()


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Any]:
    """An application's table."""
    made = example.Table(tmp_path / "app.db")
    yield made
    made.close()


def test_an_event_that_comes_twice_changes_nothing(table: Any) -> None:
    """At least once is enough."""
    here = {"path": "a", "href": "a", "on_disk": True, "url": None}
    for _ in range(2):
        table.apply({"cursor": 7, "id": "x", "location": here})
        assert (table.rows(), table.cursor) == ({("a", True, None)}, 7)
    for _ in range(2):
        table.apply({"cursor": 9, "id": "x", "location": None})
        assert (table.rows(), table.cursor) == (set(), 9)


async def test_each_move_says_from_where_to_where(tmp_path: Path) -> None:
    """Uploaded, demoted, promoted, renamed, under another key, removed; what moves nothing is none."""
    async with a_place(tmp_path).core() as core:
        asset = await core.cold("a", b"first")
        await core.tiers.open(asset.path, wait=10.0)
        (core.tree.root / "a").rename(core.tree.root / "b")
        await core.scan()
        await core.upload_all()
        await core.registry.remove((await core.find("b")).path)
        records = await core.catalog.events(0, limit=100)
        views = [record_view(record, Addresses("s3://media/studio")) for record in records]
        moves = [(each["was"], each["location"]) for each in views if is_move(each)]

    def place(path: str, url: str | None, *, on_disk: bool = True) -> dict[str, object]:
        whole = None if url is None else f"s3://media/studio/{url}"
        return {"path": path, "href": path, "on_disk": on_disk, "url": whole}

    steps = [
        None, place("a", None), place("a", "a"), place("a", "a", on_disk=False), place("a", "a"), place("b", "a"),
        place("b", "b"), None,
    ]  # fmt: skip
    assert moves == [*pairwise(steps)]
    assert len(views) > len(moves)


async def test_who_had_another_id_is_said_to_be_nowhere(tmp_path: Path) -> None:
    """A file that is recognised once the index was lost: its row goes, and comes under the id that its object has."""
    place = a_place(tmp_path)
    async with place.core() as core:
        known = await core.hot("a", b"first")
    (tmp_path / "index.db").unlink()
    async with place.core() as core:
        plant(core.tree, "other", b"other")
        await core.scan()
        provisional = await core.find("a")
        await core.discovery.discover()
        records = await core.catalog.events(0, limit=100)
    last = {record.id: record_view(record, Addresses("memory://"))["location"] for record in records}
    assert last[provisional.id] is None
    assert last[known.id] is not None


def truth(daemon: Daemon) -> set[tuple[str, bool, str | None]]:
    """Return where all assets are, as the daemon says."""
    return {(asset["href"], asset["state"] in example.HOT, asset["url"]) for asset in daemon.assets().values()}


def test_the_table_stays_true(bucket: Bucket, launch: Launch, tmp_path: Path) -> None:
    """Whatever happens while the application, or the daemon, is not there."""
    daemon = launch(bucket)
    database = tmp_path / "app.db"

    def is_true() -> bool:
        table = example.Table(database)
        try:
            return bool(table.rows() == truth(daemon))
        finally:
            table.close()

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, SCRIPT, daemon.root.parent / "tierd.sock", database], cwd=SCRIPT.parent.parent
        )

    daemon.drop({"a": b"a", "b": b"b", "c d": b"c"})
    application = begin()
    try:
        daemon.wait_replicated(3)
        daemon.client.demote(["a"])
        daemon.wait("the table to be true", is_true)
        application.kill()
        application.wait()
        daemon.client.promote(["a"])
        daemon.client.remove("b")
        (daemon.root / "c d").rename(daemon.root / "d")
        daemon.wait("the rename to be noticed", lambda: "d" in daemon.assets())
        assert not is_true()
        application = begin()
        daemon.wait("the table to be true again", is_true)
        daemon.stop()
        daemon.start()
        daemon.client.demote(["a"])
        daemon.wait("the table to be true after a restart", is_true)
    finally:
        application.kill()
        application.wait()
