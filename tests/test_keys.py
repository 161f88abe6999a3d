"""The layout: every file has a key that every store takes, and no two files have the same one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from samples import paths

from index.asset import RelPath, path_from_bytes, path_to_bytes
from tiering.keys import COMPONENT_BYTES, KEY_BYTES, RESERVED, MirrorLayout
from tiering.stores.rules import check_key

LAYOUT = MirrorLayout()
MARK = re.compile(r"~[0-9a-f]{16}\Z")


@given(paths())
def test_a_parsed_key_is_the_path_it_was_rendered_from(path: RelPath) -> None:
    """Parsing answers the very path, or that only the metadata can tell."""
    assert LAYOUT.path_of(LAYOUT.key_for(path)) in {path, None}


@given(paths(deepest=3))
def test_only_a_cut_key_cannot_be_parsed(path: RelPath) -> None:
    """Where nothing had to be cut, the key alone is enough."""
    key = LAYOUT.key_for(path)
    was_cut = any(MARK.search(part) for part in key.split("/"))
    assert (LAYOUT.path_of(key) is None) == was_cut
    if len(path_to_bytes(path)) < 80:
        assert not was_cut


@given(st.lists(paths(deepest=2), min_size=2, max_size=30, unique=True))
def test_no_two_paths_share_a_key(some: list[RelPath]) -> None:
    """A shared key would let one asset overwrite another."""
    assert len({LAYOUT.key_for(path) for path in some}) == len(some)


@given(paths(), st.integers(min_value=200, max_value=KEY_BYTES))
@example(path_from_bytes(b"/".join([b"d" * 250] * 3 + [b"n" * 254, b"x" * 50])), 1024)
@example(path_from_bytes(b"p" * 250), 200)
def test_nothing_is_rendered_that_a_store_would_fold_or_refuse(path: RelPath, key_bytes: int) -> None:
    """Every store takes the key, as it is, and no part of it is longer than a file's name may be."""
    key = MirrorLayout(key_bytes=key_bytes).key_for(path)
    check_key(key)
    assert len(key.encode()) <= key_bytes
    assert max(len(part.encode()) for part in key.split("/")) <= COMPONENT_BYTES
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\ufffe\uffff]", key)


@given(paths(), paths())
def test_cut_keys_of_siblings_differ(directory: RelPath, other: RelPath) -> None:
    """A whole key that is too long still tells its path from every other with the same beginning."""
    long = directory + "/" + "/".join(["d" * 200] * 6)
    one, two = RelPath(f"{long}/{directory}"), RelPath(f"{long}/{other}")
    assert (LAYOUT.key_for(one) == LAYOUT.key_for(two)) == (one == two)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("photos/2024/IMG_0001.jpg", "photos/2024/IMG_0001.jpg"),
        ("with space/ü 日本.jpg", "with space/ü 日本.jpg"),
        ("100%/a+b#c", "100%25/a+b#c"),
        ("back\\slash", "back%5Cslash"),
        ("new\nline", "new%0Aline"),
        ("bad\udcff", "bad%FF"),
        ("x~0123456789abcdef", "x%7E0123456789abcdef"),
        ("~0123456789abcdef/y", "%7E0123456789abcdef/y"),
        ("x~0123456789abcdef.jpg", "x~0123456789abcdef.jpg"),
    ],
)
def test_keys_read_like_paths(path: str, key: str) -> None:
    """What needs no escape has none; what is escaped is escaped as exact bytes."""
    assert LAYOUT.key_for(RelPath(path)) == key
    assert LAYOUT.path_of(key) == path


def test_a_long_name_keeps_its_beginning() -> None:
    """A cut name is still recognised by people, and ends in a mark."""
    key = LAYOUT.key_for(RelPath("d/" + "日" * 90))
    assert key.startswith("d/日日日")
    assert len(key.encode()) - 2 <= COMPONENT_BYTES
    assert MARK.search(key)
    assert LAYOUT.path_of(key) is None


def test_a_cut_never_splits_an_escape() -> None:
    """Half an escape would be another name."""
    for blanks in range(4):
        key = LAYOUT.key_for(RelPath("x" * blanks + "%" * 100))
        assert re.fullmatch(r"x*(%25)+~[0-9a-f]{16}", key)


@pytest.mark.parametrize(
    "key", ["a%2Fb", "a%62", "%zz", "a//b", "../a", "/a", "a/", "", "a%00b", "a%2eb", "%2E%2E/x", "a\\b"]
)
def test_a_key_that_is_never_rendered_stands_for_no_path(key: str) -> None:
    """What somebody else put into the bucket is not taken for an asset under another asset's name."""
    assert LAYOUT.path_of(key) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_parsing_is_the_inverse_of_rendering(key: str) -> None:
    """Whatever key the bucket holds: if it stands for a path, that path renders to it."""
    path = LAYOUT.path_of(key)
    assert path is None or LAYOUT.key_for(path) == key


@given(paths())
def test_no_asset_lies_where_tierd_keeps_its_own(path: RelPath) -> None:
    """Only a path below `.tierd/`, which is never looked at, has a key there."""
    assert LAYOUT.key_for(path).startswith(RESERVED) == path.startswith(RESERVED)
