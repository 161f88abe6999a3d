"""What tiering.store promises, kept by every store and every coat that a store can wear."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession
from effort import EFFORT, Effort
from emulators import AZURITE_CREDENTIALS
from servers import CREDENTIALS
from store_setups import AzureSetup, CoatedSetup, FileSetup, GcsSetup, MemorySetup, S3Setup
from yarl import URL

from tiering.store import (
    Absent,
    Attributes,
    CorruptError,
    NotFoundError,
    Part,
    PreconditionError,
    RefusedError,
    Unchanged,
)
from tiering.stores.rules import multipart_etag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from store_setups import Setup

    from tiering.store import Condition, ObjectInfo, Store

PLAIN = Attributes()
PART = 5 * 1024 * 1024
"""The smallest part that S3 takes, the last excepted."""

HOSTILE_KEYS = [
    "with space/and  two",
    "plus+hash#question?star*and&equals=tilde~percent%percent%20.txt",
    "quote'double\"angle<bracket>(paren)[square]{curly}|bar^caret`tick$dollar!bang,comma;semi:colon@at",
    "ünïcödé/日本語/🎬.mkv",
    "e\u0301 is not \u00e9",
    "trailing space ",
    "dot./.dot/..dots../...",
    "a",
    "a/b",
    "a/b/c",
    "-dash/_under",
    ".hidden",
    ".tierd-meta",
    ".tierd-meta/lock",
    "x" * 255 + "/" + "y" * 255,
    "/".join(["d" * 199] * 5),
]


AZURITE = [] if EFFORT is Effort.TEST else ["azurite"]
"""It takes half a minute to install: `make azure` does, and so does every submission."""


@pytest.fixture(params=["memory", "coated", "file", "seaweed", "moto", "gcs", *AZURITE])
async def setup(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Setup]:
    """A place for objects, empty."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    match request.param:
        case "memory":
            made: Setup = MemorySetup()
        case "coated":
            made = CoatedSetup()
        case "file":
            made = FileSetup(tmp_path)
        case "seaweed":
            made = S3Setup(request.getfixturevalue("seaweed_endpoint"), is_moto=False)
        case "azurite":
            for name, value in AZURITE_CREDENTIALS.items():
                monkeypatch.setenv(name, value)
            made = AzureSetup(request.getfixturevalue("azurite_endpoint"))
        case "gcs":
            made = GcsSetup(request.getfixturevalue("gcs_endpoint"))
        case _:
            made = S3Setup(request.getfixturevalue("moto_endpoint"), is_moto=True)
    yield made
    await made.close()


@pytest.fixture
async def store(setup: Setup) -> Store:
    """A store that opens it."""
    return await setup.again()


def md5(body: bytes) -> bytes:
    """The MD5 as the port wants it."""
    return hashlib.md5(body).digest()


async def read(store: Store, key: str, *, etag: str | None = None, start: int = 0, length: int | None = None) -> bytes:
    """Read an object, or a range of it."""
    async with store.get(key, etag=etag, start=start, length=length) as download:
        return b"".join([chunk async for chunk in download.chunks()])


async def listed(store: Store, prefix: str = "", *, after: str = "") -> list[ObjectInfo]:
    """All that a listing tells."""
    return [info async for page in store.list(prefix, after=after) for info in page]


async def keys(store: Store, prefix: str = "", *, after: str = "") -> list[str]:
    """The keys that a listing tells."""
    return [info.key for info in await listed(store, prefix, after=after)]


async def upload(store: Store, key: str, bodies: Sequence[bytes]) -> tuple[str, list[Part]]:
    """Begin an upload and send its parts."""
    upload_id = await store.create_upload(key, Attributes("video/mp4", {"tierd-id": "7"}))
    parts = [
        await store.put_part(key, upload_id, number, body, md5=md5(body)) for number, body in enumerate(bodies, start=1)
    ]
    return upload_id, parts


# ---- objects -------------------------------------------------------------------------------------------------------


async def test_put_then_get(store: Store) -> None:
    """What was put comes back: bytes, size, ETag, metadata, content type and time, from put, head and get alike."""
    attributes = Attributes("image/png", {"tierd-id": "abc", "tierd-path": "a%20b"})
    before = time.time()
    stored = await store.put("dir/photo.png", b"hello", attributes)
    head = await store.head("dir/photo.png")
    async with store.get("dir/photo.png") as download:
        got = download.info
        body = b"".join([chunk async for chunk in download.chunks()])
    assert body == b"hello"
    for info in (stored, head, got):
        assert (info.key, info.size, info.etag) == ("dir/photo.png", 5, hashlib.md5(b"hello").hexdigest())
        assert (info.content_type, info.metadata) == ("image/png", attributes.metadata)
        assert before - 5 <= info.modified <= time.time() + 5


@pytest.mark.parametrize("size", [0, 1, 8 * 1024 * 1024])
async def test_sizes(store: Store, size: int) -> None:
    """An object of any size comes back whole."""
    body = os.urandom(size)
    assert (await store.put("sized", body, PLAIN)).size == size
    assert (await store.head("sized")).size == size
    assert await read(store, "sized") == body


async def test_replace(store: Store) -> None:
    """A put without a condition replaces the object and all that travelled with it."""
    await store.put("key", b"old and longer", Attributes("text/plain", {"old": "1"}))
    await store.put("key", b"new", Attributes("image/gif", {"new": "2"}))
    info = await store.head("key")
    assert (info.size, info.content_type, info.metadata) == (3, "image/gif", {"new": "2"})
    assert await read(store, "key") == b"new"


async def test_missing(store: Store) -> None:
    """An object that is not there is NotFoundError to head and get."""
    await store.put("present/file", b"x", PLAIN)
    for key in ("missing", "present", "present/file/below"):
        with pytest.raises(NotFoundError) as caught:
            await store.head(key)
        assert caught.value.key == key
        with pytest.raises(NotFoundError):
            await read(store, key)


@pytest.mark.parametrize(("start", "length", "expected"), [(0, 3, b"012"), (4, 3, b"456"), (7, None, b"789")])
async def test_range(store: Store, start: int, length: int | None, expected: bytes) -> None:
    """A range brings just these bytes, and the info is still that of the whole object."""
    await store.put("key", b"0123456789", PLAIN)
    assert await read(store, "key", start=start, length=length) == expected
    async with store.get("key", start=start, length=length) as download:
        assert download.info.size == 10


@pytest.mark.parametrize(("start", "length"), [(10, None), (11, 2), (8, 3)])
async def test_range_beyond_the_end(store: Store, start: int, length: int | None) -> None:
    """Bytes that an object does not have are CorruptError, never fewer bytes than were asked for."""
    await store.put("key", b"0123456789", PLAIN)
    with pytest.raises(CorruptError):
        await read(store, "key", start=start, length=length)


async def test_get_of_another_etag(store: Store) -> None:
    """A get that names an ETag reads that object or raises PreconditionError."""
    old = await store.put("key", b"old", PLAIN)
    assert await read(store, "key", etag=old.etag) == b"old"
    await store.put("key", b"new", PLAIN)
    with pytest.raises(PreconditionError):
        await read(store, "key", etag=old.etag)


async def test_read_while_replaced(store: Store) -> None:
    """A download that has begun brings the object that it began with, or an error: never a mixture."""
    old, new = b"o" * 3_000_000, b"n" * 3_000_000
    await store.put("key", old, PLAIN)
    async with store.get("key") as download:
        chunks = download.chunks()
        got = [await anext(chunks)]
        await store.put("key", new, PLAIN)
        got.extend([chunk async for chunk in chunks])
    assert b"".join(got) == old


# ---- conditions ----------------------------------------------------------------------------------------------------


async def test_create_only(store: Store) -> None:
    """Absent writes where there is nothing, and leaves alone what is there."""
    await store.put("key", b"first", Attributes(metadata={"n": "1"}), Absent())
    with pytest.raises(PreconditionError) as caught:
        await store.put("key", b"second", Attributes(metadata={"n": "2"}), Absent())
    assert caught.value.key == "key"
    assert await read(store, "key") == b"first"
    assert (await store.head("key")).metadata == {"n": "1"}


async def test_create_only_has_one_winner(store: Store, setup: Setup) -> None:
    """Of 20 writers at once exactly one creates the object, and its bytes and metadata are there."""
    others = [await setup.again() for _ in range(2)]
    stores = [store, *others]

    async def write(number: int) -> int | None:
        try:
            await stores[number % 3].put("race/key", b"%d" % number, Attributes(metadata={"n": str(number)}), Absent())
        except PreconditionError:
            return None
        return number

    winners = [number for number in await asyncio.gather(*map(write, range(20))) if number is not None]
    assert len(winners) == 1
    assert await read(store, "race/key") == b"%d" % winners[0]
    assert (await store.head("race/key")).metadata == {"n": str(winners[0])}


async def test_replace_only_unchanged(store: Store) -> None:
    """Unchanged replaces the object that was meant, and neither another one nor none."""
    first = await store.put("key", b"first", PLAIN)
    second = await store.put("key", b"second", PLAIN, Unchanged(first.etag))
    for condition in (Unchanged(first.etag), Unchanged("0" * 32)):
        with pytest.raises(PreconditionError):
            await store.put("key", b"third", PLAIN, condition)
    with pytest.raises(PreconditionError):
        await store.put("missing", b"third", PLAIN, Unchanged(second.etag))
    assert await read(store, "key") == b"second"
    assert await keys(store) == ["key"]


async def test_replace_unchanged_has_one_winner(store: Store, setup: Setup) -> None:
    """Of 10 writers that all saw the same object exactly one replaces it."""
    seen = await store.put("key", b"seen", PLAIN)
    stores = [store, await setup.again()]

    async def write(number: int) -> bool:
        try:
            await stores[number % 2].put("key", b"%d" % number, PLAIN, Unchanged(seen.etag))
        except PreconditionError:
            return False
        return True

    assert sum(await asyncio.gather(*map(write, range(10)))) == 1


async def test_put_in_a_thread(store: Store) -> None:
    """It is the same put: what it stores, what it returns, and under which conditions it does not."""

    async def put(key: str, body: bytes, *condition: Condition) -> ObjectInfo:
        return await asyncio.to_thread(store.put_blocking, key, body, attributes, *condition)

    attributes = Attributes("image/png", {"tierd-id": "abc"})
    before = time.time()
    first = await put("dir/key", b"first", Absent())
    for info in (first, await store.head("dir/key")):
        assert (info.key, info.size, info.etag) == ("dir/key", 5, hashlib.md5(b"first").hexdigest())
        assert (info.content_type, info.metadata) == ("image/png", attributes.metadata)
        assert before - 5 <= info.modified <= time.time() + 5
    for condition in (Absent(), Unchanged("0" * 32)):
        with pytest.raises(PreconditionError):
            await put("dir/key", b"second", condition)
    with pytest.raises(PreconditionError):
        await put("missing", b"second", Unchanged(first.etag))
    await put("dir/key", b"second", Unchanged(first.etag))
    assert await read(store, "dir/key") == b"second"
    await put("dir/key", b"third")
    assert await read(store, "dir/key") == b"third"
    with pytest.raises(RefusedError):
        await put("a//b", b"x")
    assert await keys(store) == ["dir/key"]


# ---- delete --------------------------------------------------------------------------------------------------------


async def test_delete(store: Store) -> None:
    """A deleted object is gone, and deleting what is not there is no error."""
    await store.put("a/b", b"x", PLAIN)
    await store.put("a/c", b"x", PLAIN)
    for _ in range(2):
        await store.delete("a/b")
    await store.delete("never/was")
    with pytest.raises(NotFoundError):
        await store.head("a/b")
    assert await keys(store) == ["a/c"]


async def test_delete_unchanged(store: Store) -> None:
    """A delete that names an ETag removes that object and no other."""
    old = await store.put("key", b"old", PLAIN)
    new = await store.put("key", b"new", PLAIN)
    with pytest.raises(PreconditionError):
        await store.delete("key", etag=old.etag)
    assert await read(store, "key") == b"new"
    await store.delete("key", etag=new.etag)
    await store.delete("key", etag=new.etag)
    assert await keys(store) == []


async def test_create_again_after_delete(store: Store) -> None:
    """A key whose object was deleted is free for create-only, and nothing of the old object comes back."""
    await store.put("a/key", b"old", Attributes("text/plain", {"old": "1"}))
    await store.delete("a/key")
    await store.put("a/key", b"new", PLAIN, Absent())
    assert (await store.head("a/key")).metadata == {}


# ---- list ----------------------------------------------------------------------------------------------------------


async def test_list_order_and_prefix(store: Store, setup: Setup) -> None:
    """A listing is in the order of the keys' bytes, of all that starts with the prefix, whole component or not."""
    names = ["a", "a/b", "a/b/c", "a-b", "a0", "ab/x", "A", "b", "é/1", "é0", "😀", "\uffee"]
    for name in names:
        await store.put(name, name.encode(), PLAIN)
    in_order = sorted(names, key=str.encode)
    for prefix in ("", "a", "a/", "a/b", "é", "ab/x", "nothing"):
        found = await keys(store, prefix)
        assert (found if setup.lists_in_key_order else sorted(found, key=str.encode)) == [
            name for name in in_order if name.startswith(prefix)
        ]


async def test_list_after(store: Store) -> None:
    """A listing can begin after any key, also one that is not there."""
    names = ["a/1", "a/2", "a/3/x", "a/3/y", "b"]
    for name in names:
        await store.put(name, b"", PLAIN)
    for after in ("a/1", "a/2", "a/20", "a/3", "a/3/", "a/3/x", "a/4", "b", "c"):
        assert await keys(store, after=after) == [name for name in names if name > after]
        assert await keys(store, "a/", after=after) == [
            name for name in names if name > after and name.startswith("a/")
        ]


async def test_list_tells_size_and_etag(store: Store) -> None:
    """A listing tells each object's size, ETag and time; metadata it does not tell."""
    stored = await store.put("key", b"hello", Attributes("image/png", {"a": "1"}))
    [info] = await listed(store)
    assert (info.key, info.size, info.etag, info.metadata) == ("key", 5, stored.etag, None)
    assert abs(info.modified - stored.modified) < 5


async def test_list_pages(store: Store, setup: Setup) -> None:
    """More than a thousand objects come in pages, in order, each once."""
    names = [f"many/{number:05}" for number in range(1050)]
    gate = asyncio.Semaphore(16)

    async def write(name: str) -> None:
        async with gate:
            await store.put(name, b"", PLAIN)

    await asyncio.gather(*map(write, names))
    pages = [page async for page in store.list("many/")]
    assert len(pages) > 1
    assert [info.key for page in pages for info in page] == names
    assert await keys(store, "many/", after="many/01040") == names[1041:]


async def test_own_keys_are_listed_only_when_asked_for(store: Store) -> None:
    """What tierd keeps for itself is no asset: `.tierd/` lists it, an empty prefix does not."""
    await store.put(".tierd/probe-1", b"x", PLAIN)
    await store.put(".tierdx", b"x", PLAIN)
    await store.put("file", b"x", PLAIN)
    assert await keys(store) == [".tierdx", "file"]
    assert await keys(store, ".tierd/") == [".tierd/probe-1"]
    assert await read(store, ".tierd/probe-1") == b"x"


# ---- keys ----------------------------------------------------------------------------------------------------------


async def test_hostile_keys(store: Store) -> None:
    """Every key that a file's path can become stays what it is, beside all the others."""
    for key in HOSTILE_KEYS:
        await store.put(key, key.encode(), Attributes(metadata={"n": str(HOSTILE_KEYS.index(key))}))
    assert await keys(store) == sorted(HOSTILE_KEYS, key=str.encode)
    for key in HOSTILE_KEYS:
        assert await read(store, key) == key.encode()
        assert (await store.head(key)).metadata == {"n": str(HOSTILE_KEYS.index(key))}
    copied = await store.head(HOSTILE_KEYS[1])
    await store.copy(HOSTILE_KEYS[1], "copy of " + HOSTILE_KEYS[1], PLAIN, etag=copied.etag)
    for key in HOSTILE_KEYS:
        await store.delete(key)
    assert await keys(store) == ["copy of " + HOSTILE_KEYS[1]]


@pytest.mark.parametrize("order", [["f", "f/g", "f/g/h"], ["f/g/h", "f/g", "f"]])
async def test_a_file_beside_a_directory_of_its_name(store: Store, order: list[str]) -> None:
    """`f`, `f/g` and `f/g/h` live beside each other, whichever came first and whichever goes."""
    for key in order:
        await store.put(key, key.encode(), PLAIN, Absent())
    for key in order:
        with pytest.raises(PreconditionError):
            await store.put(key, b"again", PLAIN, Absent())
        info = await store.head(key)
        await store.put(key, key.encode() * 2, PLAIN, Unchanged(info.etag))
    assert await keys(store) == ["f", "f/g", "f/g/h"]
    assert await keys(store, "f/") == ["f/g", "f/g/h"]
    await store.delete(order[0])
    for key in order[1:]:
        assert await read(store, key) == key.encode() * 2
    await store.put(order[0], b"back", PLAIN, Absent())
    assert await read(store, order[0]) == b"back"
    assert await keys(store) == ["f", "f/g", "f/g/h"]


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/./b", "a/../b", "..", "a\nb", "a\0b", "k" * 1025, "\udcff"])
async def test_keys_that_no_store_takes(store: Store, key: str) -> None:
    """A key that some store would change or refuse is refused by all, and nothing is written."""
    with pytest.raises(RefusedError):
        await store.put(key, b"x", PLAIN)
    with pytest.raises(RefusedError):
        await store.create_upload(key, PLAIN)
    assert await keys(store) == []


# ---- copy ----------------------------------------------------------------------------------------------------------


async def test_copy(store: Store) -> None:
    """A copy has the same bytes and ETag and its own attributes, and the source stays."""
    source = await store.put("from/a", b"content", Attributes("text/plain", {"old": "1"}))
    copy = await store.copy("from/a", "to/b", Attributes("image/png", {"new": "2"}), etag=source.etag)
    assert copy == await store.head("to/b")
    assert (copy.key, copy.size, copy.etag) == ("to/b", 7, source.etag)
    assert (copy.content_type, copy.metadata) == ("image/png", {"new": "2"})
    assert await read(store, "to/b") == b"content"
    assert (await store.head("from/a")).metadata == {"old": "1"}


async def test_copy_onto_itself(store: Store) -> None:
    """A copy onto its own key changes the attributes and nothing else."""
    source = await store.put("key", b"content", Attributes("text/plain", {"old": "1"}))
    copy = await store.copy("key", "key", Attributes("image/png", {"new": "2"}), etag=source.etag)
    assert (copy.etag, copy.metadata) == (source.etag, {"new": "2"})
    assert await read(store, "key") == b"content"


async def test_copy_of_parts_onto_itself(store: Store, setup: Setup) -> None:
    """Whoever reads it meanwhile goes by its ETag: where that tells of parts it stays, with other attributes."""
    upload_id, parts = await upload(store, "big", [b"p" * PART, b"tail"])
    info = await store.complete("big", upload_id, parts)
    attributes = Attributes("image/png", {"new": "2"})
    if not setup.copies_parts:
        with pytest.raises(RefusedError):
            await store.copy("big", "big", attributes, etag=info.etag)
        assert await store.head("big") == info
        assert [page async for page in store.list_uploads()] == []
        return
    copy = await store.copy("big", "big", attributes, etag=info.etag)
    assert (copy.size, copy.content_type, copy.metadata) == (PART + 4, "image/png", {"new": "2"})
    assert copy.etag == info.etag or not setup.tells_parts
    assert await read(store, "big", start=PART - 1) == b"ptail"
    assert [page async for page in store.list_uploads()] == []


async def test_copy_of_another_etag(store: Store) -> None:
    """What is not the object that was meant is not copied."""
    old = await store.put("key", b"old", PLAIN)
    await store.put("key", b"new", PLAIN)
    with pytest.raises(PreconditionError):
        await store.copy("key", "copy", PLAIN, etag=old.etag)
    with pytest.raises(NotFoundError):
        await store.copy("missing", "copy", PLAIN, etag=old.etag)
    assert await keys(store) == ["key"]


# ---- multipart uploads ---------------------------------------------------------------------------------------------


async def test_multipart(store: Store, setup: Setup) -> None:
    """Parts become one object, whatever order they came in, seen only once it is whole."""
    bodies = [os.urandom(PART), os.urandom(PART), b"tail"]
    upload_id = await store.create_upload("big/film.mp4", Attributes("video/mp4", {"tierd-id": "7"}))
    parts = {
        number: await store.put_part("big/film.mp4", upload_id, number, bodies[number - 1], md5=md5(bodies[number - 1]))
        for number in (3, 1, 2)
    }
    assert [parts[number].size for number in (1, 2, 3)] == [PART, PART, 4]
    with pytest.raises(NotFoundError):
        await store.head("big/film.mp4")
    assert await keys(store) == []
    in_order = [parts[number] for number in (1, 2, 3)]
    info = await store.complete("big/film.mp4", upload_id, in_order)
    assert info == await store.head("big/film.mp4")
    assert (info.size, info.content_type, info.metadata) == (2 * PART + 4, "video/mp4", {"tierd-id": "7"})
    assert (info.etag == multipart_etag(in_order)) == setup.tells_parts
    assert await read(store, "big/film.mp4") == b"".join(bodies)
    assert (
        await read(store, "big/film.mp4", etag=info.etag, start=PART - 1, length=2)
        == b"".join(bodies)[PART - 1 : PART + 1]
    )


async def test_resume_multipart(store: Store, setup: Setup) -> None:
    """A new store finds the parts that an earlier one sent, and completes the upload with the missing ones."""
    bodies = [os.urandom(PART), b"tail"]
    upload_id, [first] = await upload(store, "big", bodies[:1])
    later = await setup.again()
    assert list(await later.list_parts("big", upload_id)) == [first]
    second = await later.put_part("big", upload_id, 2, bodies[1], md5=md5(bodies[1]))
    await later.complete("big", upload_id, [first, second])
    assert await read(later, "big") == b"".join(bodies)


async def test_part_sent_again(store: Store) -> None:
    """A part that is sent again is the one that counts."""
    upload_id, _ = await upload(store, "big", [b"first"])
    second = await store.put_part("big", upload_id, 1, b"second", md5=md5(b"second"))
    assert second in await store.list_parts("big", upload_id)
    await store.complete("big", upload_id, [second])
    assert await read(store, "big") == b"second"


async def test_part_of_another_md5(store: Store, setup: Setup) -> None:
    """A part whose bytes are not what was said is refused and not kept."""
    upload_id = await store.create_upload("big", PLAIN)
    wrong = store.put_part("big", upload_id, 1, b"bytes", md5=md5(b"other bytes"))
    if setup.checks_md5:
        with pytest.raises(CorruptError):
            await wrong
        assert list(await store.list_parts("big", upload_id)) == []
    else:
        assert (await wrong).etag == hashlib.md5(b"bytes").hexdigest()


async def test_complete_is_safe_to_repeat(store: Store, setup: Setup) -> None:
    """Whoever did not hear the answer completes again, with the same condition, and gets the same object."""
    for condition in (None, Absent()):
        key = f"big-{condition}"
        upload_id, parts = await upload(store, key, [os.urandom(PART), b"tail"])
        first = await store.complete(key, upload_id, parts, condition)
        again = await (await setup.again()).complete(key, upload_id, parts, condition)
        assert again == first
    assert [page async for page in store.list_uploads()] == []


async def test_complete_create_only(store: Store) -> None:
    """Completing under Absent leaves alone what came meanwhile; the upload can still be dropped."""
    upload_id, parts = await upload(store, "big", [b"ours"])
    await store.put("big", b"theirs", PLAIN)
    with pytest.raises(PreconditionError):
        await store.complete("big", upload_id, parts, Absent())
    assert await read(store, "big") == b"theirs"
    await store.abort("big", upload_id)


async def test_complete_unchanged(store: Store) -> None:
    """Completing under Unchanged replaces the object that was meant and no other."""
    seen = await store.put("big", b"seen", PLAIN)
    upload_id, parts = await upload(store, "big", [b"next"])
    await store.complete("big", upload_id, parts, Unchanged(seen.etag))
    assert await read(store, "big") == b"next"
    upload_id, parts = await upload(store, "big", [b"late"])
    with pytest.raises(PreconditionError):
        await store.complete("big", upload_id, parts, Unchanged(seen.etag))
    assert await read(store, "big") == b"next"


async def test_complete_with_parts_that_are_not_there(store: Store) -> None:
    """Parts that the store does not have make no object."""
    upload_id, parts = await upload(store, "big", [os.urandom(PART)])
    with pytest.raises(CorruptError):
        await store.complete("big", upload_id, [*parts, Part(2, "0" * 32, 3)])
    assert await keys(store) == []


async def test_abort(store: Store, setup: Setup) -> None:
    """A dropped upload is gone with its parts, and dropping it again is no error."""
    upload_id, parts = await upload(store, "big", [b"part"])
    for _ in range(2):
        await store.abort("big", upload_id)
    with pytest.raises(NotFoundError):
        await store.list_parts("big", upload_id)
    if setup.knows_uploads:
        with pytest.raises(NotFoundError):
            await store.complete("big", upload_id, parts)
        with pytest.raises(NotFoundError):
            await store.put_part("big", upload_id, 1, b"part", md5=md5(b"part"))
    assert [page async for page in store.list_uploads()] == []


async def test_list_uploads(store: Store, setup: Setup) -> None:
    """The unfinished uploads under our prefix are listed, with their keys and ids, and no others."""
    before = time.time()
    mine = {(key, await store.create_upload(key, PLAIN)) for key in ("one", "dir/two", "dir/two")}
    await setup.add_foreign_upload()
    found = [pending for page in [page async for page in store.list_uploads()] for pending in page]
    assert {(pending.key, pending.upload_id) for pending in found} == mine
    assert len(found) == 3
    if setup.knows_uploads:
        assert all(before - 5 <= pending.started <= time.time() + 5 for pending in found)


# ---- cancellation --------------------------------------------------------------------------------------------------


async def _cancel_after(turns: int, work: asyncio.Future[object]) -> bool:
    """Cancel work after so many turns of the loop. Return whether it was not done before."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return work.cancel()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 50])
async def test_cancelled_put(store: Store, turns: int) -> None:
    """A put that is cancelled leaves the old object whole or the new one whole."""
    old, new = b"o" * 200_000, b"n" * 300_000
    await store.put("key", old, Attributes(metadata={"v": "old"}))
    putting = asyncio.ensure_future(store.put("key", new, Attributes(metadata={"v": "new"})))
    await _cancel_after(turns, putting)
    await asyncio.wait([putting])
    # A server may act on a request that nobody waits for any more: what is there is asked once.
    async with store.get("key") as download:
        body = b"".join([chunk async for chunk in download.chunks()])
    assert (body, download.info.metadata) in [(old, {"v": "old"}), (new, {"v": "new"})]


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
async def test_cancelled_get(store: Store, turns: int) -> None:
    """A download that is cancelled leaves the store as usable as it was."""
    await store.put("key", b"x" * 2_000_000, PLAIN)
    getting = asyncio.ensure_future(read(store, "key"))
    await _cancel_after(turns, getting)
    await asyncio.wait([getting])
    assert await read(store, "key") == b"x" * 2_000_000


async def test_abandoned_get(store: Store) -> None:
    """A download that nobody reads to its end gives back what it holds: a hundred of them hinder nothing."""
    await store.put("key", b"x" * 2_000_000, PLAIN)
    for _ in range(100):
        async with store.get("key") as download:
            async for _chunk in download.chunks():
                break
    assert await read(store, "key", start=1_999_999) == b"x"


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_cancelled_part(store: Store, turns: int) -> None:
    """A part that is cancelled is there whole or not at all, and can be sent again."""
    upload_id = await store.create_upload("big", PLAIN)
    body = os.urandom(1_000_000)
    putting = asyncio.ensure_future(store.put_part("big", upload_id, 1, body, md5=md5(body)))
    await _cancel_after(turns, putting)
    await asyncio.wait([putting])
    assert {part.etag for part in await store.list_parts("big", upload_id)} <= {md5(body).hex()}
    part = await store.put_part("big", upload_id, 1, body, md5=md5(body))
    await store.complete("big", upload_id, [part])
    assert await read(store, "big") == body


@pytest.mark.parametrize("setup", ["seaweed", *AZURITE], indirect=True)
async def test_signed_urls(setup: Setup) -> None:
    """Others write an object by one, and read it by another; by none of them anything else."""
    store: Any = await setup.again()
    async with ClientSession() as browser:
        put = URL(await store.signer.sign("PUT", "d/a ü+.txt", 60), encoded=True)
        async with browser.put(put, data=b"by a browser", headers=store.signer.put_headers) as answer:
            assert answer.status in {200, 201}
        get = URL(await store.signer.sign("GET", "d/a ü+.txt", 60), encoded=True)
        async with browser.get(get) as answer:
            assert await answer.read() == b"by a browser"
        async with browser.delete(get) as answer:
            assert answer.status == 403
    assert (await store.head("d/a ü+.txt")).size == 12
