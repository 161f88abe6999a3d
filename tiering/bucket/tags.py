"""What a bucket is tagged with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiering.bucket import documents

if TYPE_CHECKING:
    from tiering.bucket.documents import Content


@dataclass(frozen=True, slots=True)
class Tags:
    """The bucket has these tags, beside those of others."""

    tags: tuple[tuple[str, str], ...]

    name = "tags"
    document = documents.TAGS
    tried = False
    wished = True

    @property
    def wish(self) -> str:
        """See Rule."""
        return f"the bucket is tagged {', '.join('='.join(tag) for tag in self.tags)}"

    def amended(self, found: Content) -> Content:
        """See Rule."""
        present = {tag["Key"]: tag["Value"] for tag in found.get("TagSet", ())}
        wanted = present | dict(self.tags)
        return found if wanted == present else {"TagSet": [{"Key": k, "Value": v} for k, v in wanted.items()]}
