"""Checks of the store: whether it answers, as whom we ask, what time it is there, and what it can be trusted with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from daemon.doctor import failed, ok, warning
from daemon.meanings import MEANINGS
from daemon.thresholds import rollout
from tiering.rollout import Mode
from tiering.store import StoreError
from tiering.stores.remote import Remote
from tiering.stores.s3 import S3Store

if TYPE_CHECKING:
    from daemon.circumstances import Circumstances
    from daemon.doctor import Finding
    from tiering.probe import Capabilities

DAY: Final = 86_400.0
_HOUR: Final = 3600.0
_SKEW_WARNS: Final = 60.0
_SKEW_FAILS: Final = 300.0
"""S3 refuses requests that are a quarter of an hour off; by then it is late."""


async def reachable(at: Circumstances) -> list[Finding]:
    """Whether the store lets itself be listed."""
    if at.is_without_store:
        return [ok(f"{at.settings.store.directory} is not there yet: the first start makes it")]
    try:
        async for _ in at.store.list():
            break
    except StoreError as error:
        return [failed(str(error), error.hint or "is the server up, and [store] endpoint right?")]
    style = at.store.requests.settings.addressing_style if isinstance(at.store, S3Store) else None
    return [ok(f"{at.store.url} answers{f', addressed by {style}' if style else ''}")]


async def credentials(at: Circumstances) -> list[Finding]:
    """Where they come from, and how long they last."""
    if not isinstance(at.store, Remote):
        return [ok(f"{at.store.url} needs none")]
    try:
        source, expires = await at.store.identity()
    except StoreError as error:
        return [failed(str(error), error.hint or "see docs/stores.md")]
    if expires is None:
        return [ok(f"from {source}; they do not run out")]
    left = expires - time.time()
    said = f"from {source}; they run out in {left / _HOUR:.1f} hours"
    if left <= 0:
        return [failed(f"from {source}; they have run out", "renew them")]
    return [ok(f"{said}, and are asked for anew then")]


async def clock(at: Circumstances) -> list[Finding]:
    """Whether this host and the store agree on the time."""
    if not isinstance(at.store, Remote):
        return [ok(f"{at.store.url} has this host's clock")]
    began = time.time()
    try:
        there = await at.store.server_time()
    except StoreError as error:
        return [failed(str(error), error.hint or "is the server up, and [store] endpoint right?")]
    skew = there - (began + time.time()) / 2
    said = f"the store's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this host's"
    if abs(skew) > _SKEW_FAILS:
        return [failed(said, "set this host's clock, by NTP: requests are refused at a quarter of an hour")]
    return [warning(said, "set this host's clock, by NTP") if abs(skew) > _SKEW_WARNS else ok(said)]


async def capabilities(at: Circumstances) -> list[Finding]:
    """What the store can be trusted with."""
    if at.is_without_store:
        return [ok("to be seen when there is a store")]
    try:
        able = await at.capabilities()
    except StoreError as error:
        return [failed(error.advice, "nothing is uploaded before the store has shown what it can do")]
    return [_judge(able, name) for name in MEANINGS]


def _judge(able: Capabilities, name: str) -> Finding:
    good, bad = MEANINGS[name]
    if getattr(able, name):
        return ok(good)
    remedy = "let no other program write below the prefix" if name in {"create_only", "if_match"} else ""
    return failed(bad, "use another store") if name == "read_back_equal" else warning(bad, remedy)


async def multiparts(at: Circumstances) -> list[Finding]:
    """Whether uploads were left that cost money and no listing shows."""
    if at.is_without_store:
        return [ok("none before there is a store")]
    try:
        needed = await at.uploads()
        pending = [each async for page in at.store.list_uploads() for each in page if each.upload_id not in needed]
    except StoreError as error:
        return [
            warning(
                f"unfinished uploads cannot be listed: {error}",
                error.hint or "is the server up, and ListBucketMultipartUploads allowed?",
            )
        ]
    old = sum(time.time() - each.started > DAY for each in pending)
    if old:
        said = f"{old} multipart uploads are older than a day, and nobody will finish them"
        return [warning(said, "the daemon aborts them within six hours; a lifecycle rule of the bucket would, too")]
    return [ok(f"{len(pending)} multipart uploads that are not ours are under way, none for more than a day")]


async def roll_out(at: Circumstances) -> list[Finding]:
    """Which assets are to be in the store."""
    found = rollout(at.settings)
    if found.mode is Mode.S3:
        return [ok("all assets are to be in the store")]
    share = "none of the assets is" if found.mode is Mode.LOCAL else f"{found.percent:g} % of all paths are"
    return [ok(f"[store] mode is {found.mode}: {share} to be in the store; tierd status counts the others")]
