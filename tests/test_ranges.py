"""Conditions and ranges, held to RFC 9110 by a reference that is nothing but slices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ranges import Conditions, Entity, Reply, cut, decide, http_date

NOW = 1_800_000_000
ENTITY = Entity("abc", 1000, 1_700_000_000_500_000_000)
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
LATER = "Tue, 14 Nov 2023 22:13:21 GMT"
EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"
WHOLE = Reply(200, 0, 1000)

NUMBER = st.integers(min_value=0, max_value=40)


@given(size=NUMBER, first=NUMBER, last=NUMBER)
def test_a_closed_range_is_a_slice(size: int, first: int, last: int) -> None:
    """bytes=a-b is data[a : b+1]; nothing in it is 416, a beyond b is ignored."""
    data = bytes(range(size))
    reply = cut(f"bytes={first}-{last}", size)
    if first > last:
        assert reply == Reply(200, 0, size)
    elif not data[first : last + 1]:
        assert reply.status == 416
    else:
        assert (reply.status, data[reply.start : reply.stop]) == (206, data[first : last + 1])


@given(size=NUMBER, first=NUMBER)
def test_an_open_range_is_all_from_there(size: int, first: int) -> None:
    """bytes=a- is data[a:]."""
    data = bytes(range(size))
    reply = cut(f"bytes={first}-", size)
    if first < size:
        assert (reply.status, data[reply.start : reply.stop]) == (206, data[first:])
    else:
        assert reply.status == 416


@given(size=NUMBER, length=NUMBER)
def test_a_suffix_range_is_the_end(size: int, length: int) -> None:
    """bytes=-n is data[-n:]; of no bytes it is 416; all of an empty content is that content."""
    data = bytes(range(size))
    reply = cut(f"bytes=-{length}", size)
    if length == 0:
        assert reply.status == 416
    elif size == 0:
        assert reply == Reply(200, 0, 0)
    else:
        assert (reply.status, data[reply.start : reply.stop]) == (206, data[-length:])


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9, -]{0,20}", fullmatch=True), NUMBER)
def test_whatever_a_range_says_the_answer_lies_in_the_content(header: str, size: int) -> None:
    """No header makes us read outside the file, and 206 always has at least a byte."""
    reply = cut(header, size)
    assert reply.status in {200, 206, 416}
    assert 0 <= reply.start <= reply.stop <= size
    assert reply.status != 206 or reply.start < reply.stop
    assert reply.status != 200 or (reply.start, reply.stop) == (0, size)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-1,3-4",
        "bytes=0-0,-1",
        "items=0-1",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "0-1",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=\u0661-2",
        "bytes=5-4",
    ],
)
def test_what_is_no_single_range_is_ignored(header: str) -> None:
    """Several parts, other units and nonsense: the whole content, 200."""
    assert cut(header, 1000) == WHOLE


@pytest.mark.parametrize("header", ["BYTES=0-1", "bytes= 0-1", "bytes=0-1 ", "bytes=00-01"])
def test_spelling_does_not_matter(header: str) -> None:
    """Units are case-insensitive, blanks around a range are allowed."""
    assert cut(header, 1000) == Reply(206, 0, 2)


def test_numbers_beyond_all_files_are_numbers() -> None:
    """Thousands of digits are neither slow nor an error."""
    nines = "9" * 8000
    assert cut(f"bytes=0-{nines}", 10) == Reply(206, 0, 10)
    assert cut(f"bytes={nines}-", 10) == Reply(416)
    assert cut(f"bytes=-{nines}", 10) == Reply(206, 0, 10)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ('"x",W/"abc"', True),
        ("*", True),
        (" * ", True),
        ('"abcd"', False),
        ('"ab", "c"', False),
        ("abc", False),
        ("", False),
    ],
)
def test_none_match_compares_weakly(header: str, *, known: bool) -> None:
    """If-None-Match answers 304 where one of the tags, weak or strong, is ours."""
    assert (decide(Conditions(none_match=header), ENTITY, NOW).status == 304) is known


def test_a_tag_outweighs_a_date() -> None:
    """If-Modified-Since does not count beside If-None-Match."""
    assert decide(Conditions(none_match='"x"', modified_since=LATER), ENTITY, NOW) == WHOLE
    assert decide(Conditions(none_match='"abc"', modified_since=EARLIER), ENTITY, NOW).status == 304


@pytest.mark.parametrize(
    ("date", "status"),
    [(DATE, 304), (LATER, 304), (EARLIER, 200), ("yesterday", 200), ("", 200), ("Tue, 14 Nov 99999 0:0:0 GMT", 200)],
)
def test_modified_since_goes_by_whole_seconds(date: str, status: int) -> None:
    """A content of 22:13:20.5 is not modified since 22:13:20; a date that is none is ignored."""
    assert decide(Conditions(modified_since=date), ENTITY, NOW).status == status


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        ('"abc"', 206),
        ('W/"abc"', 200),
        ('"x"', 200),
        (DATE, 206),
        (LATER, 200),
        (EARLIER, 200),
        ("nonsense", 200),
        ("", 200),
    ],
)
def test_if_range_compares_strongly(if_range: str, status: int) -> None:
    """A part is sent only if the client's parts are surely of this content; else all of it."""
    assert decide(Conditions(range="bytes=0-9", if_range=if_range), ENTITY, NOW).status == status


def test_a_date_of_this_second_proves_nothing() -> None:
    """If-Range by date fails while the file may still change within the same second."""
    conditions = Conditions(range="bytes=0-9", if_range=DATE)
    assert decide(conditions, ENTITY, ENTITY.modified + 0.9).status == 200
    assert decide(conditions, ENTITY, ENTITY.modified + 1).status == 206


def test_a_condition_goes_before_a_range() -> None:
    """A client that has the content gets 304 and no part of it; an If-Range without Range means nothing."""
    assert decide(Conditions(none_match='"abc"', range="bytes=0-1"), ENTITY, NOW).status == 304
    assert decide(Conditions(if_range='"x"'), ENTITY, NOW) == WHOLE
    assert decide(None, ENTITY, NOW) == WHOLE


def test_no_conditions_are_none() -> None:
    """The usual request has none of the headers, and that is cheap to see."""
    assert Conditions.of({}) is None
    assert Conditions.of({"Range": "bytes=0-"}) == Conditions(range="bytes=0-")


def test_dates_are_read_in_every_form() -> None:
    """HTTP has three forms of dates; one without a zone is GMT."""
    assert http_date(DATE) == http_date("Tuesday, 14-Nov-23 22:13:20 GMT") == http_date("Tue Nov 14 22:13:20 2023")
    assert http_date(DATE) == 1_700_000_000
