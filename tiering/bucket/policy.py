"""The bucket's policy: requests for objects of ours go by TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiering.bucket import documents
from tiering.bucket.rule import short_hash, with_ours

if TYPE_CHECKING:
    from tiering.bucket.documents import Content


@dataclass(frozen=True, slots=True)
class TlsOnly:
    """Requests for our objects that are not encrypted on their way are refused."""

    bucket_name: str
    prefix: str
    wished: bool

    name = "tls_only"
    document = documents.POLICY
    tried = True
    wish = "requests for objects of ours that do not come by TLS are refused"

    def amended(self, found: Content) -> Content:
        """See Rule."""
        own = f"TierdTlsOnly{short_hash(self.prefix)}"
        objects = f"{self.bucket_name}/{self.prefix}*"
        statement = {
            "Sid": own,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            # Never the bucket itself: nobody could take the policy back then.
            "Resource": [objects],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        present = found.get("Statement", [])
        present = [present] if isinstance(present, dict) else present
        if self.wished and any(_listed(each) == _listed(statement) for each in present):
            return found
        amended = with_ours(present, own, statement if self.wished else None, key="Sid")
        return {"Version": "2012-10-17", **found, "Statement": amended} if amended else {}


def _listed(statement: Content) -> Content:
    """Return a statement with lists where one value may stand alone; servers change the one into the other."""
    return {
        name: sorted(value if isinstance(value, list) else [value]) if name in {"Action", "Resource"} else value
        for name, value in statement.items()
    }
