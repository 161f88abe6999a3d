"""What people say about an asset, as it travels with the object: type, fields and tags, and how much of it fits.

Fields and tags are written as S3 writes tags, `name=value&name=value`, percent-encoded, so that people can read them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from tiering.vocabulary import MeaningError

if TYPE_CHECKING:
    from collections.abc import Mapping

METADATA_BYTES: Final = 2048
"""What S3 takes of user metadata, names and values together."""
TAGS_MOST: Final = 10
_TAG_NAME: Final = re.compile(r"(?!aws:)[\w +\-=.:/@]{1,128}")
_TAG_VALUE: Final = re.compile(r"[\w +\-=.:/@]{0,256}")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Label:
    """Type, fields and tags of one asset."""

    type: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != Label()

    def to_metadata(self) -> dict[str, str]:
        """Return the ASCII entries that travel with the object: none for what is not said."""
        said = {
            "tierd-type": _quoted(self.type or ""),
            "tierd-fields": _joined(self.fields),
            "tierd-tags": _joined(self.tags),
        }
        return {name: value for name, value in said.items() if value}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Label:
        """Read the entries back. Anybody can write them: what makes no sense says nothing."""
        type_, fields, tags = (metadata.get(name, "") for name in ("tierd-type", "tierd-fields", "tierd-tags"))
        return cls(_unquoted(type_) or None, _split(fields), _split(tags))


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise MeaningError where S3 would not take them."""
    if len(tags) > TAGS_MOST:
        raise MeaningError(f"{len(tags)} tags are more than the {TAGS_MOST} that an object can carry: say it in fields")
    for name, value in tags.items():
        if not (_TAG_NAME.fullmatch(name) and _TAG_VALUE.fullmatch(value)):
            raise MeaningError(
                f"the tag {name!a} is {value!a}: names have 1 to 128 letters, digits, blanks and + - = . _ : / @, not"
                " beginning with aws:, values at most 256"
            )


def fitting(entries: Mapping[str, str], label: Label) -> dict[str, str]:
    """Return the entries with those of the label. Raise MeaningError where they are more than S3 takes."""
    said = label.to_metadata()
    needed, used = _size(said), _size(entries)
    if needed and used + needed > METADATA_BYTES:
        raise MeaningError(
            f"type, fields and tags take {needed} bytes of object metadata, {METADATA_BYTES - used} are left beside the"
            " path: say less, or shorten the path"
        )
    return {**entries, **said}


def _size(entries: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in entries.items())


def _joined(words: Mapping[str, str]) -> str:
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(words.items()))


def _split(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split("&") if pair)
    return {_unquoted(name): _unquoted(value) for name, _, value in pairs}


def _quoted(text: str) -> str:
    return quote(text, safe="/:@,()!*'", errors="surrogatepass")


def _unquoted(text: str) -> str:
    if _ESCAPE.search(text):
        return ""
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        return ""
