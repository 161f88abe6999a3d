"""Presigned URLs: who gets one, for what and how long; and what is uploaded by one becomes an asset by itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING

import pytest
from core import a_place, cut_short
from daemon_process import outcome
from trees import plant

from daemon.client import TierdError
from daemon.peers import Access, Peer, Principals
from index.asset import RelPath
from index.lifecycle import State
from tiering.inbox import PLACE, Inbox
from tiering.keys import MirrorLayout
from tiering.outcome import ConflictError, IgnoredError
from tiering.presigner import LONGEST_SECONDS, Limits, Presigner
from tiering.store import Attributes, CredentialsError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from buckets import Bucket
    from core import Core
    from daemon_process import Launch

NOW = 1_000_000.0
OWN, ALICE, BOB = 1, 1001, 1002
NO_LIMITS = Limits(100)


# ---- who may ask


@pytest.mark.parametrize(
    ("presign", "write", "expected"),
    [
        (None, None, {ALICE: True, BOB: True}),
        (None, {BOB}, {ALICE: False, BOB: True}),
        ({ALICE}, None, {ALICE: True, BOB: False}),
        ({ALICE}, {BOB}, {ALICE: True, BOB: False}),
        (set(), None, {ALICE: False, BOB: False}),
    ],
)
def test_who_may_ask(presign: set[int] | None, write: set[int] | None, expected: dict[int, bool]) -> None:
    """Whoever may write, or exactly whom the configuration names; root and the daemon's user always, TCP never."""
    sets = [None if each is None else Principals(frozenset(each), frozenset()) for each in (presign, write)]
    access = Access(presign=sets[0], write=sets[1], own_uid=OWN)
    assert {uid: access.may_presign(Peer(1, uid, frozenset())) for uid in expected} == expected
    assert [access.may_presign(Peer(1, uid, frozenset())) for uid in (0, OWN)] == [True, True]
    assert not access.may_presign(None)


# ---- for what, and how long


class Signer:
    """Writes down what it was asked for."""

    def __init__(self, ends: float | None = None) -> None:
        self.ends = ends
        self.asked: list[tuple[object, ...]] = []
        self.error: Exception | None = None

    @property
    def put_headers(self) -> Mapping[str, str]:
        """Want one."""
        return {"x-kind": "blob"}

    async def identity(self) -> tuple[str, float | None]:
        """Say when the credentials run out."""
        return "somewhere", self.ends

    async def sign(self, method: str, key: str, seconds: int) -> str:
        """Sign nothing."""
        if self.error is not None:
            raise self.error
        self.asked.append((method, key, seconds))
        return "https://signed"

    async def sign_form(self, key: str, seconds: int, *, size: int, content_type: str) -> tuple[str, Mapping[str, str]]:
        """Sign nothing."""
        self.asked.append(("POST", key, seconds, size, content_type))
        return "https://signed", {"key": key}


def inbox_of(core: Core) -> Inbox:
    """Return the inbox of a core that has learnt everything."""
    return Inbox(
        core.catalog,
        core.store,
        MirrorLayout(),
        name="root",
        find=core.tiers.find,
        learnt=core.discovery.done,
        clock=core.clock,
    )


def presigner_of(core: Core, signer: Signer | None, *, longest: float = 3600.0) -> Presigner:
    """Return what gives URLs in a core."""
    return Presigner(
        signer,
        inbox_of(core),
        longest=longest,
        find=core.tiers.find,
        is_ignored=core.tree.is_ignored,
        clock=lambda: NOW,
    )


@pytest.mark.parametrize(
    ("asked", "longest", "ends", "given"),
    [
        (60, 3600, None, 60),
        (7200, 3600, None, 3600),
        (7200, 3600, NOW + 100, 100),
        (10**7, 10**7, None, LONGEST_SECONDS),
    ],
)
async def test_how_long(tmp_path: Path, asked: float, longest: float, ends: float | None, given: int) -> None:
    """Never longer than anybody may have it, nor than the signature is worth; what is told is what was signed."""
    async with a_place(tmp_path).core() as core:
        asset = await core.cold("a")
        signer = Signer(ends)
        link = await presigner_of(core, signer, longest=longest).presign(asset.path, "GET", asked, NO_LIMITS)
        assert (link.seconds, link.until, signer.asked) == (given, NOW + given, [("GET", "a", given)])


async def test_credentials_that_end_now(tmp_path: Path) -> None:
    """No URL is given that is good for nothing."""
    async with a_place(tmp_path).core() as core:
        await core.cold("a")
        with pytest.raises(CredentialsError, match="run out now"):
            await presigner_of(core, Signer(NOW)).presign(RelPath("a"), "GET", 60, NO_LIMITS)


async def test_what_there_is_no_url_for(tmp_path: Path) -> None:
    """What is not in the store to read, what is there already to upload, names that are none, stores without URLs."""
    async with a_place(tmp_path).core() as core:
        await core.cold("cold")
        await core.new("new")
        plant(core.tree, "unknown", b"x")
        signer = Signer()
        give = presigner_of(core, signer).presign
        refused: list[tuple[str, str, type[Exception], str]] = [
            ("new", "GET", ConflictError, "no proven copy"),
            ("new", "PUT", ConflictError, "there already"),
            ("cold", "PUT", ConflictError, "there already"),
            ("unknown", "POST", ConflictError, "there already"),
            ("x.tmp", "PUT", IgnoredError, "ignore"),
            ("/".join(["long" * 50] * 5), "PUT", ConflictError, "too long"),
        ]
        for path, method, kind, said in refused:
            with pytest.raises(kind, match=said):
                await give(RelPath(path), method, 60, NO_LIMITS)
        with pytest.raises(ConflictError, match="no URLs"):
            await presigner_of(core, None).presign(RelPath("cold"), "GET", 60, NO_LIMITS)
        assert signer.asked == []
        await give(RelPath("fresh"), "POST", 60, Limits(5, "image/"))
        ((method, key, *rest),) = signer.asked
        assert (method, rest) == ("POST", [60, 5, "image/"])
        assert str(key).startswith(f"{PLACE}root/")
        assert str(key).endswith("/fresh")
        assert (await give(RelPath("fresh"), "PUT", 60, NO_LIMITS)).headers == {"x-kind": "blob"}
        assert (await give(RelPath("cold"), "GET", 60, NO_LIMITS)).headers == {}
        signer.error = RefusedError("who we are cannot sign")
        with pytest.raises(ConflictError, match="who we are cannot sign"):
            await give(RelPath("cold"), "GET", 60, NO_LIMITS)


# ---- what was uploaded


async def arrive(core: Core, path: str, body: bytes, content_type: str = "application/octet-stream") -> str:
    """Upload something as a holder of a URL does; return its key."""
    key = inbox_of(core).key_for(RelPath(path))
    assert key is not None
    await core.store.put(key, body, Attributes(content_type))
    return key


async def in_the_inbox(core: Core) -> list[str]:
    """Return what lies there."""
    return [info.key async for page in core.store.list(PLACE) for info in page]


async def test_it_becomes_an_asset(tmp_path: Path) -> None:
    """Cold, typed, where its layout has it, and right when it comes back; nothing is left behind."""
    async with a_place(tmp_path).core() as core:
        body = b"\x89PNG\r\n\x1a\n" + b"pixels" * 1000
        await arrive(core, "in/ü 1%.png", body)
        await arrive(core, "film", b"film", "video/mp4")
        assert await inbox_of(core).take_in() == 2
        assert await in_the_inbox(core) == []
        asset = await core.find("in/ü 1%.png")
        assert (asset.state, asset.size, asset.content_type) == (State.COLD, len(body), "image/png")
        assert asset.proof is not None
        assert asset.proof.sha256 == hashlib.sha256(body).hexdigest()
        assert (await core.find("film")).content_type == "video/mp4"
        assert await core.read("in/ü 1%.png") == body
        assert (await core.find("in/ü 1%.png")).state is State.REPLICATED
        assert await inbox_of(core).take_in() == 0


async def test_an_index_that_was_lost_still_has_it(tmp_path: Path) -> None:
    """Its object carries what every asset's object does; and what had not been taken in yet still is."""
    place = a_place(tmp_path)
    async with place.core() as core:
        await arrive(core, "a", b"taken in")
        await inbox_of(core).take_in()
        await arrive(core, "b", b"not yet")
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    async with place.core() as core:
        assert await core.discovery.discover() == 1
        assert await inbox_of(core).take_in() == 1
        assert [await core.read(path) for path in ("a", "b")] == [b"taken in", b"not yet"]


async def test_it_overwrites_nothing(tmp_path: Path) -> None:
    """A path that a file, an asset or a stranger's object takes meanwhile stays as it is; so do the bytes."""
    async with a_place(tmp_path).core() as core:
        await core.cold("cold", b"mine")
        plant(core.tree, "file", b"mine")
        await core.store.put("foreign", b"theirs", Attributes())
        keys = {await arrive(core, path, b"uploaded") for path in ("cold", "file", "foreign")}
        inbox = inbox_of(core)
        assert [await inbox.take_in() for _ in range(2)] == [0, 0]
        assert set(await in_the_inbox(core)) == keys
        assert [await core.read(path) for path in ("cold", "file")] == [b"mine", b"mine"]
        assert (await core.store.head("foreign")).size == len(b"theirs")


async def test_the_same_content_twice(tmp_path: Path) -> None:
    """A second upload of what is there is no conflict: it is cleared away."""
    async with a_place(tmp_path).core() as core:
        for _ in range(2):
            await arrive(core, "a", b"same")
            await inbox_of(core).take_in()
        assert await in_the_inbox(core) == []
        assert len(await core.assets()) == 1


async def test_cut_short_anywhere(tmp_path: Path) -> None:
    """Whenever it is interrupted, the next look leaves one asset, whole, and an empty inbox."""
    for at in range(1, 200):
        async with a_place(tmp_path / str(at)).core() as core:
            await arrive(core, "a", b"content")
            was_cut = await cut_short(inbox_of(core).take_in(), at=at)
            await inbox_of(core).take_in()
            assert await in_the_inbox(core) == []
            assert await core.read("a") == b"content"
            assert len(await core.assets()) == 1
        if not was_cut:
            return
    pytest.fail("it never came to an end")


async def test_it_is_looked_for_by_itself(tmp_path: Path) -> None:
    """Soon after a URL was given, however long it had been quiet."""
    async with a_place(tmp_path).core() as core:
        inbox = inbox_of(core)
        task = asyncio.create_task(inbox.run())
        try:
            await asyncio.sleep(0.05)
            await arrive(core, "a", b"content")
            inbox.expect(until=core.clock() + 60)
            async with asyncio.timeout(20):
                while await in_the_inbox(core):  # noqa: ASYNC110 - a store tells nobody
                    await asyncio.sleep(0.05)
        finally:
            task.cancel()
        assert await core.state("a") is State.COLD


# ---- on a real server


def send(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Ask as a browser would, without credentials."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def form(fields: Mapping[str, str], body: bytes) -> tuple[bytes, str]:
    """Return a form with a file, and its media type."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = "".join(parts) + f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    return head.encode() + body + f"\r\n--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def test_without_tierd(bucket: Bucket, launch: Launch) -> None:
    """Read by a URL; upload by a PUT and by a form, whose conditions hold; and nothing of it is in the log."""
    daemon = launch(bucket, LOG__LEVEL="debug")
    daemon.drop({"a": b"content"})
    daemon.wait_replicated(1)
    give = daemon.client.presign
    links = [give("a"), give("by/put é.txt", "PUT", 300)]
    assert send("GET", links[0]["url"]) == (200, b"content")
    assert send("PUT", links[0]["url"], b"overwritten")[0] == 403
    assert send("GET", links[0]["url"].replace("Expires=3600", "Expires=3601"))[0] == 403
    assert send("PUT", links[1]["url"], b"by put")[0] == 200
    words = ("by/form", "--method", "post", "--max-size", "10 B", "--content-type", "image/", "--json")
    links.append(outcome(daemon.command("presign", *words)))
    body, kind = form(links[2]["fields"] | {"Content-Type": "image/png"}, b"x" * 11)
    assert send("POST", links[2]["url"], body, **{"Content-Type": kind})[0] in {400, 403}
    body, kind = form(links[2]["fields"] | {"Content-Type": "image/png"}, b"by form")
    assert send("POST", links[2]["url"], body, **{"Content-Type": kind})[0] in {200, 204}
    daemon.wait("the uploads", lambda: len(daemon.assets()) == 3)
    assert daemon.read("by/put é.txt") == b"by put"
    assert daemon.read("by/form") == b"by form"
    assert daemon.assets()["by/form"]["content_type"] == "image/png"
    assert {link["expires"] for link in links} == {3600, 300}
    with pytest.raises(TierdError, match="there already"):
        give("by/form", "PUT")
    with pytest.raises(TierdError, match="no"):
        give("none")
    daemon.stop()
    for link in links:
        secret = link["fields"].get("x-amz-signature") or link["url"].partition("X-Amz-Signature=")[2]
        assert len(secret) == 64
        assert secret not in daemon.said
    assert json.dumps(sorted(bucket.keys())) == json.dumps(["a", "by/form", "by/put é.txt"])
