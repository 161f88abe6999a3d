"""The table of all checks, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daemon import checks_bucket, checks_cdn, checks_disk, checks_host, checks_store

if TYPE_CHECKING:
    from daemon.circumstances import Circumstances
    from daemon.doctor import Check

ON_THIS_HOST: Final[tuple[tuple[str, Check[Circumstances]], ...]] = (
    ("packages", checks_host.packages),
    ("directories", checks_disk.directories),
    ("free space", checks_disk.free_space),
    ("mount options", checks_disk.mount_options),
    ("file systems", checks_disk.file_systems),
    ("file leases", checks_host.file_leases),
    ("inotify", checks_host.inotify),
    ("SQLite", checks_host.sqlite),
    ("index", checks_host.index),
)
OF_THE_STORE: Final[tuple[tuple[str, Check[Circumstances]], ...]] = (
    ("store", checks_store.reachable),
    ("credentials", checks_store.credentials),
    ("clock", checks_store.clock),
    ("proof", checks_store.capabilities),
    ("uploads", checks_store.multiparts),
    ("bucket", checks_bucket.bucket),
    ("roll-out", checks_store.roll_out),
    ("queue", checks_bucket.queue),
    ("CloudFront", checks_cdn.network),
)
CHECKS: Final = (*ON_THIS_HOST, *OF_THE_STORE)
"""What is looked at by the daemon where one runs, else by whoever asks."""
