"""The doctor as the command line calls it: what is seen from outside, then what the daemon sees, or we in its place."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from daemon import checks_daemon, config, sources
from daemon.checks import CHECKS, ON_THIS_HOST
from daemon.checks_daemon import Outside
from daemon.circumstances import Circumstances, HeldError
from daemon.client import Client, TierdError, UnreachableError
from daemon.doctor import Row, examine, failed
from daemon.opening import connect
from index.checkup import faults_of_closed
from index.errors import CatalogError
from tiering.probe import probe
from tiering.store import StoreError
from tiering.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from daemon.doctor import Check

Findings = list[dict[str, Any]]

OUTSIDE: Final[tuple[tuple[str, Check[Outside]], ...]] = (
    ("configuration", checks_daemon.configuration),
    ("daemon", checks_daemon.daemon),
    ("socket", checks_daemon.socket),
)
SILENCE_SECONDS: Final = 10.0
"""After so long a daemon hangs, and we look ourselves."""
_PROBE: Final = f"doctor-{os.uname().nodename}"


def findings(named: Path | None, socket: Path | None) -> Findings:
    """Return everything that was found; of a configuration that cannot be read at all, only that."""
    try:
        file = sources.find_file(named, os.environ)
        settings, problems = config.judge(file, os.environ)
    except sources.ConfigError as error:
        return _listed([Row("configuration", finding) for finding in checks_daemon.problems(error.problems)])
    client = Client(socket or settings.api.socket, timeout=SILENCE_SECONDS)
    outside = Outside(file=file, settings=settings, problems=problems, client=client)
    return [*_listed(asyncio.run(examine(OUTSIDE, outside))), *_ask_or_look(outside)]


def _ask_or_look(outside: Outside) -> Findings:
    """Ask the daemon, which has its own user, rights and credentials; where none answers, look ourselves."""
    try:
        outside.client.health()  # One that hangs would keep us waiting for as long as an examination may take.
        found: Findings = outside.client.doctor()["findings"]
    except UnreachableError:
        return asyncio.run(_look(outside))
    except TierdError as error:
        asked = {"check": "daemon", "verdict": "failed", "message": error.message, "remedy": error.hint}
        return [asked, *asyncio.run(_look(outside))]
    return found


async def _look(outside: Outside) -> Findings:
    async with AsyncExitStack() as stack:
        checks, faults = CHECKS, []
        try:
            store = await connect(outside.settings, is_new=False)
        except StoreError as error:
            store, checks = MemoryStore(), ON_THIS_HOST
            faults = [Row("store", failed(str(error), error.hint))]
        stack.push_async_callback(store.close)
        place = Circumstances(
            settings=outside.settings,
            store=store,
            faults=partial(_faults, outside),
            capabilities=partial(probe, store, name=_PROBE),
            uploads=_no_uploads,
        )
        return _listed([*await examine(checks, place), *faults])


async def _faults(outside: Outside) -> Sequence[str]:
    """Look at the index, which nobody else may have open, before the look or after it."""
    _require_closed(outside)
    try:
        return await asyncio.to_thread(faults_of_closed, outside.settings.index.path)
    except CatalogError:
        _require_closed(outside)
        raise


def _require_closed(outside: Outside) -> None:
    holds = outside.holders()[1]
    if holds is not None:
        raise HeldError(f"process {holds} has the index open, and did not tell how it is")


async def _no_uploads() -> frozenset[str]:
    """Return nobody's: what an index needs only its daemon knows."""
    return frozenset()


def _listed(rows: Sequence[Row]) -> Findings:
    return [{"check": row.check, **asdict(row.finding)} for row in rows]
