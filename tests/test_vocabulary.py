"""What a type's fields may say, and that everything else is left as it was said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiering.moments import Day, parse_day
from tiering.vocabulary import TYPES, MeaningError, checked


@pytest.mark.parametrize(
    ("type", "fields", "kept"),
    [
        ("product", {"variant": "transparent", "product": "Power Dish Soap", "region": "US"}, {}),
        ("background", {"kind": "scene", "region": "EU", "season": "late summer"}, {}),
        ("composite", {"campaign": "c1", "aspect_ratio": "16:9"}, {}),
        ("artifact", {"season": "05", "episode": "0"}, {"season": "5"}),
        ("media", {"media_type": "video", "md5": "AB" * 16, "created": "2025-03"}, {"md5": "ab" * 16}),
        ("temporal", {"hash": "d41d8c", "timestamp": "1741530600"}, {}),
        ("plate", {"season": "", "md5": "none"}, {}),
        (None, {"season": "x"}, {}),
    ],
)
def test_values_are_kept_as_they_are_said(type: str | None, fields: dict[str, str], kept: dict[str, str]) -> None:
    """Numbers and digests in their one form; what a type says nothing about is free."""
    assert checked(type, fields) == fields | kept


@pytest.mark.parametrize(
    ("type", "field", "value", "right"),
    [
        ("product", "variant", "shiny", "transparent, original"),
        ("product", "product", " ", "not empty"),
        ("background", "kind", "Scene", "scene, gradient, solid"),
        ("composite", "aspect_ratio", "wide", "16:9"),
        ("artifact", "season", "five", "whole number"),
        ("artifact", "episode", "-1", "whole number"),
        ("artifact", "episode", "\u0665", "whole number"),
        ("media", "media_type", "audio", "image, video, document"),
        ("media", "md5", "ab", "32 hexadecimal"),
        ("media", "created", "yesterday", "2025-03"),
        ("media", "created", "2025-13", "2025-03"),
        ("temporal", "hash", "a_b", "letters"),
        ("temporal", "timestamp", "9" * 13 + "9", "2025-03"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(type: str, field: str, value: str, right: str) -> None:
    """The message names the field, the value, and what it should be."""
    with pytest.raises(MeaningError, match=field) as told:
        checked(type, {field: value})
    assert right in str(told.value)


@settings(deadline=None)
@given(st.sampled_from(sorted(TYPES)), st.text(), st.data())
def test_what_is_kept_is_kept_again(type: str, value: str, data: st.DataObject) -> None:
    """The form in which a value is kept is its last: a rebuilt index says the same."""
    field = data.draw(st.sampled_from(sorted(TYPES[type])))
    try:
        kept = checked(type, {field: value})
    except MeaningError:
        return
    assert checked(type, kept) == kept


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2025", Day(2025)),
        ("2025-03", Day(2025, 3)),
        ("2025-03-09", Day(2025, 3, 9)),
        ("2025-03-09T23:30:00-05:00", Day(2025, 3, 10)),
        ("2025-03-09 23:30:00", Day(2025, 3, 9)),
        ("20250309_233000", Day(2025, 3, 9)),
        ("20250309", Day(2025, 3, 9)),
        ("1741563000", Day(2025, 3, 9)),
        ("1741563000123", Day(2025, 3, 9)),
    ],
)
def test_a_moment_has_a_day_in_utc(text: str, day: Day) -> None:
    """Wherever the daemon runs: a key must not depend on it."""
    assert parse_day(text) == day


@pytest.mark.parametrize("text", ["", "0000", "2025-3", "2025-02-30", "20251301", "now", "12", "2025-03-09T25:00"])
def test_anything_else_is_no_moment(text: str) -> None:
    """A day that there is not has no place in a key."""
    with pytest.raises(ValueError, match=r".*"):
        parse_day(text)
