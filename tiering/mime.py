"""What kind of content a file has: told by its first bytes, by its name only where they are silent."""

from __future__ import annotations

import mimetypes
import posixpath
from typing import Final

import filetype

HEAD_BYTES: Final = 8192
"""How much of a file's beginning is enough to tell."""

UNKNOWN: Final = "application/octet-stream"


def content_type(name: str, head: bytes) -> str:
    """Return the media type of a file called `name` that begins with `head`."""
    found: str | None = filetype.guess_mime(head) if head else None
    # Only the suffix: `mimetypes` reads URLs, and would take a type from the middle of a name that begins with `data:`.
    suffix = posixpath.splitext(name)[1]
    return found or mimetypes.guess_type(f"_{suffix}", strict=False)[0] or UNKNOWN
