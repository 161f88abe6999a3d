"""The probe believes what it saw, leaves nothing behind, and sees a store that lies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from servers import CREDENTIALS
from store_setups import FileSetup, S3Setup

from tiering.probe import Capabilities, probe
from tiering.store import CorruptError, RefusedError, UnavailableError
from tiering.stores.faulty import Damage, Fail, FaultyStore, Lie
from tiering.stores.memory import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from tiering.store import Attributes, Condition, ObjectInfo, Part, Store

ALL = Capabilities(etag_is_md5=True, checks_md5=True, create_only=True, if_match=True, read_back_equal=True)
FOR_EVER = None


class Heedless(MemoryStore):
    """A server that has not heard of conditions, nor of digests."""

    async def put(self, key: str, body: bytes, attributes: Attributes, condition: Condition = None) -> ObjectInfo:
        """Write, whatever is there."""
        return await super().put(key, body, attributes)

    async def put_part(self, key: str, upload_id: str, number: int, body: bytes, *, md5: bytes) -> Part:
        """Take a part, whatever it is."""
        try:
            return await super().put_part(key, upload_id, number, body, md5=md5)
        except CorruptError as error:
            right = bytes.fromhex(str(error).partition("received is ")[2][:32])
            return await super().put_part(key, upload_id, number, body, md5=right)


async def left_behind(store: Store) -> list[str]:
    """Return all keys and uploads that there are."""
    found = [info.key async for page in store.list(".tierd/") for info in page]
    found += [info.key async for page in store.list() for info in page]
    return found + [pending.key async for page in store.list_uploads() for pending in page]


async def test_memory() -> None:
    """The memory store can do everything."""
    store = MemoryStore()
    assert await probe(store, name="test") == ALL
    assert await left_behind(store) == []


async def test_file(tmp_path: Path) -> None:
    """So can the file store."""
    store = await FileSetup(tmp_path).again()
    assert await probe(store, name="test") == ALL
    assert await left_behind(store) == []


@pytest.mark.parametrize("is_moto", [False, True])
async def test_s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, *, is_moto: bool) -> None:
    """So can SeaweedFS; moto takes parts whatever their MD5, and that is seen."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    setup = S3Setup(request.getfixturevalue("moto_endpoint" if is_moto else "seaweed_endpoint"), is_moto=is_moto)
    try:
        store = await setup.again()
        assert await probe(store, name="test") == replace(ALL, checks_md5=not is_moto)
        assert await left_behind(store) == []
    finally:
        await setup.close()


async def test_heedless_server() -> None:
    """A server that ignores conditions and digests is not trusted with them."""
    store = Heedless()
    assert await probe(store, name="test") == replace(ALL, checks_md5=False, create_only=False, if_match=False)
    assert await left_behind(store) == []


async def test_opaque_etags() -> None:
    """ETags that are no MD5s, as under KMS, are not taken for proofs; all else still counts."""

    class Opaque(MemoryStore):
        def _write(self, key: str, body: bytes, etag: str, attributes: Attributes, condition: Condition) -> ObjectInfo:
            return super()._write(key, body, f"opaque-{etag[:8]}", attributes, condition)

    assert await probe(Opaque(), name="test") == replace(ALL, etag_is_md5=False)


@pytest.mark.parametrize(
    "lie",
    [
        Damage(change=lambda body: b"\0" + body[1:], times=FOR_EVER),
        Lie(operation="head", change=lambda info: replace(info, size=info.size + 1), times=FOR_EVER),
        Lie(operation="head", change=lambda info: replace(info, metadata={}), times=FOR_EVER),
        Lie(operation="head", change=lambda info: replace(info, etag="f" * 32), times=FOR_EVER),
    ],
    ids=["body", "size", "metadata", "etag"],
)
async def test_liar(lie: Damage | Lie) -> None:
    """A store whose answers do not fit what was written is seen, and its ETags prove nothing."""
    able = await probe(FaultyStore(MemoryStore(), lie), name="test")
    assert not able.read_back_equal
    assert not able.etag_is_md5


async def test_store_that_tells_another_etag_than_it_keeps() -> None:
    """It is usable, and trusted with nothing that an ETag could show: were it an error, nobody would learn why."""
    lie = Lie(operation="put", change=lambda info: replace(info, etag="f" * 32), times=FOR_EVER)
    able = await probe(FaultyStore(MemoryStore(), lie), name="test")
    assert (able.read_back_equal, able.etag_is_md5, able.if_match) == (False, False, False)


async def test_truncating_store() -> None:
    """A store that ends bodies short raises what it raised: nobody learns a capability from it."""
    store = FaultyStore(MemoryStore(), Damage(change=lambda body: body[:-1]))
    with pytest.raises(CorruptError):
        await probe(store, name="test")
    assert await left_behind(store) == []


@pytest.mark.parametrize("operation", ["put", "head", "get", "create_upload", "put_part"])
@pytest.mark.parametrize("error", [UnavailableError("down"), RefusedError("no")])
async def test_unusable_store(operation: str, error: Exception) -> None:
    """Where the store cannot be tried there is no answer, only its error, and nothing is left behind."""
    store = FaultyStore(MemoryStore(), Fail(operation=operation, error=error))
    with pytest.raises(type(error)):
        await probe(store, name="test")
    assert await left_behind(store) == []


async def test_probe_that_cannot_be_removed() -> None:
    """A store that lets nobody delete can still be used."""
    store = FaultyStore(MemoryStore(), Fail(operation="delete", error=RefusedError("no"), times=FOR_EVER))
    assert await probe(store, name="test") == ALL


async def test_what_a_killed_probe_left_goes_with_the_next() -> None:
    """A probe that ended half-way leaves its object until the same daemon asks again, and no longer."""
    store = MemoryStore()
    fault = Fail(operation="delete", error=UnavailableError("away"))
    await probe(FaultyStore(store, fault), name="test")
    assert [info.key async for page in store.list(".tierd/") for info in page] == [".tierd/probe-test"]
    assert await probe(store, name="test") == ALL
    assert [info.key async for page in store.list(".tierd/") for info in page] == []
