"""The copying of objects of ours to another bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiering.bucket import documents
from tiering.bucket.rule import TakenError, own_name, with_ours

if TYPE_CHECKING:
    from tiering.bucket.documents import Content
    from tiering.bucket.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Replication:
    """What is written under our prefix is copied to another bucket, by that bucket's store. `target` may be None."""

    prefix: str
    target: str | None
    role: str | None

    name = "replicate_to"
    document = documents.REPLICATION
    tried = False

    @property
    def wished(self) -> bool:
        """See Rule."""
        return self.target is not None

    @property
    def wish(self) -> str:
        """See Rule."""
        return f"new objects of ours are copied to {self.target}"

    def amended(self, found: Content) -> Content:
        """See Rule."""
        own = own_name(self.name, self.prefix)
        others = [rule for rule in found.get("Rules", []) if rule.get("ID") != own]
        if not self.target:
            return {**found, "Rules": others} if others else {}
        if others and found.get("Role") != self.role:
            raise TakenError(
                f"other rules replicate by the role {found.get('Role')}, and there can be only one: use it"
            )
        ranks = {rule.get("Priority", 0) for rule in others}
        mine: Content = next((rule for rule in found.get("Rules", []) if rule.get("ID") == own), {})
        wanted = {
            "ID": own,
            "Priority": mine.get("Priority") or max(ranks, default=0) + 1,
            "Status": "Enabled",
            "Filter": {"Prefix": self.prefix},
            "DeleteMarkerReplication": {"Status": "Disabled"},
            "Destination": {"Bucket": self.target},
        }
        return {"Role": self.role, "Rules": with_ours(found.get("Rules", []), own, wanted)}


def replication_of(wishes: Wishes) -> Replication:
    """Return the rule for what is wished: a bucket may be named in full or by its name."""
    target = wishes.replicate_to
    full = target if not target or target.startswith("arn:") else f"arn:{wishes.partition}:s3:::{target}"
    return Replication(wishes.prefix, full, wishes.replication_role)
