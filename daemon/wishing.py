"""What the configuration wishes of the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiering.bucket.wishes import Wishes

if TYPE_CHECKING:
    from daemon.settings import Settings
    from tiering.stores.s3_requests import Requests


def wishes(settings: Settings, requests: Requests) -> Wishes:
    """Return what `[bucket]` says about the bucket that these requests go to."""
    bucket = settings.bucket
    return Wishes(
        bucket=requests.settings.bucket,
        prefix=requests.prefix,
        region=requests.region,
        versioning=bucket.versioning,
        encryption=None if bucket.encryption == "none" else bucket.encryption,
        block_public_access=bucket.block_public_access,
        abort_uploads_after=bucket.abort_uploads_after.days,
        transition_after=bucket.transition_after.days,
        transition_class=bucket.transition_class,
        expire_after=bucket.expire_after.days,
        expire_versions_after=bucket.expire_versions_after.days,
        cors_origins=bucket.cors_origins,
        log_bucket=bucket.log_bucket,
        tags={name: value for name, _, value in (tag.partition("=") for tag in bucket.tags)},
        accelerate=bucket.accelerate,
        replicate_to=bucket.replicate_to,
        replication_role=bucket.replication_role,
        notify_to=bucket.notify_to,
        tls_only=bucket.tls_only,
        distribution=settings.cdn.distribution,
        queue=settings.store.events_queue,
        restores=settings.store.restore is not None,
    )
