"""The smallest rights that serve, as a policy that can be pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tiering.bucket.documents import NOTIFICATION
from tiering.bucket.replication import Replication
from tiering.bucket.rules import rules_for
from tiering.stores.sqs import region_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiering.bucket.wishes import Wishes

Policy = dict[str, Any]


def daemon_policy(wishes: Wishes, *, kms_key: str | None = None) -> Policy:
    """Return what the daemon needs, and `tierd bucket check`."""
    documents = {rule.document.name: rule.document for rule in rules_for(wishes) if rule.wished}.values()
    return _policy(wishes, kms_key, looks=[document.reading for document in documents])


def setup_policy(wishes: Wishes, *, kms_key: str | None = None) -> Policy:
    """Return what `tierd bucket setup` needs besides."""
    rules = rules_for(wishes)
    documents = {rule.document.name: rule.document for rule in rules if rule.wished}.values()
    removals = [document.removing for document in documents if document.removing]
    writes = ["s3:CreateBucket", *(document.writing for document in documents), *removals]
    policy = _policy(wishes, kms_key, looks=[document.reading for document in documents])
    policy["Statement"].append(_allowed("TierdSetup", writes, [wishes.bucket_name]))
    if wishes.replication_role and any(isinstance(rule, Replication) and rule.wished for rule in rules):
        policy["Statement"].append(_allowed("TierdReplication", ["iam:PassRole"], [wishes.replication_role]))
    return policy


def _policy(wishes: Wishes, kms_key: str | None, *, looks: Iterable[str]) -> Policy:
    objects = [
        "s3:GetObject",
        "s3:PutObject",
        "s3:PutObjectTagging",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
        *(["s3:RestoreObject"] if wishes.restores else []),
    ]
    told = [NOTIFICATION.reading] if wishes.queue else []
    bucket = ["s3:ListBucket", "s3:ListBucketMultipartUploads", *looks, *told]
    statements = [
        _allowed("TierdObjects", objects, [wishes.objects_name]),
        _allowed("TierdBucket", bucket, [wishes.bucket_name]),
    ]
    if kms_key:
        statements.append(_allowed("TierdKey", ["kms:GenerateDataKey", "kms:Decrypt"], [_key_name(wishes, kms_key)]))
    if wishes.queue:
        reads = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        statements.append(_allowed("TierdQueue", reads, [_queue_name(wishes, wishes.queue)]))
    if wishes.distribution:
        name = f"arn:{wishes.partition}:cloudfront::*:distribution/{wishes.distribution}"
        statements.append(
            _allowed("TierdDistribution", ["cloudfront:CreateInvalidation", "cloudfront:GetDistribution"], [name])
        )
    return {"Version": "2012-10-17", "Statement": statements}


def _allowed(sid: str, actions: Iterable[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(dict.fromkeys(actions)), "Resource": resources}


def _queue_name(wishes: Wishes, url: str) -> str:
    account, _, name = urlsplit(url).path.strip("/").rpartition("/")
    return f"arn:{wishes.partition}:sqs:{region_of(url) or wishes.region}:{account}:{name}"


def _key_name(wishes: Wishes, key: str) -> str:
    return key if key.startswith("arn:") else f"arn:{wishes.partition}:kms:{wishes.region}:*:key/{key}"
