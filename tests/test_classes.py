"""Storage classes by rule: what is chosen, and that it goes with the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from core import a_place

from daemon.fields import class_rule
from tiering.classes import FLOORS, Classes, ClassRule
from tiering.store import Attributes

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
