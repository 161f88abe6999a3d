"""What the service manager hears: systemd's words, in datagrams, and nothing where nobody listens."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from typing import TYPE_CHECKING

import pytest
from listening import Listening, listening

from daemon import patience as module
from daemon.notify import Notifier
from daemon.patience import patience

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Listening:
    """Somebody who listens, at either kind of address."""
    address = f"@tierd-{os.getpid()}-{time.monotonic_ns()}" if request.param == "abstract" else f"{tmp_path}/notify"
    with listening(address) as manager:
        yield manager


def test_every_word(manager: Listening) -> None:
    """Each is one datagram; a reload carries the time at which it began, in the same one."""
    notifier = Notifier.from_environment(manager.environment)
    before = time.monotonic_ns() // 1000
    notifier.ready()
    notifier.reloading()
    notifier.stopping(within=2.5)
    notifier.status("3 assets")
    notifier.alive()
    ready, reloading, *rest = manager.hear()
    assert ready == ["READY=1"]
    assert reloading[0] == "RELOADING=1"
    assert before <= int(reloading[1].removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert rest == [
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=2500000", "STATUS=stopping"],
        ["STATUS=3 assets"],
        ["WATCHDOG=1"],
    ]


@pytest.mark.parametrize("is_disk", [False, True], ids=["processor", "disk"])
async def test_a_start_that_works_is_given_time(
    manager: Listening, monkeypatch: pytest.MonkeyPatch, *, is_disk: bool
) -> None:
    """The service manager is asked again and again, and no more once it is done."""
    spent = itertools.count()
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(
        module, "_work", lambda: module._Work(7.0, next(spent)) if is_disk else module._Work(next(spent), 7)
    )
    asked = ["EXTEND_TIMEOUT_USEC=60000000", "STATUS=starting"]
    async with patience(Notifier.from_environment(manager.environment)):
        while next(spent) < 9:  # noqa: ASYNC110 - whoever asks tells nobody here
            await asyncio.sleep(0)
    heard = manager.hear()
    assert heard
    assert all(each == asked for each in heard)
    for _ in range(9):
        await asyncio.sleep(0)
    assert manager.hear() == []


async def test_a_start_that_hangs_is_not_given_time(manager: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing goes on there is nothing to wait for; and what fails, fails."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "_work", lambda: module._Work(7.0, 7))

    async def begin() -> None:
        async with patience(Notifier.from_environment(manager.environment)):
            for _ in range(9):
                await asyncio.sleep(0)
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as raised:
        await begin()
    assert raised.value.subgroup(ZeroDivisionError)
    assert manager.hear() == []


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_long_the_watchdog_waits(environment: dict[str, str], seconds: float | None) -> None:
    """What another process was asked for is not for us."""
    assert Notifier.from_environment(environment).watchdog_seconds == seconds


def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without an address nothing is tried; a manager that has gone is said, and ends nothing."""
    Notifier.from_environment({}).ready()
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        Notifier(f"{tmp_path}/gone").ready()
    assert "was not told READY=1" in caplog.text
