"""The acts of the tour, in order. Each plays one promise through, and ends only when every byte was right."""

from __future__ import annotations

import shutil
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from demo.audit import DifferenceError, check_all_stored, check_nothing_lost, compare
from demo.readers import CLIENTS, Readers
from demo.stage import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from demo.media import Media
    from demo.stage import Stage

READS: Final = 200
IN_THE_STORE: Final = ("replicated", "demoting", "cold", "promoting")


def upload(stage: Stage) -> None:
    """Drop the media in, kill the daemon twice on the way, and see everything replicated."""
    stage.say(f"dropping {len(stage.media):,} files into {stage.service.root}")
    began = time.monotonic()
    order = stage.chance.sample(list(stage.media), len(stage.media))
    shares = sorted(stage.chance.uniform(0.05, 0.7) for _ in range(2))
    with ThreadPoolExecutor(max_workers=1) as copier:
        copied = copier.submit(_drop_in, stage.service.root, order)
        for share in shares:
            stage.wait("the upload", partial(_is_uploaded, share * len(stage.media)))
            stage.kill("in the upload")
        copied.result()
    stage.wait("the end of the upload", partial(_is_uploaded, len(stage.media)))
    seconds = time.monotonic() - began
    stage.say(f"all are replicated, after {seconds:.1f} s with both kills ({stage.mib / seconds:.0f} MiB/s)")


def look_into_bucket(stage: Stage) -> None:
    """Download everything with a client that knows nothing of tierd, and compare."""
    into = stage.directory / "downloaded"
    stage.s5cmd.download(stage.url, into)
    check_all_stored(compare(into, stage.media), stage.media)
    shutil.rmtree(into)
    stage.say(f"s5cmd downloads {len(stage.media):,} objects from {stage.url}: every sha-256 is right")


def demote(stage: Stage) -> None:
    """See the disk brought down to the low watermark, with a kill on the way."""
    disk = stage.service.status()["disk"]
    high, low = (disk[mark] * disk["limit"] for mark in ("high", "low"))
    stage.say(
        f"{disk['used'] / MIB:.1f} MiB are on disk; above {high / MIB:.1f} MiB it is brought down to {low / MIB:.1f}"
    )
    stage.say("waiting: applications may hold leases from before the last start for a minute after it")
    mark = disk["used"] - stage.chance.uniform(0.05, 0.6) * (disk["used"] - high)
    stage.wait("the demotion", partial(_is_down_to, mark))
    stage.kill("in the demotion")
    # Between the two marks, nothing would be demoted any more.
    goal = low if stage.service.status()["disk"]["used"] > high else high
    after = stage.wait("the end of the demotion", partial(_is_down_to, goal))["disk"]
    stage.say(f"{after['used'] / MIB:.1f} MiB are on disk")


def read(stage: Stage) -> None:
    """Have 16 clients ask for 200 random assets at once, with two kills on the way."""
    chosen = stage.chance.sample(list(stage.media), READS)
    counts = sorted(stage.chance.randint(5, READS // 2) for _ in range(2))
    cold = sum(not (stage.service.root / each.path).exists() for each in chosen)
    with Readers(stage.service.client, chosen) as readers:
        for count in counts:
            stage.wait("promotions", partial(_is_promoting, readers, count))
            stage.kill("in the promotion")
        answers = readers.results()
    again = sum((answer.refused for answer in answers), Counter[str]())
    seconds = [answer.seconds for answer in answers]
    stage.say(f"{READS} random assets, {cold} of them cold, for {CLIENTS} clients at once: every sha-256 is right")
    stage.say(f"half of them within {statistics.median(seconds):.2f} s, the last after {max(seconds):.1f} s")
    stage.say("asked again: " + (", ".join(f"{count} times ({code})" for code, count in again.items()) or "never"))


def verify(stage: Stage) -> None:
    """Have the daemon itself compare its index with every object, byte by byte."""
    *_, last = stage.service.client.verify(deep=True)
    report = last["report"]
    if not report["ok"]:
        raise DifferenceError([f"tierd verify: {each['path']}: {each['detail']}" for each in report["differences"]])
    stage.say(f"tierd verify has read {report['checked']:,} objects again and agrees")


def settle_accounts(stage: Stage) -> None:
    """Stop the daemon, and look at every file on disk and in the store."""
    stage.say(f"SIGTERM: it ends cleanly after {stage.service.stop():.2f} s")
    into = stage.directory / "downloaded"
    stage.s5cmd.download(stage.url, into)
    local, stored = compare(stage.service.root, stage.media), compare(into, stage.media)
    check_nothing_lost(local, stored, stage.media)
    counts = f"{len(local.right):,} are on disk and {len(stored.right):,} in the store"
    stage.say(f"of {len(stage.media):,} files {counts}: every sha-256 is right")
    stage.say(f"the daemon's highest memory: {stage.service.peak_bytes / MIB:.0f} MiB")


ACTS: Final = (upload, look_into_bucket, demote, read, verify, settle_accounts)


def _drop_in(root: Path, media: Sequence[Media]) -> None:
    for each in media:
        target = root / each.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(each.source, target)


def _is_uploaded(count: float, status: dict[str, Any]) -> bool:
    stored: int = sum(status["assets"][state] for state in IN_THE_STORE)
    return stored >= count


def _is_promoting(readers: Readers, count: int, status: dict[str, Any]) -> bool:
    return readers.answered == READS or (readers.answered >= count and status["assets"]["promoting"] > 0)


def _is_down_to(mark: float, status: dict[str, Any]) -> bool:
    used: int = status["disk"]["used"]
    return used <= mark
