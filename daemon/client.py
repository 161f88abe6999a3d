"""The daemon's API for Python programs: synchronous, standard library only, safe to share between threads.

    client = Client("/run/tierd/tierd.sock")
    with client.open("shoot/0001.cr3") as asset:
        work_on(asset.path)          # hot, and stays so until the block ends

Paths are relative to the cache root. Assets, outcomes and events are the JSON objects of the HTTP contract.
"""

from __future__ import annotations

import base64
import binascii
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack

from daemon.wire import TierdError, UnreachableError, Wire, chunks, decode, encode, target

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence
    from http.client import HTTPResponse

__all__ = ["Client", "Content", "NotReadyError", "Opened", "TierdError", "UnreachableError"]

Json = dict[str, Any]

PAGE: Final = 1000
RENEWALS_PER_LEASE: Final = 3
NEVER: Final = 600
"""Above every HTTP status: no answer counts as an error."""
LEAST_PAUSE_SECONDS: Final = 0.5
RENEWAL_SECONDS: Final = 10.0
ACT_SECONDS: Final = 86_400.0
DOCTOR_SECONDS: Final = 900.0
"""A promotion of many large assets is one answer; a daemon that dies meanwhile breaks the connection."""


class NotReadyError(TierdError):
    """The asset is still on its way back from the store: ask again."""

    def __init__(self, path: str, state: str) -> None:
        super().__init__("not-ready", f"{path} is not here yet ({state})", "ask again, or wait longer", 202)


@dataclass(frozen=True, slots=True)
class Opened:
    """An asset that is on disk and stays there. `hit`: it was there when asked for."""

    path: Path
    relative: str
    state: str
    hit: bool
    size: int
    etag: str


class How(TypedDict, total=False):
    """How to act on assets, and on which.

    `filter` chooses them where no paths are given: a mapping of `state` (a list), `type`, `q`, `fields`, `tags`,
    `pinned`; an empty one means all. `dry_run` returns the plan. With `wait` False the outcome says that it was begun.
    """

    filter: Mapping[str, object]
    dry_run: bool
    wait: bool


class Again(How, total=False):
    """`overwrite` lets a local file replace a foreign object at its key."""

    overwrite: bool


class Content:
    """An asset's bytes, to be iterated once. `sha256` (hex) is None where the daemon does not know it yet."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self.size = int(response.headers.get("Content-Length") or 0)
        self.etag = response.headers.get("ETag", "").strip('"')
        self.content_type = response.headers.get_content_type()
        self.sha256 = _sha256(response.headers.get("Repr-Digest", ""))

    def __iter__(self) -> Iterator[bytes]:
        return chunks(self._response)

    def read(self) -> bytes:
        """Return all of it."""
        return b"".join(self)


class Client:
    """What the daemon behind one socket can do. `timeout` is how long, in seconds, one answer may keep us waiting.

    Every call raises TierdError where the daemon refuses, and UnreachableError where it does not answer.
    """

    def __init__(self, socket_path: str | os.PathLike[str], timeout: float = 60.0) -> None:
        self._wire = Wire(Path(socket_path), timeout)
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"Client({self._wire!r})"

    @contextmanager
    def open(self, path: str, wait: float = 30.0) -> Iterator[Opened]:
        """Have the asset on disk, brought back if need be, and keep it there until the block ends.

        Raise NotReadyError where it is not back within `wait` seconds.
        """
        found = self._wire.ask("GET", target("open", encode(path), wait=wait), timeout=wait + self._timeout)
        if not found.get("ready", True):
            raise NotReadyError(path, found["state"])
        opened = Opened(
            path=Path(decode(found["href"])),
            relative=path,
            state=found["state"],
            hit=found["hit"],
            size=found["size"],
            etag=found["etag"],
        )
        with _Renewal(self._wire, path, found["lease"]):
            yield opened

    @contextmanager
    def content(self, path: str, start: int = 0, length: int | None = None) -> Iterator[Content]:
        """Read the asset's bytes, wherever they are: all of them, or `length` (at least 1) from `start`."""
        end = "" if length is None else start + length - 1
        headers = {"Range": f"bytes={start}-{end}"} if start or length is not None else {}
        with self._wire.answer("GET", target("content", encode(path)), headers=headers) as response:
            yield Content(response)

    def asset(self, path: str) -> Json:
        """Return what is known about one asset."""
        return self._wire.ask("GET", target("assets", encode(path)))

    def assets(
        self,
        *,
        fields: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        **query: object,
    ) -> Iterator[Json]:
        """Yield the assets that `fields`, `tags` and the other parameters of GET /v1/assets choose, by `sort`."""
        asked = {f"field.{name}": value for name, value in (fields or {}).items()}
        asked |= {f"tag.{name}": value for name, value in (tags or {}).items()}
        cursor = None
        while True:
            page = self._wire.ask("GET", target("assets", limit=PAGE, cursor=cursor, **asked, **query))
            yield from page["assets"]
            cursor = page["cursor"]
            if cursor is None:
                return

    def holders(self, *, sha256: str | None = None, md5: str | None = None) -> list[Json]:
        """Return the assets that have the content with this digest (hex), in either tier."""
        found: list[Json] = self._wire.ask("GET", target("holders", sha256=sha256, md5=md5))["assets"]
        return found

    def register(self, path: str, **metadata: object) -> Json:
        """Take in a file beneath the root at once, with `type`, `fields` and `tags` if given; return the asset."""
        return self._wire.ask("PUT", target("assets", encode(path)), metadata)

    def describe(self, path: str, **metadata: object) -> Json:
        """Change the asset's `type`, `fields` or `tags`; return the asset."""
        return self._wire.ask("PATCH", target("assets", encode(path)), metadata)

    def remove(self, path: str) -> Json:
        """Remove the asset from both tiers; return what it was."""
        return self._wire.ask("DELETE", target("assets", encode(path)))

    def promote(self, paths: str | Sequence[str] | None = None, **how: Unpack[How]) -> list[Json]:
        """Bring assets back to disk; return the outcome for each."""
        return self._act("promote", paths, how)

    def demote(self, paths: str | Sequence[str] | None = None, **how: Unpack[How]) -> list[Json]:
        """Remove local copies whose remote copy is proven; return the outcome for each."""
        return self._act("demote", paths, how)

    def pin(self, paths: str | Sequence[str] | None = None, **how: Unpack[How]) -> list[Json]:
        """Keep assets on disk; return the outcome for each."""
        return self._act("pin", paths, how)

    def unpin(self, paths: str | Sequence[str] | None = None, **how: Unpack[How]) -> list[Json]:
        """Let assets be demoted again; return the outcome for each."""
        return self._act("unpin", paths, how)

    def retry(self, paths: str | Sequence[str] | None = None, **how: Unpack[Again]) -> list[Json]:
        """Try again what is stuck or damaged; return the outcome for each."""
        return self._act("retry", paths, how)

    def presign(self, path: str, method: str = "GET", expires: int = 3600, **conditions: object) -> Json:
        """Return a URL by which others read or upload an asset for so many seconds, and how long it is good for."""
        body = {"path": encode(path), "method": method, "expires": expires, **conditions}
        return self._wire.ask("POST", "/v1/presign", body)

    def explain(self, path: str) -> Json:
        """Return what would happen to the asset next, and why."""
        return self._wire.ask("GET", target("explain", encode(path)))

    def status(self) -> Json:
        """Return how things stand."""
        return self._wire.ask("GET", target("status"))

    def glance(self) -> Json:
        """Return what a person on call wants to see: health, status, transfers, what is wanted, and trouble."""
        return self._wire.ask("GET", target("glance"))

    def stats(self) -> Json:
        """Return how many assets there are of what, what happened since the start, and what it costs."""
        return self._wire.ask("GET", target("stats"))

    def health(self) -> Json:
        """Return whether hot bytes can be served, with reasons; that they cannot is an answer too."""
        return self._wire.ask("GET", target("health"), errors_from=NEVER)

    def events(self, after: int = 0, *, follow: bool = True, moves: bool = False) -> Iterator[Json]:
        """Yield every change of state after the cursor `after`, oldest first; with `follow`, for ever.

        With `moves`, only those after which an asset is elsewhere.

        Raise UnreachableError where the daemon ends what should go on.
        """
        yield from self._wire.lines(
            "GET",
            target("events", after=after, follow=str(follow).lower(), moves=str(moves).lower() if moves else None),
        )
        if follow:
            raise UnreachableError("the daemon ended the stream of events", "go on after the last cursor you saw")

    def curve(self) -> Json:
        """Return what more disk would bring: `points` by size, and the sample that they were made of."""
        return self._wire.ask("GET", target("curve"))

    def history(self) -> Iterator[Json]:
        """Yield the latest reads that the daemon remembers, oldest first: `time`, `id` (a number), `size`, `times`."""
        return self._wire.lines("GET", target("history"))

    def retention(self, within: float) -> Iterator[Json]:
        """Yield what retention rules are to remove from the store within so many seconds, and when."""
        return self._wire.lines("GET", target("retention", within=within))

    def verify(self, *, deep: bool = False) -> Iterator[Json]:
        """Compare index, disk and store; `deep` reads all bytes. Yield `progress` objects, at last a `report`."""
        return self._report("verify", {"deep": deep})

    def drain(self, *, wait: bool = True, timeout: float | None = None) -> Iterator[Json]:
        """Upload everything now; yield `progress` objects until nothing is unprotected, at last a `report`."""
        return self._report("drain", {"wait": wait, "timeout": timeout})

    def discover(self, *, sync: bool = False, foreign: bool = False) -> Iterator[Json]:
        """Say what the store has and the index lacks, or take it in; yield `progress` objects, at last a `report`."""
        return self._report("discover", {"sync": sync, "foreign": foreign})

    def migrate(
        self, source: str | None = None, to: str | None = None, *, prune: bool = False, dry_run: bool = False
    ) -> Iterator[Json]:
        """Have remote copies follow to the keys of the layout; yield `progress` objects, at last a `report`."""
        return self._report("migrate", {"source": source, "target": to, "prune": prune, "dry_run": dry_run})

    def resume_migration(self) -> Iterator[Json]:
        """Take up a migration that was broken off, likewise."""
        return self._report("migrate", {"resume": True})

    def migration(self) -> Json:
        """Return how far the last migration is, or how it ended."""
        return self._wire.ask("GET", target("migrate"))

    def doctor(self) -> Json:
        """Have the daemon look for what is wrong with its host and its store; return `findings` and `ok`."""
        return self._wire.ask("POST", target("doctor"), timeout=DOCTOR_SECONDS)

    def resume(self) -> Json:
        """Release the brake: a person has looked. Returns when the whole tree was looked at again."""
        return self._wire.ask("POST", target("resume"), {"confirm": True}, timeout=ACT_SECONDS)

    def _act(self, verb: str, paths: str | Sequence[str] | None, how: How | Again) -> list[Json]:
        named = [paths] if isinstance(paths, str) else paths
        chosen: Json = {} if named is None else {"paths": [encode(path) for path in named]}
        results: list[Json] = self._wire.ask("POST", target(verb), {**chosen, **how}, timeout=ACT_SECONDS)["results"]
        return results

    def _report(self, verb: str, body: Json) -> Iterator[Json]:
        line: Json = {}
        for line in self._wire.lines("POST", target(verb), body):
            yield line
        if not line.get("report"):
            raise UnreachableError("the daemon broke off before its report", "see its journal, and try again")


class _Renewal:
    """Renews a lease from a thread until it is released."""

    def __init__(self, wire: Wire, path: str, lease: Json) -> None:
        self._wire = wire
        self._path = path
        self._lease = lease
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tierd-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(TierdError):  # it ends by itself
            self._wire.ask("DELETE", target("leases", self._lease["id"]), timeout=RENEWAL_SECONDS)

    def _run(self) -> None:
        while not self._ended.wait(self._pause()):
            with suppress(TierdError):  # the daemon may be starting again: nothing is demoted for a while then
                self._lease = self._renew()

    def _pause(self) -> float:
        left: float = self._lease["expires"] - time.time()
        return max(left / RENEWALS_PER_LEASE, LEAST_PAUSE_SECONDS)

    def _renew(self) -> Json:
        try:
            return self._wire.ask("POST", target("leases", self._lease["id"]), timeout=RENEWAL_SECONDS)
        except UnreachableError:
            raise
        except TierdError:  # a daemon that was started anew knows no leases
            found = self._wire.ask("GET", target("open", encode(self._path), wait=0), timeout=RENEWAL_SECONDS)
            lease: Json = found.get("lease") or self._lease
            return lease


def _sha256(digests: str) -> str | None:
    """Return the SHA-256 of a Repr-Digest header (RFC 9530) in hex."""
    for digest in digests.split(","):
        name, _, value = digest.strip().partition("=")
        if name == "sha-256":
            try:
                return base64.b64decode(value.strip(":"), validate=True).hex()
            except binascii.Error:
                return None
    return None
