"""The prober: nothing is uploaded before the store has shown what it can be trusted with."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from uploads import ABLE

from tiering.pacing import Pacer
from tiering.prober import Prober
from tiering.store import CredentialsError, RefusedError, UnavailableError
from tiering.stores.faulty import Damage, Fail, FaultyStore, Lie
from tiering.stores.memory import MemoryStore

if TYPE_CHECKING:
    from tiering.stores.faulty import Fault


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _seconds: sleep(0))


async def probed(*script: Fault) -> tuple[Prober, Pacer, list[str]]:
    """Run it against such a store; return it, its pacer, and what it said while there was no answer."""
    told: list[str] = []

    class Telling(Pacer):
        def failed(self, reason: str) -> None:
            super().failed(reason)
            told.append(prober.reason)

    pacer = Telling(4, clock=lambda: 0.0)
    ready = asyncio.Event()
    store = FaultyStore(MemoryStore("memory://x"), *script)
    prober = Prober(store, name="test", pacer=pacer, ready=ready.set)
    assert (prober.capabilities, prober.reason, prober.url) == (
        None,
        "not known yet: what it has is learnt first, then what it can do",
        "memory://x",
    )
    async with asyncio.timeout(10):
        await prober.run()
    assert ready.is_set()
    return prober, pacer, told


async def test_what_a_store_can_do_is_known_once_it_answered() -> None:
    """And whoever waits for it is told."""
    prober, pacer, told = await probed()
    assert (prober.capabilities, prober.reason, pacer.is_reachable, told) == (ABLE, "", True, [])


@pytest.mark.parametrize(
    "error", [UnavailableError("timed out"), CredentialsError("403"), RefusedError("no such bucket")]
)
async def test_it_asks_until_there_is_an_answer(error: Exception) -> None:
    """Whatever is wrong: a person may mend it, and need not start anything anew."""
    prober, pacer, told = await probed(Fail(operation="put", error=error, times=5))
    assert told == [str(error)] * 5
    assert (prober.capabilities, prober.reason, pacer.is_reachable) == (ABLE, "", True)


async def test_what_to_do_is_part_of_the_reason() -> None:
    """Status and health show it."""
    _, _, told = await probed(Fail(operation="put", error=RefusedError("no such bucket", hint="create it")))
    assert told == ["no such bucket; create it"]


@pytest.mark.parametrize(
    "fault",
    [
        Damage(change=lambda body: b"x" + body[1:]),
        Lie(operation="head", change=lambda info: replace(info, metadata={})),
        Lie(operation="put", change=lambda info: replace(info, etag="opaque")),
    ],
)
async def test_what_a_store_cannot_do_is_believed_at_the_second_look(fault: Fault) -> None:
    """A broken wire at the start would keep everything on the disk for as long as the daemon lives."""
    prober, _, _ = await probed(fault)
    assert prober.capabilities == ABLE


async def test_a_store_that_gives_back_other_bytes_is_asked_again() -> None:
    """Whoever waits is told what it can do; once somebody has mended it, assets may be demoted."""
    store = FaultyStore(MemoryStore(), Damage(change=lambda body: b"x" + body[1:], times=None))
    told: list[bool] = []

    def ready() -> None:
        assert prober.capabilities is not None
        told.append(prober.capabilities.read_back_equal)
        store.script = []

    prober = Prober(store, name="test", pacer=Pacer(4, clock=lambda: 0.0), ready=ready)
    async with asyncio.timeout(10):
        await prober.run()
    assert told == [False, True]
