"""Who gets at what is in a bucket: what can be made public, pages of which origins, and where that is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tiering.bucket import documents
from tiering.bucket.rule import TakenError, own_name, with_ours

if TYPE_CHECKING:
    from tiering.bucket.documents import Content

PUBLIC_ACCESS: Final = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_CORS_SECONDS: Final = 3600


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
        rules = with_ours(found.get("CORSRules", []), own, wanted if self.origins else None)
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
