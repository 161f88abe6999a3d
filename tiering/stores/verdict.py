"""What the status of an HTTP answer means to the port, whoever gave it, and what to do where no answer came."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tiering.store import (
    CorruptError,
    CredentialsError,
    PreconditionError,
    RefusedError,
    ThrottledError,
    UnavailableError,
)

if TYPE_CHECKING:
    from tiering.store import StoreError

_BY_STATUS: Final[dict[int, type[StoreError]]] = {
    401: CredentialsError,
    404: UnavailableError,
    408: UnavailableError,
    409: UnavailableError,
    412: PreconditionError,
    416: CorruptError,
    429: ThrottledError,
    501: RefusedError,
    503: ThrottledError,
}
"""A 404 by itself says nothing: a proxy gives one as well."""

_NO_ANSWER_HINTS: Final = (
    (
        re.compile("CERTIFICATE_VERIFY_FAILED|InvalidCertificate"),
        "nobody known here vouches for the server's certificate: name its authority's with AWS_CA_BUNDLE",
    ),
    (
        re.compile("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|InvalidContentType|InvalidMessage"),
        "the server does not speak TLS there: [store] endpoint may have to begin with http://",
    ),
    (re.compile(""), "is the server up, and [store] endpoint right?"),
)


def status_class(status: int) -> type[StoreError]:
    """Return which of our errors a status is; 0 is no answer at all."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return RefusedError if 300 <= status < 500 else UnavailableError  # noqa: PLR2004 - status classes


def about_silence(message: str) -> str:
    """Return what to do where no answer came, and this was said of it."""
    return next(hint for pattern, hint in _NO_ANSWER_HINTS if pattern.search(message))
