"""The content type comes from the content, and always is one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import paths

from tiering.mime import UNKNOWN, content_type

if TYPE_CHECKING:
    from index.asset import RelPath

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 300
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 300
OGG = b"OggS" + b"\0" * 300


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.jpg", JPEG, "image/jpeg"),
        ("a.jpg", PNG, "image/png"),
        ("noname", PNG, "image/png"),
        ("a.txt", b"plain words", "text/plain"),
        ("d.jpg/a.html", b"<p>", "text/html"),
        ("a.svg", b"<svg/>", "image/svg+xml"),
        ("empty.png", b"", "image/png"),
        ("noname", b"plain words", UNKNOWN),
        ("noname", b"", UNKNOWN),
        (".png", b"", UNKNOWN),
    ],
)
def test_the_content_tells_and_the_name_helps_out(name: str, head: bytes, kind: str) -> None:
    """A name is believed only where the first bytes say nothing."""
    assert content_type(name, head) == kind


@pytest.mark.parametrize("name", ["data:text/html,x", "data:a/b\nSet-Cookie,c", "http://x/y.png\n", "a.jpg?b"])
def test_a_name_is_not_a_url(name: str) -> None:
    """Nothing that a name says in the manner of a URL becomes a header."""
    assert content_type(name, b"") == UNKNOWN


@given(paths(), st.binary(max_size=600))
def test_every_file_has_a_type_that_fits_a_header(name: RelPath, head: bytes) -> None:
    """Whatever the bytes and the name are, the answer is `type/subtype`."""
    assert re.fullmatch(r"[\w.+-]+/[\w.+-]+", content_type(name, head), re.ASCII)


@given(
    st.sampled_from([PNG, JPEG, OGG, b"RIFF\0\0\0\0WEBP", b"\0\0\0\x18ftypmp42", b"PK\3\4", b"ID3"]),
    st.integers(0, 300),
)
def test_a_file_cut_short_has_a_type_too(head: bytes, size: int) -> None:
    """A beginning that ends early is no error."""
    assert "/" in content_type("name", head[:size])
