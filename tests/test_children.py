"""What a path may become: names as far as the next slash, at a step of the index each."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from catalogs import discover
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW
from talking import serve

from index.catalog import Catalog
from index.children import read_children

if TYPE_CHECKING:
    from pathlib import Path

PATHS = ["a", "a.b", "a/b", "a/b0", "a/c/d", "a/c/e", "a0", "b\udcff/x", "z z/y"]
NAMES = st.lists(st.sampled_from([b"a", b"b", b"/", b"0", b"\xff"]), min_size=1, max_size=6).map(b"".join)


@pytest.mark.parametrize(
    ("prefix", "limit", "expected"),
    [
        ("", 99, ["a", "a.b", "a/", "a0", "b\udcff/", "z z/"]),
        ("a", 99, ["a", "a.b", "a/", "a0"]),
        ("a/", 99, ["a/b", "a/b0", "a/c/"]),
        ("a/c", 99, ["a/c/"]),
        ("a/c/", 1, ["a/c/d"]),
        ("b\udcff", 99, ["b\udcff/"]),
        ("q", 99, []),
        ("zz", 99, []),
    ],
)
async def test_children(tmp_path: Path, prefix: str, limit: int, expected: list[str]) -> None:
    """In the order of their bytes; a file and a directory may begin alike."""
    catalog = await Catalog.open(tmp_path / "index.db", clock=lambda: NOW)
    for path in PATHS:
        await discover(catalog, path)
    assert await catalog.children(prefix, limit=limit) == expected
    await catalog.close()


@given(st.sets(NAMES), st.sets(NAMES), NAMES)
def test_children_are_those_that_a_look_at_everything_finds(there: set[bytes], gone: set[bytes], start: bytes) -> None:
    """Whatever there is; tombstones are not."""
    raw = sqlite3.connect(":memory:")
    raw.execute("CREATE TABLE asset (path BLOB UNIQUE, state TEXT)")
    rows = dict.fromkeys(there, "cold") | dict.fromkeys(gone, "gone")
    raw.executemany("INSERT INTO asset VALUES (?, ?)", rows.items())
    found = {path for path, state in rows.items() if state == "cold" and path.startswith(start)}
    ends = {path: path.find(b"/", len(start)) for path in found}
    expected = sorted({path if end < 0 else path[: end + 1] for path, end in ends.items()})
    assert read_children(raw, start, 999) == expected
    raw.close()


async def test_what_is_asked_for_is_answered(tmp_path: Path) -> None:
    """What is not UTF-8 cannot be typed, and is left out; a limit that is none is refused."""
    async with serve(tmp_path) as served:
        for path in ("a b", "a\udcff", "b"):
            served.tiers.add_cold(path, b"x")
        assert (await served.get("/v1/paths?prefix=a%20&limit=9")).json == {"paths": ["a b"]}
        assert (await served.get("/v1/paths")).json == {"paths": ["a b", "b"]}
        for query in ("limit=0", "limit=1001", "limit=x", "prefix=%FF", "what=1"):
            assert (await served.get(f"/v1/paths?{query}")).status == 400, query
