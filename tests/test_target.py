"""Paths in URLs and bodies are the exact bytes of file names, or they are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.problem import ApiError
from daemon.query import query_fields
from daemon.target import href_of, path_of_href, path_of_text, split_target
from index.asset import path_from_bytes, path_to_bytes

PART = st.binary(min_size=1, max_size=255).filter(lambda raw: raw not in {b".", b".."} and not {0, 47} & set(raw))
PATH = st.lists(PART, min_size=1, max_size=12).map(b"/".join).filter(lambda raw: len(raw) <= 4096)


@given(PATH)
def test_every_name_survives_the_way_there_and_back(raw: bytes) -> None:
    """The href of a path names exactly that path, in a URL and in a body, whatever its bytes are."""
    path = path_from_bytes(raw)
    href = href_of(path)
    assert href.isascii()
    assert path_to_bytes(path_of_href(href)) == raw
    assert path_to_bytes(path_of_text(href)) == raw


@pytest.mark.parametrize(
    "href",
    [
        "",
        "/a",
        "%2Fa",
        "a//b",
        "a/",
        ".",
        "..",
        "a/../b",
        "a/%2E%2e/b",
        "./a",
        "a%00b",
        "%",
        "%4",
        "%zz",
        "a%%20",
        "x" * 4097,
        "%41" * 4097,
    ],
)
def test_what_is_no_path_is_refused(href: str) -> None:
    """Nothing leaves the root, nothing is folded, nothing is guessed: each of these is a 400."""
    with pytest.raises(ApiError) as refused:
        path_of_href(href)
    assert (refused.value.status, refused.value.code) == (400, "bad-path")


@pytest.mark.parametrize("href", ["a..b", "...", ".a", "a%2Fb", "+", "%25", "a%20b", "x" * 4096, "%41" * 4096])
def test_what_looks_strange_may_be_a_path(href: str) -> None:
    """Names with dots, plus signs and escapes are names."""
    assert path_of_href(href)


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("100%.jpg", b"100%.jpg"),
        ("a%20b", b"a b"),
        ("%zz", b"%zz"),
        ("\u00e4", b"\xc3\xa4"),
        ("\udcff", b"\xff"),
        ("%FF", b"\xff"),
    ],
)
def test_a_path_in_a_body_is_decoded_as_people_type_it(text: str, raw: bytes) -> None:
    """Escapes are decoded, a lone % stands for itself, and lone surrogates are the bytes that they escape."""
    assert path_to_bytes(path_of_text(text)) == raw


@pytest.mark.parametrize("text", ["", "/a", "..", "a//b", "\ud800", "a\0"])
def test_what_is_no_path_in_a_body_is_refused(text: str) -> None:
    """Bodies are no way around the rules for URLs."""
    with pytest.raises(ApiError) as refused:
        path_of_text(text)
    assert refused.value.code == "bad-path"


def test_an_absolute_target_is_its_path() -> None:
    """Clients behind a proxy name the host in the target."""
    assert split_target("http://h:1/v1/a?b=c") == ("/v1/a", "b=c")
    assert split_target("/v1/a?b?c") == ("/v1/a", "b?c")
    assert split_target("http://h") == ("/", "")


def test_a_query_is_taken_apart_by_name() -> None:
    """States repeat, fields and tags are gathered, empty values count as not given, + is a blank."""
    query = "state=new&state=cold&field.a.b=1&tag.m=x+y&q=%C3%A4&type=&limit=5"
    assert query_fields(query) == {
        "state": ["new", "cold"],
        "fields": {"a.b": "1"},
        "tags": {"m": "x y"},
        "q": "ä",
        "limit": "5",
    }


@pytest.mark.parametrize(
    "query", ["limit=1&limit=2", "field.a=1&field.a=2", "q=%ff", "q=%", "&".join(f"a{n}=1" for n in range(65))]
)
def test_a_query_that_says_two_things_is_refused(query: str) -> None:
    """A parameter twice, bytes that are not text, a broken escape: 400, never a guess."""
    with pytest.raises(ApiError) as refused:
        query_fields(query)
    assert refused.value.status == 400
