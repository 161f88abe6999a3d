"""What goes wrong between us and an S3 server, said once in the words of the port.

Two libraries raise, and the Rust one tells status and code in its text only. `read_answer` makes one thing of both;
which of our errors that is, `error_class` decides. Only an answer that an S3 server gives can say that something is
not there: a 404 from a proxy, or one without a body, says nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ParamValidationError,
    ProfileNotFound,
)
from obstore.exceptions import BaseError, UnauthenticatedError

from tiering.store import (
    ArchivedError,
    CorruptError,
    CredentialsError,
    NotFoundError,
    PreconditionError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)
from tiering.stores.verdict import about_silence, status_class

if TYPE_CHECKING:
    from tiering.store import StoreError

FOREIGN: Final = (BaseError, BotoCoreError, ClientError, aiohttp.ClientError, OSError, ValueError)
"""All that the two libraries are known to raise. TimeoutError is an OSError, and so is obstore's FileNotFoundError."""

_NO_CREDENTIALS: Final = (ProfileNotFound, UnauthenticatedError)

_BY_CODE: Final[dict[str, type[StoreError]]] = {
    **dict.fromkeys(["NoSuchKey", "NoSuchUpload"], NotFoundError),
    "InvalidObjectState": ArchivedError,
    **dict.fromkeys(["PreconditionFailed", "ConditionalRequestConflict"], PreconditionError),
    **dict.fromkeys(
        [
            "SlowDown",
            "ServiceUnavailable",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
            "RequestLimitExceeded",
        ],
        ThrottledError,
    ),
    **dict.fromkeys(
        [
            "ExpiredToken",
            "InvalidAccessKeyId",
            "InvalidToken",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "UnrecognizedClientException",
        ],
        CredentialsError,
    ),
    **dict.fromkeys(
        ["BadDigest", "InvalidDigest", "InvalidPart", "InvalidRange", "MalformedXML", "XAmzContentSHA256Mismatch"],
        CorruptError,
    ),
    **dict.fromkeys(["IncompleteBody", "InternalError", "OperationAborted", "RequestTimeout"], UnavailableError),
}

_HINTS: Final = {
    "AccessDenied": "the credentials ({source}) may not do this: see the bucket's policy and theirs",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set [store] region",
    "EntityTooSmall": "all parts but the last must have 5 MiB: see [upload] part_size",
    "InvalidTargetBucketForLogging": "the bucket for logs must be there, in the same region, and let the store write",
    "InvalidObjectState": "have it brought back, with [store] restore set, or restore it in the store",
    "NoSuchBucket": "create the bucket, or correct [store] url",
    "PermanentRedirect": "the bucket is in another region: set [store] region",
    "RequestTimeTooSkewed": "this machine's clock and the server's disagree: set the clock",
}

_CREDENTIALS_HINT: Final = "the credentials come from {source}: renew or correct them"
_STATUS: Final = re.compile(r"non-2xx status code: (\d{3})")
_WORD: Final = re.compile(r"[A-Za-z]\w{1,63}", re.ASCII)
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_REASON: Final = re.compile(r'(?:message|error): "([^"]+)"|error: ([A-Z]\w+)')


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: `status` is 0 where there was no answer, `code` empty where it had none."""

    status: int
    code: str
    message: str


def read_answer(error: BaseException) -> Answer:
    """Return what the server answered, whichever library tells it."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = said.get("Code", "")
        # Its words stay here: about a signature that is wrong, servers repeat key, token and what was to be signed.
        return Answer(status, code if _WORD.fullmatch(code) else "", "")
    if isinstance(error, BotoCoreError) and "error" in error.kwargs:
        # The library's own words are about the URL of the request; those below it say what happened.
        return Answer(0, "", str(error.kwargs["error"]))
    text, _, details = str(error).partition("\n\nDebug source:")
    status_found, code_found = _STATUS.search(text), _CODE.search(text)
    if status_found is None:
        reasons = ["".join(groups) for groups in _REASON.findall(details)]
        what = text.rpartition(" - ")[2] or type(error).__name__
        return Answer(0, "", ": ".join([what, *reasons[-1:]]))
    return Answer(int(status_found[1]), code_found[1] if code_found else "", "")


def error_class(answer: Answer) -> type[StoreError]:
    """Return which of our errors an answer is."""
    if answer.code in _BY_CODE:
        return _BY_CODE[answer.code]
    # NoSuchBucket is a 404 as well, and says nothing about a key.
    is_named = answer.status == 404 and bool(answer.code)  # noqa: PLR2004 - a status
    return RefusedError if is_named else status_class(answer.status)


def translate(error: BaseException, *, key: str, source: str) -> StoreError:
    """Return one of ours for an error of theirs. `source` is where the credentials come from."""
    if isinstance(error, ParamValidationError) or (isinstance(error, ValueError) and not _is_weather(error)):
        return RefusedError(f"{key}: {error}", key=key)
    answer = read_answer(error)
    kind = CredentialsError if isinstance(error, _NO_CREDENTIALS) else error_class(answer)
    hint = _HINTS.get(answer.code) or (_CREDENTIALS_HINT if kind is CredentialsError else _about_silence(answer))
    said = " ".join(str(part) for part in (answer.status or "", answer.code, answer.message.rstrip(".")) if part)
    return kind(f"{key or 'the store'}: {said}", key=key, hint=hint.format(source=source))


def _about_silence(answer: Answer) -> str:
    """Return what to do where no answer came at all; nothing where one did."""
    return "" if answer.status else about_silence(answer.message)


def _is_weather(error: ValueError) -> bool:
    """Whether a ValueError is about what came over the network: some classes of aiohttp are both."""
    return isinstance(error, aiohttp.ClientError)
