"""The layouts that name objects by what assets mean, and how own ones are made of rules."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from index.asset import RelPath, path_to_bytes
from tiering.keys import COMPONENT_BYTES, KEY_BYTES, RESERVED, Layout, MirrorLayout, Parsed, Subject
from tiering.template import Template, TemplateError
from tiering.vocabulary import MeaningError, checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OTHER: Final = "other/"
"""Beneath it lies what no rule can place, by its path."""

_YEAR_10000: Final = 253_402_300_800
_SECOND: Final = re.compile(r"~[0-9a-f]{8}(?=(\.[^.]*)?\Z)")
_CUT: Final = re.compile(r"~[0-9a-f]{16}\Z")
_SECOND_BYTES: Final = 9
_CUT_BYTES: Final = 17
_SILENT: Final = frozenset({"", "bin", "dat", "data", "tmp", "blob", "file", "unknown"})
"""Extensions that say nothing about what a file is."""
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,16}")
_EXTENSIONS: Final[Mapping[str, str]] = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/tiff": "tif",
    "image/heic": "heic",
    "image/avif": "avif",
    "image/svg+xml": "svg",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/x-wav": "wav",
    "audio/x-flac": "flac",
    "audio/ogg": "ogg",
    "application/pdf": "pdf",
    "application/zip": "zip",
}
"""Written down here, because what a host says of media types differs from the next, and keys must not."""
_ANY_CONTENT: Final = {"md5": "0" * 32, "created": "2000-01-01"}
_UNDERSTOOD: Final = frozenset({"file", "ext"})
"""What a template may have of the file itself, and no field of these names."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where the assets of one type lie. `fields` are those that they must have with exactly this value.

    `untyped`: also those of which nobody has said what they are.
    """

    type: str | None
    template: Template
    fields: Mapping[str, str] = field(default_factory=dict)
    untyped: bool = False

    def render(self, known: Mapping[str, str], said: Mapping[str, str]) -> str | None:
        """Return the key of an asset of this type; None where the rule is not about it.

        `known` are the values of the content and its file, `said` the fields.
        """
        try:
            fields = checked(self.type, said)
        except MeaningError:
            return None
        values = {**known, **fields} | {name: known[name] for name in _UNDERSTOOD}
        is_meant = all(fields.get(name) == value for name, value in self.fields.items())
        return self.template.render(values) if is_meant else None

    def parse(self, key: str) -> dict[str, str] | None:
        """Return the values that render to this key; None where there are none."""
        values = self.template.parse(key)
        if values is None:
            return None
        said = {name: value for name, value in values.items() if name not in _UNDERSTOOD}
        try:
            kept = checked(self.type, {**said, **self.fields})
        except MeaningError:
            return None
        # A key that is only nearly one of ours stands for nothing.
        return values | kept if kept == {**said, **self.fields} else None


class RuleLayout:
    """A layout of rules, the first that fits counts. What none of them places is keyed `other/` and its path."""

    def __init__(self, name: str, rules: Sequence[Rule], *, key_bytes: int = KEY_BYTES) -> None:
        """`key_bytes` is what the store's prefix leaves. Raise TemplateError where two rules might meet."""
        self.name = name
        self.needs_md5 = any("md5" in rule.template.names for rule in rules)
        self._rules = rules
        self._key_bytes = key_bytes
        self._mirror = MirrorLayout(key_bytes=key_bytes - len(OTHER))
        for number, rule in enumerate(rules):
            _require_own_place(rule, rules[:number])

    def __repr__(self) -> str:
        return f"<RuleLayout {self.name} {len(self._rules)} rules>"

    def keys_for(self, subject: Subject) -> tuple[str, ...]:
        """See Layout."""
        keys = self._placed(subject, _values(subject))
        if keys:
            return keys
        if self._placed(subject, _ANY_CONTENT | _values(subject)):
            return ()
        return (OTHER + self._mirror.key_for(subject.path),)

    def parse(self, key: str) -> Parsed | None:
        """See Layout."""
        if key.startswith(OTHER):
            path = self._mirror.path_of(key.removeprefix(OTHER))
            return None if path is None else Parsed(path=path)
        above, slash, last = key.rpartition("/")
        is_cut = _CUT.search(last) is not None
        last = "cut" if is_cut else _SECOND.sub("", last)
        for rule in self._rules:
            values = rule.parse(above + slash + last)
            if values is not None and (rule.template.ends_in_file or not is_cut):
                return _parsed(rule, values, is_cut=is_cut)
        return None

    def _placed(self, subject: Subject, values: Mapping[str, str]) -> tuple[str, ...]:
        for rule in self._rules:
            if subject.type == rule.type or (rule.untyped and subject.type is None):
                key = rule.render(values, subject.fields)
                keys = self._fitted(rule, key, subject.path) if key is not None else ()
                if keys:
                    return keys
        return ()

    def _fitted(self, rule: Rule, key: str, path: RelPath) -> tuple[str, ...]:
        """Return the key and the next one; where the file's name is too long, the one that it is cut to."""
        above, slash, last = key.rpartition("/")
        if key.startswith((OTHER, RESERVED)) or any(len(part) > COMPONENT_BYTES for part in above.split("/")):
            return ()
        room = min(COMPONENT_BYTES, self._key_bytes - len(above) - 1)
        digest = hashlib.sha256(path_to_bytes(path)).hexdigest()
        if len(last) + _SECOND_BYTES <= room:
            return key, f"{above}{slash}{_marked(last, f'~{digest[:8]}')}"
        if not rule.template.ends_in_file or room <= _CUT_BYTES:
            return ()
        head = re.sub(r"%[0-9A-F]?\Z", "", last[: room - _CUT_BYTES])
        return (f"{above}{slash}{head}~{digest[:16]}",)


def _require_own_place(rule: Rule, others: Sequence[Rule]) -> None:
    if f"{rule.template.first}/" in {OTHER, RESERVED}:
        raise TemplateError(f"{rule.template.text}: what begins with {OTHER} or {RESERVED} is not for own rules")
    for other in others:
        if rule.template.may_meet(other.template):
            raise TemplateError(
                f"{rule.template.text} and {other.template.text} might render the same key; begin them differently"
            )


def _values(subject: Subject) -> dict[str, str]:
    """Return the file's name and extension, and what the content says for where nobody has said otherwise."""
    name = subject.path.rpartition("/")[2]
    values = {"file": name, "ext": _extension(name, subject.content_type)}
    if subject.md5 is not None:
        values["md5"] = subject.md5
    if subject.mtime_ns is not None and 0 <= subject.mtime_ns < _YEAR_10000 * 10**9:
        values["created"] = datetime.fromtimestamp(subject.mtime_ns // 10**9, UTC).date().isoformat()
    return values


def _extension(name: str, content_type: str | None) -> str:
    """Return the name's extension, mended by the content where it says nothing."""
    stem, _, given = name.lower().rpartition(".")
    extension = given if stem else ""
    if extension in _SILENT or not _EXTENSION.fullmatch(extension):
        return _EXTENSIONS.get(content_type or "", "bin")
    return extension


def _marked(last: str, mark: str) -> str:
    stem, dot, extension = last.rpartition(".")
    return f"{stem}{mark}{dot}{extension}" if stem else last + mark


def _parsed(rule: Rule, values: Mapping[str, str], *, is_cut: bool) -> Parsed:
    file = None if is_cut else values.get("file")
    fields = {name: value for name, value in values.items() if name not in _UNDERSTOOD}
    return Parsed(type=rule.type, fields=fields, file=file)


_NAMED: Final[Mapping[str, tuple[Rule, ...]]] = {
    "creative": (
        Rule("product", Template("products/{variant}/{category}/{product:slug}/{file}")),
        Rule("background", Template("backgrounds/scene/{region}/{season}/{file}"), {"kind": "scene"}),
        Rule("background", Template("backgrounds/gradient/{style}/{file}"), {"kind": "gradient"}),
        Rule("background", Template("backgrounds/solid/{color}/{file}"), {"kind": "solid"}),
        Rule("composite", Template("composites/{campaign}/{product:slug}/{aspect_ratio}/{file}")),
    ),
    "episodic": (Rule("artifact", Template("artifacts/{kind}/{show}/s{season:02}/e{episode:02}/{file}")),),
    "dated": (Rule("media", Template("cache/{created:year}/{created:month}/{md5}.{ext}"), untyped=True),),
    "temporal": (
        Rule(
            "temporal",
            Template(
                "temp/videos/{timestamp:year}/{timestamp:month}/{timestamp:day}/{hash}_{timestamp}.{ext}",
            ),
        ),
    ),
}
MIRROR: Final = "mirror"
NAMES: Final = (MIRROR, *_NAMED)
OWN: Final = "own rules"


def named(name: str, *, key_bytes: int = KEY_BYTES) -> Layout:
    """Return one of the layouts that are in NAMES."""
    return MirrorLayout(key_bytes=key_bytes) if name == MIRROR else RuleLayout(name, _NAMED[name], key_bytes=key_bytes)


def own(rules: Sequence[Rule], *, key_bytes: int = KEY_BYTES) -> Layout:
    """Return the layout of these rules. Raise TemplateError where they make none."""
    return RuleLayout(OWN, rules, key_bytes=key_bytes)
