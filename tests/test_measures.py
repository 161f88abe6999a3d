"""What contents tell of themselves is found beside what people say, and costs neither an upload nor the event loop."""

from __future__ import annotations

import os
import struct
import wave
import zlib
from typing import TYPE_CHECKING

from core import a_place
from hypothesis import given
from hypothesis import strategies as st

from daemon.addresses import Addresses
from daemon.views import asset_view
from index.lifecycle import State
from index.listing import Query
from tiering import measures as module
from tiering.measurer import Measurer
from tiering.measures import measure

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from core import Core


def a_png(width: int, height: int) -> bytes:
    """Return a picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def a_gif(width: int, height: int) -> bytes:
    """Return another."""
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00;"


def a_wav(directory: Path, seconds: float) -> bytes:
    """Return silence."""
    path = directory / "silence"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(bytes(int(8000 * seconds)))
    return path.read_bytes()


def an_mp4(seconds: int) -> bytes:
    """Return a film without pictures, whose header says how long it is."""

    def box(kind: bytes, *inside: bytes) -> bytes:
        return struct.pack(">I", 8 + sum(map(len, inside))) + kind + b"".join(inside)

    mdhd = box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 1000, 1000 * seconds, 0, 0))
    mvhd = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 1000 * seconds), bytes(80))
    return box(b"ftyp", b"isom\0\0\2\0isom") + box(b"moov", mvhd, box(b"trak", box(b"mdia", mdhd))) + box(b"mdat")


def told(directory: Path, content: bytes, kind: str) -> dict[str, str]:
    """Return what a file with this content tells."""
    path = directory / "content"
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        return dict(measure(fd, kind))
    finally:
        os.close(fd)


def test_pictures_and_sounds(tmp_path: Path) -> None:
    """By their content, not by their names."""
    assert told(tmp_path, a_png(640, 480), "image/png") == {"width": "640", "height": "480"}
    assert told(tmp_path, a_gif(3, 2), "image/gif") == {"width": "3", "height": "2"}
    assert told(tmp_path, a_wav(tmp_path, 1.5), "audio/x-wav") == {"duration": "1.5"}
    assert told(tmp_path, an_mp4(90), "video/mp4") == {"duration": "90"}
    assert told(tmp_path, a_png(1, 1), "application/pdf") == {}


@given(
    cut=st.integers(0, 70),
    noise=st.binary(max_size=200),
    kind=st.sampled_from(["image/png", "audio/mpeg", "video/mp4"]),
)
def test_a_broken_file_is_no_trouble(
    tmp_path_factory: pytest.TempPathFactory, cut: int, noise: bytes, kind: str
) -> None:
    """It tells nothing, or something; never more than what may be told."""
    found = told(tmp_path_factory.getbasetemp(), a_png(9, 9)[:cut] + noise, kind)
    assert found.keys() <= module.NAMES


def test_a_file_that_wants_to_be_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit."""
    content = a_wav(tmp_path, 1.0)
    for name in ("READS_MOST", "BYTES_MOST"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 0)
            assert told(tmp_path, content, "audio/x-wav") == {}


async def measured(core: Core) -> int:
    """Measure whatever there is; return how many pages that took."""
    pages, after = 0, 0
    while after := await Measurer(core.catalog, core.tree, turns=core.turns).measure_some(after=after):
        pages += 1
    return pages


async def found(core: Core, **fields: str) -> list[str]:
    """Return the paths of what has these fields."""
    page, _ = await core.catalog.list(Query(fields=fields), limit=10)
    return [asset.path for asset in page]


async def test_it_is_shown_and_found(tmp_path: Path) -> None:
    """Beside what people say, who have the last word; hot or cold; nothing is measured twice."""
    async with a_place(tmp_path).core() as core:
        asset = await core.hot("a.png", a_png(640, 480))
        await core.hot("b.txt", b"words")
        assert await measured(core) == 1
        assert await measured(core) == 0
        assert asset_view(await core.find("a.png"), Addresses("memory://"))["fields"] == {
            "width": "640",
            "height": "480",
        }
        assert (await core.find("b.txt")).measured == {}
        assert await found(core, width="640", height="480") == ["a.png"]
        await core.catalog.describe(asset.id, type=None, fields={"show": "x", "width": "wide"}, tags={})
        assert (await core.find("a.png")).all_fields == {"width": "wide", "height": "480", "show": "x"}
        assert await found(core, show="x", height="480") == ["a.png"]
        await core.catalog.describe(asset.id, type=None, fields={}, tags={})
        assert await found(core, show="x") == await found(core, width="wide") == []
        await core.rekeyer.place_all()
        await core.demoter.demote(await core.find("a.png"), reason="request")
        assert await core.state("a.png") is State.COLD
        assert await found(core, width="640") == ["a.png"]


async def test_another_content_is_measured_anew(tmp_path: Path) -> None:
    """And what was measured of the one before is not said of it meanwhile."""
    async with a_place(tmp_path).core() as core:
        await core.hot("a.png", a_png(640, 480))
        await measured(core)
        core.tree.root.joinpath("a.png").write_bytes(a_png(1, 2))
        await core.scan()
        assert await found(core, width="640") == []
        await core.upload_all()
        await measured(core)
        assert await found(core, width="1", height="2") == ["a.png"]


async def test_what_is_not_what_the_index_says_is_left_for_later(tmp_path: Path) -> None:
    """A file that is gone or was touched: the next scan says what became of it."""
    async with a_place(tmp_path).core() as core:
        for name in ("gone.png", "touched.png", "late.png"):
            await core.hot(name, a_png(5, 5))
        core.tree.root.joinpath("gone.png").unlink()
        core.tree.root.joinpath("touched.png").write_bytes(b"else")
        page, _ = await core.catalog.unmeasured(after=0, limit=10)
        late = await core.find("late.png")
        core.tree.root.joinpath("late.png").write_bytes(a_png(7, 7))
        await core.scan()
        await core.catalog.note_measured([(late, {"width": "5"})])
        await measured(core)
        assert len(page) == 3
        assert await found(core, width="5") == []
        assert {asset.measured is None for asset in await core.assets()} == {True}
