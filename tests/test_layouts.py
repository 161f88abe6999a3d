"""The layouts by meaning: what they render they parse back, no two assets share a key, every store takes it."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import paths

from index.asset import RelPath
from tiering.keys import COMPONENT_BYTES, Layout, Parsed, Subject
from tiering.layouts import NAMES, OTHER, Rule, named, own
from tiering.stores.rules import check_key
from tiering.template import Template, TemplateError, slug

LAYOUTS = {name: named(name) for name in NAMES}
OWN = own(
    [
        Rule("product", Template("p/{product:slug}-{category}/{region}.{variant}/{file}")),
        Rule("plate", Template("{show}/plates/{take:03}_{camera}/{file}")),
        Rule("clip", Template("clips/{shot:year}-{shot:month}/{shot}/{kind}x{note}"), {"kind": "raw"}),
    ]
)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
"""On a busy machine drawing takes long, which says nothing about a layout."""
ALL = [*LAYOUTS.values(), OWN]

texts = st.one_of(
    st.text("abzAZ059 ._-~%/:x", min_size=1, max_size=12),
    st.text(min_size=1, max_size=20),
    st.sampled_from(
        [".", "..", "~0123abcd", "x~0123456789abcdef", "%2E", "\u65e5\u672c", "Power Dish Soap", "n" * 300]
    ),
)
numbers = st.integers(0, 10**9 - 1).map(str)
moments = st.one_of(
    st.dates().map(str),
    st.datetimes().map(str),
    st.dates().map(lambda day: f"{day:%Y-%m}".zfill(7)),
    st.integers(10**8, 10**10 - 1).map(str),
)
MEANINGS = {
    "product": {"variant": st.sampled_from(["transparent", "original"]), "category": texts, "product": texts},
    "background": {
        "kind": st.sampled_from(["scene", "gradient", "solid"]),
        "region": texts,
        "season": texts,
        "style": texts,
        "color": texts,
    },
    "composite": {"campaign": texts, "product": texts, "aspect_ratio": st.sampled_from(["16:9", "1x1", "4/5"])},
    "artifact": {"kind": texts, "show": texts, "season": numbers, "episode": numbers},
    "media": {"md5": st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"), "created": moments},
    "temporal": {"hash": st.from_regex(r"[0-9A-Za-z]{1,40}", fullmatch=True), "timestamp": moments},
    "plate": {"show": texts, "take": numbers, "camera": texts},
    "clip": {"shot": moments, "kind": st.sampled_from(["raw", "cut"]), "note": texts},
}


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    """Draw an asset of some type, with most of its fields, or of none."""
    kind = draw(st.sampled_from([*MEANINGS, None]))
    fields = {name: draw(values) for name, values in MEANINGS.get(kind or "", {}).items()}
    fields |= draw(st.dictionaries(st.sampled_from(["region", "file", "ext", "path", "md5x"]), texts, max_size=2))
    for name in draw(st.lists(st.sampled_from(sorted(fields) or ["none"]), max_size=1)):
        fields.pop(name, None)
    return Subject(draw(paths(deepest=3)), kind, fields, content_type="image/jpeg", md5="0" * 32, mtime_ns=1)


def canonical(layout: Layout, subject: Subject, found: Parsed) -> Parsed:
    """Return what can be known of an asset from its key: exactly the fields of the template that placed it."""
    if found.path is not None:
        return Parsed(path=subject.path)
    name = subject.path.rpartition("/")[2]
    known = {"md5": subject.md5, "created": "1970-01-01", **subject.fields}
    fields = {field: _cut(field, str(known[field]), found.fields[field]) for field in found.fields}
    kind = subject.type or ("media" if layout.name == "dated" else None)
    return Parsed(type=kind, fields=fields, file=found.file and name)


def _cut(field: str, value: str, found: str) -> str:
    if field == "product":
        return slug(value)
    if field == "created":
        return f"{_day(value)[:7]}"
    return str(int(value)) if re.fullmatch(r"\d+", found) and field in {"season", "episode", "take"} else value


def _day(value: str) -> str:
    from tiering.moments import parse_day  # noqa: PLC0415 - a word of this test

    day = parse_day(value)
    return f"{day.year:04}-{day.month or 0:02}"


@pytest.mark.parametrize("layout", ALL, ids=lambda layout: layout.name)
@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(subject=subjects())
def test_a_parsed_key_says_what_it_was_rendered_from(layout: Layout, subject: Subject) -> None:
    """Both of an asset's keys say the same; only a path that was cut is not in them."""
    for key in layout.keys_for(subject):
        found = layout.parse(key)
        if found is None:
            assert re.search(r"~[0-9a-f]{16}(/|\Z)", key)
        else:
            assert found == canonical(layout, subject, found)


@pytest.mark.parametrize("layout", ALL, ids=lambda layout: layout.name)
@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(subject=subjects(), key_bytes=st.integers(200, 1024))
def test_every_store_takes_every_key(layout: Layout, subject: Subject, key_bytes: int) -> None:
    """Nothing is folded, refused or too long; nothing lies where tierd keeps its own."""
    if layout.name in NAMES:
        layout = named(layout.name, key_bytes=key_bytes)
    keys = layout.keys_for(subject)
    assert 1 <= len(keys) <= 2
    for key in keys:
        check_key(key)
        assert layout.name not in NAMES or len(key.encode()) <= key_bytes
        assert max(len(part.encode()) for part in key.split("/")) <= COMPONENT_BYTES
        assert "\\" not in key
        assert not key.startswith(".tierd/") or layout.name == "mirror"


@pytest.mark.parametrize("layout", ALL, ids=lambda layout: layout.name)
@settings(max_examples=30, deadline=None, suppress_health_check=SLOW)
@given(some=st.lists(subjects(), min_size=2, max_size=6, unique_by=lambda subject: subject.path))
def test_every_asset_has_a_key_of_its_own(layout: Layout, some: list[Subject]) -> None:
    """Whoever comes second takes his second key, which nobody else has."""
    firsts = {layout.keys_for(subject)[0] for subject in some}
    lasts = [layout.keys_for(subject)[-1] for subject in some]
    assert len(set(lasts)) == len(some)
    assert not {layout.keys_for(subject)[-1] for subject in some if len(layout.keys_for(subject)) > 1} & firsts


@pytest.mark.parametrize("layout", ALL, ids=lambda layout: layout.name)
@settings(deadline=None)
@given(key=st.one_of(st.text(max_size=40), st.text("abps0159/{}%2E~._-", max_size=40)))
def test_what_is_parsed_renders_to_the_same_key(layout: Layout, key: str) -> None:
    """A key that is only nearly ours stands for nothing."""
    found = layout.parse(key)
    if found is not None and found.path is not None:
        assert layout.keys_for(Subject(found.path))[0] == key


@pytest.mark.parametrize(
    ("layout", "type", "fields", "path", "key"),
    [
        (
            "creative",
            "product",
            {"variant": "transparent", "category": "dish_soap", "product": "Power Dish Soap", "region": "US"},
            "in/hero.png",
            "products/transparent/dish_soap/power-dish-soap/hero.png",
        ),
        (
            "creative",
            "background",
            {"kind": "scene", "region": "US", "season": "late summer"},
            "b 1.jpg",
            "backgrounds/scene/US/late%20summer/b%201.jpg",
        ),
        (
            "creative",
            "background",
            {"kind": "gradient", "style": "radial"},
            "b.jpg",
            "backgrounds/gradient/radial/b.jpg",
        ),
        ("creative", "background", {"kind": "solid", "color": "#fff"}, "b.jpg", "backgrounds/solid/%23fff/b.jpg"),
        (
            "creative",
            "composite",
            {"campaign": "spring_2025", "product": "Cr\u00e8me  Br\u00fbl\u00e9e!", "aspect_ratio": "16x9"},
            "c.jpg",
            "composites/spring_2025/creme-brulee/16x9/c.jpg",
        ),
        ("creative", "background", {"kind": "scene", "region": "US"}, "in/b.jpg", "other/in/b.jpg"),
        ("creative", None, {}, "metadata/index.json", "other/metadata/index.json"),
        (
            "creative",
            "product",
            {"variant": "original", "category": "..", "product": "x"},
            "..a",
            "products/original/%2E%2E/x/..a",
        ),
        ("creative", "product", {"variant": "original", "category": "c", "product": "!!"}, "a", "other/a"),
        (
            "episodic",
            "artifact",
            {"kind": "thumbnails", "show": "rhobh", "season": "5", "episode": "2"},
            "x/track_001_frame_1234.jpg",
            "artifacts/thumbnails/rhobh/s05/e02/track_001_frame_1234.jpg",
        ),
        (
            "dated",
            "media",
            {"md5": "ab" * 16, "created": "2025-03-09T23:30:00-05:00"},
            "x.bin",
            f"cache/2025/03/{'ab' * 16}.jpg",
        ),
        ("dated", None, {}, "x.MP4", f"cache/2024/02/{'cd' * 16}.mp4"),
        ("dated", "product", {}, "x.MP4", "other/x.MP4"),
        (
            "temporal",
            "temporal",
            {"hash": "a1b2", "timestamp": "20240615_123000"},
            "v.mp4",
            "temp/videos/2024/06/15/a1b2_20240615_123000.mp4",
        ),
        ("mirror", "product", {"variant": "original"}, "in/a.png", "in/a.png"),
    ],
)
def test_keys_are_what_people_expect(
    layout: str, type: str | None, fields: dict[str, str], path: str, key: str
) -> None:
    """The examples of the systems that are replaced, and what lies beside them."""
    subject = Subject(RelPath(path), type, fields, "image/jpeg", md5="cd" * 16, mtime_ns=1_708_000_000 * 10**9)
    assert LAYOUTS[layout].keys_for(subject)[0] == key


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        ("creative", "metadata/index.json"),
        ("creative", "products/shiny/c/p/f.png"),
        ("creative", "products/original/c/Power Dish/f.png"),
        ("creative", "products/original/c/Upper/f.png"),
        ("creative", "products/original/c/p"),
        ("creative", "other/a//b"),
        ("episodic", "artifacts/k/s/s5/e02/f.jpg"),
        ("episodic", "artifacts/k/s/s005/e02/f.jpg"),
        ("dated", f"cache/2025/13/{'a' * 32}.jpg"),
        ("dated", f"cache/2025/03/{'A' * 32}.jpg"),
        ("temporal", "temp/videos/2025/03/10/ab_1741530600.mp4"),
        ("temporal", "temp/videos/2025/03/09/a-b_1741530600.mp4"),
    ],
)
def test_a_key_that_is_never_rendered_stands_for_no_asset(layout: str, key: str) -> None:
    """What somebody else put there is not taken for ours."""
    assert LAYOUTS[layout].parse(key) is None


def test_the_second_key_is_of_the_path() -> None:
    """It says the same as the first, and keeps the extension."""
    fields = {"kind": "k", "show": "s", "season": "1", "episode": "1"}
    first, second = LAYOUTS["episodic"].keys_for(Subject(RelPath("a/f.tar.gz"), "artifact", fields))
    assert re.fullmatch(r"artifacts/k/s/s01/e01/f\.tar~[0-9a-f]{8}\.gz", second)
    assert LAYOUTS["episodic"].parse(first) == LAYOUTS["episodic"].parse(second)


def test_a_key_that_only_the_content_can_tell_is_not_guessed() -> None:
    """An asset whose MD5 nobody knows is not sent to `other/` for it."""
    assert LAYOUTS["dated"].keys_for(Subject(RelPath("a.jpg"), mtime_ns=0)) == ()
    assert LAYOUTS["dated"].keys_for(Subject(RelPath("a.jpg"), "plate", mtime_ns=0)) == ("other/a.jpg",)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "empty"),
        ("a//{file}", "empty"),
        ("../{file}", "'..'"),
        ("/a/{file}", "empty"),
        ("a b/{file}", "neither"),
        ("{Show}/{file}", "neither"),
        ("{show}{file}", "follows"),
        ("{show}5/{file}", "follows"),
        ("{show}A/{file}", "follows"),
        ("{take:3}/{file}", "form 3"),
        ("{take:upper}/{file}", "form upper"),
        ("{shot:month}/{file}", "year"),
        ("{file}/x", "last component"),
        ("x-{file}", "last component"),
    ],
)
def test_a_text_that_is_no_template_is_refused(template: str, said: str) -> None:
    """The message names the template, and what is wrong with it."""
    with pytest.raises(TemplateError, match=re.escape(said)) as told:
        Template(template)
    assert str(told.value).startswith(template)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{a}/{file}", "{b}/{file}"),
        ("x/{a}/{file}", "{b}/y/{file}"),
        ("s{a:02}/{file}", "s05/{file}"),
        ("{a}-x/{file}", "y-{b}/{file}"),
    ],
)
def test_rules_that_might_meet_are_refused(one: str, other: str) -> None:
    """A key would stand for either."""
    with pytest.raises(TemplateError, match="might render the same key"):
        own([Rule("a", Template(one)), Rule("b", Template(other))])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s{a}/{file}", "e{b}/{file}"),
        ("{a}-x/{file}", "{a}-y/{file}"),
        ("s{a:02}/{file}", "s5/{file}"),
        ("a/{x}", "a/{x}/{y}"),
    ],
)
def test_rules_that_cannot_meet_go_together(one: str, other: str) -> None:
    """What differs in any component differs."""
    assert own([Rule("a", Template(one)), Rule("b", Template(other))]).parse("x") is None


@pytest.mark.parametrize("template", ["other/{file}", ".tierd/{file}"])
def test_some_places_are_not_for_own_rules(template: str) -> None:
    """What cannot be placed lies in one, what is tierd's own in the other."""
    with pytest.raises(TemplateError, match="not for own rules"):
        own([Rule("a", Template(template))])
    first = template.partition("/")[0]
    layout = own([Rule("a", Template("{campaign}/{file}"))])
    assert layout.keys_for(Subject(RelPath("f"), "a", {"campaign": first})) == (f"{OTHER}f",)
