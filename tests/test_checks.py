"""Each of the doctor's checks: what it says where all is well, and what where it is not."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from test_bucket_setup import connect
from test_end_to_end_guards import mounted
from uploads import ABLE

from daemon import checks_bucket, checks_disk, checks_host, checks_store
from daemon.circumstances import Circumstances, HeldError, Walk
from daemon.doctor import Verdict, examine
from daemon.settings import Settings
from index.catalog import Catalog
from index.checkup import faults_of_closed
from index.errors import CatalogError
from tiering.bucket.documents import NOTIFICATION
from tiering.bucket.place import make
from tiering.store import Attributes, CredentialsError, RefusedError, UnavailableError
from tiering.stores.faulty import Fail, FaultyStore
from tiering.stores.memory import MemoryStore
from tiering.stores.s3 import S3Store
from tiering.toll import Toll

if TYPE_CHECKING:
    from pathlib import Path

OK, WARNING, FAILED = Verdict


def a_place(tmp_path: Path, **what: Any) -> Circumstances:
    """Return a place where all is well: a root, a store in memory, and no index yet."""
    (tmp_path / "media").mkdir(exist_ok=True)
    tables = {"store": {"url": what.pop("url", "memory://")}, "index": {"path": str(tmp_path / "index.db")}}
    settings = Settings.model_validate(tables, context=tmp_path)

    async def no_faults() -> list[str]:
        return []

    async def able() -> object:
        return ABLE

    async def nothing() -> list[str]:
        return []

    given = {"store": MemoryStore(), "faults": no_faults, "capabilities": able, "uploads": nothing, **what}
    return Circumstances(settings=settings, **given)


async def found(check: Any, place: Circumstances) -> list[tuple[Verdict, str]]:
    """Return verdict and message of each finding; what is not well has a remedy, unless nothing can be done."""
    return [(row.finding.verdict, row.finding.message) for row in await examine((("it", check),), place)]


async def verdicts(check: Any, place: Circumstances) -> list[Verdict]:
    """Return the verdicts."""
    return [verdict for verdict, _ in await found(check, place)]


# The disk


async def test_directories(tmp_path: Path) -> None:
    """A new place is well; a root that lost its marker, or cannot be written, is not."""
    place = a_place(tmp_path, url="file:./cold")
    assert await verdicts(checks_disk.directories, place) == [OK, OK, OK]
    (tmp_path / "cold").mkdir()
    (tmp_path / "index.db").touch()
    said = await found(checks_disk.directories, place)
    assert said[1] == (FAILED, "the cache root has lost its marker")
    assert [verdict for verdict, _ in said] == [OK, FAILED, OK, OK]
    (tmp_path / "media" / ".tierd").mkdir()
    (tmp_path / "media" / ".tierd" / "root-id").write_text("abc\n")
    assert (await found(checks_disk.directories, place))[1] == (OK, "the cache root carries its marker abc")


async def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    """Each check that needs it fails, or says so; none ends the doctor."""
    place = a_place(tmp_path)
    (tmp_path / "media").rmdir()
    said = await found(checks_disk.directories, place)
    assert said[0] == (FAILED, f"cache root: {tmp_path / 'media'}: No such file or directory")


async def test_free_space(tmp_path: Path) -> None:
    """Enough, little, and none."""
    place = a_place(tmp_path)
    assert await verdicts(checks_disk.free_space, place) == [OK, OK]
    with mounted(tmp_path / "media", "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        filler = tmp_path / "media" / "filler"
        assert await verdicts(checks_disk.free_space, place) == [OK, OK]
        filler.write_bytes(bytes(1000 * 1024))
        assert await verdicts(checks_disk.free_space, place) == [WARNING, OK]
        filler.write_bytes(bytes(1024 * 1024))
        assert await verdicts(checks_disk.free_space, place) == [FAILED, OK]
    with mounted(tmp_path / "media", "-t", "tmpfs", "-o", "nr_inodes=200", "tmpfs"):
        for number in range(199):
            (tmp_path / "media" / str(number)).touch()
        assert (await found(checks_disk.free_space, place))[0] == (WARNING, "cache root: 0 inodes are left")


@pytest.mark.parametrize(
    ("options", "verdict", "said"),
    [
        ("ro", FAILED, "is mounted read-only"),
        ("rw,noatime", WARNING, "is memory"),
    ],
)
async def test_mount_options(tmp_path: Path, options: str, verdict: Verdict, said: str) -> None:
    """Of a mount of this host."""
    place = a_place(tmp_path)
    with mounted(tmp_path / "media", "-t", "tmpfs", "-o", options, "tmpfs"):
        (judged, message), *_ = await found(checks_disk.mount_options, place)
    assert (judged, said in message) == (verdict, True)


async def test_a_mount_without_access_times(tmp_path: Path) -> None:
    """A real one: the same disk once more, with noatime."""
    place, disk = a_place(tmp_path), tmp_path / "disk"
    disk.mkdir()
    with mounted(place.root, "--bind", str(disk)), mounted(place.root, "-o", "remount,bind,noatime"):
        (verdict, message), *_ = await found(checks_disk.mount_options, place)
    assert (verdict, "has noatime" in message) == (WARNING, True)
    assert (await verdicts(checks_disk.mount_options, place))[0] is OK


@pytest.mark.parametrize(
    ("kind", "options", "of_root", "of_index"),
    [
        ("ext4", "rw,relatime", OK, OK),
        ("ext4", "rw", OK, OK),
        ("xfs", "rw,noatime", WARNING, OK),
        ("ext4", "ro", FAILED, FAILED),
        ("nfs4", "rw,relatime", WARNING, FAILED),
        ("fuse.s3fs", "rw", WARNING, FAILED),
        ("tmpfs", "rw", WARNING, WARNING),
    ],
)
async def test_mounts_of_every_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str, of_root: Verdict, of_index: Verdict
) -> None:
    """What is meant for media, and what for the index."""
    info = tmp_path / "mountinfo"
    info.write_text(f"1 1 0:1 / / {options} - {kind} device rw\n")
    monkeypatch.setattr(checks_disk, "MOUNTINFO", info)
    assert await verdicts(checks_disk.mount_options, a_place(tmp_path)) == [of_root, of_index]


async def test_file_systems(tmp_path: Path) -> None:
    """What shares one, and what is mounted inside the root."""
    place = a_place(tmp_path, url="file:./cold")
    assert await verdicts(checks_disk.file_systems, place) == [WARNING, WARNING]
    with mounted(tmp_path / "media", "-t", "tmpfs", "tmpfs"):
        assert await verdicts(checks_disk.file_systems, place) == [OK]
        (tmp_path / "media" / "inner").mkdir()
        with mounted(tmp_path / "media" / "inner", "-t", "tmpfs", "tmpfs"):
            said = await found(checks_disk.file_systems, place)
            assert said[1][0] is WARNING
            assert "its files are never demoted" in said[1][1]


# The host


async def test_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours, or another's as well."""
    assert await verdicts(checks_host.packages, a_place(tmp_path)) == [OK]
    monkeypatch.setattr(checks_host, "foreign_owners", lambda: ["the package 'daemon' belongs to x as well"])
    assert await verdicts(checks_host.packages, a_place(tmp_path)) == [FAILED]


async def test_file_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Granted of our own files; of others' only with the capability."""
    place = a_place(tmp_path)
    (tmp_path / "media" / "ours").touch()
    (tmp_path / "media" / ".hidden").mkdir()
    (tmp_path / "media" / "below").mkdir()
    theirs = tmp_path / "media" / "below" / "theirs"
    theirs.touch()
    os.chown(theirs, 2001, 2001)
    assert place.walk == Walk(directories=2, files=2, foreign=1, whole=True)
    assert await found(checks_host.file_leases, place) == [
        (OK, "file leases are granted; 1 of 2 files belong to others")
    ]
    monkeypatch.setattr(checks_host, "_has_cap_lease", lambda: False)
    assert await verdicts(checks_host.file_leases, place) == [WARNING]
    monkeypatch.setattr(checks_host, "_refusal", lambda _: "Operation not supported")
    assert await verdicts(checks_host.file_leases, place) == [WARNING]


async def test_inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough watches, too few, too few instances, and limits that are hidden."""
    place = a_place(tmp_path)
    monkeypatch.setattr(checks_host, "INOTIFY", tmp_path)
    assert "hidden" in (await found(checks_host.inotify, place))[0][1]
    for watches, instances, said in ((100, 128, [OK]), (1, 128, [WARNING]), (100, 8, [OK, WARNING])):
        (tmp_path / "max_user_watches").write_text(f"{watches}\n")
        (tmp_path / "max_user_instances").write_text(f"{instances}\n")
        assert await verdicts(checks_host.inotify, place) == said


@pytest.mark.parametrize(
    ("version", "verdict"), [((3, 36, 0), FAILED), ((3, 37, 0), OK), ((3, 51, 2), OK), ((3, 51, 3), OK)]
)
async def test_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], verdict: Verdict
) -> None:
    """What has no STRICT tables is too old; what can spoil a WAL with two connections meets one."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert await verdicts(checks_host.sqlite, a_place(tmp_path)) == [verdict]


async def test_the_index(tmp_path: Path) -> None:
    """None yet, whole, broken, no index at all, and open elsewhere."""
    assert await verdicts(checks_host.index, a_place(tmp_path)) == [OK]
    (tmp_path / "index.db").touch()
    assert await verdicts(checks_host.index, a_place(tmp_path)) == [OK]

    async def two() -> list[str]:
        return ["page 3 is never used", "page 4 is never used"]

    assert await verdicts(checks_host.index, a_place(tmp_path, faults=two)) == [FAILED, FAILED]
    for error, verdict in ((CatalogError("not ours"), FAILED), (HeldError("process 7 has it open"), WARNING)):

        async def fails(error: Exception = error) -> list[str]:
            raise error

        assert await found(checks_host.index, a_place(tmp_path, faults=fails)) == [(verdict, str(error))]


def is_spoilt(path: Path) -> bool:
    """Whether something is wrong with an index: SQLite names it, or cannot even read on."""
    try:
        return bool(faults_of_closed(path))
    except CatalogError:
        return True


def traces(directory: Path) -> tuple[dict[str, bytes], int]:
    """Return every file, and when one last came or went, be it for a moment."""
    return {file.name: file.read_bytes() for file in directory.iterdir()}, directory.stat().st_mtime_ns


async def test_a_closed_index_is_not_touched(tmp_path: Path) -> None:
    """Whole, closed in order or not, spoilt, and not ours; looking leaves every file as it is."""
    path = tmp_path / "index.db"
    catalog = await Catalog.open(path)
    await catalog.remember("a", "b")
    assert await catalog.faults() == []
    for name in ("index.db", "index.db-wal"):
        (tmp_path / f"killed-{name}").write_bytes((tmp_path / name).read_bytes())
    await catalog.close()
    for each in (path, tmp_path / "killed-index.db"):
        before = traces(tmp_path)
        assert faults_of_closed(each) == []
        assert traces(tmp_path) == before
    spoilt = bytearray(path.read_bytes())
    spoilt[4096 * 2 : 4096 * 3] = os.urandom(4096)
    path.write_bytes(spoilt)
    assert is_spoilt(path)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(CatalogError):
        faults_of_closed(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (a)")
    with pytest.raises(CatalogError, match="another program"):
        faults_of_closed(path)


# The store


async def test_the_store_answers(tmp_path: Path) -> None:
    """Or says why not; a directory that is gone is told from one that is not made yet."""
    assert await verdicts(checks_store.reachable, a_place(tmp_path)) == [OK]
    for error in (UnavailableError("503"), CredentialsError("403"), RefusedError("404 NoSuchBucket", hint="make it")):
        away = FaultyStore(MemoryStore(), Fail(operation="list", error=error))
        assert await found(checks_store.reachable, a_place(tmp_path, store=away)) == [(FAILED, str(error))]
    assert (
        "the first start makes it" in (await found(checks_store.reachable, a_place(tmp_path, url="file:./cold")))[0][1]
    )


@pytest.mark.parametrize("check", [checks_store.credentials, checks_store.clock])
async def test_a_store_on_this_host_has_its_clock_and_needs_no_credentials(tmp_path: Path, check: Any) -> None:
    """Memory, and a directory."""
    assert await verdicts(check, a_place(tmp_path)) == [OK]


class AnS3(S3Store):
    """A store of S3 that says what a test wants to hear."""

    said: Any = None

    def __init__(self, said: Any) -> None:
        self.said = said

    @property
    def url(self) -> str:
        """See Store."""
        return "s3://bucket"

    credentials_end = 0.0
    toll = Toll()

    async def identity(self) -> tuple[str, float | None]:
        """See S3Store."""
        if isinstance(self.said, Exception):
            raise self.said
        return "the environment", self.said

    async def server_time(self) -> float:
        """See S3Store."""
        if isinstance(self.said, Exception):
            raise self.said
        return time.time() + float(self.said)


@pytest.mark.parametrize(
    ("left", "verdict", "said"),
    [
        (None, OK, "they do not run out"),
        (7300, OK, "they run out in 2.0 hours"),
        (-5, FAILED, "they have run out"),
        (CredentialsError("no credentials were found"), FAILED, "no credentials"),
    ],
)
async def test_credentials(tmp_path: Path, left: Any, verdict: Verdict, said: str) -> None:
    """For ever, for a while, no more, and none."""
    told = left if left is None or isinstance(left, Exception) else time.time() + left
    ((judged, message),) = await found(checks_store.credentials, a_place(tmp_path, store=AnS3(told)))
    assert (judged, said in message) == (verdict, True)


@pytest.mark.parametrize(
    ("skew", "verdict"),
    [(0, OK), (50, OK), (-50, OK), (90, WARNING), (-90, WARNING), (400, FAILED), (UnavailableError("x"), FAILED)],
)
async def test_the_clock(tmp_path: Path, skew: Any, verdict: Verdict) -> None:
    """A minute is a warning, five are too much."""
    assert await verdicts(checks_store.clock, a_place(tmp_path, store=AnS3(skew))) == [verdict]


@pytest.mark.parametrize("name", checks_store.MEANINGS)
async def test_what_the_store_can_be_trusted_with(tmp_path: Path, name: str) -> None:
    """Each capability in words; only what forbids to demote has failed."""
    lacking = replace(ABLE, **{name: False})

    async def able() -> object:
        return lacking

    said = await found(checks_store.capabilities, a_place(tmp_path, capabilities=able))
    assert [message for verdict, message in said if verdict is not OK] == [checks_store.MEANINGS[name][1]]
    assert len(said) == len(checks_store.MEANINGS)
    assert (FAILED in [verdict for verdict, _ in said]) is (name == "read_back_equal")


def test_every_capability_has_its_meaning() -> None:
    """None is forgotten when the probe learns more."""
    assert set(checks_store.MEANINGS) == set(ABLE.__dataclass_fields__)


async def test_a_store_that_cannot_be_probed(tmp_path: Path) -> None:
    """Says why."""

    async def unable() -> object:
        raise RefusedError("403 AccessDenied", hint="allow it")

    said = await found(checks_store.capabilities, a_place(tmp_path, capabilities=unable))
    assert said == [(FAILED, "403 AccessDenied; allow it")]
    assert await verdicts(checks_store.capabilities, a_place(tmp_path, url="file:./cold")) == [OK]
    assert await verdicts(checks_store.multiparts, a_place(tmp_path, url="file:./cold")) == [OK]


async def test_uploads_that_nobody_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are old, and not what our own index needs."""
    store = MemoryStore()
    await store.create_upload("a", Attributes())
    ours = await store.create_upload("b", Attributes())

    async def needed() -> list[str]:
        return [ours]

    place = a_place(tmp_path, store=store, uploads=needed)
    assert await verdicts(checks_store.multiparts, place) == [OK]
    now = time.time()
    monkeypatch.setattr(checks_store.time, "time", lambda: now + 2 * checks_store.DAY)
    said = await found(checks_store.multiparts, place)
    assert said == [(WARNING, "1 multipart uploads are older than a day, and nobody will finish them")]
    away = FaultyStore(store, Fail(operation="list_uploads", error=RefusedError("403")))
    assert await verdicts(checks_store.multiparts, a_place(tmp_path, store=away)) == [WARNING]


async def test_the_queue_of_notifications(tmp_path: Path, moto_endpoint: str, credentials: None) -> None:
    """None is well; one that is there lacks dead letters, and a bucket that feeds it; one that is not there fails."""
    assert await verdicts(checks_bucket.queue, a_place(tmp_path)) == [OK]
    sqs = boto3.client("sqs", endpoint_url=moto_endpoint, region_name="us-east-1")
    url = sqs.create_queue(QueueName="media")["QueueUrl"]
    sqs.close()
    async with AsyncExitStack() as stack:
        bucket = await connect(stack, moto_endpoint)
        await make(bucket.requests)
        place = a_place(tmp_path, store=bucket)
        for name, expected in ((url, [OK, WARNING, WARNING]), (f"{url}-x", [FAILED])):
            store = place.settings.store.model_copy(update={"events_queue": name})
            there = replace(place, settings=place.settings.model_copy(update={"store": store}))
            assert await verdicts(checks_bucket.queue, there) == expected
        entry = {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Events": ["s3:ObjectCreated:*"]}
        await NOTIFICATION.write(bucket.requests, {"TopicConfigurations": [entry]})
        store = place.settings.store.model_copy(update={"events_queue": url})
        there = replace(place, settings=place.settings.model_copy(update={"store": store}), deaf=lambda: "no bell")
        assert [verdict for verdict, said in await found(checks_bucket.queue, there) if "no bell" in said] == [WARNING]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"url": "s3://media", "class_rules": ("GLACIER_IR after=90d",), "encryption": "aws:kms:k"},
            "what KMS encrypts",
        ),
        ({"url": "s3://media", "class_rules": ("GLACIER_IR after=90d",)}, None),
        ({"url": "gs://media", "class_rules": ("COLDLINE after=90d",)}, "which Google composes"),
        ({"url": "az://media", "class_rules": ("COOL after=30d",)}, "keeps as blocks"),
        ({"url": "az://media", "class_rules": ("COOL above=1MiB",)}, None),
    ],
)
async def test_objects_that_keep_their_class(tmp_path: Path, said: dict[str, Any], told: str | None) -> None:
    """Where a rule would have them change it, and they cannot, that is said."""
    place = a_place(tmp_path)
    store = place.settings.store.model_copy(update=said)
    place = replace(place, settings=place.settings.model_copy(update={"store": store}))
    warned = [message for verdict, message in await found(checks_bucket.bucket, place) if verdict is WARNING]
    assert len(warned) == (told is not None)
    assert all(told in message for message in warned if told)
