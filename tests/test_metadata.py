"""What travels with an object comes back from it, whatever the asset is called."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import paths

from index.asset import AssetId, RelPath, path_from_bytes
from tiering.metadata import PATH_BYTES, Passport, decode_path, encode_path

S3_METADATA_BYTES = 2048

PASSPORT = Passport(AssetId("f" * 32), 2**62, RelPath("a/b.jpg"), "0" * 64, -(2**62), 0o7777, "1" * 64)


def short_paths() -> st.SearchStrategy[RelPath]:
    """Draw paths that metadata has room for."""
    return paths(deepest=4)


@given(short_paths(), st.integers(0, 2**62), st.integers(-(2**62), 2**62), st.integers(0, 0o7777))
def test_a_passport_comes_back_as_it_went(path: RelPath, generation: int, mtime_ns: int, mode: int) -> None:
    """The index can be rebuilt from the bucket alone."""
    passport = replace(PASSPORT, path=path, generation=generation, mtime_ns=mtime_ns, mode=mode)
    assert Passport.from_metadata(passport.to_metadata()) == passport


def test_the_first_content_replaces_none() -> None:
    """An entry that says nothing is not sent."""
    passport = replace(PASSPORT, replaces=None)
    assert "tierd-replaces" not in passport.to_metadata()
    assert Passport.from_metadata(passport.to_metadata()) == passport


@given(short_paths())
def test_metadata_survives_being_an_http_header(path: RelPath) -> None:
    """Names and values are printable ASCII, without blanks at the ends, which a header would lose."""
    for name, value in replace(PASSPORT, path=path).to_metadata().items():
        assert name == name.lower()
        assert (name + value).isascii()
        assert (name + value).isprintable()
        assert value == value.strip() != ""


@given(paths(deepest=12))
def test_metadata_is_within_what_s3_takes(path: RelPath) -> None:
    """A path fits with everything else into 2 KiB, or is refused."""
    with suppress(ValueError):
        entries = replace(PASSPORT, path=path).to_metadata()
        assert sum(len(name) + len(value) for name, value in entries.items()) <= S3_METADATA_BYTES


def test_a_path_without_room_is_refused_before_anything_is_sent() -> None:
    """The error says how much room there is."""
    with pytest.raises(ValueError, match=f"1800 bytes .* {PATH_BYTES} are left"):
        encode_path(RelPath("/".join(["d" * 199] * 9) + "/"))


def test_any_path_of_a_thousand_bytes_has_room() -> None:
    """Even the least readable bytes take no more than four thirds of their length."""
    path = path_from_bytes(b"/".join([b"\xff" * 249] * 5))
    assert len(path) > 1200
    assert decode_path(encode_path(path)) == path


@given(paths(), paths())
def test_encoded_paths_are_as_different_as_the_paths(one: RelPath, two: RelPath) -> None:
    """No name looks like the encoding of another."""
    long = PATH_BYTES // 2
    if len(one) + len(two) < long:
        assert (encode_path(one) == encode_path(two)) == (one == two)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tierd-generation", "first"),
        ("tierd-mode", "9"),
        ("tierd-mtime-ns", "1.5"),
        ("tierd-path", "base64:a"),
        ("tierd-path", "base64:ä"),
        ("tierd-path", "../../etc/passwd"),
        ("tierd-path", "/etc/passwd"),
        ("tierd-path", "a%00b"),
        ("tierd-path", ""),
        ("tierd-sha256", "short"),
        ("tierd-sha256", "0" * 64 + "\n"),
        ("tierd-id", ""),
        ("tierd-id", "../" * 10 + "xy"),
        ("tierd-generation", str(2**63)),
        ("tierd-generation", "-1"),
        ("tierd-mtime-ns", str(2**63)),
        ("tierd-mode", "10000"),
        ("tierd-mode", "-1"),
    ],
)
def test_a_damaged_passport_is_none(name: str, value: str) -> None:
    """Metadata that anybody could have written never names a file outside the root, nor half an asset."""
    assert Passport.from_metadata({**PASSPORT.to_metadata(), name: value}) is None


@pytest.mark.parametrize("name", sorted(replace(PASSPORT, replaces=None).to_metadata()))
def test_a_passport_that_is_not_whole_is_none(name: str) -> None:
    """Every entry is needed, but the one that a first content has not."""
    entries = PASSPORT.to_metadata()
    del entries[name]
    assert Passport.from_metadata(entries) is None
