"""`tierd verify` as a user has it: every kind of difference, on real objects, and none where there is none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daemon_process import Launch, outcome
from test_end_to_end_guards import some_files

if TYPE_CHECKING:
    from pathlib import Path

    from buckets import Bucket
    from daemon_process import Daemon


def overwrite(file: Path, content: bytes) -> None:
    """Write other bytes under the same size and time, as a failing disk does."""
    times = file.stat()
    with file.open("r+b") as writer:
        writer.write(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def differences(daemon: Daemon, *options: str) -> dict[str, str]:
    """Return the kind of each difference by its path, and see that they are counted."""
    done = daemon.command("verify", "--json", *options)
    report = outcome(done)
    assert done.returncode == (1 if report["differences"] else 0)
    assert report["ok"] is not bool(report["differences"])
    assert sum(report["counts"].values()) == len(report["differences"])
    return {each["path"]: each["kind"] for each in report["differences"]}


def test_every_difference_on_seaweedfs(bucket: Bucket, launch: Launch) -> None:
    """What others did to the bucket and to the disk is told by its name; the daemon does not see it before."""
    daemon = launch(bucket)
    names = ("damaged", "missing", "mismatched", "old", "right", "wronged")
    files = dict(zip(names, some_files(len(names)).values(), strict=True))
    daemon.drop(files)
    daemon.wait_replicated(len(files))
    assert differences(daemon, "--deep") == {}
    daemon.client.demote(["damaged", "missing", "mismatched"])
    bucket.put("orphan", b"somebody else's")
    (daemon.root / "old").rename(daemon.root / "new")
    daemon.wait_state("new", "replicated", generation=2)
    bucket.remove("damaged")
    assert daemon.command("get", "damaged").returncode == 1
    daemon.wait_state("damaged", "damaged")
    bucket.put("damaged", files["damaged"])  # restored, but nobody has said `tierd retry`
    bucket.remove("missing")
    bucket.put("mismatched", b"other")
    bucket.put("wronged", files["wronged"][::-1])
    found = {
        "damaged": "damaged",
        "missing": "missing",
        "mismatched": "mismatched",
        "wronged": "mismatched",
        "orphan": "orphan",
    }
    assert differences(daemon) == found
    assert differences(daemon, "--deep") == found
    done = daemon.command("verify")
    lines = sorted(line.split("\t")[:2] for line in done.stdout.splitlines())
    assert lines == sorted([[path, kind] for path, kind in found.items()] + [["old", "superseded"]])
    assert done.stderr.endswith(
        "7 objects: 5 differences (1 damaged, 2 mismatched, 1 missing, 1 orphan), 1 superseded\n"
    )


def test_what_rots_in_a_directory(bucket: Bucket, launch: Launch) -> None:
    """Bytes that rot in a `file:` store under their old size and time are found by reading them back."""
    daemon = launch(bucket, STORE__URL="file:./cold", STORE__ENDPOINT=None)
    files = dict(zip(("cold", "hot", "right"), some_files(3).values(), strict=True))
    daemon.drop(files)
    daemon.wait_replicated(3)
    daemon.client.demote("cold")
    overwrite(daemon.directory / "cold" / "cold", b"ROT")
    overwrite(daemon.directory / "cold" / "hot", b"ROT")
    assert differences(daemon) == {}
    assert differences(daemon, "--deep") == {"cold": "corrupt", "hot": "corrupt"}


def test_a_store_that_is_away(bucket: Bucket, launch: Launch) -> None:
    """Neither right nor missing: everything is unknown, and what can be seen of the disk is told."""
    daemon = launch(bucket, STORE__URL="file:./cold", STORE__ENDPOINT=None)
    daemon.drop(some_files(2))
    daemon.wait_replicated(2)
    (daemon.directory / "cold").rename(daemon.directory / "elsewhere")
    assert set(differences(daemon).values()) == {"unknown"}
    (daemon.directory / "elsewhere").rename(daemon.directory / "cold")
    assert differences(daemon) == {}
