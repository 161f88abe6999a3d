"""Everything that can go wrong between tierd and an S3 server, one thing at a time, and two."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from buckets import NAME, Bucket
from certificates import make_certificates
from daemon_process import IN_FLIGHT, MIB, Launch, audit_objects
from effort import scaled, seeds
from fault_proxy import LIES, STREAMED, Fault, FaultProxy, Kind, Where
from proxied import PACE, World, a_world

from daemon.client import TierdError
from index.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PART = "R4 fault proxy"
pytestmark = pytest.mark.usefixtures("credentials")
OPERATIONS = (
    "put",
    "head",
    "get",
    "create",
    "part",
    "complete",
    "list_parts",
    "abort",
    "copy",
    "delete",
    "list",
    "list_uploads",
)
ANSWERED = ("get", "create", "complete", "list_parts", "copy", "list", "list_uploads")
"""The operations whose answers have a body."""
SENT = ("put", "part")
"""Those whose requests have one that is large."""
SCHEMES = ("http", "https")
BYTES = (Where.BEGUN, Where.HALF, Where.LAST)
SPOILT: dict[Kind, dict[str, tuple[Where, ...]]] = {
    Kind.SHORTENED: dict.fromkeys(ANSWERED, BYTES),
    Kind.SPOILT_ANSWER: {**dict.fromkeys(ANSWERED, BYTES), "put": (Where.AFTER,), "head": (Where.AFTER,)},
    Kind.SPOILT_REQUEST: dict.fromkeys((*SENT, "complete"), BYTES),
}
"""Where bytes can be spoilt, by operation: in a body, or in an ETag."""
DAEMON = (Kind.RESET, Kind.SLOW_DOWN, Kind.INTERNAL, Kind.MISSING, Kind.LATE_INTERNAL, Kind.LOST, Kind.TWICE)
"""What strikes the installed daemon, which has more patience than a test."""
STRUCK = scaled(test=("put", "get"), quick=OPERATIONS[:6], long=OPERATIONS[:6])


def places(operation: str, kind: Kind) -> list[Where]:
    """Return the positions at which this kind of fault is another one each; none where there is no such fault."""
    if kind in LIES:
        return []  # Servers lie in test_lying_store.py.
    if kind in STREAMED:
        return list(Where)
    if kind in {Kind.SLOW_DOWN, Kind.INTERNAL, Kind.FORBIDDEN, Kind.MISSING}:
        return list(Where) if operation in SENT else [Where.AFTER]
    return list(SPOILT[kind].get(operation, ())) if kind in SPOILT else [Where.AFTER]


SINGLE = [
    (operation, kind, SCHEMES[number % 2])
    for number, (operation, kind) in enumerate((op, kind) for op in OPERATIONS for kind in Kind if places(op, kind))
]
BOTH = [(operation, kind, scheme) for operation, kind, _ in SINGLE for scheme in SCHEMES]
SAMPLE = scaled(test=random.Random(4).sample(SINGLE, 12), quick=SINGLE, long=BOTH)


@pytest.fixture
def scheme() -> str:
    """How the proxy is spoken to, unless a test says."""
    return "http"


@pytest.fixture
def proxy(bucket: Bucket, scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultProxy]:
    """A proxy before SeaweedFS; with TLS, both libraries know its authority."""
    trusted, tls = make_certificates(tmp_path)
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(trusted))
    with FaultProxy(bucket.endpoint, tls=tls if scheme == "https" else None, pace=PACE) as proxy:
        yield proxy


@pytest.mark.parametrize(("operation", "kind", "scheme"), SAMPLE, ids=["-".join(case) for case in SAMPLE])
async def test_single(
    operation: str,
    kind: Kind,
    bucket: Bucket,
    proxy: FaultProxy,
    tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:
    """Whatever is struck: nobody reads wrong bytes, nothing is lost, and it comes to rest without a person."""
    record_property("faults", len(places(operation, kind)))
    async with a_world(tmp_path, proxy, bucket=NAME, prefix=bucket.prefix, seed=4) as world:
        for where in places(operation, kind):
            helped = await struck(world, operation, Fault(operation, kind, where))
            # Who may not do something is told so, and a person must act: that is what `stuck` is for.
            assert helped <= ({State.STUCK} if kind is Kind.FORBIDDEN else set()), where
        await world.sweep()
        await world.read_all()


@pytest.mark.parametrize("seed", seeds(f"{PART} double", scaled(test=1, quick=10, long=1000)))
@pytest.mark.parametrize("scheme", ["https"])
async def test_double(
    seed: int, bucket: Bucket, proxy: FaultProxy, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """Two things at once: a person may have to help, but nothing is lost, and nobody reads wrong bytes."""
    record_property("faults", 2)
    chance = random.Random(seed)
    first, second = (chance.choice(SINGLE)[:2] for _ in range(2))
    faults = [Fault(operation, kind, chance.choice(places(operation, kind))) for operation, kind in (first, second)]
    async with a_world(tmp_path, proxy, bucket=NAME, prefix=bucket.prefix, seed=seed) as world:
        await struck(world, first[0], *faults)
        await world.sweep()
        await world.read_all()


async def struck(world: World, operation: str, *faults: Fault) -> set[State]:
    """Strike one operation, and look at everything; return the states in which only a person could help."""
    world.proxy.arm(*faults)
    await getattr(world, operation)()
    if not world.proxy.struck:
        await world.settle()  # A busy machine was struck by its own slowness before that.
    assert world.proxy.struck, "the fault was not met"
    world.proxy.arm()
    helped = await world.settle()
    await world.audit()
    return helped


async def test_throttled(bucket: Bucket, proxy: FaultProxy, tmp_path: Path) -> None:
    """A store that asks for less gets half as much at once, and after so many successes as much as before."""
    async with a_world(tmp_path, proxy, bucket=NAME, prefix=bucket.prefix, seed=1) as world:
        pacer = world.core.pacer
        before = pacer.limit
        await struck(world, "put", Fault("put", Kind.SLOW_DOWN))
        assert before // 2 <= pacer.limit < before
        for _ in range(3 * before):
            await world.core.new(*world.fresh(10))
        await world.settle()
        assert pacer.limit == before


@pytest.mark.parametrize("kind", scaled(test=[Kind.LOST], quick=DAEMON, long=DAEMON))
def test_daemon(
    kind: Kind, bucket: Bucket, proxy: FaultProxy, launch: Launch, record_property: Callable[[str, Any], None]
) -> None:
    """The installed daemon, struck in everything that it does: each time it goes on, and everything is right."""
    daemon = launch(bucket, STORE__ENDPOINT=proxy.endpoint)
    chance, files = random.Random(kind), dict[str, bytes]()
    for operation in STRUCK:
        path, size = operation, 9 * MIB if operation in {"create", "part", "complete"} else 5000
        files[path] = chance.randbytes(size)
        proxy.arm(Fault(operation, kind, Where.AFTER))
        daemon.drop({path: files[path]})
        daemon.wait_state(path, "replicated")
        daemon.client.demote([path])
        with suppress(TierdError, EOFError):
            assert daemon.read(path) == files[path]
        assert proxy.struck, operation
        proxy.arm()
        daemon.wait("rest", lambda: not any(daemon.status()["assets"][state] for state in IN_FLIGHT))
        assert daemon.read(path) == files[path]
    daemon.wait_replicated(len(files))
    audit_objects(bucket, daemon.assets(), files)
    # An upload of which nobody ever heard that it was begun is the sweeper's, in a day.
    assert not any(bucket.parts().values())
    record_property("faults", len(STRUCK))
