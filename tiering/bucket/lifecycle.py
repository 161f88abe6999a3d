"""What becomes of objects of ours as they get older."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiering.bucket import documents
from tiering.bucket.rule import own_name, with_ours
from tiering.bucket.wishes import ARCHIVED

if TYPE_CHECKING:
    from tiering.bucket.documents import Content
    from tiering.bucket.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """One rule for what lies under our prefix; those of others stay. `action` is None where it is not to be."""

    name: str
    prefix: str
    wish: str
    action: Content | None

    document = documents.LIFECYCLE
    tried = False

    @property
    def wished(self) -> bool:
        """See Rule."""
        return self.action is not None

    def amended(self, found: Content) -> Content:
        """See Rule."""
        own = own_name(self.name, self.prefix)
        wanted = {"ID": own, "Status": "Enabled", "Filter": {"Prefix": self.prefix}, **(self.action or {})}
        rules = found.get("Rules", [])
        if self.action is not None and any(_essence(rule) == _essence(wanted) for rule in rules):
            return found
        amended = with_ours(rules, own, wanted if self.action is not None else None)
        return {**found, "Rules": amended} if amended else {}


def _essence(rule: Content) -> Content:
    """Return what a rule says, however a server words it: where the prefix stands, and what is empty, is all one."""
    scope = rule.get("Filter", {})
    prefix = scope.get("Prefix", rule.get("Prefix", ""))
    more = {name: value for name, value in scope.items() if name != "Prefix"}
    rest = {name: value for name, value in rule.items() if name not in {"Filter", "Prefix"} and value}
    return {**rest, "prefix": prefix, "filter": more}


def lifecycle_of(wishes: Wishes) -> list[Lifecycle]:
    """Return the rules of the lifecycle: each is ours by name, and gone when it is wished for no more."""
    slow = ", and must be restored, for hours, to be read" if wishes.transition_class in ARCHIVED else ""
    days = wishes.transition_after
    rules: list[tuple[str, int, str, Content]] = [
        (
            "abort_uploads_after",
            wishes.abort_uploads_after,
            "uploads that nobody finished are aborted after {} days",
            {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": wishes.abort_uploads_after}},
        ),
        (
            "transition_after",
            days,
            f"objects move to {wishes.transition_class} after {{}} days{slow}",
            {"Transitions": [{"Days": days, "StorageClass": wishes.transition_class}]},
        ),
        (
            "expire_after",
            wishes.expire_after,
            "objects are DELETED {} days after they were written: a cold asset is lost then",
            {"Expiration": {"Days": wishes.expire_after}},
        ),
        (
            "expire_versions_after",
            wishes.expire_versions_after,
            "older versions are deleted after {} days",
            {"NoncurrentVersionExpiration": {"NoncurrentDays": wishes.expire_versions_after}},
        ),
    ]
    return [
        Lifecycle(name, wishes.prefix, wish.format(days), action if days else None)
        for name, days, wish, action in rules
    ]
