"""The doctor: a table of checks, each of which looks at one thing and says how it is and what to do.

A check changes nothing. One that fails itself is a finding, too, and keeps no other from its turn. What a daemon can
see better, since it has its own user, its own rights and the index, is looked at by the daemon if one runs.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS: Final = 60.0
"""How long one check may take: a disk that hangs is what one looks for with a doctor."""


class Verdict(StrEnum):
    """How something is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has to say; `remedy` is what to do about it."""

    verdict: Verdict
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A finding and the name of its check."""

    check: str
    finding: Finding


def ok(message: str) -> Finding:
    """Say that it is as it should be."""
    return Finding(Verdict.OK, message)


def warning(message: str, remedy: str) -> Finding:
    """Say that it works, with a drawback."""
    return Finding(Verdict.WARNING, message, remedy)


def failed(message: str, remedy: str) -> Finding:
    """Say that it does not work."""
    return Finding(Verdict.FAILED, message, remedy)


Check = Callable[[T], Iterable[Finding] | Awaitable[Iterable[Finding]]]


async def examine(checks: Sequence[tuple[str, Check[T]]], subject: T) -> list[Row]:
    """Make every check, in order, and return all that they found."""
    rows = []
    for name, check in checks:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await _make(check, subject)
        except TimeoutError:
            found = [failed(f"no answer within {PATIENCE_SECONDS:.0f} s", "does a disk or a network hang?")]
        except FileNotFoundError as error:
            found = [failed(f"{error.filename} is not there to be looked at", "mount its disk, or make it")]
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in one check is a finding
            found = [failed(f"the check itself failed: {error!r}", "run it as root, or as the daemon's user")]
        rows += [Row(name, finding) for finding in found]
    return rows


async def _make(check: Check[T], subject: T) -> list[Finding]:
    if inspect.iscoroutinefunction(check):
        return list(await check(subject))
    return await _aside(lambda: list(check(subject)))  # type: ignore[arg-type] # one that is no coroutine is an iterator


async def _aside(work: Callable[[], list[Finding]]) -> list[Finding]:
    """Do blocking work in a thread that keeps nobody from ending, however long the disk makes it wait."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Finding]] = loop.create_future()

    def tell(act: Callable[..., None], what: object) -> None:
        if not future.done():
            act(what)

    def run() -> None:
        try:
            done: tuple[Callable[..., None], object] = (future.set_result, work())
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            done = (future.set_exception, error)
        with suppress(RuntimeError):  # The loop has closed: nobody waits any more.
            loop.call_soon_threadsafe(tell, *done)

    threading.Thread(target=run, name="doctor", daemon=True).start()
    return await future
