"""A store that is not there: hot bytes are served, what is new waits and is told, and everything goes on by itself."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from buckets import Bucket
from daemon_process import MIB, Launch, a_directory, audit_objects

from daemon.client import TierdError
from demo.seaweed import Seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Seaweed]:
    """A SeaweedFS that is not started yet."""
    with a_directory(dir="/tmp") as directory:
        server = Seaweed(directory)
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def bucket(server: Seaweed) -> Iterator[Bucket]:
    """A bucket that is not made yet."""
    bucket = Bucket(server.endpoint)
    yield bucket
    bucket.close()


def test_a_store_that_is_dead_at_the_start(server: Seaweed, bucket: Bucket, launch: Launch) -> None:
    """The daemon is ready without it; once it is there, and has its bucket, uploads begin by themselves."""
    daemon = launch(bucket)
    files = {f"{number}.bin": random.Random(number).randbytes(10_000) for number in range(10)}
    daemon.drop(files)
    daemon.wait("the files", lambda: daemon.status()["assets"]["new"] == 10)
    assert all(daemon.read(path) == content for path, content in files.items())
    health = daemon.client.health()
    assert (health["status"], bool(health["reasons"])) == ("degraded", True)
    store = daemon.status()["store"]
    assert (store["reachable"], bool(store["reason"])) == (False, True)
    daemon.wait("the bytes are told", lambda: daemon.status()["queue"]["unprotected_bytes"] == 100_000)
    assert daemon.figure("unprotected_bytes") == 100_000
    daemon.wait("their age is told", lambda: daemon.figure("oldest_unprotected_seconds") > 0)
    with pytest.raises(TierdError) as refused:
        daemon.read("nowhere")
    assert refused.value.status == 503, "what the store has is not known: that it has nothing must not be said"
    assert daemon.client.demote("0.bin")[0]["outcome"] == "refused"

    server.start()  # without a bucket at first
    bucket.make()
    daemon.wait_replicated(10)
    daemon.wait("nothing unprotected", lambda: daemon.figure("unprotected_bytes") == 0)
    daemon.wait("good health", lambda: daemon.client.health()["status"] == "ok")
    audit_objects(bucket, daemon.assets(), files)
    with pytest.raises(TierdError) as refused:
        daemon.read("nowhere")
    assert refused.value.status == 404


def test_a_store_that_dies_in_mid_work(server: Seaweed, bucket: Bucket, launch: Launch) -> None:
    """Hot reads go on, cold ones are refused with 503 and lose nothing; uploads are resumed when it is back."""
    server.start()
    bucket.make()
    daemon = launch(bucket, UPLOAD__BANDWIDTH="20 MiB")
    files = {f"{number}.bin": random.Random(number).randbytes(10_000) for number in range(10)}
    daemon.drop(files)
    daemon.wait_replicated(10)
    daemon.client.demote(["0.bin", "1.bin"])
    large = {f"large/{number}.bin": random.Random(number).randbytes(20 * MIB) for number in range(2)}
    daemon.drop(large)
    daemon.wait("parts", lambda: sum(map(len, bucket.parts().values())) >= 2)
    server.kill()

    new = {f"new/{number}.bin": random.Random(number).randbytes(5000) for number in range(5)}
    daemon.drop(new)
    files |= large | new
    daemon.wait("it is noticed", lambda: not daemon.status()["store"]["reachable"])
    assert all(daemon.read(path) == files[path] for path in files if path not in {"0.bin", "1.bin"})
    for path in ("0.bin", "1.bin"):
        with pytest.raises(TierdError) as refused:
            daemon.read(path)
        assert refused.value.status == 503
        assert daemon.command("get", path, "-o", "-").returncode == 75
        daemon.wait(f"{path} is cold still", lambda path=path: daemon.state(path) == "cold")
    assert daemon.client.health()["status"] == "degraded"
    assert daemon.client.demote("2.bin")[0]["outcome"] == "failed"
    assert (daemon.root / "2.bin").read_bytes() == files["2.bin"]
    daemon.wait("what is unprotected", lambda: daemon.status()["queue"]["unprotected_bytes"] == 40 * MIB + 25_000)

    server.start()
    daemon.wait("all are uploaded", lambda: daemon.status()["assets"]["replicated"] == len(files) - 2)
    assert all(daemon.read(path) == content for path, content in files.items())
    audit_objects(bucket, daemon.assets(), files)
    daemon.wait("good health", lambda: daemon.client.health()["status"] == "ok")
