"""Rules that turn something on in the whole bucket, and never off again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.bucket import documents

if TYPE_CHECKING:
    from tiering.bucket.documents import Content, Document


@dataclass(frozen=True, slots=True)
class Switch:
    """What a bucket has or has not. See tiering.bucket.rule.Rule."""

    name: str
    document: Document
    wish: str

    tried = False
    wished = True

    def amended(self, found: Content) -> Content:
        """See Rule."""
        return found if found.get("Status") == "Enabled" else {"Status": "Enabled"}


VERSIONING: Final = Switch(
    "versioning",
    documents.VERSIONING,
    "what is overwritten or deleted is kept as an older version (in the whole bucket)",
)
ACCELERATION: Final = Switch("accelerate", documents.ACCELERATION, "transfer acceleration is on (in the whole bucket)")
