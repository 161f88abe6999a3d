"""A disk without room: what is hot is read, what begins is refused, nothing is half done, and room is all it takes."""

from __future__ import annotations

import os
import random
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from daemon_process import MIB, Daemon, Launch, audit_objects
from disks import PAGE, fill, free, small_disk
from effort import scaled

from daemon.client import TierdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from buckets import Bucket

PART = "R6 no space"
RECOVERY_SECONDS = 30
HOT = {f"hot{number}.bin": random.Random(number).randbytes(100_000) for number in range(3)}
COLD = {"cold.bin": random.Random("cold").randbytes(2 * MIB), "sub/cold.bin": random.Random("sub").randbytes(10_000)}
FILES = {**HOT, **COLD}

MEDIA_LEVELS = scaled(
    test=[(0, 1, 3)],
    quick=[tuple(range(first, 60, 8)) for first in range(8)],
    long=[tuple(range(first, 60, 4)) for first in range(4)] * 10,
)
"""MiB that are left on a disk of 64, some to a daemon."""
INDEX_LEVELS = scaled(
    test=[0],
    quick=[PAGE * pages for pages in (0, 1, 2, 4, 8, 16, 32, 64, 128)],
    long=[PAGE * pages for pages in range(0, 512, 8)],
)


def settle(daemon: Daemon) -> None:
    """Bring three assets to where they are hot and stay so, and two to where they are cold."""
    daemon.drop(FILES)
    daemon.wait_replicated(len(FILES))
    daemon.client.pin(list(HOT))
    assert {each["outcome"] for each in daemon.client.demote(list(COLD))} == {"done"}


def check_hot(daemon: Daemon) -> None:
    """Whatever is hot is opened and read."""
    for path, content in HOT.items():
        assert daemon.read(path) == content
        with daemon.client.open(path) as opened:
            assert opened.path.read_bytes() == content


def check_promotion(daemon: Daemon, path: str, *, room: int) -> None:
    """It is done, or refused for want of room and nothing has happened."""
    refusal = ""
    try:
        with daemon.client.open(path) as opened:
            content = opened.path.read_bytes()
    except TierdError as error:
        refusal = error.code
    if refusal:
        assert refusal == "no-space"
        assert room < len(FILES[path]) + MIB
        assert daemon.state(path) == "cold"
        assert not (daemon.root / path).exists()
        assert list((daemon.root / ".tierd" / "unfinished").iterdir()) == []
    else:
        assert content == FILES[path]
        assert daemon.state(path) == "replicated"


def check_reader(daemon: Daemon, path: str) -> None:
    """He gets all of it, or a refusal, or nothing yet: what was begun waits for room where the index has none."""
    refusal = ""
    try:
        with daemon.client.open(path, wait=5) as opened:
            content = opened.path.read_bytes()
    except TierdError as error:
        refusal = error.code
    assert refusal in {"", "no-space", "not-ready"}
    assert refusal or content == FILES[path]


def check_recovery(daemon: Daemon, bucket: Bucket) -> None:
    """With room again, everything is to be had, and nothing was lost."""
    for path, content in FILES.items():
        daemon.wait(f"{path} is to be had", lambda path=path: is_had(daemon, path), seconds=RECOVERY_SECONDS)
        assert daemon.read(path) == content
    daemon.wait_rest()
    audit_objects(bucket, daemon.assets(), FILES)
    assert list((daemon.root / ".tierd" / "trash").iterdir()) == []


def is_had(daemon: Daemon, path: str) -> bool:
    """Whether an asset is opened."""
    try:
        with daemon.client.open(path):
            return True
    except TierdError:
        return False


@contextmanager
def on_small_disk(daemon: Daemon, place: Path, **options: object) -> Iterator[None]:
    """Start a daemon with a place on a small disk; it is gone before the disk is."""
    place.mkdir(exist_ok=True)
    with small_disk(place, **options):
        try:
            daemon.start()
            settle(daemon)
            yield
        finally:
            daemon.crash()


@pytest.mark.parametrize("levels", MEDIA_LEVELS, ids=str)
def test_the_disk_of_the_media(
    bucket: Bucket, launch: Launch, levels: tuple[int, ...], record_property: Callable[[str, object], None]
) -> None:
    """Hot reads work and a start works, also without a byte; promotions fit or are refused."""
    daemon = launch(bucket, start=False)
    ballast = daemon.root / ".ballast"
    with on_small_disk(daemon, daemon.root, size="64m"):
        for level in levels:
            fill(ballast, leave=level * MIB)
            check_hot(daemon)
            for path in COLD:
                check_promotion(daemon, path, room=free(daemon.root))
            daemon.kill()
            check_hot(daemon)
            assert daemon.client.health()["status"] != "failing"
            record_property("levels", 1)
            ballast.unlink()
            check_recovery(daemon, bucket)
            daemon.set(TIERING__MIN_RESIDENCE="0s")
    assert "Traceback" not in daemon.said


@pytest.mark.parametrize("leave", INDEX_LEVELS)
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_disk_of_the_index(
    bucket: Bucket, launch: Launch, leave: int, how: str, record_property: Callable[[str, object], None]
) -> None:
    """Hot reads work and a start works; what is dropped meanwhile is taken in when there is room."""
    daemon = launch(bucket, start=False)
    place = daemon.directory / "small"
    daemon.set(INDEX__PATH=str(place / "index.db"))
    with on_small_disk(daemon, place, size="4m"):
        fill(place / "ballast", leave=leave)
        check_hot(daemon)
        (daemon.stop if how == "stop" else daemon.crash)()
        fill(place / "ballast", leave=leave)
        daemon.start()
        check_hot(daemon)
        late = random.Random("late").randbytes(1000)
        dropped = {f"late{number}.bin": late for number in range(50)}
        daemon.drop(dropped)
        check_hot(daemon)
        if leave == 0:
            daemon.wait("a full index", lambda: "index" in str(daemon.client.health()["reasons"]))
            with pytest.raises(TierdError) as caught, daemon.client.open("cold.bin"):
                pass
            assert (caught.value.code, daemon.state("cold.bin")) == ("no-space", "cold")
        else:
            check_reader(daemon, "sub/cold.bin")
        (place / "ballast").unlink()
        for path in dropped:
            daemon.wait_state(path, "replicated")
        for path, content in FILES.items():
            assert daemon.read(path) == content
        daemon.wait_rest()
        audit_objects(bucket, daemon.assets(), {**FILES, **dropped})
        record_property("levels", 1)
    assert "Traceback" not in daemon.said


def test_no_inodes(bucket: Bucket, launch: Launch, record_property: Callable[[str, object], None]) -> None:
    """A disk without inodes is as full as one without bytes."""
    daemon = launch(bucket, start=False)
    with on_small_disk(daemon, daemon.root, size="64m", nr_inodes=40):
        spare = daemon.root / ".spare"
        spare.mkdir()
        with suppress(OSError):
            for number in range(100):
                (spare / str(number)).touch()
        assert os.statvfs(spare).f_ffree == 0
        check_hot(daemon)
        with pytest.raises(TierdError) as caught, daemon.client.open("cold.bin"):
            pass
        assert (caught.value.code, daemon.state("cold.bin")) == ("no-space", "cold")
        daemon.kill()
        check_hot(daemon)
        for file in spare.iterdir():
            file.unlink()
        check_recovery(daemon, bucket)
        record_property("levels", 1)


def test_the_disk_of_a_file_store(
    bucket: Bucket, launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    """What finds no room in the store stays hot, unproven, and is uploaded when there is some; what is cold is read."""
    daemon = launch(bucket, start=False)
    place = daemon.directory / "small"
    daemon.set(STORE__URL=f"file:{place / 'cold'}")
    with on_small_disk(daemon, place, size="16m"):
        fill(place / "ballast", leave=0)
        late = random.Random("late").randbytes(100_000)
        daemon.drop({"late.bin": late})
        daemon.wait("a try", lambda: daemon.assets().get("late.bin", {}).get("failure"))
        assert daemon.state("late.bin") == "new"
        check_hot(daemon)
        assert daemon.read("sub/cold.bin") == FILES["sub/cold.bin"]
        assert daemon.client.demote("late.bin")[0]["outcome"] == "refused"
        daemon.kill()
        check_hot(daemon)
        (place / "ballast").unlink()
        daemon.wait("the upload", lambda: daemon.state("late.bin") == "replicated", seconds=RECOVERY_SECONDS)
        for path, content in {**FILES, "late.bin": late}.items():
            assert daemon.read(path) == content
            assert (place / "cold" / path).read_bytes() == content
        record_property("levels", 1)
