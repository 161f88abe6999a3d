"""What gets into the store, over what, and what proves it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from uploads import ABLE, OPAQUE, PART, a_bench, again, md5, moved, sha256

from index.asset import AssetId, ProofMethod, RelPath
from tiering.file_lease import ignore_sigio
from tiering.metadata import Passport
from tiering.sender import ForeignObjectError
from tiering.source import AlteredError, NotYetError
from tiering.store import CorruptError, PreconditionError, RefusedError, UnavailableError
from tiering.stores.faulty import Damage, Fail, Hold, Lie, Pretend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from uploads import Bench

    from tiering.store import ObjectInfo

SMALL = b"a small file"
LARGE = bytes(range(250)) * 20
"""Five parts."""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Everything that an upload needs."""
    ignore_sigio()
    async with a_bench(tmp_path) as bench:
        yield bench


def other_etag(info: ObjectInfo) -> ObjectInfo:
    """Answer an ETag that says nothing, as a store that encrypts with KMS does."""
    return replace(info, etag="opaque" + info.etag[6:])


# --- sent


@pytest.mark.parametrize(
    ("content", "method"), [(SMALL, ProofMethod.ETAG_MD5), (b"", ProofMethod.ETAG_MD5), (LARGE, ProofMethod.PART_MD5)]
)
async def test_what_is_sent_is_proven_by_what_the_store_answered(
    bench: Bench, content: bytes, method: ProofMethod
) -> None:
    """Without reading anything back; the proof describes the object, and the object the asset."""
    asset = await bench.claimed("d/a.bin", content)
    sent = await bench.send(asset)
    info = await bench.memory.head("d/a.bin")
    assert (sent.result, sent.sent_bytes) == ("sent", len(content))
    assert await bench.holds("d/a.bin") == content
    assert (sent.proof.key, sent.proof.etag, sent.proof.size) == ("d/a.bin", info.etag, len(content))
    assert (sent.proof.method, sent.proof.sha256, sent.proof.generation) == (method, sha256(content), 1)
    seen = bench.tree.sight("d/a.bin")
    assert Passport.from_metadata(info.metadata or {}) == Passport(
        asset.id, 1, RelPath("d/a.bin"), sha256(content), seen.fingerprint.mtime_ns, seen.mode, host="ours"
    )
    assert bench.store.calls["get"] == 0


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_where_a_store_shows_nothing_everything_is_read_back(bench: Bench, content: bytes) -> None:
    """And the digest of the whole must agree."""
    sent = await bench.send(await bench.claimed("a.bin", content), OPAQUE)
    assert sent.proof.method is ProofMethod.READ_BACK
    assert bench.store.calls["get"] == 1


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_an_opaque_etag_is_no_mismatch(bench: Bench, content: bytes) -> None:
    """The bucket was switched to KMS after the probe: what the ETag cannot show any more is read back."""
    bench.store.script = [
        Lie(operation=operation, times=None, change=other_etag) for operation in ("put", "complete", "head")
    ]
    _accept_any_etag(bench)
    sent = await bench.send(await bench.claimed("a.bin", content), replace(ABLE, checks_md5=False))
    assert sent.proof.method is ProofMethod.READ_BACK
    assert sent.proof.etag.startswith("opaque")


def _accept_any_etag(bench: Bench) -> None:
    true_get = bench.memory.get
    bench.memory.get = lambda key, **_: true_get(key)  # type: ignore[method-assign]


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_a_store_that_keeps_other_bytes_proves_nothing(bench: Bench, content: bytes) -> None:
    """What was read back and is not what was sent is an error, whatever the store had answered."""
    bench.store.script = [Damage(times=None, change=lambda body: b"x" + body[1:])]
    with pytest.raises(CorruptError, match=r"a\.bin"):
        await bench.send(await bench.claimed("a.bin", content), OPAQUE)


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_a_store_that_keeps_fewer_bytes_proves_nothing(bench: Bench, content: bytes) -> None:
    """The size must agree, also where the MD5 of each part was checked."""
    shorter = lambda info: replace(info, size=info.size - 1)  # noqa: E731 - a word for what is told
    bench.store.script = [Lie(operation="put", change=shorter), Lie(operation="complete", change=shorter)]
    with pytest.raises(CorruptError, match=r"a\.bin"):
        await bench.send(await bench.claimed("a.bin", content))


async def test_what_was_there_before_proves_nothing(bench: Bench) -> None:
    """A store that says that it made one object of the parts, and did not, still has the one before: of this size."""
    asset = await bench.claimed("a.bin", LARGE)
    sent = await bench.send(asset)
    before = await bench.memory.head("a.bin")
    (bench.tree.root / "a.bin").write_bytes(b"!" * len(LARGE))
    bench.store.script = [Pretend(operation="complete", first=2, answer=before)]
    with pytest.raises(CorruptError, match=r"a\.bin"):
        await bench.send(again(asset, sent, fingerprint=bench.tree.sight("a.bin").fingerprint))


# --- over what


@pytest.mark.parametrize("able", [ABLE, replace(ABLE, create_only=False)])
@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_somebody_elses_object_is_never_overwritten(bench: Bench, content: bytes, able: object) -> None:
    """It stays as it is, and a person is told what can be done."""
    await bench.put("a.bin", b"precious")
    with pytest.raises(ForeignObjectError) as conflict:
        await bench.send(await bench.claimed("a.bin", content), able)  # type: ignore[arg-type]
    assert conflict.value.code == "conflict"
    assert "--overwrite" in conflict.value.hint
    assert await bench.holds("a.bin") == b"precious"


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_a_person_may_allow_it(bench: Bench, content: bytes) -> None:
    """Then exactly the object that was seen is replaced."""
    await bench.put("a.bin", b"precious")
    asset = replace(await bench.claimed("a.bin", content), overwrite=True)
    assert (await bench.send(asset)).result == "sent"
    assert await bench.holds("a.bin") == content


@pytest.mark.parametrize("able", [ABLE, OPAQUE])
@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_the_same_content_is_adopted_not_sent(bench: Bench, content: bytes, able: object) -> None:
    """As after a lost index, or a kill between the upload and its commit."""
    asset = await bench.claimed("a.bin", content)
    first = await bench.send(asset)
    before = bench.store.calls["put"] + bench.store.calls["complete"]
    sent = await bench.send(asset, able)  # type: ignore[arg-type]
    assert (sent.result, sent.sent_bytes) == ("adopted", 0)
    assert sent.proof.etag == first.proof.etag
    assert bench.store.calls["complete"] + bench.store.calls["put"] <= before + 1
    assert await bench.pending_uploads() == 0


async def test_who_only_says_that_it_is_the_same_is_not_believed(bench: Bench) -> None:
    """Metadata is a claim; where the bytes are others, it is somebody else's object."""
    asset = await bench.claimed("a.bin", SMALL)
    await bench.put("a.bin", b"x" * len(SMALL), {"tierd-sha256": sha256(SMALL)})
    with pytest.raises(ForeignObjectError):
        await bench.send(asset)
    assert await bench.holds("a.bin") == b"x" * len(SMALL)


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_our_own_torn_object_is_replaced(bench: Bench, content: bytes) -> None:
    """Ours by its id, not newer than we are, and not what it says: nobody needs a person for that."""
    asset = await bench.claimed("a.bin", content)
    passport = Passport(asset.id, 1, asset.path, sha256(content), 1, 0o644)
    await bench.put("a.bin", b"t" * len(content), passport.to_metadata())
    assert (await bench.send(asset)).result == "sent"
    assert await bench.holds("a.bin") == content


async def test_a_newer_object_of_ours_is_not_replaced(bench: Bench) -> None:
    """The index was rolled back, or another host was faster: the newer content stays."""
    asset = await bench.claimed("a.bin", SMALL)
    passport = Passport(asset.id, 2, asset.path, sha256(b"newer"), 1, 0o644)
    await bench.put("a.bin", b"newer", passport.to_metadata())
    with pytest.raises(ForeignObjectError):
        await bench.send(asset)
    assert await bench.holds("a.bin") == b"newer"


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_a_new_generation_replaces_the_one_it_knows(bench: Bench, content: bytes) -> None:
    """By its ETag."""
    sent = await bench.send(await bench.claimed("a.bin", b"old"))
    asset = again(await bench.claimed("a2.bin", content), sent, id=AssetId("b" * 32))
    asset = moved(asset, bench.tree, "a.bin")
    assert (await bench.send(asset)).result == "sent"
    assert await bench.holds("a.bin") == content
    passport = Passport.from_metadata((await bench.store.head("a.bin")).metadata or {})
    assert passport is not None
    assert passport.replaces == sha256(b"old"), "the object says what it comes after"


@pytest.mark.parametrize("able", [ABLE, replace(ABLE, if_match=False)])
async def test_a_new_generation_does_not_replace_another_ones_object(bench: Bench, able: object) -> None:
    """Also where the store would let us: then we look first."""
    asset = await bench.claimed("a.bin", SMALL)
    sent = await bench.send(asset)
    await bench.put("a.bin", b"precious")
    bench.tree.root.joinpath("a.bin").write_bytes(b"new content")
    asset = again(asset, sent, fingerprint=bench.tree.sight("a.bin").fingerprint)
    if able is not ABLE:
        _ignore_conditions(bench)
    with pytest.raises(ForeignObjectError):
        await bench.send(asset, able)  # type: ignore[arg-type]
    assert await bench.holds("a.bin") == b"precious"


def _ignore_conditions(bench: Bench) -> None:
    true_put = bench.memory.put
    bench.memory.put = lambda key, body, attributes, _=None: true_put(key, body, attributes)  # type: ignore[method-assign]


async def test_an_object_that_keeps_changing_waits_for_a_person(bench: Bench) -> None:
    """There is an end to trying."""
    bench.store.script = [Fail(operation="put", times=None, error=PreconditionError("changed", key="a.bin"))]
    with pytest.raises(ForeignObjectError, match="keeps changing"):
        await bench.send(await bench.claimed("a.bin", SMALL))
    assert bench.store.calls["put"] == 3


# --- reused


async def test_the_same_digest_keeps_the_proof(bench: Bench) -> None:
    """A file that was only touched costs a look and nothing else, however it was proven."""
    asset = await bench.claimed("a.bin", SMALL)
    sent = await bench.send(asset, OPAQUE)
    os.utime(bench.tree.root / "a.bin", (1, 1))
    asset = again(asset, sent, fingerprint=bench.tree.sight("a.bin").fingerprint)
    bench.store.calls.clear()
    touched = await bench.send(asset, OPAQUE)
    assert touched.result == "adopted"
    assert touched.proof == replace(
        sent.proof, generation=2, mtime_ns=bench.tree.sight("a.bin").fingerprint.mtime_ns, at=touched.proof.at
    )
    assert dict(bench.store.calls) == {"head": 1}


async def test_what_an_object_says_of_itself_must_be_proven(bench: Bench) -> None:
    """After a rebuild the only proof is the object's own word: it is adopted when the store shows that it is right."""
    sent = await bench.send(await bench.claimed("a.bin", SMALL))
    claimed = replace(sent, proof=replace(sent.proof, method=ProofMethod.CLAIMED))
    asset = again(await bench.catalog.find(RelPath("a.bin")), claimed)
    assert (await bench.send(asset)).proof.method is ProofMethod.ETAG_MD5
    assert (await bench.send(asset, OPAQUE)).proof.method is ProofMethod.READ_BACK
    renamed = moved(asset, bench.tree, "b.bin")
    assert (await bench.send(renamed)).proof.method is ProofMethod.ETAG_MD5


@pytest.mark.parametrize("content", [SMALL, LARGE])
@pytest.mark.parametrize("path", ["a.bin", "b.bin"])
async def test_an_object_that_lies_about_itself_is_replaced(bench: Bench, content: bytes, path: str) -> None:
    """Its metadata and its size are right, its bytes are not: they are no copy of the file."""
    sent = await bench.send(await bench.claimed("a.bin", content))
    told = await bench.memory.head("a.bin")
    liar = await bench.put("a.bin", b"x" + content[1:], dict(told.metadata or {}))
    claimed = replace(sent, proof=replace(sent.proof, method=ProofMethod.CLAIMED, etag=liar.etag))
    asset = moved(again(await bench.catalog.find(RelPath("a.bin")), claimed), bench.tree, path)
    assert (await bench.send(asset)).proof.method is not ProofMethod.CLAIMED
    assert await bench.holds(path) == content


@pytest.mark.parametrize("content", [SMALL, LARGE])
async def test_a_renamed_file_is_copied_within_the_store(bench: Bench, content: bytes) -> None:
    """Not a byte of it is sent again, and the copy says where it belongs."""
    asset = await bench.claimed("a.bin", content)
    sent = await bench.send(asset)
    asset = moved(again(asset, sent), bench.tree, "new/b.bin")
    copied = await bench.send(asset)
    assert (copied.result, copied.sent_bytes, copied.proof.key) == ("copied", 0, "new/b.bin")
    assert await bench.holds("new/b.bin") == content
    passport = Passport.from_metadata((await bench.memory.head("new/b.bin")).metadata or {})
    assert passport is not None
    assert (passport.path, passport.generation) == ("new/b.bin", 2)


async def test_a_copy_with_the_same_etag_is_proven_by_it(bench: Bench) -> None:
    """The store says that it is the proven object."""
    asset = await bench.claimed("a.bin", SMALL)
    sent = await bench.send(asset, OPAQUE)
    copied = await bench.send(moved(again(asset, sent), bench.tree, "b.bin"), OPAQUE)
    assert copied.proof.method is ProofMethod.COPIED


async def test_a_copy_that_is_another_object_must_prove_itself(bench: Bench) -> None:
    """Another ETag may be another way to count, or other bytes."""
    asset = await bench.claimed("a.bin", SMALL)
    sent = await bench.send(asset)
    bench.store.script = [Lie(operation="copy", change=lambda info: replace(info, size=3))]
    copied = await bench.send(moved(again(asset, sent), bench.tree, "b.bin"))
    assert copied.result != "copied"
    assert await bench.holds("b.bin") == SMALL


@pytest.mark.parametrize("gone", ["deleted", "replaced"])
async def test_where_the_proven_object_is_gone_the_file_is_sent(bench: Bench, gone: str) -> None:
    """A copy is made of what was proven, or not at all."""
    asset = await bench.claimed("a.bin", SMALL)
    sent = await bench.send(asset)
    await bench.memory.delete("a.bin")
    if gone == "replaced":
        await bench.put("a.bin", b"another one")
    assert (await bench.send(moved(again(asset, sent), bench.tree, "b.bin"))).result == "sent"
    assert await bench.holds("b.bin") == SMALL


async def test_a_copy_overwrites_nobody(bench: Bench) -> None:
    """The store copies without a condition, so we look first."""
    asset = await bench.claimed("a.bin", SMALL)
    sent = await bench.send(asset)
    await bench.put("b.bin", b"precious")
    with pytest.raises(ForeignObjectError):
        await bench.send(moved(again(asset, sent), bench.tree, "b.bin"))
    assert await bench.holds("b.bin") == b"precious"


# --- a file altered on the way

MOMENTS = [
    (SMALL, ABLE, "put", 1),
    (SMALL, OPAQUE, "get", 1),
    (LARGE, ABLE, "create_upload", 1),
    *((LARGE, ABLE, "put_part", number) for number in range(1, 6)),
    *((LARGE, OPAQUE, "put_part", number) for number in range(1, 6)),
    (LARGE, ABLE, "complete", 1),
    (LARGE, OPAQUE, "get", 1),
]


@pytest.mark.parametrize("alteration", ["rewritten", "truncated", "replaced", "opened"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("content", "able", "operation", "call"), MOMENTS)
async def test_a_file_altered_on_the_way_is_never_reported_sent(
    bench: Bench, content: bytes, able: object, operation: str, call: int, *, after: bool, alteration: str
) -> None:
    """Whatever its owner does, and at whatever moment."""
    asset = await bench.claimed("a.bin", content)
    hold = Hold(operation=operation, first=call, after=after)
    bench.store.script = [hold]
    sending = asyncio.create_task(bench.send(asset, able))  # type: ignore[arg-type]
    await hold.reached.wait()
    file = bench.tree.root / "a.bin"
    with file.open("r+b") as writer:
        match alteration:
            case "rewritten":
                writer.write(b"x" * len(content))
            case "truncated":
                writer.truncate(3)
            case "replaced":
                (bench.tree.root / "b.part").write_bytes(b"y" * len(content))
                (bench.tree.root / "b.part").rename(file)
            case _:
                hold.release.set()
                with pytest.raises(NotYetError):
                    await sending
                return
    hold.release.set()
    with pytest.raises(AlteredError):
        await sending


# --- the rest


async def test_a_path_that_metadata_has_no_room_for_is_refused(bench: Bench) -> None:
    """Before a byte is sent: such an object could not be rebuilt into an index."""
    path = "/".join(["d" * 200] * 9)
    with pytest.raises(RefusedError) as refused:
        await bench.send(await bench.claimed(path, SMALL))
    assert "shorten" in refused.value.hint
    assert not bench.store.calls


@pytest.mark.parametrize("content", [SMALL, LARGE])
@pytest.mark.parametrize("operation", ["head", "put", "create_upload", "put_part", "complete", "get"])
async def test_an_error_of_the_store_is_told_as_it_is(bench: Bench, content: bytes, operation: str) -> None:
    """And nothing is held afterwards: no memory, no descriptor."""
    error = UnavailableError("no answer")
    bench.store.script = [Fail(operation=operation, times=None, error=error)]
    asset = await bench.claimed("a.bin", content)
    try:
        await bench.send(asset, OPAQUE)
    except UnavailableError as raised:
        assert raised is error  # noqa: PT017 - small files meet other operations than large ones
    else:
        assert bench.store.calls[operation] == 0
    assert f"0 of {1 << 20}" in repr(bench.budget)


async def test_parts_are_for_files_above_the_limit(bench: Bench) -> None:
    """Exactly the limit goes in one request."""
    await bench.send(await bench.claimed("exact.bin", b"x" * 2 * PART))
    assert (await bench.memory.head("exact.bin")).etag == md5(b"x" * 2 * PART)
    await bench.send(await bench.claimed("above.bin", b"x" * (2 * PART + 1)))
    assert (await bench.memory.head("above.bin")).etag.endswith("-3")
