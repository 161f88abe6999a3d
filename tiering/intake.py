"""How findings become what the index believes.

Every finding that costs an asset something is looked at once more before it is believed: what changed, whether its
writer is done; what is missing, whether the kernel says so beneath a root that carries our marker.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Unpack

from index.changes import Change, Observations
from index.errors import UnknownAssetError
from index.lifecycle import IN_FLIGHT, Event, State
from tiering.file_lease import Quiet
from tiering.glance import Kind, glance, is_gone
from tiering.tree import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from index.asset import Asset, AssetId, Fingerprint, RelPath, Sighting
    from index.catalog import Catalog
    from index.changes import Brought
    from index.rows import Known
    from tiering.glance import Glance
    from tiering.reconcile import Findings
    from tiering.rehash import Rehasher
    from tiering.revisits import Revisits
    from tiering.tree import Tree

_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What came into the index: how many files were new or changed, and which assets had moved."""

    created: int = 0
    changed: int = 0
    moved: frozenset[AssetId] = field(default_factory=frozenset)


class Intake:
    """Believes what it must. `settle` is how long a file must be left alone where no file lease can be had."""

    def __init__(
        self,
        catalog: Catalog,
        tree: Tree,
        *,
        root_id: str,
        settle: float,
        clock: Callable[[], float],
        revisits: Revisits,
        rehasher: Rehasher,
        is_learnt: Callable[[], bool],
        is_misplaced: Callable[[Asset], bool],
    ) -> None:
        """`is_misplaced` says whether a remote copy is at the key of another path."""
        self._catalog = catalog
        self._tree = tree
        self._root_id = root_id
        self._settle = settle
        self._clock = clock
        self._revisits = revisits
        self._rehasher = rehasher
        self._is_learnt = is_learnt
        self._is_misplaced = is_misplaced

    async def take(
        self, findings: Findings, *, seen_after: float, patient: bool, renames: bool = True, waits: bool = True
    ) -> Taken:
        """Bring in what is there. `seen_after` is a time before any of it was looked at.

        With `patient`, a new file whose writer is not done is left for a later look.
        Without, it comes in at once, and the uploader waits for its writer. Without `renames` no new file is taken
        for one that the index knows by another name. Where there is no room for the index, raise IndexFullError unless
        it `waits`.
        """
        changes = await self._changes(findings.changed)
        moves, unmoved = await self._moves(findings.discovered) if renames else ([], findings.discovered)
        discovered = await self._finished(unmoved) if patient else unmoved
        self._rehasher.offer(findings.touched)
        for row in findings.held:
            self._postpone(row.path)
        now = self._clock()
        await self._observe(
            Observations(
                discovered=[(sighting, now) for sighting in discovered],
                seen_after=seen_after,
                changes=[*moves, *changes],
                refreshed=findings.refreshed,
            ),
            waits=waits,
        )
        return Taken(len(discovered), len(changes), frozenset(move.id for move in moves))

    async def gone(self, rows: Sequence[Known]) -> list[Known]:
        """Return those of the rows whose file the kernel says is not there."""
        return await asyncio.to_thread(lambda: [row for row in rows if is_gone(self._tree, row.path)]) if rows else []

    async def drop(self, rows: Sequence[Known]) -> int:
        """Believe that the files are gone, if they still are and this is still our root; return how many.

        While it is still being learnt what the store has, a file that was not replicated may be cold by now: it waits.
        """
        if not self._is_learnt():
            rows = [row for row in rows if row.state is State.REPLICATED]
        dropped = 0
        for start in range(0, len(rows), _AT_ONCE):
            gone = await self.gone(rows[start : start + _AT_ONCE])
            # The marker is looked for after the files: an unmount in between must not look like their end.
            if not gone or await self.marker_fault() is not None:
                continue
            departures = [_departure(row) for row in gone]
            await self._observe(Observations(changes=departures, misplaced=await self._misplaced(gone)))
            dropped += len(gone)
        return dropped

    async def _misplaced(self, rows: Sequence[Known]) -> list[AssetId]:
        """Return those that were renamed, and not uploaded since: another file may want the key of their remote copy.

        Of what is replicated the upload has seen to it.
        """
        misplaced = []
        for row in rows:
            if row.proven and row.state is not State.REPLICATED:
                # One that nobody knows any more has not moved either.
                with suppress(UnknownAssetError):
                    if self._is_misplaced(await self._catalog.get(row.id)):
                        misplaced.append(row.id)
        return misplaced

    async def marker_fault(self) -> str | None:
        """Return why the root cannot be taken for ours, None where it can."""
        try:
            found = await asyncio.to_thread(self._tree.read_marker)
        except FileError as error:
            return f"the marker of the cache root cannot be read: {error}"
        if found is None:
            return f"the cache root {self._tree.root} has lost its marker: is its disk mounted?"
        if found != self._root_id:
            return f"the cache root {self._tree.root} carries the marker of another one"
        return None

    async def mark(self) -> None:
        """Take a root whose marker is missing or foreign for ours, on the word of a person."""
        if await self.marker_fault() is None:
            return
        # Where it cannot be written the fault stays, and is told by whoever asks for it next.
        with suppress(FileError):
            await asyncio.to_thread(self._tree.prepare)
            await asyncio.to_thread(self._tree.write_marker, self._root_id)

    async def _changes(self, candidates: Sequence[tuple[Known, Sighting]]) -> list[Change]:
        if not candidates:
            return []
        glances = await self._glances([row.path for row, _ in candidates])
        changes = []
        for (row, _), seen in zip(candidates, glances, strict=True):
            # The scan's sighting may be older than the row: what counts is what is there now.
            if seen.sighting is None or seen.sighting.fingerprint == row.fingerprint:
                continue
            if self._is_finished(row.path, seen):
                changes.append(_change(row, sighting=seen.sighting))
        return changes

    async def _finished(self, discovered: Sequence[Sighting]) -> list[Sighting]:
        if not discovered:
            return []
        paths = [sighting.path for sighting in discovered]
        glances = zip(paths, await self._glances(paths), strict=True)
        return [seen.sighting for path, seen in glances if seen.sighting and self._is_finished(path, seen)]

    def _is_finished(self, path: RelPath, seen: Glance) -> bool:
        """Return whether the file's writer is done; where he is not, look again later."""
        if seen.kind is Kind.FILE and seen.quiet is Quiet.BUSY:
            self._postpone(path)
            return False
        if seen.sighting is not None and seen.quiet is Quiet.UNKNOWN:
            quiet_for = self._clock() - seen.sighting.ctime_ns / 1e9
            # A time in the future is a clock gone wrong, and no reason to wait for ever.
            if 0 <= quiet_for < self._settle:
                self._revisits.appoint(path, at=asyncio.get_running_loop().time() + self._settle - quiet_for)
                return False
        return True

    async def _moves(self, discovered: Sequence[Sighting]) -> tuple[list[Change], list[Sighting]]:
        """Tell the files that were renamed from those that are new. One that a mover has in hand is left for later."""
        origins = await self._origins(discovered)
        moves = []
        unmoved = []
        for sighting in discovered:
            # Of two names that a file has now, the first has moved, and the other is new.
            origin = origins.pop(sighting.fingerprint, None)
            if origin is None:
                unmoved.append(sighting)
            elif origin.state in IN_FLIGHT:
                self._postpone(sighting.path)
            else:
                moves.append(await self._move(origin, sighting))
        return moves, unmoved

    async def _origins(self, discovered: Sequence[Sighting]) -> dict[Fingerprint, Known]:
        """Return the assets that were these files, and whose own path has none any more."""
        rows = await self._catalog.by_fingerprint([sighting.fingerprint for sighting in discovered])
        return {row.fingerprint: row for row in await self.gone(rows) if row.fingerprint is not None}

    async def _move(self, origin: Known, sighting: Sighting) -> Change:
        asset = await self._catalog.get(origin.id)
        return _change(
            origin,
            path=sighting.path,
            sighting=sighting,
            sha256=asset.sha256,
            content_type=asset.content_type,
            reason="renamed",
        )

    async def _glances(self, paths: Sequence[str]) -> list[Glance]:
        return await asyncio.to_thread(lambda: [glance(self._tree, path) for path in paths])

    async def _observe(self, batch: Observations, *, waits: bool = True) -> None:
        if batch.discovered or batch.changes or batch.refreshed:
            await self._catalog.observe(batch, patient=waits)

    def _postpone(self, path: RelPath) -> None:
        self._revisits.postpone(path, now=asyncio.get_running_loop().time())


def _change(row: Known, **what: Unpack[Brought]) -> Change:
    return Change(id=row.id, state=row.state, generation=row.generation, event=Event.CHANGED, **what)


def _departure(row: Known) -> Change:
    event = Event.VANISHED if row.proven else Event.LOST
    return Change(id=row.id, state=row.state, generation=row.generation, event=event)
