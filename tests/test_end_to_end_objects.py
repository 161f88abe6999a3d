"""Objects and files that change under the daemon's hands: new generations, new names, foreign and spoilt objects."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from daemon_process import MIB, Daemon, Launch, audit_objects, outcome, sha256

from daemon.client import TierdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from buckets import Bucket


def a_content(size: int, seed: int = 0) -> bytes:
    """Return bytes that nobody else has."""
    return random.Random(f"{size} {seed}").randbytes(size)


@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_an_overwritten_file_is_a_new_generation(bucket: Bucket, launch: Launch, size: int) -> None:
    """The new content replaces the old object, hot or cold, and no reader ever gets the old bytes again."""
    daemon = launch(bucket)
    old, new, newest = (a_content(size, seed) for seed in range(3))
    daemon.drop({"a.bin": old})
    first = daemon.wait_state("a.bin", "replicated")
    daemon.drop({"a.bin": new})
    assert daemon.read("a.bin") == new, "hot bytes are those on disk, whatever the index knows"
    second = daemon.wait_state("a.bin", "replicated", generation=2)
    assert (second["id"], second["generation"], second["key"]) == (first["id"], 2, first["key"])
    assert sha256(bucket.get("a.bin")) == sha256(new)
    assert bucket.head("a.bin")["Metadata"]["tierd-generation"] == "2"
    daemon.client.demote("a.bin")
    assert daemon.read("a.bin") == new
    daemon.client.demote("a.bin")
    # Written while cold: its owner's file counts, and the object is replaced.
    daemon.drop({"a.bin": newest})
    assert daemon.read("a.bin") == newest
    daemon.wait_state("a.bin", "replicated", generation=3)
    daemon.client.demote("a.bin")
    assert daemon.read("a.bin") == newest
    audit_objects(bucket, daemon.assets(), {"a.bin": newest})


def write_in_place(daemon: Daemon) -> None:
    """Write other bytes into the file, and give it back the times that it had."""
    path = daemon.root / "a.bin"
    seen = path.stat()
    with path.open("r+b") as file:
        file.seek(11 * MIB)
        file.write(b"other bytes")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def put_another(daemon: Daemon) -> None:
    """Put another file at its name."""
    daemon.drop({".a.bin": a_content(12 * MIB, 1)})
    (daemon.root / ".a.bin").rename(daemon.root / "a.bin")


def cut(daemon: Daemon) -> None:
    """Cut the file short."""
    os.truncate(daemon.root / "a.bin", 6 * MIB)


@pytest.mark.parametrize("change", [write_in_place, put_another, cut])
def test_a_file_that_changes_while_it_is_uploaded(
    bucket: Bucket, launch: Launch, change: Callable[[Daemon], None]
) -> None:
    """What is recorded as replicated is what is in the store, byte for byte, and in the end that is what is on disk."""
    daemon = launch(bucket, UPLOAD__BANDWIDTH="6 MiB")
    daemon.drop({"a.bin": a_content(12 * MIB)})
    daemon.wait("the first part", lambda: any(bucket.parts().values()))
    change(daemon)
    content = (daemon.root / "a.bin").read_bytes()
    daemon.wait_state("a.bin", "replicated", generation=2)
    asset = daemon.wait_state("a.bin", "replicated")
    assert asset["digest"] == f"sha256:{sha256(content)}"
    audit_objects(bucket, daemon.assets(), {"a.bin": content})
    assert bucket.parts() == {}
    daemon.client.demote("a.bin")
    assert daemon.read("a.bin") == content


def test_renamed_files_are_not_sent_again(bucket: Bucket, launch: Launch) -> None:
    """A new name of a file, or of a directory, is a copy within the store; the old objects are told as superseded."""
    daemon = launch(bucket)
    files = {"one.bin": a_content(1000), "large.bin": a_content(9 * MIB)}
    files |= {f"shoot/{number}/a.bin": a_content(2000 + number) for number in range(20)}
    daemon.drop(files)
    daemon.wait_replicated(len(files))
    before, sent = daemon.assets(), daemon.figure("upload_bytes_total")
    (daemon.root / "one.bin").rename(daemon.root / "eins.bin")
    (daemon.root / "large.bin").rename(daemon.root / "gro\u00df.bin")
    (daemon.root / "shoot").rename(daemon.root / "archive")
    moved = {"one.bin": "eins.bin", "large.bin": "gro\u00df.bin"}
    moved |= {path: path.replace("shoot", "archive") for path in files if path.startswith("shoot")}
    for old, new in moved.items():
        asset = daemon.wait_state(new, "replicated", generation=2)
        assert (asset["id"], asset["digest"]) == (before[old]["id"], before[old]["digest"])
        assert sha256(bucket.get(new)) == sha256(files[old])
    daemon.wait_replicated(len(files))
    assert daemon.assets().keys() == set(moved.values())
    assert daemon.figure("upload_bytes_total") == sent
    assert daemon.figure("uploads_total", result="copied") == len(files)
    report = list(daemon.client.verify())[-1]["report"]
    assert (report["ok"], set(report["superseded"])) == (True, set(files))


@pytest.mark.parametrize("size", [1000, 9 * MIB])
def test_a_foreign_object_at_the_key(bucket: Bucket, launch: Launch, size: int) -> None:
    """It is never overwritten: the asset is stuck, everybody who asks is told, and a person decides."""
    bucket.put("a.bin", b"somebody else's")
    daemon = launch(bucket)
    daemon.drop({"a.bin": a_content(size)})
    asset = daemon.wait_state("a.bin", "stuck")
    assert asset["failure"]["code"] == "conflict"
    assert daemon.status()["assets"]["stuck"] == 1
    daemon.wait("the bytes are told", lambda: daemon.status()["queue"]["unprotected_bytes"] == size)
    assert [each["path"] for each in daemon.client.assets(state=["stuck"])] == ["a.bin"]
    explained = daemon.client.explain("a.bin")
    assert explained["next"] == "waits for a person"
    assert "another object is at the key" in explained["reasons"][0]
    assert "--overwrite" in explained["reasons"][0]
    assert daemon.client.demote("a.bin")[0]["outcome"] == "refused"
    assert daemon.command("retry", "a.bin").returncode == 0
    daemon.wait_state("a.bin", "stuck")
    assert bucket.get("a.bin") == b"somebody else's"
    assert daemon.command("retry", "--overwrite", "a.bin").returncode == 0
    daemon.wait_state("a.bin", "replicated")
    assert bucket.get("a.bin") == a_content(size)
    assert bucket.parts() == {}


def test_the_same_content_at_the_key_is_adopted(bucket: Bucket, launch: Launch) -> None:
    """An object that holds these very bytes already is taken for the remote copy; nothing is sent."""
    bucket.put("a.bin", a_content(1000))
    daemon = launch(bucket)
    daemon.drop({"a.bin": a_content(1000)})
    daemon.wait_state("a.bin", "replicated")
    assert daemon.figure("upload_bytes_total") == 0
    assert daemon.figure("uploads_total", result="adopted") == 1


@pytest.mark.parametrize("spoil", ["removed", "tampered"])
def test_a_spoilt_object_of_a_cold_asset(bucket: Bucket, launch: Launch, spoil: str) -> None:
    """Nothing wrong is ever served: the asset is damaged, whoever asks is told, and a restored object heals it."""
    daemon = launch(bucket)
    content = a_content(200_000)
    daemon.drop({"a.bin": content, "b.bin": content[::-1]})
    daemon.wait_replicated(2)
    daemon.client.demote(["a.bin", "b.bin"])
    head = bucket.head("a.bin")
    if spoil == "removed":
        bucket.remove("a.bin")
    else:
        bucket.put("a.bin", content[:-1] + b"!", Metadata=head["Metadata"])
    for _ in range(2):
        with pytest.raises(TierdError) as refused:
            daemon.read("a.bin")
        assert (refused.value.status, refused.value.code) == (503, "damaged")
    with pytest.raises(TierdError) as refused, daemon.client.open("a.bin"):
        pass
    assert (refused.value.status, refused.value.code) == (503, "damaged")
    assert daemon.command("get", "a.bin", "-o", "-").returncode == 1
    assert daemon.state("a.bin") == "damaged"
    assert daemon.figure("verification_failures_total") == 1
    assert daemon.client.explain("a.bin")["next"] == "waits for a person"
    assert not (daemon.root / "a.bin").exists()
    assert daemon.read("b.bin") == content[::-1]
    assert not list(daemon.client.verify())[-1]["report"]["ok"]
    bucket.put("a.bin", content, Metadata=head["Metadata"], ContentType=head["ContentType"])
    assert outcome(daemon.command("retry", "a.bin", "--json"))["results"][0]["state"] == "cold"
    assert daemon.read("a.bin") == content


def test_a_spoilt_object_of_a_hot_asset(bucket: Bucket, launch: Launch) -> None:
    """Before the last local copy goes the store is asked again: what is wrong there is uploaded anew."""
    daemon = launch(bucket)
    daemon.drop({"a.bin": a_content(1000)})
    daemon.wait_state("a.bin", "replicated")
    bucket.remove("a.bin")
    assert daemon.client.demote("a.bin")[0]["outcome"] == "refused"
    daemon.wait_state("a.bin", "replicated")
    assert bucket.get("a.bin") == a_content(1000)
    assert daemon.client.demote("a.bin")[0]["outcome"] == "done"
    assert daemon.read("a.bin") == a_content(1000)
