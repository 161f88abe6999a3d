"""The documents that describe a bucket, each asked for and written as a whole by a request of its own.

A document is `{}` where the bucket has none. Whoever writes one writes all of it: what others put there must be in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tiering.store import StoreError, UnavailableError
from tiering.stores.s3_errors import read_answer

if TYPE_CHECKING:
    from tiering.stores.s3_errors import Answer
    from tiering.stores.s3_requests import Requests

Content = dict[str, Any]

_UNSUPPORTED: Final = frozenset({405, 501})
_CONFLICT: Final = 409
_REAL_CONFLICTS: Final = frozenset({"OperationAborted", "InvalidBucketState"})
"""Any other conflict is that of a server which takes a request it does not know for the creation of the bucket."""
_BAD: Final = 400
_DENIED: Final = 403
_MISSING: Final = 404


class NotSupportedError(Exception):
    """The store does not have this."""


class DeniedError(Exception):
    """The credentials may not do this; the text is the action, as policies name it."""


@dataclass(frozen=True, slots=True)
class Document:
    """One kind of document: what is asked of S3, and which rights that takes.

    `argument` is what the content is sent as; `answer` is where an answer has it, empty where it is the answer.
    `keeps` are the names in the answer that are content and are sent beside it. `remedy` is what a person can do where
    the store does not like what is sent.
    """

    name: str
    argument: str
    reading: str
    writing: str
    answer: str = ""
    removal: str = ""
    removing: str = ""
    keeps: tuple[str, ...] = ()
    verb: str = "bucket_"
    remedy: str = ""

    async def read(self, requests: Requests) -> Content:
        """Return what the bucket has. Raise NotSupportedError, DeniedError, or StoreError where that is not known."""
        try:
            answer = await requests.ask(f"get_{self.verb}{self.name}", "")
        except StoreError as error:
            said = _answer(error)
            if said.status == _MISSING and said.code not in {"", "NoSuchBucket"}:
                return {}
            raise _named(error, said, self.reading) from error
        found = answer.get(self.answer, {}) if self.answer else answer
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    async def write(self, requests: Requests, content: Content) -> None:
        """Have the bucket have this. Raise as `read` does."""
        removes = not content and bool(self.removal)
        try:
            if removes:
                await requests.ask(self.removal, "")
            else:
                await requests.ask(f"put_{self.verb}{self.name}", "", **self._arguments(content))
        except StoreError as error:
            action, said = (removes and self.removing) or self.writing, _answer(error)
            if self.remedy and said.status == _BAD and not error.hint:
                raise type(error)(str(error), hint=self.remedy) from error
            raise _named(error, said, action) from error

    def _arguments(self, content: Content) -> Content:
        beside = {name: content[name] for name in self.keeps if name in content}
        return {self.argument: {name: value for name, value in content.items() if name not in beside}, **beside}


class PolicyDocument(Document):
    """A bucket's policy: a text that is JSON."""

    __slots__ = ()

    async def read(self, requests: Requests) -> Content:
        """See Document."""
        answer = await Document.read(self, requests)
        try:
            policy: Content = json.loads(answer.get("Policy") or "{}")
        except ValueError as error:
            raise UnavailableError("the store: the bucket's policy is no JSON") from error
        return policy

    def _arguments(self, content: Content) -> Content:
        return {self.argument: json.dumps(content)}


def _answer(error: StoreError) -> Answer:
    return read_answer(error.__cause__ or error)


def _named(error: StoreError, said: Answer, action: str) -> Exception:
    """Return what kind of refusal this is."""
    if said.status == _DENIED and said.code in {"AccessDenied", ""}:
        return DeniedError(action)
    is_conflict = said.status == _CONFLICT and said.code not in _REAL_CONFLICTS
    if said.status in _UNSUPPORTED or said.code == "NotImplemented" or is_conflict:
        return NotSupportedError(said.code or str(said.status))
    return error


VERSIONING: Final = Document(
    "versioning", "VersioningConfiguration", "s3:GetBucketVersioning", "s3:PutBucketVersioning"
)
ENCRYPTION: Final = Document(
    "encryption",
    "ServerSideEncryptionConfiguration",
    "s3:GetEncryptionConfiguration",
    "s3:PutEncryptionConfiguration",
    answer="ServerSideEncryptionConfiguration",
    removal="delete_bucket_encryption",
)
PUBLIC_ACCESS: Final = Document(
    "public_access_block",
    "PublicAccessBlockConfiguration",
    "s3:GetBucketPublicAccessBlock",
    "s3:PutBucketPublicAccessBlock",
    answer="PublicAccessBlockConfiguration",
    verb="",
)
LIFECYCLE: Final = Document(
    "lifecycle_configuration",
    "LifecycleConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:PutLifecycleConfiguration",
    removal="delete_bucket_lifecycle",
    keeps=("TransitionDefaultMinimumObjectSize",),
)
CORS: Final = Document(
    "cors", "CORSConfiguration", "s3:GetBucketCORS", "s3:PutBucketCORS", removal="delete_bucket_cors"
)
LOGGING: Final = Document("logging", "BucketLoggingStatus", "s3:GetBucketLogging", "s3:PutBucketLogging")
TAGS: Final = Document("tagging", "Tagging", "s3:GetBucketTagging", "s3:PutBucketTagging")
ACCELERATION: Final = Document(
    "accelerate_configuration",
    "AccelerateConfiguration",
    "s3:GetAccelerateConfiguration",
    "s3:PutAccelerateConfiguration",
)
REPLICATION: Final = Document(
    "replication",
    "ReplicationConfiguration",
    "s3:GetReplicationConfiguration",
    "s3:PutReplicationConfiguration",
    answer="ReplicationConfiguration",
    removal="delete_bucket_replication",
)
NOTIFICATION: Final = Document(
    "notification_configuration",
    "NotificationConfiguration",
    "s3:GetBucketNotification",
    "s3:PutBucketNotification",
    remedy="the queue or topic must be there, in the bucket's region, and its policy must let the bucket send:"
    " docs/stores.md has one",
)
POLICY: Final = PolicyDocument(
    "policy",
    "Policy",
    "s3:GetBucketPolicy",
    "s3:PutBucketPolicy",
    removal="delete_bucket_policy",
    removing="s3:DeleteBucketPolicy",
)
