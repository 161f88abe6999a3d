"""What keeps the last copy safe from everybody: locks, markers, the brake, rights, and a disk that is full."""

from __future__ import annotations

import os
import random
import stat
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from daemon_process import MIB, Daemon, Launch, audit_objects

from daemon.client import TierdError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from buckets import Bucket

NOBODY = 65534


@contextmanager
def mounted(target: Path, *how: str) -> Iterator[None]:
    """Mount something until the block ends."""
    subprocess.run(["mount", *how, str(target)], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(target)], check=False, timeout=30)


def some_files(count: int, size: int = 1000) -> dict[str, bytes]:
    """Return files, each with a content of its own."""
    return {f"{number:02}.bin": random.Random(number).randbytes(size) for number in range(count)}


def test_a_second_daemon_is_refused(bucket: Bucket, launch: Launch) -> None:
    """It says who holds the root, ends with 5, and disturbs nobody."""
    daemon = launch(bucket)
    code, said = daemon.refuse_to_start()
    assert code == 5
    assert f"another tierd (process {daemon.pid}) holds" in said
    daemon.drop({"a.bin": b"content"})
    daemon.wait_state("a.bin", "replicated")


def test_a_root_that_is_missing(bucket: Bucket, launch: Launch) -> None:
    """It is never made, since an unmounted disk must not look new: bad configuration, 78."""
    daemon = launch(bucket, start=False)
    daemon.root.rmdir()
    code, said = daemon.refuse_to_start()
    assert code == 78
    assert "mount the disk" in said
    assert not daemon.root.exists()


def lose_disk(daemon: Daemon, files: dict[str, bytes]) -> Path:
    """Start it on a disk of its own, bring the files into the store, and take the disk away; return where it is."""
    disk = daemon.directory / "disk"
    disk.mkdir()
    with mounted(daemon.root, "--bind", str(disk)):
        daemon.start()
        daemon.drop(files)
        daemon.wait_replicated(len(files))
    daemon.wait("the brake", lambda: daemon.status()["brake"]["engaged"])
    return disk


def test_an_unmounted_root(bucket: Bucket, launch: Launch) -> None:
    """A disk that goes away removes nothing: the brake is engaged, and released by itself when it is back."""
    daemon = launch(bucket, start=False)
    files = some_files(5)
    disk = lose_disk(daemon, files)
    assert "is its disk mounted?" in daemon.status()["brake"]["reason"]
    assert daemon.figure("brake_engaged") == 1
    assert daemon.status()["assets"]["replicated"] == 5
    assert daemon.client.demote("00.bin")[0]["outcome"] == "refused"
    assert daemon.client.health()["reasons"]
    with mounted(daemon.root, "--bind", str(disk)):
        daemon.wait("release", lambda: not daemon.status()["brake"]["engaged"])
        assert daemon.status()["assets"]["replicated"] == 5
        assert all(daemon.read(path) == content for path, content in files.items())
        daemon.crash()


def test_resuming_without_the_disk(bucket: Bucket, launch: Launch) -> None:
    """Where the marker cannot be written the brake holds on; a person who insists loses nothing that was proven."""
    daemon = launch(bucket, start=False)
    files = some_files(12)
    disk = lose_disk(daemon, files)
    refused = daemon.command("resume")
    assert (refused.returncode, "is its disk mounted?" in refused.stderr) == (5, True)
    with mounted(daemon.root, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        refused = daemon.command("resume", "--confirm")
        assert (refused.returncode, "the brake holds on" in refused.stderr) == (5, True)
        assert daemon.status()["brake"]["engaged"]
    assert daemon.command("resume", "--confirm").returncode == 0
    assert not daemon.status()["brake"]["engaged"]
    assert "the brake is released by a person" in daemon.said
    daemon.wait("cold", lambda: daemon.status()["assets"]["cold"] == 12)
    assert all(daemon.read(path) == content for path, content in files.items())
    with mounted(daemon.root, "--bind", str(disk)):
        daemon.wait_replicated(12)
        audit_objects(bucket, daemon.assets(), files)
        daemon.crash()


def test_a_start_on_an_unmounted_root(bucket: Bucket, launch: Launch) -> None:
    """An empty directory where the disk should be is not the root: nothing is concluded from it."""
    daemon = launch(bucket)
    daemon.drop(some_files(3))
    daemon.wait_replicated(3)
    daemon.stop()
    with mounted(daemon.root, "-t", "tmpfs", "tmpfs"):
        daemon.start()
        daemon.wait("the brake", lambda: daemon.status()["brake"]["engaged"])
        assert daemon.status()["assets"]["replicated"] == 3
        daemon.crash()
    daemon.start()
    daemon.wait("no brake", lambda: not daemon.status()["brake"]["engaged"])
    assert daemon.status()["assets"]["replicated"] == 3


def test_a_marker_that_is_gone(bucket: Bucket, launch: Launch) -> None:
    """Without its marker the root is nobody's: nothing is demoted until a person says that it is ours."""
    daemon = launch(bucket)
    daemon.drop(some_files(3))
    daemon.wait_replicated(3)
    (daemon.root / ".tierd" / "root-id").unlink()
    list(daemon.client.drain(wait=False))  # looks at the whole tree
    daemon.wait("the brake", lambda: daemon.status()["brake"]["engaged"])
    refused = daemon.client.demote("00.bin")[0]
    assert (refused["outcome"], "brake" in refused["reason"]) == ("refused", True)
    assert daemon.command("resume").returncode == 5
    assert daemon.status()["brake"]["engaged"]
    assert daemon.command("resume", "--confirm").returncode == 0
    daemon.wait("release", lambda: not daemon.status()["brake"]["engaged"])
    assert daemon.client.demote("00.bin")[0]["outcome"] == "done"


def test_a_mass_deletion(bucket: Bucket, launch: Launch) -> None:
    """More files than are ever removed at once: the brake, until a person has looked. The store keeps everything."""
    daemon = launch(bucket)
    files = some_files(40)
    daemon.drop(files)
    daemon.wait_replicated(40)
    for path in list(files)[:30]:
        (daemon.root / path).unlink()
    daemon.wait("the brake", lambda: daemon.status()["brake"]["engaged"])
    assert "missing" in daemon.status()["brake"]["reason"]
    assert daemon.client.demote("35.bin")[0]["outcome"] == "refused"
    assert len(bucket.keys()) == 40
    assert daemon.command("resume", "--confirm").returncode == 0
    daemon.wait("release", lambda: not daemon.status()["brake"]["engaged"])
    daemon.wait("cold", lambda: daemon.status()["assets"]["cold"] == 30)
    audit_objects(bucket, daemon.assets(), files)
    assert all(daemon.read(path) == content for path, content in files.items())


def test_few_deleted_files_are_cold(bucket: Bucket, launch: Launch) -> None:
    """Deleting a local file never deletes the remote copy: it is cold, and comes back when it is asked for."""
    daemon = launch(bucket)
    files = some_files(12)
    daemon.drop(files)
    daemon.wait_replicated(12)
    (daemon.root / "03.bin").unlink()
    assert daemon.read("03.bin") == files["03.bin"]
    (daemon.root / "04.bin").unlink()
    daemon.wait_state("04.bin", "cold")
    assert daemon.read("04.bin") == files["04.bin"]


def ask_as(uid: int, daemon: Daemon, method: str, target: str) -> int:
    """Return the status that another user's request is answered with; 0 where he cannot even connect."""
    socket = str(daemon.directory / "tierd.sock")
    command = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", "-X", method, "--unix-socket", socket]
    command += (
        ["-H", "Content-Type: application/json", "-d", '{"filter": {}, "confirm": true}'] if method == "POST" else []
    )
    done = subprocess.run(
        [*command, f"http://tierd{target}"],
        user=uid,
        group=uid,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return int(done.stdout)


def test_who_may_do_what(bucket: Bucket, launch: Launch) -> None:
    """The socket has the configured mode; whoever may only read is refused the rest, and a stranger everything."""
    daemon = launch(bucket, API__MODE="0666", API__READ="2001", API__WRITE="2002")
    daemon.directory.chmod(0o755)
    daemon.drop({"a.bin": b"content"})
    daemon.wait_state("a.bin", "replicated")
    assert stat.S_IMODE((daemon.directory / "tierd.sock").stat().st_mode) == 0o666
    questions = {"health": ("GET", "/v1/health"), "read": ("GET", "/v1/content/a.bin")}
    questions |= {"write": ("POST", "/v1/pin"), "admin": ("POST", "/v1/resume")}
    answers = {
        uid: {name: ask_as(uid, daemon, *asked) for name, asked in questions.items()} for uid in (2001, 2002, NOBODY)
    }
    assert answers[2001] == {"health": 200, "read": 200, "write": 403, "admin": 403}
    assert (answers[2002]["read"], answers[2002]["admin"]) == (200, 403)
    assert answers[2002]["write"] != 403
    assert answers[NOBODY] == {"health": 200, "read": 403, "write": 403, "admin": 403}


def test_the_socket_of_a_private_daemon(bucket: Bucket, launch: Launch) -> None:
    """With the mode of the default, only the daemon's own user and group can connect."""
    daemon = launch(bucket)
    daemon.directory.chmod(0o755)
    assert stat.S_IMODE((daemon.directory / "tierd.sock").stat().st_mode) == 0o660
    assert ask_as(NOBODY, daemon, "GET", "/v1/health") == 0


@pytest.mark.parametrize("place", ["media", "index"])
def test_a_disk_that_others_fill(bucket: Bucket, launch: Launch, place: str) -> None:
    """That not a byte is left is told although nobody asks for room, and no more once there is some."""
    daemon = launch(bucket, start=False)
    daemon.set(INDEX__PATH=str(daemon.directory / "index" / "index.db"))
    (daemon.directory / place).mkdir(exist_ok=True)
    with mounted(daemon.directory / place, "-t", "tmpfs", "-o", "size=4m", "tmpfs"):
        daemon.start()
        daemon.wait("good health", lambda: daemon.client.health()["reasons"] == [])
        assert daemon.figure("disk_full") == 0
        others = daemon.directory / place / ".others"
        with others.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        daemon.wait("it is told", lambda: any("full" in reason for reason in daemon.client.health()["reasons"]))
        assert daemon.figure("disk_full") == 1
        others.unlink()
        daemon.wait("it is over", lambda: daemon.client.health()["reasons"] == [])
        assert daemon.figure("disk_full") == 0
        daemon.crash()


def test_no_space(bucket: Bucket, launch: Launch) -> None:
    """A promotion for which no room can be made is refused with 507, leaves nothing behind, and hot reads go on."""
    daemon = launch(bucket, start=False)
    with mounted(daemon.root, "-t", "tmpfs", "-o", "size=32m", "tmpfs"):
        daemon.start()
        files = some_files(4, 7 * MIB)
        daemon.drop({"00.bin": files["00.bin"], "01.bin": files["01.bin"]})
        daemon.wait_replicated(2)
        daemon.client.demote(["00.bin", "01.bin"])
        daemon.drop({"02.bin": files["02.bin"], "03.bin": files["03.bin"]})
        daemon.drop({"04.bin": random.Random(4).randbytes(12 * MIB)})
        daemon.wait("all are in the store", lambda: daemon.status()["assets"]["replicated"] == 3)
        files["04.bin"] = (daemon.root / "04.bin").read_bytes()
        daemon.client.pin(["02.bin", "03.bin"])
        with daemon.client.open("04.bin"):
            with pytest.raises(TierdError) as refused:
                daemon.read("00.bin")
            assert (refused.value.status, refused.value.code) == (507, "no-space")
            with pytest.raises(TierdError) as refused, daemon.client.open("01.bin"):
                pass
            assert refused.value.status == 507
            assert {daemon.state(path) for path in ("00.bin", "01.bin")} == {"cold"}
            assert sorted(path.name for path in daemon.root.glob("*.bin")) == ["02.bin", "03.bin", "04.bin"]
            assert daemon.figure("disk_full") == 1
            assert daemon.figure("promotions_total", result="no-space") == 2
            assert all(daemon.read(path) == files[path] for path in ("02.bin", "03.bin", "04.bin"))
        # Nobody holds it any more: it makes room.
        assert daemon.read("00.bin") == files["00.bin"]
        assert daemon.state("04.bin") == "cold"
        assert daemon.figure("demotions_total", reason="space") == 1
        assert daemon.wait_rest()["replicated"] == 3
        audit_objects(bucket, daemon.assets(), files)
        daemon.crash()
