"""Keeps the index true to the disk: hints make it quick, full scans make it right.

A hint only says where to look, and some never come. So the whole tree is looked at when tierd starts, whenever a watch
begins, and again and again at a bounded cost; what a hint missed is found then at the latest.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from index.asset import printable
from tiering.brake import RELEASED, allowance, verdict
from tiering.census import take_census
from tiering.directories import BlindSpots
from tiering.intake import Intake
from tiering.reconcile import SETTLED, compare
from tiering.rehash import Rehasher
from tiering.revisits import Revisits
from tiering.survey import survey
from tiering.tree import MissingError
from tiering.watch import hints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from index.asset import Asset, RelPath
    from index.catalog import Catalog
    from index.rows import Known
    from tiering.brake import Brake
    from tiering.census import Census
    from tiering.observer import Observer
    from tiering.tree import Tree
    from tiering.turns import Turns

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often the whole tree is looked at, in seconds: `share` times as long as it took, within the bounds.

    `first` is how long the first scan waits for the watch, so that it need not be made again when that begins; `again`
    is when a new directory is looked at a second time, for what was put into it before it was watched.
    """

    first: float = 0.5
    shortest: float = 15.0
    longest: float = 3600.0
    share: float = 20.0
    again: float = 2.0


class Reconciler:
    """Looks at the disk and tells the catalog. `settle` is for files of which no file lease can be had, in seconds."""

    def __init__(
        self,
        catalog: Catalog,
        tree: Tree,
        *,
        root_id: str,
        observer: Observer,
        clock: Callable[[], float],
        settle: float,
        turns: Turns,
        is_learnt: Callable[[], bool],
        is_misplaced: Callable[[Asset], bool],
        rhythm: Rhythm = Rhythm(),
    ) -> None:
        """`is_learnt` says whether the index knows what the store has: until then it may not be the newest.

        `is_misplaced` says whether the remote copy of an asset is at the key of another path.
        """
        self.brake: Brake = RELEASED
        self.scanned = asyncio.Event()
        """Set once the whole tree was looked at."""
        self.blind = BlindSpots()
        """The directories of which no hint comes."""
        self.oddities: Mapping[RelPath, str] = {}
        """What the last full scan could not look at, and why; not all where they are very many."""
        self._catalog = catalog
        self._tree = tree
        self._observer = observer
        self._clock = clock
        self._rhythm = rhythm
        self._revisits = Revisits()
        self._rehasher = Rehasher(catalog, tree, turns=turns, settle=settle)
        self._intake = Intake(
            catalog,
            tree,
            root_id=root_id,
            settle=settle,
            clock=clock,
            revisits=self._revisits,
            rehasher=self._rehasher,
            is_learnt=is_learnt,
            is_misplaced=is_misplaced,
        )
        self._wanted = asyncio.Event()
        self._begun = 0
        self._ended = 0
        self._turn = asyncio.Condition()
        self._is_releasing = False
        self.scanned_at = 0.0
        """When the last full scan ended, in seconds since the epoch; 0 before the first."""
        # Files that hints found missing count with those of the next scan: a slow loss of everything is one, too.
        self._dropped_since_scan = 0
        self._dropping = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Reconciler {self._ended} scans, brake {'on' if self.brake.engaged else 'off'}, {self._revisits!r}>"

    async def run(self) -> None:
        """Keep the index true, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_hints(), name="reconciler: hints")
            group.create_task(self._look_again(), name="reconciler: revisits")
            group.create_task(self._rehasher.run(), name="reconciler: touched files")
            group.create_task(self._scan_repeatedly(), name="reconciler: scans")

    async def reconcile_now(self) -> None:
        """Return once the whole tree was looked at, beginning after this call."""
        awaited = self._begun + 1
        self._wanted.set()
        async with self._turn:
            await self._turn.wait_for(lambda: self._ended >= awaited)

    async def look_once(self) -> None:
        """Look at the whole tree, where nothing else of this runs."""
        await self._scan()

    def want_scan(self) -> None:
        """Have the whole tree looked at soon."""
        self._wanted.set()

    def release(self) -> None:
        """Take the word of a person that what is missing is meant to be: the next full scan believes it."""
        self._is_releasing = True
        self._wanted.set()

    async def take_in(self, path: RelPath) -> Asset:
        """Take in a file that somebody asks for, and return its asset. Raise FileError as Tree.sight does."""
        if self._tree.is_ignored(path):
            raise MissingError(path, "has a name that is ignored")
        began = self._clock()
        sighting = await asyncio.to_thread(self._tree.sight, path)
        findings = compare([sighting], await self._catalog.below(path), now=self._clock())
        await self._intake.take(findings, seen_after=began, patient=False, waits=False)
        return await self._catalog.find(path)

    async def look(self, paths: Iterable[RelPath]) -> list[RelPath]:
        """Look at these paths, and beneath those that are directories; return the directories."""
        paths = [path for path in paths if not self._tree.is_ignored(path)]
        began = self._clock()
        found = await asyncio.to_thread(survey, self._tree, paths)
        small = [path for path in paths if path not in found.too_large]
        rows = [row for path in small for row in await self._catalog.below(path)]
        findings = compare(found.sightings.values(), rows, found.oddities, now=self._clock())
        taken = await self._intake.take(findings, seen_after=began, patient=True)
        await self._drop_few([row for row in findings.missing if row.id not in taken.moved])
        if found.too_large:
            self._wanted.set()
        return found.directories

    async def _follow_hints(self) -> None:
        async with aclosing(hints(self._tree, observer=self._observer, blind=self.blind)) as batches:
            async for paths in batches:
                if "" in paths:
                    self._wanted.set()
                    continue
                for directory in await self.look(paths):
                    self._revisits.appoint(directory, at=_now() + self._rhythm.again)

    async def _look_again(self) -> None:
        while True:
            if paths := self._revisits.due(_now()):
                await self.look(paths)
                self._revisits.close(paths)
            await self._revisits.wait_due()

    async def _scan_repeatedly(self) -> None:
        await self._wait_wanted(self._rhythm.first)
        while True:
            self._wanted.clear()
            began = _now()
            await self._scan()
            took = _now() - began
            # However many ask for one: half of the time is left for other work.
            await asyncio.sleep(min(took, self._rhythm.longest))
            pause = max(self._rhythm.share * took, self._rhythm.shortest)
            await self._wait_wanted(min(pause, self._rhythm.longest))

    async def _wait_wanted(self, longest: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._wanted.wait()

    async def _scan(self) -> None:
        self._begun += 1
        began = _now()
        is_releasing, self._is_releasing = self._is_releasing, False
        if is_releasing:
            await self._intake.mark()
        # Before the scan, so that nothing is demoted meanwhile, and after it, since a disk can go at any moment.
        if (fault := await self._intake.marker_fault()) is not None:
            self._engage(fault, missing=self.brake.missing)
        believed_hot = self._believed_hot() + self._dropped_since_scan
        census = await take_census(self._catalog, self._tree, self._intake, clock=self._clock)
        fault = fault or await self._intake.marker_fault()
        if is_releasing and fault is None:
            if self.brake.engaged:
                log.warning(
                    "the brake is released by a person; missing files are taken for removed: %s", self.brake.reason
                )
            self.brake = RELEASED
        else:
            self._judge(census, believed_hot, fault)
        dropped = 0 if self.brake.engaged else await self._intake.drop(list(census.missing.values()))
        self._dropped_since_scan = 0
        self._tell(census, dropped)
        if not self.scanned.is_set():
            log.info("looked at the whole tree", extra={"files": census.files, "seconds": round(_now() - began, 3)})
        await self._end_scan()

    def _judge(self, census: Census, believed_hot: int, fault: str | None) -> None:
        missing = len(census.missing)
        reason = verdict(missing=missing + self._dropped_since_scan, believed_hot=believed_hot, marker_fault=fault)
        if reason is not None:
            self._engage(reason, missing=missing)
        elif self.brake.engaged and missing:
            # Some came back. The rest may be as doubtful as the whole was: a person decides.
            self.brake = self.brake.engage(self.brake.reason, missing=missing, now=self._clock())
        elif self.brake.engaged:
            log.warning("the brake is released: everything is there again")
            self.brake = RELEASED

    def _engage(self, reason: str, *, missing: int) -> None:
        if not self.brake.engaged:
            log.error("the brake is engaged, nothing will be removed: %s", reason)
        self.brake = self.brake.engage(reason, missing=missing, now=self._clock())

    async def _drop_few(self, missing: Sequence[Known]) -> None:
        """Believe a hint that files are gone, unless they are so many that a full scan must judge."""
        if not missing:
            return
        # One at a time: two who judge at once would each see the room that is left, and both take it.
        async with self._dropping:
            if self.brake.engaged:
                return
            gone = await self._intake.gone(missing)
            if self._dropped_since_scan + len(gone) > allowance(self._believed_hot() + self._dropped_since_scan):
                self._wanted.set()
                return
            self._dropped_since_scan += await self._intake.drop(gone)

    def _believed_hot(self) -> int:
        assets = self._catalog.totals.assets
        return sum(assets[state] for state in SETTLED)

    def _tell(self, census: Census, dropped: int) -> None:
        for path, reason in census.oddities.items() - self.oddities.items():
            log.warning("not an asset: %s (%s)", printable(path), reason)
        self.oddities = census.oddities
        found = {"created": census.created, "changed": census.changed, "moved": census.moved, "missing": dropped}
        for kind, count in found.items():
            if count:
                self._observer.reconciled(kind, count)

    async def _end_scan(self) -> None:
        self._ended = self._begun
        self.scanned_at = self._clock()
        self.scanned.set()
        async with self._turn:
            self._turn.notify_all()


def _now() -> float:
    return asyncio.get_running_loop().time()
