"""The language of layouts: one template renders a key from values, and parses the key back into them.

A template is components with `/` between them, each of literals and slots: `artifacts/{show}/s{season:02}/{file}`.
A slot is the name of a value and, behind a colon, its form: none (the text), `slug`, `01` to `09` (a number of at least
so many digits), or `year`, `month`, `day` of a moment. Values keep `A-Z a-z 0-9 . _ -`, the rest is `%XX` of its
UTF-8; so is the character that ends a slot within its component. What a template renders, it parses, and nothing else.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from index.asset import path_from_bytes, path_to_bytes
from tiering.moments import parse_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")
_SLOT: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::([a-z0-9]+))?\}")
_LITERAL: Final = re.compile(r"[A-Za-z0-9._-]+")
_STOP: Final = re.compile(r"[a-z._-]")
"""What may end a slot: nothing that an escape or a number has in it."""
_NUMBER: Final = re.compile(r"0[1-9]")
_DIGITS: Final = re.compile(r"\d{1,9}", re.ASCII)
_NO_SLUG: Final = re.compile(r"[\x00-,./:-`{-\x7f]+")
_PARTS: Final[Mapping[str, int]] = {"year": 4, "month": 2, "day": 2}
"""The parts of a moment, and their digits."""


class TemplateError(ValueError):
    """The text is no template; the message says why."""


class Slot(NamedTuple):
    """A value in a component. `stop` is the character that follows it there, empty at the end."""

    name: str
    form: str
    stop: str

    def render(self, value: str) -> str:
        """Return the value in its form, escaped; empty where it has none."""
        return escape(_formed(self.form, value), self.stop)

    @property
    def pattern(self) -> str:
        """The regular expression of what it renders."""
        if self.form in _PARTS:
            return rf"([0-9]{{{_PARTS[self.form]}}})"
        if _NUMBER.fullmatch(self.form):
            return rf"([0-9]{{{self.form[1]},9}})"
        unless = f"(?!{re.escape(self.stop)})" if self.stop else ""
        return rf"((?:{unless}[A-Za-z0-9._-]|%[0-9A-F]{{2}})+)"


class Template:
    """A template, ready for use."""

    def __init__(self, text: str) -> None:
        """Raise TemplateError where the text is none."""
        self.text = text
        self._components = tuple(_component(part, text) for part in text.split("/"))
        self._slots = tuple(item for part in self._components for item in part if isinstance(item, Slot))
        self._pattern = re.compile("/".join(_pattern(part) for part in self._components))
        _require_moments_whole(self._slots, text)
        if sum(slot.name == "file" for slot in self._slots) > self.ends_in_file:
            raise TemplateError(f"{text}: {{file}} must be the whole last component")

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    @property
    def names(self) -> frozenset[str]:
        """The names of its values."""
        return frozenset(slot.name for slot in self._slots)

    @property
    def first(self) -> str:
        """What stands before the first slot."""
        head = self.text.partition("{")[0]
        return head.partition("/")[0]

    @property
    def ends_in_file(self) -> bool:
        """Whether the last component is the file's name."""
        return self._components[-1] == (Slot("file", "", ""),)

    def render(self, values: Mapping[str, str]) -> str | None:
        """Return the key; None where a value is missing or has not the form that is wanted."""
        components = []
        for part in self._components:
            rendered = [item if isinstance(item, str) else item.render(values.get(item.name, "")) for item in part]
            if not all(rendered):
                return None
            component = "".join(rendered)
            components.append(component.replace(".", "%2E") if component in {".", ".."} else component)
        return "/".join(components)

    def parse(self, key: str) -> dict[str, str] | None:
        """Return the values that render to this key; None where there are none."""
        found = self._pattern.fullmatch(key)
        if found is None:
            return None
        values = self._values(found.groups())
        return values if self.render(values) == key else None

    def may_meet(self, other: Template) -> bool:
        """Whether both might render the same key."""
        pairs = zip(self._components, other._components, strict=False)
        return len(self._components) == len(other._components) and all(_may_meet(*pair) for pair in pairs)

    def _values(self, texts: Iterable[str]) -> dict[str, str]:
        values: dict[str, str] = {}
        days: dict[str, list[str]] = {}
        for slot, text in zip(self._slots, texts, strict=True):
            if slot.form in _PARTS:
                days.setdefault(slot.name, []).append(text)
            elif _NUMBER.fullmatch(slot.form):
                values[slot.name] = str(int(text))
            else:
                values[slot.name] = unescape(text)
        # A moment that is there as a whole says more than its parts.
        return {name: "-".join(parts) for name, parts in days.items()} | values


def escape(text: str, stop: str = "") -> str:
    """Return what a key has for a text; empty for one that is not Unicode."""
    try:
        escaped = _UNSAFE.sub(lambda char: _percent(char[0]), text)
    except UnicodeEncodeError:
        return ""
    return escaped.replace(stop, _percent(stop)) if stop else escaped


def unescape(text: str) -> str:
    """Undo escape."""
    return path_from_bytes(unquote_to_bytes(text))


def slug(text: str) -> str:
    """Return a text in small letters without marks, with one hyphen for whatever is between its words."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return _NO_SLUG.sub("-", bare.lower()).strip("-")


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in path_to_bytes(char))


def _formed(form: str, value: str) -> str:
    if form == "slug":
        return slug(value)
    if form in _PARTS:
        return _part_of_day(form, value)
    if form:
        return f"{int(value):{form}}" if _DIGITS.fullmatch(value) else ""
    return value


def _part_of_day(form: str, value: str) -> str:
    try:
        part = getattr(parse_day(value), form)
    except (ValueError, OverflowError):
        return ""
    return "" if part is None else f"{part:0{_PARTS[form]}}"


def _component(part: str, text: str) -> tuple[str | Slot, ...]:
    items: list[str | Slot] = []
    at = 0
    while at < len(part):
        slot, literal = _SLOT.match(part, at), _LITERAL.match(part, at)
        if slot is not None:
            items.append(_slot(slot, part[slot.end() : slot.end() + 1], text))
            at = slot.end()
        elif literal is not None:
            items.append(literal[0])
            at = literal.end()
        else:
            raise TemplateError(f"{text}: {part[at:]!a} is neither a slot such as {{name}} nor of A-Z a-z 0-9 . _ -")
    if not items or items in (["."], [".."]):
        raise TemplateError(f"{text}: a component is empty, '.' or '..'")
    return tuple(items)


def _slot(found: re.Match[str], stop: str, text: str) -> Slot:
    form = found[2] or ""
    if form and form != "slug" and form not in _PARTS and not _NUMBER.fullmatch(form):
        raise TemplateError(f"{text}: the form {form} of {found[1]} is none of slug, 01 to 09, year, month, day")
    if stop and not _STOP.fullmatch(stop):
        raise TemplateError(f"{text}: what follows {found[0]} should be '/', '.', '_', '-' or a small letter")
    return Slot(found[1], form, stop)


def _pattern(part: tuple[str | Slot, ...]) -> str:
    return "".join(re.escape(item) if isinstance(item, str) else item.pattern for item in part)


def _require_moments_whole(slots: Iterable[Slot], text: str) -> None:
    """A moment of which only parts are rendered begins with its year, and leaves nothing out."""
    forms: dict[str, list[str]] = {}
    for slot in slots:
        forms.setdefault(slot.name, []).append(slot.form)
    for name, given in forms.items():
        parts = [form for form in given if form in _PARTS]
        if parts != list(_PARTS)[: len(parts)]:
            raise TemplateError(f"{text}: {name} should have its year, month and day in this order")


def _may_meet(one: tuple[str | Slot, ...], other: tuple[str | Slot, ...]) -> bool:
    for literal, pattern in ((one, other), (other, one)):
        if len(literal) == 1 and isinstance(literal[0], str):
            return re.fullmatch(_pattern(pattern), literal[0]) is not None
    head, other_head, tail, other_tail = (_literal(item) for item in (one[0], other[0], one[-1], other[-1]))
    return (head.startswith(other_head) or other_head.startswith(head)) and (
        tail.endswith(other_tail) or other_tail.endswith(tail)
    )


def _literal(item: str | Slot) -> str:
    return item if isinstance(item, str) else ""
