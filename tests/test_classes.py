"""Storage classes by rule: what is chosen, and that it goes with the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from core import a_place

from daemon.fields import class_rule
from tiering.classes import FLOORS, Classes, ClassRule
from tiering.store import Attributes, ObjectInfo

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1024
RULES = ("STANDARD type=product", "GLACIER_IR type=video/ above=1MiB", "STANDARD_IA above=200KiB", "ONEZONE_IA")


@pytest.mark.parametrize(
    ("type", "content_type", "size", "expected"),
    [
        ("product", "video/mp4", 10**9, "STANDARD"),
        (None, "video/mp4", 1 << 20, "GLACIER_IR"),
        (None, "video/mp4", (1 << 20) - 1, "STANDARD_IA"),
        ("other", "image/png", 200 * KIB, "STANDARD_IA"),
        (None, "image/png", 200 * KIB - 1, "ONEZONE_IA"),
        (None, "image/png", 128 * KIB, "ONEZONE_IA"),
        (None, "image/png", 128 * KIB - 1, None),
        (None, "image/png", 0, None),
    ],
)
def test_the_first_that_fits(type: str | None, content_type: str, size: int, expected: str | None) -> None:
    """By type, media type and size; below its floor no class is chosen, and the store has the last word."""
    classes = Classes(tuple(map(class_rule, RULES)))
    assert classes.choose(type, content_type, size) == expected


@pytest.mark.parametrize("storage_class", FLOORS)
def test_never_below_a_floor(storage_class: str) -> None:
    """Whatever the rule says."""
    rule = ClassRule(storage_class, above=1)
    assert not rule.fits(None, "", FLOORS[storage_class] - 1)
    assert rule.fits(None, "", FLOORS[storage_class])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("standard", "standard"),
        ("X y=1", "y=1"),
        ("X above", "above"),
        ("X above=much", "much"),
        ("X type=a type=b", "type=b"),
        ("X type=", "type="),
        ("X after=", "after="),
        ("X after=soon", "soon"),
    ],
)
def test_what_is_no_rule(text: str, told: str) -> None:
    """It is refused, not understood in some way."""
    with pytest.raises(ValueError, match=told):
        class_rule(text)


async def test_it_goes_with_the_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent at once, in parts, or copied after a rename."""
    seen: list[tuple[str, str | None]] = []
    rules = Classes((ClassRule("LARGE", above=4000), ClassRule("USUAL", type="text/")))
    async with a_place(tmp_path).core(classes=rules) as core:
        for name in ("put", "create_upload", "copy"):
            was = getattr(core.store, name)

            async def noted(*given: Any, name: str = name, was: Any = was, **more: Any) -> Any:
                seen.extend((name, each.storage_class) for each in given if isinstance(each, Attributes))
                return await was(*given, **more)

            monkeypatch.setattr(core.store, name, noted)
        await core.hot("a.txt", b"text")
        await core.hot("a.bin", b"\0" * 100)
        await core.hot("large", b"\0" * 4000)
        (core.tree.root / "a.txt").rename(core.tree.root / "b.txt")
        await core.scan()
        await core.upload_all()
    assert seen == [("put", "USUAL"), ("put", None), ("create_upload", "LARGE"), ("copy", "USUAL")]


DAY = 86_400.0
AGED = Classes(
    tuple(map(class_rule, ("GLACIER_IR type=video/ after=90d", "STANDARD_IA above=200KiB after=30d", "STANDARD")))
)


@pytest.mark.parametrize(
    ("content_type", "size", "present", "days", "expected"),
    [
        ("video/mp4", 1 << 20, "STANDARD", 29, None),
        ("video/mp4", 1 << 20, "STANDARD", 30, "STANDARD_IA"),
        ("video/mp4", 1 << 20, "STANDARD", 90, "GLACIER_IR"),
        ("video/mp4", 1 << 20, "STANDARD_IA", 90, "GLACIER_IR"),
        ("video/mp4", 1 << 20, "GLACIER_IR", 400, None),
        ("video/mp4", 100 * KIB, "STANDARD", 400, None),
        ("image/png", 1 << 20, "STANDARD", 400, "STANDARD_IA"),
        ("image/png", 1 << 20, "STANDARD_IA", 400, None),
        ("image/png", 1 << 20, "GLACIER_IR", 89, None),
        ("image/png", 1 << 20, "GLACIER_IR", 90, "STANDARD_IA"),
        ("image/png", 1 << 20, "DEEP_ARCHIVE", 4000, None),
        ("image/png", 1 << 20, "GLACIER", 4000, None),
        ("image/png", 1 << 20, None, 4000, None),
    ],
)
def test_what_is_due(content_type: str, size: int, present: str | None, days: int, expected: str | None) -> None:
    """By age and by the first rule that fits; no class is left before its time, no archive, none below its size."""
    info = ObjectInfo("k", size, "e", 0.0, storage_class=present)
    assert AGED.due(info, None, content_type, now=days * DAY) == expected


def test_a_rule_that_does_not_wait_changes_nothing() -> None:
    """What was put elsewhere by hand, or by the bucket's own lifecycle, stays there."""
    classes = Classes((ClassRule("STANDARD_IA"),))
    info = ObjectInfo("k", 1 << 20, "e", 0.0, storage_class="STANDARD")
    assert classes.due(info, None, "", now=400 * DAY) is None


def test_a_rule_that_waits_is_not_for_what_is_new() -> None:
    """An upload has no age yet."""
    assert AGED.choose(None, "video/mp4", 1 << 20) == "STANDARD"
