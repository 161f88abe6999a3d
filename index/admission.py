"""What comes into the index from outside: the files that a scan found, and the objects that the store has."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING

from index import listed, misplaced, queries
from index.asset import Asset, AssetId, new_asset_ids, path_to_bytes
from index.changes import Change, last_use, succeeds
from index.errors import StaleTransitionError, UnknownAssetError
from index.ledger import add, drop, get, look, perform, save, unmark
from index.lifecycle import Event, State
from index.records import DISCOVERED, record
from index.rows import clamped, fingerprint_columns, signed
from index.warmth import Use, touch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from index.asset import Sighting
    from index.changes import FoundObject, Observations
    from index.rows import Row
    from index.warmth import Warming


def observe(connection: sqlite3.Connection, batch: Observations, warming: Warming, *, now: float) -> None:
    """Take in what a scan found. What is stale is left out: the next scan sees it again."""
    for change in batch.changes:
        try:
            perform(connection, (change,), now=now)
        except (StaleTransitionError, UnknownAssetError):
            continue
    _discover(connection, batch.discovered, batch.seen_after, now)
    same = [each for each in batch.refreshed if connection.execute(queries.REFRESH, _refreshed(*each)).rowcount]
    touch(connection, {each: Use(min(file.atime_ns / 1e9, now), 0) for each, file in same}, warming)
    misplaced.mark(connection, batch.misplaced)


def _discover(
    connection: sqlite3.Connection, discovered: Sequence[tuple[Sighting, float]], seen_after: float | None, now: float
) -> None:
    if not discovered:
        return
    (last_row,) = connection.execute(queries.LAST_ROW).fetchone()
    rows = _rows(discovered, now)
    added = 0
    for _ in range(len(discovered) // queries.DISCOVERED_AT_ONCE):
        values = chain.from_iterable(islice(rows, queries.DISCOVERED_AT_ONCE))
        added += connection.execute(queries.DISCOVER_MANY, (now, *values)).rowcount
    for row in rows:
        added += connection.execute(queries.DISCOVER, (now, *row)).rowcount
    connection.execute(queries.RECORD_DISCOVERED, (DISCOVERED, last_row))
    if added < len(discovered):
        _revive(connection, discovered, seen_after, now)


def _revive(
    connection: sqlite3.Connection, discovered: Iterable[tuple[Sighting, float]], seen_after: float | None, now: float
) -> None:
    """Some of the files are at paths that have a row: where it is a tombstone, it is one no longer.

    Unless it became one while they were looked at: the file that was seen may be the one that was removed.
    """
    since = now if seen_after is None else seen_after
    for sighting, due_at in discovered:
        there = look(connection, sighting.path)
        # A tombstone of the future is of a clock that was wrong, and says nothing.
        if there is not None and there.state is State.GONE and not since <= there.changed_at < now:
            perform(connection, (Change.about(there, Event.CHANGED, sighting=sighting, due_at=due_at),), now=now)


def _rows(discovered: Sequence[tuple[Sighting, float]], now: float) -> Iterator[Row]:
    ids = new_asset_ids(len(discovered))
    for asset_id, (sighting, due_at) in zip(ids, discovered, strict=True):
        path, (size, mtime_ns, inode), ctime_ns, disk_bytes, mode, links, _ = sighting
        yield (
            asset_id,
            path_to_bytes(path),
            size,
            clamped(mtime_ns),
            signed(inode),
            clamped(ctime_ns),
            disk_bytes,
            mode,
            links,
            due_at,
            last_use(sighting, now=now),
        )


def _refreshed(asset_id: AssetId, sighting: Sighting) -> dict[str, object]:
    return {
        "id": asset_id,
        **fingerprint_columns(sighting.fingerprint),
        "ctime_ns": clamped(sighting.ctime_ns),
        "disk_bytes": sighting.disk_bytes,
        "mode": sighting.mode,
        "links": sighting.links,
    }


def adopt(connection: sqlite3.Connection, found: Iterable[FoundObject], *, now: float) -> int:
    """Take in the objects that the index does not know, and return how many those were.

    Of several objects of one asset the highest generation is the asset; the others are superseded, and left alone.
    """
    return sum(_adopt(connection, each, now) for each in found)


def _adopt(connection: sqlite3.Connection, found: FoundObject, now: float) -> bool:
    was_pinned = listed.strike(connection, found.path)
    namesake = _namesake(connection, found) or _twin(connection, found)
    if namesake is not None and not _is_superseded(namesake, found):
        return False
    if namesake is not None and namesake.state is State.GONE:
        drop(connection, namesake.id)
        namesake = None
    there = look(connection, found.path)
    # A tombstone, or an asset that knows its own remote copy, is not for an object to overrule.
    if there is not None and there != namesake and (there.state is not State.NEW or there.proof is not None):
        return False
    if there is not None and there != namesake:
        if namesake is not None:
            drop(connection, namesake.id)
        _recognise(connection, there, found, now)
    elif namesake is not None and namesake.state is State.NEW:
        _recognise(connection, namesake, found, now)
    elif namesake is not None:
        _supersede(connection, namesake, found, now)
    else:
        _add_cold(connection, found, now, pinned=was_pinned)
    return True


def _namesake(connection: sqlite3.Connection, found: FoundObject) -> Asset | None:
    try:
        return get(connection, found.id)
    except UnknownAssetError:
        return None


def _twin(connection: sqlite3.Connection, found: FoundObject) -> Asset | None:
    """Return what stands for another host's object under an id of its own.

    Two hosts took the same content in, or what was removed was made anew.
    """
    there = look(connection, found.path) if found.elsewhere else None
    if there is None or there.state is State.GONE:
        return there
    return there if there.proof is not None and there.proof.key == found.proof.key else None


def _is_superseded(known: Asset, found: FoundObject) -> bool:
    """Whether an asset knows only an older object of its own: one without a file, or whose file is to be uploaded."""
    if known.state is State.NEW:
        is_older = known.proof is None or known.proof.generation < found.proof.generation
        return is_older and known.path == found.path and not found.elsewhere
    if known.state is State.GONE:
        # What was removed here is not in the store any more: at its path is what another host has made of it since.
        # Elsewhere may lie what it was before it was renamed, which stays removed.
        is_another = known.path == found.path or known.generation < found.proof.generation
        return found.elsewhere and not known.purge and is_another
    return known.state in {State.COLD, State.DAMAGED} and succeeds(found, known)


def _add_cold(connection: sqlite3.Connection, found: FoundObject, now: float, *, pinned: bool) -> None:
    asset = Asset(
        id=found.id,
        path=found.path,
        state=State.COLD,
        generation=found.proof.generation,
        fingerprint=None,
        ctime_ns=0,
        disk_bytes=0,
        mode=0,
        links=0,
        sha256=None,
        content_type=found.content_type,
        proof=found.proof,
        pinned=pinned,
        type=found.type,
        fields=found.fields,
        tags=found.tags,
        discovered_at=now,
        changed_at=now,
        due_at=now,
        last_access=found.proof.at,
        checked_at=now,
    )
    add(connection, asset)
    record(connection, DISCOVERED, None, asset, reason="found in the store", now=now)


def _supersede(connection: sqlite3.Connection, known: Asset, found: FoundObject, now: float) -> None:
    # Never back: a change that was meant for an earlier content would fit again.
    proof = replace(found.proof, generation=max(known.generation, found.proof.generation))
    if known.state is State.DAMAGED:
        # It was looked for as it had been: here it is as it is.
        known = perform(connection, (Change.about(known, Event.RETRIED, reason="a newer object was found"),), now=now)
    asset = replace(
        known,
        path=found.path,
        generation=proof.generation,
        proof=proof,
        content_type=found.content_type,
        changed_at=now,
        checked_at=now,
        **found.said,
    )
    save(connection, known, asset)
    record(connection, DISCOVERED, known, asset, reason="a newer object was found in the store", now=now)


def _recognise(connection: sqlite3.Connection, there: Asset, found: FoundObject, now: float) -> None:
    """Give a file whose asset was forgotten its identity back. It stays `new`: its content decides, once hashed."""
    local = there.fingerprint
    same = local is not None and (local.size, local.mtime_ns) == (found.proof.size, found.proof.mtime_ns)
    generation = max(there.generation, found.proof.generation + (0 if same else 1))
    # What another host wrote is nothing to replace: if the content is the same, the upload finds it.
    proof = None if found.elsewhere else found.proof
    # What an application has said since of the file counts for more.
    said = {} if there.is_described else found.said
    asset = replace(there, id=found.id, generation=generation, proof=proof, **said)
    save(connection, there, asset)
    if there.id != found.id:
        unmark(connection, there.id)
        # Who follows the events has heard of it under the id that it had until now.
        former = replace(there, state=State.GONE)
        record(connection, DISCOVERED, there, former, reason=f"it is the asset {found.id}", now=now)
    record(connection, DISCOVERED, there, asset, reason="its object was found in the store", now=now)
