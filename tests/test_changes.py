"""What a change leaves behind, seen on the pure function that decides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from catalogs import A_FAILURE, a_sighting, change
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW, a_proof, an_asset

from index.asset import Asset, Failure, Fingerprint, RelPath
from index.changes import Change, last_use, outcome
from index.errors import StaleTransitionError
from index.lifecycle import HOT, TRANSITIONS, UNPROTECTED, Event, IllegalTransitionError, State

EDGES = [(state, event) for state, row in TRANSITIONS.items() for event in row]


def an_asset_in(state: State, **changes: Any) -> Asset:
    """Return an asset such as a row in this state may be."""
    proof = None if state in UNPROTECTED else a_proof(generation=3)
    asset = an_asset(state=state, generation=3, proof=proof, due_at=1.0, changed_at=1.0)
    if state not in HOT:
        asset = replace(asset, fingerprint=None, ctime_ns=0, disk_bytes=0, mode=0, links=0, sha256=None)
    return replace(asset, **changes)


@pytest.mark.parametrize(("state", "event"), EDGES)
def test_the_lifecycle_decides_the_state(state: State, event: Event) -> None:
    """An outcome is in the state that the table says."""
    asset = an_asset_in(state)
    assert outcome(asset, change(asset, event), now=NOW).state is TRANSITIONS[state][event]


@pytest.mark.parametrize(("state", "event"), EDGES)
def test_a_local_file_is_known_where_the_state_says_so(state: State, event: Event) -> None:
    """After every event an asset has a fingerprint exactly in the states whose bytes are on disk."""
    asset = an_asset_in(state, proof=a_proof(generation=3))
    after = outcome(asset, change(asset, event), now=NOW)
    assert (after.fingerprint is not None) == (after.state in HOT)
    assert after.fingerprint is not None or (after.ctime_ns, after.disk_bytes, after.mode, after.links) == (0, 0, 0, 0)
    assert after.fingerprint is not None or after.sha256 is None


@pytest.mark.parametrize(("state", "event"), EDGES)
def test_what_is_written_anew_is_a_new_generation(state: State, event: Event) -> None:
    """It rises by one when the owner wrote, or an object is written of the same content, and never otherwise."""
    asset = an_asset_in(state)
    after = outcome(asset, change(asset, event), now=NOW)
    assert after.generation == 3 + (event in {Event.CHANGED, Event.MISPLACED})
    if event is Event.MISPLACED:
        assert after.is_proven == asset.is_proven


@pytest.mark.parametrize(("state", "event"), EDGES)
def test_a_change_about_something_else_is_stale(state: State, event: Event) -> None:
    """What is said of another generation, or of another state, changes nothing."""
    asset = an_asset_in(state)
    about = change(asset, event)
    other = State.COLD if state is not State.COLD else State.NEW
    for stale in (replace(about, generation=2), replace(about, generation=4), replace(about, state=other)):
        with pytest.raises(StaleTransitionError, match=r"a\.jpg: .* read it again"):
            outcome(asset, stale, now=NOW)


def test_an_edge_that_is_not_there_is_a_bug() -> None:
    """An event that the table does not have in this state is refused."""
    with pytest.raises(IllegalTransitionError):
        outcome(an_asset_in(State.NEW), change(an_asset_in(State.NEW), Event.EVICTED), now=NOW)


def test_changed_forgets_what_was_about_the_old_content() -> None:
    """A new content has no digest, no failure, no permission; it keeps the proof of the old one, and is due now."""
    asset = an_asset_in(State.STUCK, proof=a_proof(generation=2), failure=A_FAILURE, overwrite=True, purge=True)
    sighting = a_sighting(size=5)
    after = outcome(asset, Change.about(asset, Event.CHANGED, sighting=sighting), now=NOW)
    assert after == replace(
        asset,
        state=State.NEW,
        generation=4,
        fingerprint=sighting.fingerprint,
        ctime_ns=sighting.ctime_ns,
        disk_bytes=sighting.disk_bytes,
        mode=sighting.mode,
        links=1,
        sha256=None,
        content_type=None,
        failure=None,
        overwrite=False,
        purge=False,
        due_at=NOW,
        changed_at=NOW,
    )
    assert not after.is_proven


def test_a_rename_keeps_what_it_brings() -> None:
    """A file that moved takes its digest and its place in the queue with it."""
    asset = an_asset_in(State.REPLICATED)
    moved = Change.about(
        asset, Event.CHANGED, path=RelPath("b.jpg"), sighting=a_sighting("b.jpg"), sha256="7" * 64, due_at=NOW + 2
    )
    after = outcome(asset, moved, now=NOW)
    assert (after.path, after.sha256, after.due_at, after.proof) == ("b.jpg", "7" * 64, NOW + 2, asset.proof)


@pytest.mark.parametrize(
    ("failure", "due_at"),
    [(None, NOW), (A_FAILURE, NOW), (Failure("unavailable", "later", 1, NOW + 30), NOW + 30)],
)
def test_deferred_says_when(failure: Failure | None, due_at: float) -> None:
    """A deferred asset is due again when its failure says, or now; without a failure an old one is forgotten."""
    asset = an_asset_in(State.UPLOADING, failure=Failure("unavailable", "earlier", 1, 2.0))
    after = outcome(asset, Change.about(asset, Event.DEFERRED, failure=failure), now=NOW)
    assert (after.failure, after.due_at) == (failure, due_at)


def test_retried_is_due_at_once() -> None:
    """What a person retries has no failure, is due now, and may overwrite if they said so."""
    asset = an_asset_in(State.STUCK, failure=A_FAILURE)
    after = outcome(asset, Change.about(asset, Event.RETRIED, overwrite=True), now=NOW)
    assert (after.failure, after.due_at, after.overwrite) == (None, NOW, True)


def test_verified_is_proven() -> None:
    """A verified asset has its proof and its digest, and neither failure nor permission."""
    asset = an_asset_in(State.VERIFYING, sha256=None, failure=A_FAILURE, overwrite=True)
    proof = a_proof(generation=3, sha256="9" * 64)
    after = outcome(asset, Change.about(asset, Event.VERIFIED, proof=proof, content_type="x/y"), now=NOW)
    assert after.is_proven
    assert (after.sha256, after.content_type, after.failure, after.overwrite) == ("9" * 64, "x/y", None, False)


def test_a_wrong_copy_of_a_replicated_asset_is_forgotten() -> None:
    """What was thought safe is unprotected from now on, due now, and has neither proof nor digest."""
    asset = an_asset_in(State.REPLICATED)
    after = outcome(asset, Change.about(asset, Event.MISMATCHED, failure=A_FAILURE), now=NOW)
    assert (after.proof, after.sha256, after.failure) == (None, None, A_FAILURE)
    assert (after.due_at, after.changed_at) == (NOW, NOW)


def test_a_wrong_copy_of_a_cold_asset_stays_described() -> None:
    """Damage keeps the proof: it says what should be there."""
    asset = an_asset_in(State.COLD)
    after = outcome(asset, Change.about(asset, Event.MISMATCHED, failure=A_FAILURE), now=NOW)
    assert (after.state, after.proof, after.failure) == (State.DAMAGED, asset.proof, A_FAILURE)


def test_vanished_makes_the_remote_content_the_present_one() -> None:
    """Where the owner removed what was not uploaded yet, the older remote copy is what the asset is now."""
    asset = an_asset_in(State.NEW, proof=a_proof(generation=2))
    after = outcome(asset, Change.about(asset, Event.VANISHED), now=NOW)
    assert after.is_proven
    assert (after.state, after.generation, after.size) == (State.COLD, 3, 1000)


def test_restored_is_hot_and_wanted() -> None:
    """A promoted asset has a file, the proven digest, and counts as used and promoted now."""
    asset = an_asset_in(State.PROMOTING, failure=A_FAILURE)
    after = outcome(asset, Change.about(asset, Event.RESTORED, sighting=a_sighting()), now=NOW)
    assert (after.sha256, after.promoted_at, after.last_access, after.failure) == ("5" * 64, NOW, NOW, None)


def test_removed_keeps_what_the_purge_needs() -> None:
    """A tombstone that must still be purged knows its object."""
    asset = an_asset_in(State.COLD)
    after = outcome(asset, Change.about(asset, Event.REMOVED, purge=True), now=NOW)
    assert (after.state, after.purge, after.proof, after.changed_at) == (State.GONE, True, asset.proof, NOW)


def test_a_file_at_a_tombstone_is_another_file() -> None:
    """What appears where something was removed was first seen now, and nothing of it is purged."""
    asset = an_asset_in(State.GONE, purge=True)
    after = outcome(asset, change(asset, Event.CHANGED), now=NOW)
    assert (after.discovered_at, after.purge) == (NOW, False)


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_file_was_never_used_in_the_future(atime_ns: int, ctime_ns: int) -> None:
    """The last use is the later of access and arrival, and never later than now."""
    used = last_use(a_sighting(atime_ns=atime_ns, ctime_ns=ctime_ns), now=NOW)
    assert used == min(NOW, max(atime_ns, ctime_ns) / 1e9)


def test_a_change_speaks_of_the_asset_as_it_is_known() -> None:
    """`about` takes id, state and generation from the asset, so that it applies to nothing else."""
    asset = an_asset_in(State.NEW, fingerprint=Fingerprint(1, 2, 3))
    about = Change.about(asset, Event.CLAIMED, reason="why")
    assert (about.id, about.state, about.generation, about.reason) == (asset.id, State.NEW, 3, "why")


def test_the_mode_that_left_is_the_one_that_comes_back() -> None:
    """A file whose mode was changed after its upload is restored with the mode that it had when it left."""
    asset = an_asset_in(State.DEMOTING, mode=0o600)
    after = outcome(asset, change(asset, Event.EVICTED), now=NOW)
    assert after.proof == a_proof(generation=3, mode=0o600)
