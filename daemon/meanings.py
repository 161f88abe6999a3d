"""What a store can be trusted with, in words: for the doctor, for health and for who looks at the status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MEANINGS: Final = {
    "read_back_equal": ("what was written is what is read", "what was written is not what is read: nothing is demoted"),
    "etag_is_md5": ("an upload is proven by its ETag", "its ETags are no MD5s: every upload is read back to be proven"),
    "checks_md5": ("parts are checked as they arrive", "parts are not checked: the whole is proven, or read back"),
    "create_only": (
        "nothing of others is overwritten",
        "create-only writes overwrite: tierd looks first, and two writers at once can collide",
    ),
    "if_match": (
        "a new generation replaces exactly the last",
        "conditions on ETags are ignored: tierd looks first, and two writers at once can collide",
    ),
}
"""What each capability means for the proof, in words: where it is there, and where not."""


def lacking(capabilities: Mapping[str, object]) -> list[str]:
    """Return what follows from what a store did not show, the gravest first; nothing while it was not tried."""
    return [bad for name, (_, bad) in MEANINGS.items() if capabilities.get(name) is False]
