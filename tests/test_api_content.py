"""The bytes of assets over HTTP: right ones, all of them or those asked for, or a connection that visibly broke."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_tiers import MTIME, NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from talking import request, serve, until

from daemon.limits import Limits
from daemon.sending import INLINE_BYTES, SLICE_BYTES
from index.errors import UnknownAssetError
from index.lifecycle import State
from tiering.outcome import NoSpaceError
from tiering.store import CorruptError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from talking import Served

SMALL = random.Random(1).randbytes(1000)
LARGE = random.Random(2).randbytes(2 * SLICE_BYTES + INLINE_BYTES + 7)
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with a small and a large hot asset, and a cold one."""
    async with serve(tmp_path) as found:
        found.tiers.add_hot("small", SMALL)
        found.tiers.add_hot("large", LARGE)
        found.tiers.add_cold("cold", LARGE)
        yield found


def open_files() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def tag_of(data: bytes) -> str:
    """The ETag of these bytes."""
    return f'"{hashlib.sha256(data).hexdigest()}"'


@pytest.mark.parametrize(("name", "data"), [("small", SMALL), ("large", LARGE), ("cold", LARGE)])
async def test_the_whole_of_it(served: Served, name: str, data: bytes) -> None:
    """Every byte, and all that HTTP can say about them; a hit is a hit and a miss a miss, with their bytes."""
    answer = await served.get(f"/v1/content/{name}")
    assert (answer.status, answer.body) == (200, data)
    assert answer.headers["ETag"] == tag_of(data)
    assert answer.headers["Last-Modified"] == DATE
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Accept-Ranges"] == "bytes"
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert answer.headers["X-Tierd-State"] == ("cold" if name == "cold" else "replicated")
    assert served.tiers.given == [{"path": name, "whole": True}]
    await until(lambda: served.observer.seen)
    assert served.observer.seen == [("miss" if name == "cold" else "hit", len(data))]


@pytest.mark.parametrize("size", [0, 1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, SLICE_BYTES, SLICE_BYTES + 1])
async def test_every_size(served: Served, size: int) -> None:
    """Nothing is special about the sizes at which we change our ways, hot or cold."""
    data = random.Random(size).randbytes(size)
    served.tiers.add_hot("h", data)
    served.tiers.add_cold("c", data)
    for name in "hc":
        answer = await served.get(f"/v1/content/{name}")
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, data, str(size))


async def test_many_answers_on_one_connection(served: Served) -> None:
    """Framing holds whatever came before: small, large, cold, nothing, an error."""
    line = await served.connect()
    for name, data in [("small", SMALL), ("large", LARGE), ("cold", LARGE), ("none", b""), ("small", SMALL)] * 2:
        await line.send(request("GET", f"/v1/content/{name}"))
        answer = await line.answer()
        assert answer.status == (404 if name == "none" else 200)
        assert name == "none" or answer.body == data
        await line.send(request("HEAD", f"/v1/content/{name}"))
        assert (await line.answer("HEAD")).body == b""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.integers(0, len(LARGE) + 10) | st.none(),
    last=st.integers(0, len(LARGE) + 10) | st.none(),
    name=st.sampled_from(["small", "large"]),
)
def test_any_range_is_a_slice(tmp_path: Path, first: int | None, last: int | None, name: str) -> None:
    """What comes over the wire for a range is what slicing the file gives."""
    asyncio.run(check_range(tmp_path, first, last, name))


async def check_range(tmp_path: Path, first: int | None, last: int | None, name: str) -> None:
    """Ask for one range of one asset."""
    data = SMALL if name == "small" else LARGE
    async with serve(tmp_path) as served:
        served.tiers.add_hot(name, data)
        asked = f"bytes={'' if first is None else first}-{'' if last is None else last}"
        answer = await served.get(f"/v1/content/{name}", Range=asked)
    if first is None:
        expected = data[max(0, len(data) - last) :] if last else b""
        start = len(data) - len(expected)
    else:
        expected = data[first : None if last is None else last + 1]
        start = first
    if (first is None and last is None) or (first is not None and last is not None and first > last):
        assert (answer.status, answer.body) == (200, data)
    elif not expected:
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(data)}")
        assert answer.code == "bad-range"
    else:
        assert (answer.status, answer.body) == (206, expected)
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(data)}"


async def test_a_part_is_described_as_a_part(served: Served) -> None:
    """206 carries the tag and the digest of the whole, and the count has the bytes of the part."""
    answer = await served.get("/v1/content/small", Range="bytes=10-19")
    assert (answer.status, answer.body) == (206, SMALL[10:20])
    assert answer.headers["ETag"] == tag_of(SMALL)
    assert "Repr-Digest" in answer.headers
    assert served.observer.seen == [("hit", 10)]


async def test_several_parts_are_the_whole(served: Served) -> None:
    """More than one range is answered with everything, as RFC 9110 allows."""
    answer = await served.get("/v1/content/small", Range="bytes=0-1,5-6")
    assert (answer.status, answer.body) == (200, SMALL)


@pytest.mark.parametrize(
    ("if_range", "status"), [(tag_of(SMALL), 206), ('"x"', 200), (f"W/{tag_of(SMALL)}", 200), (DATE, 206)]
)
async def test_a_part_only_of_the_same_content(served: Served, if_range: str, status: int) -> None:
    """If-Range: the part if the client's parts are of this content, else the whole."""
    answer = await served.get("/v1/content/small", Range="bytes=0-1", If_Range=if_range)
    assert (answer.status, answer.body) == (status, SMALL[:2] if status == 206 else SMALL)


@pytest.mark.parametrize("name", ["small", "cold"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_the_client_has_is_not_sent_and_not_promoted(served: Served, name: str, method: str) -> None:
    """304 with the tag, no body, and nothing moved for it."""
    data = SMALL if name == "small" else LARGE
    for headers in (
        {"If-None-Match": tag_of(data)},
        {"If-None-Match": f'W/{tag_of(data)}, "x"'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": DATE},
    ):
        answer = await served.ask(method, f"/v1/content/{name}", headers)
        assert (answer.status, answer.headers["ETag"]) == (304, tag_of(data))
        assert "Content-Length" not in answer.headers
    assert set(served.tiers.calls) == {"peek"}
    assert served.observer.seen == ([("hit", 0)] * 4 if method == "GET" else [])


async def test_a_range_outside_is_refused_before_anything_moves(served: Served) -> None:
    """416 of a cold asset promotes nothing."""
    answer = await served.get("/v1/content/cold", Range=f"bytes={len(LARGE)}-")
    assert answer.status == 416
    assert served.tiers.calls == ["peek"]
    assert served.observer.seen == [("error", 0)]


async def test_a_range_of_a_cold_asset_waits_for_the_promotion(served: Served) -> None:
    """A part is read from the proven file, never from the stream; the bytes came from the store all the same."""
    answer = await served.get("/v1/content/cold", Range="bytes=100-199")
    assert (answer.status, answer.body) == (206, LARGE[100:200])
    assert served.tiers.given[-1] == {"path": "cold", "whole": False}
    assert served.observer.seen == [("miss", 100)]


async def test_head_moves_nothing(served: Served) -> None:
    """HEAD says what GET would, of a cold asset too, and is not counted: it asks for no bytes."""
    for name, data in (("cold", LARGE), ("small", SMALL)):
        head = await served.ask("HEAD", f"/v1/content/{name}", {"Range": "bytes=0-1"})
        whole = await served.get(f"/v1/content/{name}")
        for answer in (head, whole):
            del answer.headers["Date"], answer.headers["X-Request-Id"]
        assert (head.status, head.headers) == (200, whole.headers)
        assert head.headers["Content-Length"] == str(len(data))
    assert served.tiers.calls == ["peek", "content"] * 2
    assert len(served.observer.seen) == 2


async def test_a_content_that_was_never_hashed_has_a_tag(served: Served) -> None:
    """From the fingerprint; without a digest, and the same for HEAD."""
    served.tiers.add_hot("fresh", SMALL, sha256=False, state=State.NEW)
    answer = await served.get("/v1/content/fresh")
    assert answer.body == SMALL
    assert "Repr-Digest" not in answer.headers
    head = await served.ask("HEAD", "/v1/content/fresh")
    assert head.headers["ETag"] == answer.headers["ETag"]
    assert (await served.get("/v1/content/fresh", If_None_Match=answer.headers["ETag"])).status == 304


async def test_a_file_that_changed_has_another_tag(served: Served) -> None:
    """What the index knows of an older content says nothing about the one that is open."""
    full = served.tiers.root / "small"
    full.write_bytes(b"new")
    answer = await served.get("/v1/content/small")
    assert answer.body == b"new"
    assert answer.headers["ETag"] != tag_of(SMALL)
    assert "Repr-Digest" not in answer.headers


async def test_a_content_from_the_future_has_no_date(served: Served) -> None:
    """HTTP forbids a Last-Modified later than the answer."""
    os.utime(served.tiers.root / "small", (NOW + 60, NOW + 60))
    assert "Last-Modified" not in (await served.get("/v1/content/small")).headers


@pytest.mark.parametrize("name", ["small", "large"])
async def test_a_file_dated_beyond_what_the_index_can_store_is_sent(served: Served, name: str) -> None:
    """Its date is cut alike wherever it is compared, or it would look changed while it is read."""
    os.utime(served.tiers.root / name, (NOW, 2**33 + 2**32))
    answer = await served.get(f"/v1/content/{name}")
    assert (answer.status, answer.body) == (200, {"small": SMALL, "large": LARGE}[name])


async def test_no_content_type_is_bytes(served: Served) -> None:
    """What nobody knows is sent as what it is."""
    asset = served.tiers.catalog.assets["small"]
    object.__setattr__(asset, "content_type", None)
    assert (await served.get("/v1/content/small")).headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("error", [CorruptError("wrong digest"), UnavailableError("broke"), ZeroDivisionError()])
@pytest.mark.parametrize("at", [1, len(LARGE)])
async def test_a_stream_that_breaks_breaks_the_connection(served: Served, error: Exception, at: int) -> None:
    """Whatever was sent, the framing says that it is not all: fewer bytes than promised, and no more answers."""
    served.tiers.break_error, served.tiers.breaks_at = error, at
    if at == len(LARGE):  # The last chunk is what the store holds back.
        served.tiers.cold["cold"] = LARGE + b"last"
        served.tiers.breaks_at = at
    line = await served.connect()
    await line.send(request("GET", "/v1/content/cold") + request("GET", "/v1/content/small"))
    answer = await line.answer()
    assert answer.status == 200
    assert not answer.whole
    assert len(answer.body) < int(answer.headers["Content-Length"])
    assert await line.is_closed()
    await until(lambda: served.observer.seen)
    assert [result for result, _ in served.observer.seen] == ["error"]
    assert served.tiers.chunks is not None
    assert served.tiers.chunks.closed


async def test_a_stream_that_cannot_begin_is_a_plain_error(served: Served) -> None:
    """A store that is down before the first byte is a 503, with the connection whole."""
    served.tiers.break_error = UnavailableError("down")
    line = await served.connect()
    for _ in range(2):
        await line.send(request("GET", "/v1/content/cold"))
        answer = await line.answer()
        assert (answer.status, answer.code) == (503, "unavailable")
    assert served.observer.seen == [("error", 0)] * 2
    assert served.tiers.chunks is not None
    assert served.tiers.chunks.closed


async def test_a_client_that_leaves_is_no_error(served: Served) -> None:
    """A cold read that its client gave up is a miss of the bytes that went, and its stream is closed."""
    served.tiers.add_cold("cold", LARGE * 4)
    line = await served.connect()
    await line.send(request("GET", "/v1/content/cold"))
    await line.head()
    line.writer.transport.abort()
    await until(lambda: served.observer.seen)
    ((result, size),) = served.observer.seen
    assert result == "miss"
    assert size < len(LARGE) * 4
    assert served.tiers.chunks is not None
    assert served.tiers.chunks.closed


async def test_a_file_that_is_cut_short_is_never_whole(tmp_path: Path) -> None:
    """Its owner truncates it while it is sent: the connection breaks, the good clients stay served."""
    async with serve(tmp_path) as served:
        served.tiers.add_hot("large", LARGE * 4)
        line = await served.connect()
        await line.send(request("GET", "/v1/content/large"))
        await line.head()
        os.truncate(served.tiers.root / "large", 10)
        with pytest.raises(asyncio.IncompleteReadError):
            await line.reader.readexactly(len(LARGE) * 4)
        assert (await served.get("/v1/content/large")).body == LARGE[:10]


async def test_a_file_that_is_overwritten_is_never_mixed(tmp_path: Path) -> None:
    """Its owner writes into it while it is sent: no client gets half of one content and half of another as whole."""
    async with serve(tmp_path) as served:
        served.tiers.add_hot("large", LARGE * 4)
        line = await served.connect()
        await line.send(request("GET", "/v1/content/large"))
        await line.head()
        with (served.tiers.root / "large").open("r+b") as file:
            file.write(b"changed")
        with pytest.raises(asyncio.IncompleteReadError):
            await line.reader.readexactly(len(LARGE) * 4)
        await until(lambda: served.observer.seen)
        assert served.observer.seen[0][0] == "error"


async def test_a_small_file_that_changes_between_look_and_read_is_asked_for_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sighting that no longer holds is a 503 to come again, not bytes under a wrong tag."""
    hot = served.tiers._hot

    def change_after_look(asset: object, *, hit: bool) -> object:
        content = hot(asset, hit=hit)
        (served.tiers.root / "small").write_bytes(SMALL[::-1])
        return content

    monkeypatch.setattr(served.tiers, "_hot", change_after_look)
    answer = await served.get("/v1/content/small")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "changing", "1")
    assert served.observer.seen == [("error", 0)]


async def test_no_descriptor_is_left_open(served: Served) -> None:
    """Whatever comes of an answer, its file is closed."""
    before = open_files()
    for _ in range(3):
        await served.get("/v1/content/small")
        await served.get("/v1/content/large")
        await served.get("/v1/content/small", Range="bytes=5000-")
        await served.ask("HEAD", "/v1/content/small")
    await until(lambda: open_files() <= before)


@pytest.mark.parametrize(("error", "status"), [(UnknownAssetError("no"), 404), (NoSpaceError("no room"), 507)])
async def test_what_cannot_be_had_is_counted_as_an_error(served: Served, error: Exception, status: int) -> None:
    """404 and 507 are answers too: one error each, of no bytes."""
    served.tiers.fail = error
    for target in ("/v1/content/small", "/v1/open/small"):
        assert (await served.get(target)).status == status
    assert (await served.get("/v1/content/..")).status == 400
    assert served.observer.seen == [("error", 0)] * 3


async def test_sixteen_clients_at_once_get_their_own(tmp_path: Path) -> None:
    """Many clients, many assets, hot and cold, small and large: every one gets exactly what it asked for."""
    data = {f"a{n}": random.Random(n).randbytes(n * 30_000) for n in range(40)}
    async with serve(tmp_path, limits=Limits(connections=64)) as served:
        for n, (name, content) in enumerate(data.items()):
            (served.tiers.add_cold if n % 3 == 0 else served.tiers.add_hot)(name, content)

        async def client(seed: int) -> None:
            choice = random.Random(seed)
            line = await served.connect()
            for _ in range(20):
                name = choice.choice(sorted(data))
                await line.send(request("GET", f"/v1/content/{name}"))
                assert (await line.answer()).body == data[name]

        async with asyncio.TaskGroup() as group:
            for seed in range(16):
                group.create_task(client(seed))
        await until(lambda: len(served.observer.seen) == 320)


def test_the_date_is_that_of_the_files() -> None:
    """The constants of this file agree."""
    assert MTIME == 1_700_000_000
