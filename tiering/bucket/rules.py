"""What a bucket can be wished to be like: each rule says what its document should be, and nothing else of it changes.

`amended` is pure: from the document that is to the one that should be. Where the two are the same there is nothing to
do. A rule never weakens what it finds: versions are never suspended, nor a stronger encryption replaced. Rules that
carry our name, for our prefix, are taken away again when nobody wishes for them; what is the whole bucket's is left.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from tiering.bucket import documents
from tiering.bucket.wishes import ARCHIVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiering.bucket.documents import Content, Document
    from tiering.bucket.wishes import Wishes

NAME_BYTES: Final = 255
"""S3 takes no longer name of a rule."""
PUBLIC_ACCESS: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_CORS_SECONDS: Final = 3600


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


@dataclass(frozen=True, slots=True)
class Versioning:
    """Every version of an object is kept."""

    name = "versioning"
    document = documents.VERSIONING
    tried = False
    wished = True
    wish = "what is overwritten or deleted is kept as an older version (in the whole bucket)"

    def amended(self, found: Content) -> Content:
        """See Rule."""
        return found if found.get("Status") == "Enabled" else {"Status": "Enabled"}


@dataclass(frozen=True, slots=True)
class Encryption:
    """What is written without a word about encryption is encrypted so."""

    algorithm: str
    key: str | None

    name = "encryption"
    document = documents.ENCRYPTION
    tried = True
    wished = True

    @property
    def wish(self) -> str:
        """See Rule."""
        return f"new objects are encrypted: {self.algorithm}{f' by {self.key}' if self.key else ''} (whole bucket)"

    def amended(self, found: Content) -> Content:
        """See Rule. Where a key is held by KMS, nothing is taken back to the store's own."""
        present = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in found.get("Rules", ())]
        if any(self._is_met_by(each) for each in present):
            return found
        default = {"SSEAlgorithm": self.algorithm} | ({"KMSMasterKeyID": self.key} if self.key else {})
        return {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": self._is_kms}]}

    @property
    def _is_kms(self) -> bool:
        return self.algorithm.startswith("aws:kms")

    def _is_met_by(self, default: Mapping[str, str]) -> bool:
        algorithm = default.get("SSEAlgorithm", "")
        if not self._is_kms:
            return bool(algorithm)
        return algorithm.startswith("aws:kms") and self.key in {None, default.get("KMSMasterKeyID")}


@dataclass(frozen=True, slots=True)
class PublicAccess:
    """Nothing in the bucket can be made public."""

    name = "block_public_access"
    document = documents.PUBLIC_ACCESS
    tried = False
    wished = True
    wish = "nobody can make anything public (in the whole bucket)"

    def amended(self, found: Content) -> Content:
        """See Rule."""
        return {**found, **dict.fromkeys(PUBLIC_ACCESS, True)}


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
        amended = _with(rules, own, wanted if self.action is not None else None)
        return {**found, "Rules": amended} if amended else {}


def _essence(rule: Content) -> Content:
    """Return what a rule says, however a server words it: where the prefix stands, and what is empty, is all one."""
    scope = rule.get("Filter", {})
    prefix = scope.get("Prefix", rule.get("Prefix", ""))
    more = {name: value for name, value in scope.items() if name != "Prefix"}
    rest = {name: value for name, value in rule.items() if name not in {"Filter", "Prefix"} and value}
    return {**rest, "prefix": prefix, "filter": more}


@dataclass(frozen=True, slots=True)
class Cors:
    """Pages of these origins may read and write by presigned URLs."""

    prefix: str
    origins: tuple[str, ...]

    name = "cors_origins"
    document = documents.CORS
    tried = False

    @property
    def wished(self) -> bool:
        """See Rule."""
        return bool(self.origins)

    @property
    def wish(self) -> str:
        """See Rule."""
        return f"pages of {', '.join(self.origins)} may use presigned URLs (in the whole bucket)"

    def amended(self, found: Content) -> Content:
        """See Rule."""
        own = own_name(self.name, self.prefix)
        wanted = {
            "ID": own,
            "AllowedOrigins": list(self.origins),
            "AllowedMethods": ["GET", "HEAD", "PUT", "POST"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": _CORS_SECONDS,
        }
        rules = _with(found.get("CORSRules", []), own, wanted if self.origins else None)
        return {"CORSRules": rules} if rules else {}


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Who asked the bucket for what is written into another bucket."""

    target: str
    bucket: str

    name = "log_bucket"
    document = documents.LOGGING
    tried = False
    wished = True

    @property
    def wish(self) -> str:
        """See Rule."""
        return f"requests are logged to the bucket {self.target} (of the whole bucket)"

    def amended(self, found: Content) -> Content:
        """See Rule."""
        present = found.get("LoggingEnabled", {}).get("TargetBucket")
        if present not in {None, self.target}:
            raise TakenError(f"requests are logged to {present} already: name that one, or end it first")
        return (
            found if present else {"LoggingEnabled": {"TargetBucket": self.target, "TargetPrefix": f"{self.bucket}/"}}
        )


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


@dataclass(frozen=True, slots=True)
class Acceleration:
    """The bucket answers at Amazon's edge, too."""

    name = "accelerate"
    document = documents.ACCELERATION
    tried = False
    wished = True
    wish = "transfer acceleration is on (in the whole bucket)"

    def amended(self, found: Content) -> Content:
        """See Rule."""
        return found if found.get("Status") == "Enabled" else {"Status": "Enabled"}


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
        return {"Role": self.role, "Rules": _with(found.get("Rules", []), own, wanted)}


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
        own = f"TierdTlsOnly{_hash(self.prefix)}"
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
        amended = _with(present, own, statement if self.wished else None, key="Sid")
        return {"Version": "2012-10-17", **found, "Statement": amended} if amended else {}


def _listed(statement: Content) -> Content:
    """Return a statement with lists where one value may stand alone; servers change the one into the other."""
    return {
        name: sorted(value if isinstance(value, list) else [value]) if name in {"Action", "Resource"} else value
        for name, value in statement.items()
    }


def _with(rules: Iterable[Content], own: str, wanted: Content | None, *, key: str = "ID") -> list[Content]:
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
    return name if len(name.encode()) <= NAME_BYTES else f"tierd {rule} {_hash(prefix)}"


def _hash(prefix: str) -> str:
    return hashlib.sha256(prefix.encode()).hexdigest()[:8] if prefix else ""


def rules_for(wishes: Wishes) -> list[Rule]:
    """Return what is wished for, in the order in which it is applied: what may lock us out comes last."""
    rules: list[tuple[bool, Rule]] = [
        (wishes.versioning, Versioning()),
        (bool(wishes.encryption), _encryption(wishes.encryption or "")),
        (wishes.block_public_access, PublicAccess()),
        *((True, rule) for rule in _lifecycle(wishes)),
        (True, Cors(wishes.prefix, wishes.cors_origins)),
        (bool(wishes.log_bucket), AccessLog(wishes.log_bucket or "", wishes.bucket)),
        (bool(wishes.tags), Tags(tuple(wishes.tags.items()))),
        (wishes.accelerate, Acceleration()),
        (True, Replication(wishes.prefix, _full_name(wishes), wishes.replication_role)),
        (True, TlsOnly(wishes.bucket_name, wishes.prefix, wishes.tls_only)),
    ]
    return [rule for is_wished, rule in rules if is_wished]


def _encryption(wish: str) -> Encryption:
    algorithm, _, key = wish.partition("aws:kms:")
    return Encryption(wish, None) if algorithm or key in {"", "dsse"} else Encryption("aws:kms", key)


def _full_name(wishes: Wishes) -> str | None:
    target = wishes.replicate_to
    return target if not target or target.startswith("arn:") else f"arn:{wishes.partition}:s3:::{target}"


def _lifecycle(wishes: Wishes) -> list[Lifecycle]:
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
