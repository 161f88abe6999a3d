"""What is wished of a bucket, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ARCHIVED: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Classes whose objects must be restored, which takes hours, before anybody can read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """None, 0, False and empty mean: leave it as it is. All times are in days.

    `encryption` is `AES256`, `aws:kms`, or `aws:kms:` and a key's id. `prefix` ends in a slash, or is empty.
    """

    bucket: str
    prefix: str
    region: str
    versioning: bool = False
    encryption: str | None = None
    block_public_access: bool = False
    abort_uploads_after: int = 0
    transition_after: int = 0
    transition_class: str = "GLACIER_IR"
    expire_after: int = 0
    expire_versions_after: int = 0
    cors_origins: tuple[str, ...] = ()
    log_bucket: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    accelerate: bool = False
    replicate_to: str | None = None
    replication_role: str | None = None
    notify_to: str | None = None
    """The ARN of a queue or a topic."""
    tls_only: bool = False
    restores: bool = False
    """Whether the daemon asks for what lies in an archive: nothing about the bucket, only about its rights."""
    queue: str | None = None
    """The URL of the queue that the daemon follows: likewise."""
    distribution: str | None = None
    """The distribution of CloudFront that the daemon tells what to forget: likewise."""

    @property
    def partition(self) -> str:
        """The part of Amazon that its names of resources begin with: China and the government have their own."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def bucket_name(self) -> str:
        """The bucket's full name in policies."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def objects_name(self) -> str:
        """The full name in policies of all objects that are ours."""
        return f"{self.bucket_name}/{self.prefix}*"
