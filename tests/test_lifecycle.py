"""The lifecycle is a table, so its promises are properties of data: no code is run to check them."""

from __future__ import annotations

from itertools import product

import pytest

from index.lifecycle import HOT, IN_FLIGHT, TRANSITIONS, UNPROTECTED, Event, IllegalTransitionError, State, advance

EDGES = [(before, event, after) for before, row in TRANSITIONS.items() for event, after in row.items()]


def entered_by(state: State) -> set[tuple[State, Event]]:
    """Return the edges into a state from others."""
    return {(before, event) for before, event, after in EDGES if after is state and before is not state}


def reachable(start: State) -> set[State]:
    """Return every state that can follow, in one step or many."""
    seen: set[State] = set()
    ahead = {start}
    while ahead:
        seen |= ahead
        ahead = {after for before, _, after in EDGES if before in ahead} - seen
    return seen


def test_every_state_has_a_row() -> None:
    """No state is a dead end by omission."""
    assert set(TRANSITIONS) == set(State)
    assert all(TRANSITIONS.values())


def test_every_event_is_used() -> None:
    """An event that nothing follows from is no event."""
    assert {event for _, event, _ in EDGES} == set(Event)


@pytest.mark.parametrize("state", State)
def test_every_state_is_reachable_from_every_other(state: State) -> None:
    """Whatever happens to an asset, it can still end anywhere."""
    assert reachable(state) == set(State)


def test_exactly_one_edge_removes_a_local_copy() -> None:
    """A file is taken away on one edge only: demoting, evicted, cold."""
    assert [edge for edge in EDGES if edge[1] is Event.EVICTED] == [(State.DEMOTING, Event.EVICTED, State.COLD)]


def test_a_file_leaves_the_disk_only_so_or_by_a_person() -> None:
    """Every other edge off the disk says that its owner, or who asked for it, removed the file."""
    off_disk = {event for before, event, after in EDGES if before in HOT and after not in HOT}
    assert off_disk == {Event.EVICTED, Event.VANISHED, Event.LOST, Event.REMOVED}


def test_demoting_is_entered_from_replicated_only() -> None:
    """Nothing but a proven asset is ever taken off the disk."""
    assert entered_by(State.DEMOTING) == {(State.REPLICATED, Event.CHOSEN)}


def test_replicated_is_entered_with_a_proof_only() -> None:
    """Replicated means proven: by a verification, a finished promotion, or a demotion given up."""
    assert entered_by(State.REPLICATED) == {
        (State.VERIFYING, Event.VERIFIED),
        (State.PROMOTING, Event.RESTORED),
        (State.DEMOTING, Event.SPARED),
    }


def test_a_file_comes_back_only_by_a_promotion_or_by_its_owner() -> None:
    """No edge invents a local file."""
    back = {event for before, event, after in EDGES if before not in HOT and after in HOT}
    assert back == {Event.RESTORED, Event.CHANGED}


def test_only_a_verification_protects() -> None:
    """On disk, an unprotected content becomes a protected one by its proof and by nothing else."""
    protected = {event for before, event, after in EDGES if before in UNPROTECTED and after in HOT - UNPROTECTED}
    assert protected == {Event.VERIFIED}


def test_a_written_file_is_a_new_one() -> None:
    """Whatever was believed, what an owner writes is to be uploaded."""
    assert {after for _, event, after in EDGES if event is Event.CHANGED} == {State.NEW}


def test_nothing_in_flight_is_removed() -> None:
    """A person's removal waits until no mover holds the asset."""
    assert all(Event.REMOVED not in TRANSITIONS[state] for state in IN_FLIGHT)


def test_each_flight_has_one_beginning() -> None:
    """A mover takes an asset by exactly one event, and from one state."""
    assert {state: entered_by(state) for state in IN_FLIGHT} == {
        State.UPLOADING: {(State.NEW, Event.CLAIMED)},
        State.VERIFYING: {(State.UPLOADING, Event.SENT)},
        State.DEMOTING: {(State.REPLICATED, Event.CHOSEN)},
        State.PROMOTING: {(State.COLD, Event.WANTED)},
    }


def test_every_flight_can_be_given_up() -> None:
    """From every state in flight a single event leads back to rest, so that a start can recover it."""
    assert all(set(TRANSITIONS[state].values()) - IN_FLIGHT for state in IN_FLIGHT)


def test_damage_is_mended_by_a_person_or_by_the_owner() -> None:
    """What is missing in the store never becomes right by itself."""
    assert set(TRANSITIONS[State.DAMAGED]) == {Event.RETRIED, Event.CHANGED, Event.REMOVED}


def test_advance_is_the_table() -> None:
    """`advance` follows the table everywhere, and refuses everything else."""
    for state, event in product(State, Event):
        if event in TRANSITIONS[state]:
            assert advance(state, event) is TRANSITIONS[state][event]
        else:
            with pytest.raises(IllegalTransitionError, match=f"{state} cannot be {event}"):
                advance(state, event)
