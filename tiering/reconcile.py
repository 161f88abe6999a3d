"""What a scan and the index, laid side by side, say about each asset. Pure: nothing is looked at, nothing changed.

The files are the truth where they were seen. Where nothing was seen a file is only a candidate for missing: whoever
acts on it must hear it from the kernel first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from index.lifecycle import HOT, IN_FLIGHT, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from index.asset import AssetId, Sighting
    from index.rows import Known
    from tiering.scan import Oddity

SETTLED: Final = HOT - IN_FLIGHT
"""The states in which a file should be on disk and no mover has a hand on it."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is to be done. `held` are files that differ from what a mover has in hand: to be looked at when it is done.

    `refreshed` are files whose content did not change, with what the index may learn of them. `touched` are replicated
    files whose ctime moved on: only reading them tells whether the content is the proven one.
    """

    discovered: list[Sighting] = field(default_factory=list)
    changed: list[tuple[Known, Sighting]] = field(default_factory=list)
    refreshed: list[tuple[AssetId, Sighting]] = field(default_factory=list)
    touched: list[Known] = field(default_factory=list)
    held: list[Known] = field(default_factory=list)
    missing: list[Known] = field(default_factory=list)


def compare(
    sightings: Iterable[Sighting], rows: Iterable[Known], oddities: Sequence[Oddity] = (), *, now: float
) -> Findings:
    """Lay what was seen beside the rows of the same range of paths."""
    findings = Findings()
    unseen = {row.path: row for row in rows}
    for sighting in sightings:
        row = unseen.pop(sighting.path, None)
        if row is None:
            findings.discovered.append(sighting)
        elif row.fingerprint != sighting.fingerprint:
            _note_difference(findings, row, sighting)
        elif row.state not in IN_FLIGHT:
            _note_agreement(findings, row, sighting, now)
    hidden = Hidden(oddities)
    findings.missing.extend(row for row in unseen.values() if row.state in SETTLED and not hidden.covers(row.path))
    return findings


class Hidden:
    """The paths of which nothing is known: those of oddities, and all beneath them."""

    def __init__(self, oddities: Iterable[Oddity]) -> None:
        self._paths = {oddity.path for oddity in oddities}

    def covers(self, path: str) -> bool:
        """Return whether the path is one of them."""
        if not self._paths:
            return False
        names = path.split("/")
        return any("/".join(names[:count]) in self._paths for count in range(len(names) + 1))


def _note_difference(findings: Findings, row: Known, sighting: Sighting) -> None:
    if row.state in IN_FLIGHT:
        findings.held.append(row)
    else:
        # A row without a fingerprint is cold or damaged: its owner has put a file where we keep none.
        findings.changed.append((row, sighting))


def _note_agreement(findings: Findings, row: Known, sighting: Sighting, now: float) -> None:
    if row.state is State.REPLICATED and sighting.ctime_ns != row.ctime_ns:
        findings.touched.append(row)
    if (news := _news(row, sighting, now)) is not None:
        findings.refreshed.append((row.id, news))


def _news(row: Known, sighting: Sighting, now: float) -> Sighting | None:
    """Return what the index should learn of a file whose content is as it was; None where that is nothing."""
    was_touched = sighting.ctime_ns != row.ctime_ns
    is_news = (sighting.disk_bytes, sighting.links) != (row.disk_bytes, row.links)
    if row.state is State.REPLICATED:
        # The row keeps the ctime of the moment when the content was hashed. Content can change and be given its old
        # mtime: the difference stays visible until it is hashed again.
        sighting = sighting._replace(ctime_ns=row.ctime_ns) if was_touched else sighting
        was_touched = False
    # An access in the future is a clock gone wrong, and would be news at every scan.
    was_read = row.last_access < sighting.atime_ns / 1e9 <= now
    return sighting if was_touched or is_news or was_read else None
