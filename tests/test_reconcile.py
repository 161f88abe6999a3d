"""What a scan and the index say together, for whatever either of them holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from index.asset import AssetId, Fingerprint, RelPath, Sighting
from index.lifecycle import HOT, IN_FLIGHT, TRANSITIONS, Event, State
from index.rows import Known
from tiering.reconcile import SETTLED, Hidden, compare
from tiering.scan import Oddity

if TYPE_CHECKING:
    from tiering.reconcile import Findings

NOW = 1000.0
PATHS = st.sampled_from(["a", "a/b", "a/b/c", "ab", "b", "b/c", "\udcff"]).map(RelPath)
FINGERPRINTS = st.builds(Fingerprint, st.integers(0, 1), st.integers(0, 1), st.integers(1, 2))
STATES = st.sampled_from([state for state in State if state is not State.GONE])


def sighting(path: str, fingerprint: Fingerprint, *, ctime_ns: int = 0, links: int = 1, atime: float = 0.0) -> Sighting:
    """Return a file as seen."""
    return Sighting(RelPath(path), fingerprint, ctime_ns, 512, 0o644, links, int(atime * 1e9))


def row(path: str, state: State, fingerprint: Fingerprint | None, *, proven: bool = True) -> Known:
    """Return a row of the index."""
    local = fingerprint if state in HOT else None
    return Known(AssetId(f"id of {path}"), RelPath(path), state, 1, local, 0, 512, 1, 500.0, proven)


SIGHTINGS = st.dictionaries(PATHS, FINGERPRINTS).map(
    lambda files: [sighting(path, fingerprint) for path, fingerprint in files.items()]
)
ROWS = st.dictionaries(PATHS, st.tuples(STATES, FINGERPRINTS)).map(
    lambda rows: [row(path, state, fingerprint) for path, (state, fingerprint) in rows.items()]
)
ODDITIES = st.lists(PATHS.map(lambda path: Oddity(path, "odd")), max_size=2)


def ids_in(findings: Findings) -> list[AssetId]:
    """Return the ids of all rows that the findings name."""
    return [
        *(known.id for known, _ in findings.changed),
        *(asset_id for asset_id, _ in findings.refreshed),
        *(known.id for known in findings.held),
        *(known.id for known in findings.missing),
    ]


@given(SIGHTINGS, ROWS, ODDITIES)
def test_each_file_and_each_row_is_judged_once_and_rightly(
    sightings: list[Sighting], rows: list[Known], oddities: list[Oddity]
) -> None:
    """A file without a row is new; a row without a file, settled and not hidden, is missing; nothing is both."""
    findings = compare(sightings, rows, oddities, now=NOW)
    seen = {each.path: each for each in sightings}
    known = {each.path: each for each in rows}

    assert {each.path for each in findings.discovered} == seen.keys() - known.keys()
    assert len(ids_in(findings)) == len(set(ids_in(findings)))
    hidden = Hidden(oddities)
    for path, each in known.items():
        differs = path in seen and each.fingerprint != seen[path].fingerprint
        assert (each in findings.missing) is (path not in seen and each.state in SETTLED and not hidden.covers(path))
        assert (each in findings.held) is (differs and each.state in IN_FLIGHT)
        assert ((each, seen.get(path)) in findings.changed) is (differs and each.state not in IN_FLIGHT)


@given(SIGHTINGS, ROWS, ODDITIES)
def test_every_finding_is_a_move_that_the_lifecycle_allows(
    sightings: list[Sighting], rows: list[Known], oddities: list[Oddity]
) -> None:
    """What is reported as changed or missing can become so: no scan ever runs into a transition that is not there."""
    findings = compare(sightings, rows, oddities, now=NOW)
    for known, _ in findings.changed:
        assert Event.CHANGED in TRANSITIONS[known.state]
    for known in findings.missing:
        assert Event.VANISHED in TRANSITIONS[known.state]
        assert known.state is State.REPLICATED or Event.LOST in TRANSITIONS[known.state]


@given(SIGHTINGS)
def test_what_agrees_says_nothing(sightings: list[Sighting]) -> None:
    """Files as the index has them make no work, in whatever state they are."""
    rows = [row(each.path, state, each.fingerprint) for each, state in zip(sightings, list(HOT) * 2, strict=False)]
    findings = compare(sightings[: len(rows)], rows, now=NOW)
    assert findings == type(findings)()


@given(PATHS, PATHS)
def test_an_oddity_hides_itself_and_what_is_beneath_it(odd: RelPath, path: RelPath) -> None:
    """And nothing whose name merely begins alike."""
    assert Hidden([Oddity(odd, "")]).covers(path) is (path == odd or path.startswith(f"{odd}/"))


FILE = Fingerprint(1, 2, 3)


def refreshed(state: State, seen: Sighting) -> list[Sighting]:
    """Return what the index is told of an unchanged file."""
    return [news for _, news in compare([seen], [row("f", state, FILE)], now=NOW).refreshed]


def test_news_of_an_unchanged_file_reach_the_index() -> None:
    """A new ctime, another number of links, a later access."""
    for seen in (
        sighting("f", FILE, ctime_ns=9),
        sighting("f", FILE, links=2),
        sighting("f", FILE, atime=600.0),
    ):
        assert refreshed(State.NEW, seen) == [seen]


def test_an_access_in_the_past_or_the_future_is_no_news() -> None:
    """The index knows of a later one, or the clock is wrong, and would be at every scan."""
    for atime in (400.0, 500.0, NOW + 1):
        assert refreshed(State.NEW, sighting("f", FILE, atime=atime)) == []


def test_a_replicated_asset_keeps_the_ctime_at_which_it_was_hashed() -> None:
    """Content can change and be given its old mtime: the difference must be there until it is hashed again."""
    assert refreshed(State.REPLICATED, sighting("f", FILE, ctime_ns=9)) == []
    (news,) = refreshed(State.REPLICATED, sighting("f", FILE, ctime_ns=9, links=2))
    assert (news.ctime_ns, news.links) == (0, 2)


def test_only_a_replicated_asset_is_touched_by_a_new_ctime() -> None:
    """Others are hashed anyway before anybody relies on them."""
    for state in HOT:
        findings = compare([sighting("f", FILE, ctime_ns=9)], [row("f", state, FILE)], now=NOW)
        assert [known.path for known in findings.touched] == ["f"] * (state is State.REPLICATED)
    assert not compare([sighting("f", FILE)], [row("f", State.REPLICATED, FILE)], now=NOW).touched


def test_an_asset_in_flight_is_not_refreshed() -> None:
    """Its mover has read what it goes by."""
    for state in IN_FLIGHT & HOT:
        assert refreshed(state, sighting("f", FILE, ctime_ns=9, links=2)) == []
