"""Checks of the bucket: whether it is what the configuration says, and whether its queue tells what happens in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon.doctor import failed, ok, warning
from daemon.fields import class_rule
from daemon.wishing import wishes
from tiering.bucket.documents import NOTIFICATION, DeniedError, NotSupportedError
from tiering.bucket.notification import told_of
from tiering.bucket.plan import Outcome
from tiering.bucket.setup import Setup
from tiering.store import StoreError
from tiering.stores.rest_store import RestStore
from tiering.stores.s3 import S3Store
from tiering.stores.sqs import Queue

if TYPE_CHECKING:
    from daemon.circumstances import Circumstances
    from daemon.doctor import Finding
    from tiering.bucket.plan import Step

_STAYS: Final = {
    "s3": "what KMS encrypts",
    "gs": "what came in parts, which Google composes,",
    "az": "what came in parts, which Microsoft keeps as blocks,",
}


async def queue(at: Circumstances) -> list[Finding]:
    """Whether the queue that tells what other hosts do can be asked. Whether it is fed, the daemon hears."""
    url = at.settings.store.events_queue
    if url is None or not isinstance(at.store, S3Store):
        return [ok("no [store] events_queue: what other hosts do is looked for every [store] look_every")]
    try:
        async with Queue(url, at.store.requests.settings) as there:
            said = await there.attributes()
    except StoreError as error:
        return [failed(str(error), error.hint or "see docs/stores.md")]
    found = [ok(f"{url} answers; about {said.get('ApproximateNumberOfMessages', '?')} messages wait")]
    if "RedrivePolicy" not in said:
        remedy = "give it a redrive policy: what cannot be read comes again and again else, until it is too old"
        found.append(warning(f"{url} has no queue for dead letters", remedy))
    unfed = await _fed(at.store, url)
    if not unfed and (why := at.deaf()):
        silent = f"what other hosts do is looked for every [store] look_every: {why}"
        unfed = [warning(silent, "docs/stores.md has the queue's policy; after a start it takes up to two minutes")]
    return [*found, *unfed]


async def _fed(store: S3Store, url: str) -> list[Finding]:
    """Whether the bucket tells anybody. Whether that is the queue only the daemon hears: a topic may be between."""
    try:
        told = await NOTIFICATION.read(store.requests)
    except (NotSupportedError, DeniedError, StoreError):
        return []
    if "EventBridgeConfiguration" in told or any(told_of(told, store.requests.prefix)):
        return []
    said = f"the bucket tells nobody what happens under {store.url}: {url} is not fed"
    return [warning(said, "set [bucket] notify_to and run `tierd bucket setup`: docs/stores.md")]


async def bucket(at: Circumstances) -> list[Finding]:
    """Whether the bucket is what the configuration says; only where it says anything."""
    return [*await _bucket(at), *_ageing(at)]


def _ageing(at: Circumstances) -> list[Finding]:
    """Say which objects keep the class that they were written in, whatever the rules."""
    store = at.settings.store
    is_copied_alike = store.scheme == "s3" and not (store.encryption or "").startswith("aws:kms")
    waits = any(class_rule(text).after for text in store.class_rules)
    if store.scheme not in _STAYS or is_copied_alike or not waits:
        return []
    said = (
        f"{_STAYS[store.scheme]} stays in the storage class that it was written in: copied, it would have another ETag"
    )
    return [warning(said, "have a lifecycle rule of the bucket move it; on s3:// [bucket] transition_after is one")]


async def _bucket(at: Circumstances) -> list[Finding]:
    if isinstance(at.store, RestStore):
        return await _without_setup(at.store)
    if not isinstance(at.store, S3Store):
        return [ok(f"{at.store.url} is no bucket")]
    if not at.settings.bucket.model_fields_set:
        return [ok("[bucket] is not in the configuration: nothing is wished of the bucket")]
    try:
        survey = await Setup(at.store.requests, at.store, wishes(at.settings, at.store.requests)).survey()
    except StoreError as error:
        return [failed(str(error), error.hint or "see docs/stores.md")]
    return [_bucket_finding(step) for step in survey.steps]


async def _without_setup(store: RestStore) -> list[Finding]:
    """Say what only S3 has, and whether there are URLs for others."""
    found = [ok(f"{store.url}: here tierd has no bucket setup, uploads by a form, object tags or restore")]
    try:
        await store.signer.sign("GET", "any", 1)
    except StoreError as error:
        return [*found, ok(f"there are no presigned URLs: {error.advice}")]
    return [*found, ok("presigned URLs to read and to upload by can be had")]


def _bucket_finding(step: Step) -> Finding:
    said = f"{step.rule}: {step.detail}"
    if step.outcome is Outcome.PLANNED:
        return warning(f"{said}: not so", "`tierd bucket setup` does it, or turn it off in [bucket]")
    if step.outcome is Outcome.DENIED:
        return warning(said, "`tierd bucket check --iam` prints a policy that allows it")
    if step.outcome is Outcome.FAILED:
        return warning(said, "change [bucket], or the bucket")
    return ok(f"{said} ({step.outcome})")
