"""A program that does one thing to a file store again and again, and dies a step later each time.

`crash_steps.py OPERATION BASE` copies the store BASE to BASE-1, BASE-2 … and does OPERATION on each, ending the
process before its 1st, 2nd … step on the disk (a write half done) until there is no such step. Prints how many died.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiering.store import Absent, Attributes, Part, Unchanged
from tiering.stores.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable

OLD, NEW = b"o" * 3000, b"n" * 5000
OLD_ATTRIBUTES, NEW_ATTRIBUTES = Attributes("text/old", {"v": "old"}), Attributes("text/new", {"v": "new"})
OLD_ETAG = hashlib.md5(OLD).hexdigest()
PARTS = [b"1" * 4000, b"2" * 2000]
STEPS = [
    "open",
    "link",
    "replace",
    "unlink",
    "mkdir",
    "rmdir",
    "fsync",
    "utime",
    "copy_file_range",
    "sendfile",
    "write",
]
DIED = 77


async def overwrite(store: FileStore) -> None:
    """Replace an object."""
    await store.put("dir/key", NEW, NEW_ATTRIBUTES, Unchanged(OLD_ETAG))


async def create(store: FileStore) -> None:
    """Create an object in a directory that is not there."""
    await store.put("fresh/dir/key", NEW, NEW_ATTRIBUTES, Absent())


async def create_aside(store: FileStore) -> None:
    """Create an object where a file is in the way."""
    await store.put("dir/key/below", NEW, NEW_ATTRIBUTES, Absent())


async def delete(store: FileStore) -> None:
    """Remove an object, and its directory with it."""
    await store.delete("dir/key", etag=OLD_ETAG)


async def copy(store: FileStore) -> None:
    """Copy one object over another."""
    await store.copy("other", "dir/key", NEW_ATTRIBUTES, etag=hashlib.md5(NEW).hexdigest())


def upload_parts() -> list[Part]:
    """Return the parts of the upload that every store here has."""
    return [Part(number, hashlib.md5(body).hexdigest(), len(body)) for number, body in enumerate(PARTS, start=1)]


async def complete(store: FileStore) -> None:
    """Make an object of an upload."""
    [[pending]] = [page async for page in store.list_uploads()]
    await store.complete("big", pending.upload_id, upload_parts(), Absent())


async def put_part(store: FileStore) -> None:
    """Send a part once more, with other bytes."""
    [[pending]] = [page async for page in store.list_uploads()]
    await store.put_part("big", pending.upload_id, 1, NEW, md5=hashlib.md5(NEW).digest())


async def abort(store: FileStore) -> None:
    """Drop an upload."""
    [[pending]] = [page async for page in store.list_uploads()]
    await store.abort("big", pending.upload_id)


OPERATIONS = [overwrite, create, create_aside, delete, copy, complete, put_part, abort]


def _arm(last: int) -> None:
    steps = itertools.count(1)

    def deadly(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if next(steps) == last:
                if name == "write":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                os._exit(DIED)
            return real(*args, **kwargs)

        return step

    for name in STEPS:
        setattr(os, name, deadly(name, getattr(os, name)))


def main(operation: str, base: Path) -> None:
    """Die on one copy after the other."""
    [work] = [each for each in OPERATIONS if each.__name__ == operation]
    for last in itertools.count(1):
        place = base.with_name(f"{base.name}-{last}")
        shutil.copytree(base, place)
        child = os.fork()
        if child == 0:
            _arm(last)
            asyncio.run(work(FileStore(place)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            sys.stdout.write(f"{last - 1}\n")
            return
        if code != DIED:
            sys.exit(f"step {last}: exit code {code}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
