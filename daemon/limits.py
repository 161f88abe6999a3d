"""What a client may cost us: every bound of the HTTP side in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds.

    `line` leaves room for the longest path, 4096 bytes at three characters a byte. `head_seconds` is both how long an
    idle connection is kept and how long a request's head may take, `stall_seconds` how long a reader may take nothing.
    `share` is how many of the connections one user may have: what is left is for others.
    """

    line: int = 16 * 1024
    field: int = 8 * 1024
    fields: int = 64
    body: int = 1024 * 1024
    connections: int = 256
    share: int = 192
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    stall_seconds: float = 30.0
    linger_seconds: float = 2.0
