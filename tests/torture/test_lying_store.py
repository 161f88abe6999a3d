"""A store that forgets what it acknowledged, keeps other bytes, or heeds no condition: no asset is lost by it."""

from __future__ import annotations

import random
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from buckets import NAME, Bucket
from daemon_process import IN_FLIGHT, Launch, a_directory
from effort import scaled, seeds
from fault_proxy import Fault, FaultProxy, Kind, Where
from proxied import ABOVE, PACE, World, a_world
from rclone import rclone_server

from demo.seaweed import Seaweed
from index.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PART = "R5 lying store"
pytestmark = pytest.mark.usefixtures("credentials")


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[FaultProxy]:
    """A proxy before SeaweedFS, that makes a liar of it."""
    with FaultProxy(bucket.endpoint, pace=PACE) as proxy:
        yield proxy


# --- it forgets what it acknowledged


@pytest.mark.parametrize("seed", seeds(f"{PART} rollback", scaled(test=1, quick=15, long=200)))
async def test_rolled_back(seed: int, tmp_path: Path, record_property: Callable[[str, Any], None]) -> None:
    """It is killed, and has what it had before: what it lost is still on the disk, and is uploaded again."""
    record_property("rollbacks", 1)
    with a_directory(dir="/tmp") as directory:
        server, snapshot = Seaweed(directory / "weed"), directory / "snapshot"
        try:
            server.start()
            bucket = Bucket(server.endpoint)
            bucket.make()
            bucket.close()
            with FaultProxy(server.endpoint, pace=PACE) as proxy:
                async with a_world(tmp_path, proxy, bucket=NAME, prefix=bucket.prefix, seed=seed) as world:
                    await write_some(world)
                    server.kill()
                    shutil.copytree(server.directory, snapshot, ignore=shutil.ignore_patterns("*.sock"))
                    server.start()
                    await write_some(world)
                    server.kill()
                    shutil.rmtree(server.directory)
                    snapshot.rename(server.directory)
                    server.start()
                    await demote_all(world)
                    assert await world.settle() == set()
                    await world.audit()
                    await world.read_all()
        finally:
            server.kill()


async def write_some(world: World) -> None:
    """Write new files, and new generations of some that there are, of the same size; they are acknowledged."""
    for path in [path for path in world.contents if world.chance.random() < 0.5]:
        content = world.contents[path] = world.chance.randbytes(len(world.contents[path]))
        (world.core.tree.root / path).write_bytes(content)
    for _ in range(4):
        await world.core.new(*world.fresh(world.chance.choice((0, 100, 3000, ABOVE + 5000))))
    assert await world.settle() == set()


async def demote_all(world: World) -> None:
    """Demote whatever may be; nothing leaves the disk of which the store has not what was proven."""
    for asset in await world.core.assets():
        outcome = await world.core.demoter.demote(asset, reason="request")
        assert asset.proof is not None
        if outcome.done:
            assert await world.object(asset.proof.key) == world.contents[asset.path], "the last copy is gone"


@pytest.mark.parametrize("seed", seeds(f"{PART} forgets", scaled(test=2, quick=20, long=200)))
async def test_forgotten(
    seed: int, bucket: Bucket, proxy: FaultProxy, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """One write is acknowledged and never done, the first of a file or a later one: before it leaves, that is seen."""
    record_property("lies", 1)
    chance = random.Random(seed)
    operation = chance.choice(("put", "part", "complete"))
    size = 3000 if operation == "put" else ABOVE + 5000
    async with a_world(tmp_path, proxy, bucket=NAME, prefix=bucket.prefix, seed=seed) as world:
        path, content = world.fresh(size)
        if chance.random() < 0.5:
            await world.hot(path, world.chance.randbytes(size))
        proxy.arm(Fault(operation, Kind.FORGOTTEN, Where.AFTER))
        await world.hot(path, content)
        assert proxy.struck
        await demote_all(world)
        assert await world.settle() == set()
        await world.audit()
        await world.read_all()


# --- it keeps other bytes


@pytest.mark.parametrize("seed", seeds(f"{PART} swaps", scaled(test=1, quick=10, long=100)))
async def test_kept_otherwise(
    seed: int, bucket: Bucket, proxy: FaultProxy, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """Once, and its ETag tells: the next try puts right what is there. For ever: nothing counts as replicated."""
    record_property("lies", 1)
    chance = random.Random(seed)
    where = chance.choice((Where.BEGUN, Where.HALF, Where.LAST))
    async with a_world(tmp_path, proxy, bucket=NAME, prefix=bucket.prefix, seed=seed) as world:
        proxy.arm(Fault("put", Kind.SPOILT_REQUEST, where, times=None))
        asset = await world.core.new(*world.fresh(3000))
        for _ in range(3):
            await world.upload()
        assert await world.core.state(asset.path) is State.NEW
        proxy.arm()
        assert await world.settle() == set()
        await demote_all(world)
        await world.audit()
        await world.read_all()


def test_daemon_on_a_liar(bucket: Bucket, proxy: FaultProxy, launch: Launch) -> None:
    """A server that never keeps what it gets, and says that it did: it is seen and said, and nothing is demoted."""
    proxy.arm(Fault("put", Kind.SWAPPED, Where.HALF, times=None))
    daemon = launch(bucket, STORE__ENDPOINT=proxy.endpoint)
    daemon.drop({"a": b"content" * 100})
    daemon.wait("the probe", lambda: daemon.status()["store"]["capabilities"])
    assert daemon.status()["store"]["capabilities"]["read_back_equal"] is False
    health = daemon.client.health()
    assert health["status"] == "degraded"
    assert any("nothing is demoted" in reason for reason in health["reasons"])
    assert "nothing is demoted" in daemon.command("status").stdout
    daemon.wait("an upload", lambda: daemon.client.asset("a")["failure"] or daemon.state("a") == "replicated")
    assert daemon.client.demote("a")[0]["outcome"] == "refused"
    assert (daemon.root / "a").read_bytes() == b"content" * 100


# --- it heeds no condition


def test_daemon_on_rclone(tmp_path: Path, launch: Launch) -> None:
    """It is seen and said that conditions are ignored; strangers' objects stay, and what leaves comes back right."""
    place = tmp_path / "buckets"
    (place / NAME).mkdir(parents=True)
    with rclone_server(place) as endpoint, closing(Bucket(endpoint)) as bucket:
        bucket.put("taken", b"a stranger's")
        daemon = launch(bucket)
        files = {f"file-{number}": random.Random(number).randbytes(number * 1000) for number in range(5)}
        daemon.drop({**files, "taken": b"ours"})
        assert daemon.wait_state("taken", "stuck")["failure"]["code"] == "conflict"
        daemon.wait("uploads", lambda: daemon.status()["assets"]["replicated"] == len(files))
        able = daemon.status()["store"]["capabilities"]
        assert (able["create_only"], able["if_match"], able["read_back_equal"]) == (False, False, True)
        assert "tierd looks first" in daemon.command("status").stdout
        assert bucket.get("taken") == b"a stranger's"
        assert {found["outcome"] for found in daemon.client.demote(list(files))} == {"done"}
        assert all(daemon.read(path) == content for path, content in files.items())
        daemon.wait("rest", lambda: not any(daemon.status()["assets"][state] for state in IN_FLIGHT))
        daemon.drop({"file-1": b"a new generation"})
        daemon.wait_state("file-1", "replicated", generation=2)
        assert bucket.get("file-1") == b"a new generation"
