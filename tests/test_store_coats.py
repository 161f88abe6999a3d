"""What the two coats add: one tells, the other fails as it is told to."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from tiering.observer import SilentObserver
from tiering.store import (
    Attributes,
    CorruptError,
    NotFoundError,
    ObjectInfo,
    Part,
    Store,
    ThrottledError,
    UnavailableError,
)
from tiering.stores.faulty import Damage, Fail, FaultyStore, Hold, Lie, Pretend
from tiering.stores.memory import MemoryStore
from tiering.stores.observed import OPERATIONS, ObservedStore

if TYPE_CHECKING:
    from tiering.stores.faulty import Fault

PLAIN = Attributes()


class Listener(SilentObserver):
    """Remembers what it was told, and by whose clock."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, float]] = []
        self.now = 0.0

    def clock(self) -> float:
        """One second later at each look."""
        self.now += 1
        return self.now

    def stored(self, operation: str, result: str, seconds: float) -> None:
        """See Observer."""
        self.told.append((operation, result, seconds))

    def heard(self) -> list[tuple[str, str]]:
        """What it was told, and forget it."""
        told, self.told = self.told, []
        return [(operation, result) for operation, result, _ in told]


def observed(*script: Fault) -> tuple[ObservedStore, Listener]:
    """Return a store and who listens to it."""
    listener = Listener()
    return ObservedStore(FaultyStore(MemoryStore(), *script), listener, clock=listener.clock), listener


async def read(store: Store, key: str) -> bytes:
    """Read an object."""
    async with store.get(key) as download:
        return b"".join([chunk async for chunk in download.chunks()])


def test_operations_are_those_of_the_port() -> None:
    """An observer knows the name of every call that a store has; a put is a put, in whichever thread."""
    calls = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    assert set(OPERATIONS) == calls - {"close", "put_blocking"}


async def test_a_put_in_a_thread_is_told() -> None:
    """As every other put, whether it succeeds or not."""
    store, listener = observed(Fail(operation="put", first=2, error=ThrottledError("slow down")))
    await asyncio.to_thread(store.put_blocking, "key", b"x", PLAIN)
    with pytest.raises(ThrottledError):
        await asyncio.to_thread(store.put_blocking, "key", b"x", PLAIN)
    assert listener.heard() == [("put", "ok"), ("put", "throttled")]


async def test_every_call_is_told_once() -> None:
    """Each call is told when it ended, with its result and its seconds."""
    store, listener = observed()
    info = await store.put("key", b"x", PLAIN)
    await store.head("key")
    await read(store, "key")
    await store.copy("key", "copy", PLAIN, etag=info.etag)
    await store.delete("copy")
    upload_id = await store.create_upload("big", PLAIN)
    part = await store.put_part("big", upload_id, 1, b"x", md5=hashlib.md5(b"x").digest())
    await store.list_parts("big", upload_id)
    await store.complete("big", upload_id, [part])
    await store.abort("big", upload_id)
    assert all(seconds == 1 for _, _, seconds in listener.told)
    assert listener.heard() == [
        (name, "ok")
        for name in (
            "put",
            "head",
            "get",
            "copy",
            "delete",
            "create_upload",
            "put_part",
            "list_parts",
            "complete",
            "abort",
        )
    ]
    assert [len(page) async for page in store.list()] == [2]
    assert {name for name, _ in listener.heard()} == {"list"}
    assert [page async for page in store.list_uploads()] == []
    assert listener.heard() == [("list_uploads", "ok")]


async def test_a_get_is_told_when_its_body_ends() -> None:
    """A download counts when it was read, not when it was begun."""
    store, listener = observed()
    await store.put("key", b"x", PLAIN)
    listener.heard()
    async with store.get("key") as download:
        [chunk async for chunk in download.chunks()]
        assert listener.heard() == []
    assert listener.heard() == [("get", "ok")]


async def test_failures_are_told_by_their_code() -> None:
    """A failed call is told by the code of its error, a body that breaks as well."""
    store, listener = observed(
        Fail(operation="put", error=UnavailableError("down")), Damage(change=lambda body: body[:-1])
    )
    with pytest.raises(UnavailableError):
        await store.put("key", b"x", PLAIN)
    with pytest.raises(NotFoundError):
        await store.head("key")
    await store.put("key", b"xy", PLAIN)
    with pytest.raises(CorruptError):
        await read(store, "key")
    assert listener.heard() == [("put", "unavailable"), ("head", "not-found"), ("put", "ok"), ("get", "corrupt")]


async def test_a_cancelled_call_and_an_abandoned_body_are_told_as_such() -> None:
    """What the caller ended is not counted as the store's failure."""
    hold = Hold(operation="put")
    store, listener = observed(hold)
    putting = asyncio.ensure_future(store.put("key", b"x", PLAIN))
    await hold.reached.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    await store.put("key", b"x", PLAIN)
    with pytest.raises(ZeroDivisionError):
        async with store.get("key"):
            raise ZeroDivisionError
    assert listener.heard() == [("put", "cancelled"), ("put", "ok"), ("get", "abandoned")]


@pytest.mark.parametrize(("after", "there"), [(False, False), (True, True)])
async def test_fail_before_or_after(*, after: bool, there: bool) -> None:
    """A call fails before it took effect, or when only its answer is lost."""
    inner = MemoryStore()
    store = FaultyStore(inner, Fail(operation="put", error=UnavailableError("down"), after=after))
    with pytest.raises(UnavailableError):
        await store.put("key", b"x", PLAIN)
    assert bool([page async for page in inner.list()]) is there


async def test_which_call_is_struck() -> None:
    """A fault strikes the calls that it names and no others; each operation counts for itself."""
    store = FaultyStore(MemoryStore(), Fail(operation="put", first=2, times=2, error=UnavailableError("down")))
    await store.put("1", b"", PLAIN)
    for key in ("2", "3"):
        await store.head("1")
        with pytest.raises(UnavailableError):
            await store.put(key, b"", PLAIN)
    await store.put("4", b"", PLAIN)
    assert store.calls == {"put": 4, "head": 2}


async def test_hold_after_it_took_effect() -> None:
    """A call can be held when it is done and nobody knows yet."""
    inner, hold = MemoryStore(), Hold(operation="put", after=True)
    putting = asyncio.ensure_future(FaultyStore(inner, hold).put("key", b"x", PLAIN))
    await hold.reached.wait()
    assert (await inner.head("key")).size == 1
    hold.release.set()
    assert (await putting).size == 1


@pytest.mark.parametrize(
    ("fault", "raised", "came"),
    [
        (Damage(change=lambda body: body[:3]), CorruptError, b"hel"),
        (Damage(change=lambda body: body[:3], error=UnavailableError("cut")), UnavailableError, b"hel"),
        (Damage(change=bytes.upper), None, b"HELLO"),
    ],
)
async def test_damage(fault: Damage, raised: type[Exception] | None, came: bytes) -> None:
    """A download can be cut, broken off, or be other bytes of the right number."""
    store = FaultyStore(MemoryStore(), fault)
    await store.put("key", b"hello", PLAIN)
    got = b""

    async def read_on() -> None:
        nonlocal got
        async with store.get("key") as download:
            async for chunk in download.chunks():
                got += chunk

    if raised is None:
        await read_on()
    else:
        with pytest.raises(raised):
            await read_on()
    assert got == came


async def test_lies() -> None:
    """A store can tell what is not so, and can say that it did what it did not."""
    told = ObjectInfo("key", 1, "etag", 0.0)
    shorter: Any = Lie(operation="list_parts", change=lambda parts: parts[:-1])
    inner = MemoryStore()
    store = FaultyStore(inner, Pretend(operation="put", answer=told), shorter)
    assert await store.put("key", b"x", PLAIN) is told
    with pytest.raises(NotFoundError):
        await inner.head("key")
    upload_id = await store.create_upload("big", PLAIN)
    part = await store.put_part("big", upload_id, 1, b"x", md5=hashlib.md5(b"x").digest())
    assert part == Part(1, hashlib.md5(b"x").hexdigest(), 1)
    assert list(await store.list_parts("big", upload_id)) == []
