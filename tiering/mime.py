"""What kind of content a file has: told by its first bytes, by its name only where they are silent."""

from __future__ import annotations

import mimetypes
import posixpath
from typing import Final

import filetype
from filetype.match import TYPES
from filetype.types.document import ZippedDocumentBase

HEAD_BYTES: Final = 8192
"""How much of a file's beginning is enough to tell."""

UNKNOWN: Final = "application/octet-stream"

_ZIP: Final = b"PK\x03\x04"
_OTHERS: Final = [kind for kind in TYPES if not isinstance(kind, ZippedDocumentBase)]
"""Kinds of which a file may be that does not begin as an archive: to look for the others takes longer than all this."""


def content_type(name: str, head: bytes) -> str:
    """Return the media type of a file called `name` that begins with `head`."""
    kind = filetype.match(head, TYPES if head.startswith(_ZIP) else _OTHERS) if head else None
    found: str | None = None if kind is None else kind.mime
    # Only the suffix: `mimetypes` reads URLs, and would take a type from the middle of a name that begins with `data:`.
    suffix = posixpath.splitext(name)[1]
    return found or mimetypes.guess_type(f"_{suffix}", strict=False)[0] or UNKNOWN
