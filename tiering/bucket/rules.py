"""All that a bucket can be wished to be like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiering.bucket.encryption import encryption_of
from tiering.bucket.exposure import AccessLog, Cors, PublicAccess
from tiering.bucket.lifecycle import lifecycle_of
from tiering.bucket.notification import Notification
from tiering.bucket.policy import TlsOnly
from tiering.bucket.replication import replication_of
from tiering.bucket.switch import ACCELERATION, VERSIONING
from tiering.bucket.tags import Tags

if TYPE_CHECKING:
    from tiering.bucket.rule import Rule
    from tiering.bucket.wishes import Wishes


def rules_for(wishes: Wishes) -> list[Rule]:
    """Return what is wished for, in the order in which it is applied: what may lock us out comes last."""
    rules: list[tuple[bool, Rule]] = [
        (wishes.versioning, VERSIONING),
        (bool(wishes.encryption), encryption_of(wishes.encryption or "")),
        (wishes.block_public_access, PublicAccess()),
        *((True, rule) for rule in lifecycle_of(wishes)),
        (True, Cors(wishes.prefix, wishes.cors_origins)),
        (bool(wishes.log_bucket), AccessLog(wishes.log_bucket or "", wishes.bucket)),
        (bool(wishes.tags), Tags(tuple(wishes.tags.items()))),
        (wishes.accelerate, ACCELERATION),
        (True, replication_of(wishes)),
        (True, Notification(wishes.prefix, wishes.notify_to)),
        (True, TlsOnly(wishes.bucket_name, wishes.prefix, wishes.tls_only)),
    ]
    return [rule for is_wished, rule in rules if is_wished]
