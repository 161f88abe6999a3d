"""What notifications say, in each of the envelopes in which they come, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tiering.bulletin import Bulletin, MalformedError, latest, read


def from_s3(name: str, key: str = "studio/a+b%C3%BC.jpg", **said: Any) -> dict[str, Any]:
    """Return a message as S3 sends it to a queue."""
    thing = {"key": key, "size": 3, "eTag": "e1", "sequencer": "0A", **said}
    return {"Records": [{"eventName": name, "s3": {"bucket": {"name": "media"}, "object": thing}}]}


def by_topic(message: dict[str, Any]) -> dict[str, Any]:
    """Return it as a topic passes it on."""
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:t", "Message": json.dumps(message)}


def by_event_bridge(kind: str, **said: Any) -> dict[str, Any]:
    """Return a message as EventBridge sends it."""
    thing = {"key": "studio/a bü.jpg", "size": 3, "etag": "e1", "sequencer": "0A", **said}
    return {"detail-type": kind, "detail": {"bucket": {"name": "media"}, "object": thing}}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (from_s3("ObjectCreated:Put"), "put"),
        (from_s3("s3:ObjectCreated:CompleteMultipartUpload"), "put"),
        (from_s3("ObjectRemoved:Delete"), "removed"),
        (from_s3("ObjectRemoved:DeleteMarkerCreated"), "removed"),
        (from_s3("LifecycleExpiration:Delete"), "removed"),
        (from_s3("ObjectTagging:Put"), "other"),
        (by_topic(from_s3("ObjectCreated:Copy")), "put"),
        (by_event_bridge("Object Created"), "put"),
        (by_event_bridge("Object Deleted"), "removed"),
        (by_event_bridge("Object Restore Completed"), "other"),
    ],
)
def test_each_envelope(message: dict[str, Any], kind: str) -> None:
    """They say the same of the same thing; keys are whole, and as they are."""
    (told,) = read(json.dumps(message))
    assert (told.bucket, told.key, told.kind) == ("media", "studio/a bü.jpg", kind)
    assert (told.etag, told.size, told.order.lstrip("0")) == ("e1", 3, "A")


def test_the_first_message_of_all_tells_nothing() -> None:
    """S3 tries a queue when it is named."""
    assert read('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "media"}') == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "7",
        "{}",
        '{"Records": 7}',
        '{"Records": [{}]}',
        '{"Records": [null]}',
        '{"Type": "Notification", "TopicArn": "t", "Message": "no JSON"}',
        '{"detail-type": "Object Created", "detail": {}}',
        json.dumps(from_s3("ObjectCreated:Put", key=7)),  # type: ignore[arg-type]
        json.dumps(from_s3("ObjectCreated:Put", size="many")),
        json.dumps(from_s3("ObjectCreated:Put", eTag=None)),
        "[" * 100_000,
    ],
)
def test_what_is_no_notification(body: str) -> None:
    """Anybody who may send to a queue can send anything."""
    with pytest.raises(MalformedError):
        read(body)


def test_the_last_about_each_object_counts() -> None:
    """By the order that the store gives, which is as hexadecimal; without one, as they came."""
    one, two = Bulletin("b", "k", "put", order="0A".zfill(64)), Bulletin("b", "k", "removed", order="0FF".zfill(64))
    other = Bulletin("b", "other", "put")
    assert latest([two, other, one]) == [two, other]
    silent, removed = Bulletin("b", "k", "put"), Bulletin("b", "k", "removed")
    assert latest([silent, removed]) == [removed]
