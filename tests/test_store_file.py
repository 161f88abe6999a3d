"""The file store in particular: crashes at every step, what is durable when, and what others do to its directory."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import crash_steps
import pytest
from crash_steps import NEW, NEW_ATTRIBUTES, OLD, OLD_ATTRIBUTES, PARTS, upload_parts

from tiering.store import (
    Absent,
    Attributes,
    NotFoundError,
    PreconditionError,
    RefusedError,
    UnavailableError,
    Unchanged,
)
from tiering.stores.file import FileStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

PLAIN = Attributes()

State = tuple[bytes, str, "Mapping[str, str] | None"] | None


@pytest.fixture
async def store(tmp_path: Path) -> FileStore:
    """An empty store."""
    made = FileStore(tmp_path / "cold")
    await made.prepare()
    return made


async def state(store: FileStore, key: str) -> State:
    """Return all that a reader can know of an object, None where there is none."""
    try:
        async with store.get(key) as download:
            body = b"".join([chunk async for chunk in download.chunks()])
            assert download.info == await store.head(key)
            return body, download.info.etag, download.info.metadata
    except NotFoundError:
        return None


def whole(body: bytes, attributes: Attributes) -> State:
    """Return the state of an object that is all there."""
    return body, hashlib.md5(body).hexdigest(), attributes.metadata


# ---- crashes -------------------------------------------------------------------------------------------------------


async def crashed(tmp_path: Path, operation: str) -> AsyncIterator[FileStore]:
    """Yield a store after a crash at every step of an operation."""
    base = tmp_path / "cold"
    store = FileStore(base)
    await store.prepare()
    await store.put("dir/key", OLD, OLD_ATTRIBUTES)
    await store.put("other", NEW, NEW_ATTRIBUTES)
    upload_id = await store.create_upload("big", NEW_ATTRIBUTES)
    for number, body in enumerate(PARTS, start=1):
        await store.put_part("big", upload_id, number, body, md5=hashlib.md5(body).digest())
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, crash_steps.__file__, operation, str(base)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert ran.returncode == 0, ran.stderr
    died = int(ran.stdout)
    assert died >= 3
    for step in range(1, died + 2):
        again = FileStore(tmp_path / f"cold-{step}")
        await again.prepare()
        yield again


@pytest.mark.parametrize(
    ("operation", "key", "allowed"),
    [
        ("overwrite", "dir/key", [whole(OLD, OLD_ATTRIBUTES), whole(NEW, NEW_ATTRIBUTES)]),
        ("copy", "dir/key", [whole(OLD, OLD_ATTRIBUTES), whole(NEW, NEW_ATTRIBUTES)]),
        ("create", "fresh/dir/key", [None, whole(NEW, NEW_ATTRIBUTES)]),
        ("create_aside", "dir/key/below", [None, whole(NEW, NEW_ATTRIBUTES)]),
        ("delete", "dir/key", [whole(OLD, OLD_ATTRIBUTES), None]),
    ],
)
async def test_crash_leaves_old_or_new(tmp_path: Path, operation: str, key: str, allowed: list[State]) -> None:
    """Whenever the process dies, the object is the old one or the new one whole, and the store goes on."""
    seen = []
    async for store in crashed(tmp_path, operation):
        found = await state(store, key)
        assert found in allowed
        seen.append(allowed.index(found))
        listed = [info.key async for page in store.list() for info in page]
        assert listed == sorted({"other", "dir/key", key} - ({key} if found is None else set()))
        await store.put(key, b"next", PLAIN)
        assert await state(store, key) == whole(b"next", PLAIN)
        await store.delete(key)
        assert await state(store, key) is None
    assert seen == sorted(seen)
    assert set(seen) == {0, 1}


async def test_crash_while_completing(tmp_path: Path) -> None:
    """Whenever the process dies, completing again makes the object, under the same condition."""
    async for store in crashed(tmp_path, "complete"):
        found = await state(store, "big")
        assert found is None or (found[0], found[2]) == (b"".join(PARTS), NEW_ATTRIBUTES.metadata)
        pages = [page async for page in store.list_uploads()]
        if pages:
            await store.complete("big", pages[0][0].upload_id, upload_parts(), Absent())
        after = await state(store, "big")
        assert after is not None
        assert after[0] == b"".join(PARTS)
        assert [page async for page in store.list_uploads()] == []


async def test_crash_while_sending_a_part(tmp_path: Path) -> None:
    """Whenever the process dies, each part is the one before or the new one, whole."""
    old, second = upload_parts()
    async for store in crashed(tmp_path, "put_part"):
        [[pending]] = [page async for page in store.list_uploads()]
        first, other = await store.list_parts("big", pending.upload_id)
        assert other == second
        assert first.etag in {old.etag, hashlib.md5(NEW).hexdigest()}
        await store.complete("big", pending.upload_id, [first, other])
        found = await state(store, "big")
        assert found is not None
        assert found[0] == (PARTS[0] if first == old else NEW) + PARTS[1]


async def test_crash_while_aborting(tmp_path: Path) -> None:
    """Whenever the process dies, the upload is whole or gone: never one that lacks parts."""
    async for store in crashed(tmp_path, "abort"):
        for page in [page async for page in store.list_uploads()]:
            for pending in page:
                assert list(await store.list_parts("big", pending.upload_id)) == upload_parts()


async def test_an_upload_ends_before_its_parts_go(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes it an upload is the first thing removed, in whatever order a directory lists the rest."""
    upload_id = await store.create_upload("big", PLAIN)
    await store.put_part("big", upload_id, 1, NEW, md5=hashlib.md5(NEW).digest())
    removed: list[str] = []
    real = os.unlink

    def spy(path: Any, **options: Any) -> None:
        removed.append(Path(path).name)
        real(path, **options)

    monkeypatch.setattr(os, "unlink", spy)
    await store.abort("big", upload_id)
    assert removed[0] == "about.json"
    assert len(removed) == 2


# ---- durability ----------------------------------------------------------------------------------------------------


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was synced, linked and replaced, in order, by the name it has then."""
    seen: list[tuple[str, str]] = []
    fsync, link, replace = os.fsync, os.link, os.replace

    def spy_fsync(fd: int) -> None:
        fsync(fd)
        seen.append(("sync", str(Path(f"/proc/self/fd/{fd}").readlink())))

    def spy_link(src: str, dst: str, **options: Any) -> None:
        link(src, dst, **options)
        directory = Path(f"/proc/self/fd/{options['dst_dir_fd']}").readlink()
        seen.append(("name", str(directory / dst)))

    def spy_replace(src: Path, dst: Path) -> None:
        replace(src, dst)
        seen.append(("name", str(dst)))

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "link", spy_link)
    monkeypatch.setattr(os, "replace", spy_replace)
    return seen


@pytest.mark.parametrize("condition", [Absent(), "replace"])
async def test_order_of_durable_acts(
    store: FileStore, tmp_path: Path, trace: list[tuple[str, str]], condition: object
) -> None:
    """Sidecar, its directory and the bytes are on the disk before the name; the name is before the call returns."""
    root = tmp_path / "cold"
    if condition == "replace":
        info = await store.put("a/b/key", OLD, PLAIN)
        trace.clear()
        await store.put("a/b/key", NEW, PLAIN, Unchanged(info.etag))
    else:
        await store.put("a/b/key", NEW, PLAIN, Absent())
    named = trace.index(("name", str(root / "a/b/key")))
    before = [path for act, path in trace[:named] if act == "sync"]
    after = [path for act, path in trace[named:] if act == "sync"]
    assert any("/sidecars/" in path and path.endswith(f"-{len(NEW)}") for path in before)
    assert any(Path(path).parent.name == "sidecars" for path in before)
    assert any("/staging/" in path for path in before)
    assert str(root / "a/b") in after
    if condition != "replace":
        assert {str(root / "a"), str(root)} <= set(after)


def failing(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Let the next sync of this directory fail."""
    fsync = os.fsync

    def fail(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink() == directory:
            monkeypatch.setattr(os, "fsync", fsync)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("directory", ["a/b", "a", ""])
async def test_what_is_told_of_is_durable(
    store: FileStore, tmp_path: Path, trace: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    """An object whose name was not synced is there, and told of only when it is: or a power cut would take it away."""
    root = tmp_path / "cold"
    failing(monkeypatch, root / directory)
    with pytest.raises(UnavailableError):
        await store.put("a/b/key", NEW, PLAIN, Absent())
    trace.clear()
    await store.head("a/b/key")
    assert {("sync", str(place)) for place in (root / "a/b", root / "a", root)} <= set(trace)


async def test_directories_left_by_others_are_made_durable(
    store: FileStore, tmp_path: Path, trace: list[tuple[str, str]]
) -> None:
    """A directory that is there may be one whose maker died before its name was synced; once seen to, it is known."""
    root = tmp_path / "cold"
    (root / "a/b").mkdir(parents=True)
    await store.put("a/b/key", NEW, PLAIN)
    assert {("sync", str(place)) for place in (root / "a/b", root / "a", root)} <= set(trace)
    trace.clear()
    await store.put("a/b/other", NEW, PLAIN)
    assert ("sync", str(root)) not in trace


async def test_an_upload_that_was_completed_is_durable(
    store: FileStore, tmp_path: Path, trace: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Completed again, since its directory could not be synced, it is only acknowledged once that is done."""
    upload_id = await store.create_upload("key", PLAIN)
    part = await store.put_part("key", upload_id, 1, NEW, md5=hashlib.md5(NEW).digest())
    failing(monkeypatch, tmp_path / "cold")
    with pytest.raises(UnavailableError):
        await store.complete("key", upload_id, [part])
    trace.clear()
    await store.complete("key", upload_id, [part])
    assert ("sync", str(tmp_path / "cold")) in trace


async def test_a_sidecar_is_written_whole(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel takes fewer bytes than it was given, the rest follows."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, body: write(fd, bytes(body[:7])))
    await store.put("key", NEW, NEW_ATTRIBUTES)
    assert (await store.head("key")).metadata == NEW_ATTRIBUTES.metadata


async def test_delete_is_durable(store: FileStore, tmp_path: Path, trace: list[tuple[str, str]]) -> None:
    """When a delete returns, the name's going is on the disk."""
    await store.put("a/b/key", NEW, PLAIN)
    trace.clear()
    await store.delete("a/b/key")
    assert ("sync", str(tmp_path / "cold")) in trace
    assert not (tmp_path / "cold/a").exists()


# ---- a directory like any other ------------------------------------------------------------------------------------


async def test_objects_keep_their_names(store: FileStore, tmp_path: Path) -> None:
    """Anybody finds the objects as files, under their keys."""
    await store.put("2024/summer/photo one.jpg", NEW, PLAIN)
    assert (tmp_path / "cold/2024/summer/photo one.jpg").read_bytes() == NEW


async def test_nothing_is_left_over(store: FileStore, tmp_path: Path) -> None:
    """Replaced, deleted, refused and aborted: each takes what it staged with it."""
    files = {path for path in (tmp_path / "cold").rglob("*") if path.is_file()}
    for number in range(3):
        await store.put("a/key", b"%d" % number, PLAIN)
    with pytest.raises(PreconditionError):
        await store.put("a/key", NEW, PLAIN, Absent())
    with pytest.raises(PreconditionError):
        await store.put("a/key", NEW, PLAIN, Unchanged("0" * 32))
    upload_id = await store.create_upload("a/key", PLAIN)
    await store.put_part("a/key", upload_id, 1, NEW, md5=hashlib.md5(NEW).digest())
    await store.abort("a/key", upload_id)
    await store.delete("a/key")
    assert {path for path in (tmp_path / "cold").rglob("*") if path.is_file()} == files


async def test_unmounted(store: FileStore, tmp_path: Path) -> None:
    """Where the store's disk is not mounted nothing is missing: every call is UnavailableError, and writes nothing."""
    await store.put("key", NEW, PLAIN)
    (tmp_path / "cold").rename(tmp_path / "elsewhere")
    (tmp_path / "cold").mkdir()
    with pytest.raises(UnavailableError):
        await store.head("key")
    with pytest.raises(UnavailableError):
        await state(store, "key")
    with pytest.raises(UnavailableError):
        await store.put("new", NEW, PLAIN)
    with pytest.raises(UnavailableError):
        await store.delete("key")
    with pytest.raises(UnavailableError):
        [page async for page in store.list()]
    with pytest.raises(UnavailableError):
        [page async for page in store.list_uploads()]
    assert list((tmp_path / "cold").iterdir()) == []


async def test_moved_elsewhere(store: FileStore, tmp_path: Path) -> None:
    """A store copied to another disk, mtimes kept, is the same store."""
    await store.put("dir/key", OLD, OLD_ATTRIBUTES)
    await store.put("dir", NEW, NEW_ATTRIBUTES)
    shutil.copytree(tmp_path / "cold", tmp_path / "copy")
    copy = FileStore(tmp_path / "copy")
    assert await state(copy, "dir/key") == whole(OLD, OLD_ATTRIBUTES)
    assert await state(copy, "dir") == whole(NEW, NEW_ATTRIBUTES)


async def test_changed_by_others(store: FileStore, tmp_path: Path) -> None:
    """An object that somebody wrote into has another ETag, none of an MD5, and no metadata of ours."""
    old = await store.put("key", OLD, OLD_ATTRIBUTES)
    (tmp_path / "cold/key").write_bytes(NEW)
    info = await store.head("key")
    assert (info.size, info.metadata) == (len(NEW), {})
    assert info.etag != old.etag
    assert len(info.etag) != 32
    with pytest.raises(PreconditionError):
        await store.delete("key", etag=old.etag)


@pytest.fixture
def litter(store: FileStore, tmp_path: Path) -> None:
    """What others put into the store's directory."""
    root = tmp_path / "cold"
    (root / "plain").write_bytes(b"x")
    (root / "link").symlink_to("plain")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"bad-\xff")).write_bytes(b"x")
    (root / "empty").mkdir()


async def test_what_is_no_object(store: FileStore, litter: None) -> None:
    """Links, pipes and names that are not UTF-8 are no objects; a plain file that others made is one."""
    assert [info.key for page in [page async for page in store.list()] for info in page] == ["plain"]
    for key in ("link", "pipe", "empty"):
        with pytest.raises(NotFoundError):
            await store.head(key)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, UnavailableError), (errno.EIO, UnavailableError), (errno.EROFS, RefusedError)],
)
async def test_disk_errors(
    store: FileStore, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    """What the disk refuses is said in the port's words, and the old object stays."""
    await store.put("key", OLD, OLD_ATTRIBUTES)

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fail)
        with pytest.raises(expected) as caught:
            await store.put("key", NEW, PLAIN)
    assert "key" in str(caught.value)
    assert await state(store, "key") == whole(OLD, OLD_ATTRIBUTES)


async def test_disk_without_nameless_files(store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system has no O_TMPFILE, as NFS, all is as elsewhere."""
    real = os.open

    def without(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", without)
    await store.put("key", OLD, OLD_ATTRIBUTES, Absent())
    with pytest.raises(PreconditionError):
        await store.put("key", NEW, PLAIN, Absent())
    await store.put("key", NEW, NEW_ATTRIBUTES)
    assert await state(store, "key") == whole(NEW, NEW_ATTRIBUTES)
    assert list((tmp_path / "cold/.tierd-meta/staging").iterdir()) == []


async def test_coarse_clock(tmp_path: Path) -> None:
    """Two versions of one size made within one tick of the clock are still two."""
    store = FileStore(tmp_path / "cold", clock_ns=lambda: 1_700_000_000_000_000_000)
    await store.prepare()
    for number in range(4):
        attributes = Attributes(metadata={"n": str(number)})
        await store.put("key", b"%d" % number, attributes)
        assert await state(store, "key") == whole(b"%d" % number, attributes)


async def test_cancelled_put_does_nothing_later(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a cancelled call returns, its thread is done: nothing of it happens afterwards."""
    reached, loop = asyncio.Event(), asyncio.get_running_loop()
    real, done = os.fsync, []

    def slow(fd: int) -> None:
        loop.call_soon_threadsafe(reached.set)
        real(fd)
        done.append(fd)

    monkeypatch.setattr(os, "fsync", slow)
    putting = asyncio.ensure_future(store.put("key", NEW, PLAIN))
    await reached.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    synced = len(done)
    monkeypatch.undo()
    assert await state(store, "key") == whole(NEW, PLAIN)
    assert len(done) == synced
