"""How wide, high and long a content is, as its own headers say. No more is read of it than that takes."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import imagesize
from tinytag import TinyTag

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES: Final = frozenset({"width", "height", "duration"})
"""Pixels, and seconds."""
READS_MOST: Final = 20_000
BYTES_MOST: Final = 16 << 20
"""A file that wants to be read more than this to tell is broken, or made to keep us busy."""


class _Glimpse(io.RawIOBase):
    """A file of which only so much is read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self._reads = READS_MOST
        self._bytes = BYTES_MOST

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._fd).st_size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override] # any buffer that bytes fit into
        self._reads -= 1
        self._bytes -= len(buffer)
        if self._reads < 0 or self._bytes < 0:
            raise OSError("it takes too much reading")
        found = os.pread(self._fd, len(buffer), self._at)
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def measure(fd: int, content_type: str) -> Mapping[str, str]:
    """Return what the file tells of NAMES. Nothing where it is broken, or of a kind that tells nothing."""
    kind = content_type.partition("/")[0]
    try:
        with cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", _Glimpse(fd)), 4096)) as file:
            if kind == "image":
                return _size(file)
            return _duration(file) if kind in {"audio", "video"} else {}
    except Exception:  # noqa: BLE001 - whatever a broken file makes of a parser, it only tells nothing
        return {}


def _size(file: BinaryIO) -> Mapping[str, str]:
    width, height = imagesize.get(file)
    return {"width": str(width), "height": str(height)} if width > 0 and height > 0 else {}


def _duration(file: BinaryIO) -> Mapping[str, str]:
    seconds = TinyTag.get(file_obj=file, tags=False).duration
    return {"duration": f"{seconds:.3f}".rstrip("0").rstrip(".")} if seconds is not None and seconds > 0 else {}
