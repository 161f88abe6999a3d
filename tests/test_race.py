"""How contestants are compared: in turns, by the ratio within a round, and not at all where the machine is noisy."""

from __future__ import annotations

from benchmarks.race import Race


def race(ours: list[float], theirs: list[float], *, less_is_better: bool = False) -> Race:
    """Return a race that was run."""
    return Race("a race", "objects/s", less_is_better, {"tierd": ours, "peer": theirs})


def test_everybody_begins_as_often_as_the_others() -> None:
    """The order of a round favours nobody."""
    ran: list[str] = []
    contestants = {name: lambda _, name=name: ran.append(name) or 1.0 for name in "abc"}  # type: ignore[misc]

    Race("", "").run(contestants, rounds=3)

    assert ran == [*"abc", *"bca", *"cab"]


def test_the_ratio_is_that_of_a_round() -> None:
    """A machine that is twice as slow in one round slows both, and the ratio stays."""
    found = race([100.0, 50.0, 102.0], [200.0, 100.0, 204.0])

    assert found.ratio("tierd", "peer").median == 0.5
    assert found.ratio("tierd", "peer").spread == 0.0


def test_where_less_is_better_the_ratio_turns_round() -> None:
    """Two milliseconds are twice as good as four."""
    assert race([2.0], [4.0], less_is_better=True).ratio("tierd", "peer").median == 2.0


def test_a_target_is_reached_or_missed() -> None:
    """And which, is said."""
    [*_, reached] = race([110.0] * 3, [100.0] * 3).lines("tierd", target=1.1)
    [*_, missed] = race([109.0] * 3, [100.0] * 3).lines("tierd", target=1.1)

    assert reached.endswith("to reach 1.10: reached")
    assert missed.endswith("1.09 (1.09-1.09), to reach 1.10: MISSED")


def test_noise_is_not_reported() -> None:
    """Where one varies by more than 30 %, there is no ratio at all."""
    lines = race([100.0, 100.0, 100.0], [100.0, 80.0, 111.0]).lines("tierd", target=1.0)

    assert "too noisy" in lines[-1]
    assert "peer" in lines[-1]
    assert not [line for line in lines if "to reach" in line]


def test_the_peer_is_the_best_one_and_not_what_the_machine_allows() -> None:
    """The bare library is shown beside, as the limit."""
    found = Race("", "", reached={"tierd": [100.0], "slow": [50.0], "fast": [80.0], "bare": [200.0]})

    lines = found.lines("tierd", target=1.0, physical="bare")

    assert "tierd / fast: 1.25" in lines[-2]
    assert "tierd / bare: 0.50" in lines[-1]
