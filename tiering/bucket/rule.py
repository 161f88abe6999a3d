"""What a rule about a bucket is: it says what its document should be, and nothing else of that changes.

`amended` is pure: from the document that is to the one that should be. Where the two are the same there is nothing to
do. A rule never weakens what it finds: versions are never suspended, nor a stronger encryption replaced. Rules that
carry our name, for our prefix, are taken away again when nobody wishes for them; what is the whole bucket's is left.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiering.bucket.documents import Content, Document

NAME_BYTES: Final = 255
"""S3 takes no longer name of a rule."""


class TakenError(Exception):
    """Somebody else has set what there can be only one of: it stays, and a person must decide."""


class Rule(Protocol):
    """One wish. `tried`: a bucket may be useless with it, so it is tried, and taken back where it fails."""

    @property
    def name(self) -> str:
        """As the key of `[bucket]`."""

    @property
    def document(self) -> Document:
        """Where it is written."""

    @property
    def tried(self) -> bool:
        """See above."""

    @property
    def wished(self) -> bool:
        """Whether it is to be; else what is left of it is taken away."""

    @property
    def wish(self) -> str:
        """What should be, for people."""

    def amended(self, found: Content) -> Content:
        """Return the document as it should be. Raise TakenError where that is not ours to change."""


def with_ours(rules: Iterable[Content], own: str, wanted: Content | None, *, key: str = "ID") -> list[Content]:
    """Return the rules with ours in its place, or without it."""
    rules = list(rules)
    if wanted is None:
        return [rule for rule in rules if rule.get(key) != own]
    if any(rule.get(key) == own for rule in rules):
        return [wanted if rule.get(key) == own else rule for rule in rules]
    return [*rules, wanted]


def own_name(rule: str, prefix: str) -> str:
    """Return the name of a rule that is ours, and no other prefix's."""
    name = f"tierd {rule} {prefix}".strip()
    return name if len(name.encode()) <= NAME_BYTES else f"tierd {rule} {short_hash(prefix)}"


def short_hash(prefix: str) -> str:
    """Return what tells one prefix from another where there is no room for it; nothing for the whole bucket."""
    return hashlib.sha256(prefix.encode()).hexdigest()[:8] if prefix else ""
