"""What people say of an asset travels with its object, and comes back from it as it was said."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import paths

from tiering.label import METADATA_BYTES, Label, check_tags, fitting
from tiering.metadata import Passport, encode_path, largest_entries
from tiering.vocabulary import MeaningError

any_text = st.text(max_size=12) | st.sampled_from(
    ["a=b&c", "100%", " x ", "\ud800", "\udcff", "\x7f", "Power Dish Soap"]
)
words = st.dictionaries(any_text, any_text, max_size=4)


@settings(deadline=None)
@given(st.none() | any_text.filter(bool), words, words)
def test_a_label_comes_back_as_it_went(type: str | None, fields: dict[str, str], tags: dict[str, str]) -> None:
    """And survives being HTTP headers: printable ASCII, without blanks."""
    entries = Label(type, fields, tags).to_metadata()
    assert Label.from_metadata(entries) == Label(type, fields, tags)
    for name, value in entries.items():
        assert (name + value).isascii()
        assert (name + value).isprintable()
        assert " " not in value
        assert value


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["tierd-type", "tierd-fields", "tierd-tags"]), st.text(max_size=30)))
def test_anything_may_be_written_there(entries: dict[str, str]) -> None:
    """Whatever it is, it is a label, and one that travels on."""
    label = Label.from_metadata(entries)
    assert Label.from_metadata(label.to_metadata()) == label


def test_people_can_read_it() -> None:
    """In the bucket, with any tool."""
    label = Label("product", {"variant": "original", "product": "Power Dish Soap"}, {"campaign": "spring_2025"})
    assert label.to_metadata() == {
        "tierd-type": "product",
        "tierd-fields": "product=Power%20Dish%20Soap&variant=original",
        "tierd-tags": "campaign=spring_2025",
    }


@pytest.mark.parametrize(
    "tags",
    [
        {f"t{number}": "" for number in range(11)},
        {"": "x"},
        {"n" * 129: "x"},
        {"a": "v" * 257},
        {"a": "50%"},
        {"a&b": "x"},
        {"aws:x": "y"},
        {"a": "new\nline"},
    ],
)
def test_tags_that_s3_would_refuse_are_refused_at_once(tags: dict[str, str]) -> None:
    """With the limit in the message; else the upload would be stuck, much later."""
    with pytest.raises(MeaningError, match=r"10|128"):
        check_tags(tags)


def test_tags_as_s3_takes_them() -> None:
    """Ten of them, of any letters."""
    check_tags({f"t{number}": "v" * 256 for number in range(9)} | {"n" * 128: "\u00fc 1+-=._:/@"})


@settings(deadline=None)
@given(paths(deepest=4), st.integers(0, 3000))
def test_what_is_taken_fits(path: str, count: int) -> None:
    """What was taken when it was said fits whenever the object is written."""
    with suppress(ValueError, MeaningError):
        encode_path(path)  # type: ignore[arg-type]
        entries = fitting(largest_entries(path), Label(fields={"note": "n" * count}))  # type: ignore[arg-type]
        assert sum(len(name) + len(value) for name, value in entries.items()) <= METADATA_BYTES
        assert Passport.from_metadata(entries) is not None


def test_too_much_is_refused_with_what_is_left() -> None:
    """The message counts both, so that one knows how much less to say."""
    with pytest.raises(MeaningError, match=r"type, fields and tags take 2\d\d\d bytes .* \d+ are left"):
        fitting(largest_entries("a/b.jpg"), Label(fields={"note": "n" * 2000}))  # type: ignore[arg-type]
