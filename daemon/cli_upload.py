"""The command that has files safe in the store, and waits until they are."""

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from daemon import render
from daemon.cli_options import Code, Options, RefusedError, attempt, options, outcome_of, show_results
from daemon.client import Client, TierdError, UnreachableError
from daemon.units import human_size
from daemon.wire import decode

Result = dict[str, Any]

Tell = Callable[[Result], None]

BATCH: Final = 100
IGNORED: Final = "ignored"
POLL_SECONDS: Final = 0.2
SAFE: Final = frozenset({"replicated", "cold"})
_NAME: Final = 200
"""How much of a name fits into a temporary one."""
_SETTLED: Final = SAFE | {"stuck", "damaged", "gone"}


@dataclass(frozen=True, slots=True)
class Step:
    """One file, and the path that it has, or gets, beneath the root. `is_named`: it was given itself, not found."""

    source: Path
    path: str
    is_inside: bool
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Batches:
    """How many files are begun at a time, and with a `limit` how many of those that are not in the store yet."""

    limit: int | None = None
    size: int = BATCH

    def wanted(self, steps: Sequence[Step], safe: Collection[str]) -> list[Step]:
        """Return the files that come into question, where these paths are in the store already."""
        return [step for step in steps if step.path not in safe] if self.limit is not None else list(steps)

    def run(self, steps: Iterable[Step], upload: Callable[[list[Step]], list[Result]]) -> list[Result]:
        """Upload batch by batch until there are so many results."""
        waiting = iter(steps)
        results: list[Result] = []
        while batch := list(islice(waiting, self._room(len(results)))):
            results += upload(batch)
        return results

    def _room(self, done: int) -> int:
        return self.size if self.limit is None else min(self.size, self.limit - done)


def upload(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="Files, or directories of files; the cache root if none is given.", metavar="PATH"),
    ] = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(help="Copy files from outside the cache root into this directory of it first.", metavar="DIR"),
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(help="This cache root, not the configured one; without a daemon.", metavar="DIR", readable=False),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="To this store, not the configured one; without a daemon.", metavar="URL")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many of those that are not in the store yet.", metavar="N")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="So many at a time.", metavar="N")] = BATCH,
    force: Annotated[bool, typer.Option("--force", help="Replace foreign objects that have the same keys.")] = False,
) -> Code:
    """Have files safe in the store now, and wait until they are.

    A PATH is a file as the shell sees it or, where there is none, relative to the cache root. Of a directory, hidden
    names are left out. A file outside the cache root is refused unless --to says where to copy it.
    """
    given = options(context)
    if cache_dir is not None and not cache_dir.is_dir():
        raise TierdError("unknown-file", f"{cache_dir} is not a directory", "", HTTPStatus.NOT_FOUND)
    batches = Batches(limit, batch_size)
    client = given.client()
    root = None if store is not None or cache_dir is not None else _root_of(client)
    if root is None:
        found = partial(_steps, paths=paths or [], to=to)
        return _alone(given, found, batches, cache_dir, store, force=force)
    steps = _steps(root, paths or [], to)
    wanted = batches.wanted(steps, _safe(client) if limit is not None else ())
    if given.dry_run:
        return _show_plan(given, wanted[:limit])
    with render.progress("upload") as show:
        batch = partial(_through, client, root, tell=_teller(show, wanted[:limit]), force=force)
        results = batches.run(wanted, batch)
    return show_results(given, results)


def _root_of(client: Client) -> Path | None:
    """Return the cache root of the daemon, None where none runs."""
    try:
        return Path(client.health()["root"])
    except UnreachableError:
        return None


def _safe(client: Client) -> frozenset[str]:
    return frozenset(decode(asset["href"]) for asset in client.assets(state=sorted(SAFE)))


def _through(client: Client, root: Path, batch: list[Step], *, tell: Tell, force: bool) -> list[Result]:
    """Have the daemon upload these; return once all of them are safe, or cannot be."""
    begun = [(step, attempt(partial(_begin, client, root, step), step.path, "started")) for step in batch]
    done: list[Result] = []
    for step, result in begun:
        if result["state"] == IGNORED:
            continue
        ended = _finish(client, step.path, force=force) if result["outcome"] == "started" else result
        tell(ended)
        done.append(ended)
    return done


def _alone(
    given: Options,
    find: Callable[[Path], list[Step]],
    batches: Batches,
    cache_dir: Path | None,
    store: str | None,
    *,
    force: bool,
) -> Code:
    from daemon import alone, uploading  # noqa: PLC0415 - takes long

    on = alone.ground(given.config, root=cache_dir, store=store)
    steps = uploading.kept(on.settings, find(on.settings.cache.root))
    if given.dry_run:
        wanted = batches.wanted(steps, alone.finish(uploading.safe_paths(on.settings.index.path)))
        return _show_plan(given, wanted[: batches.limit])
    with render.progress("upload") as show:
        errand = uploading.upload_alone(on, steps, batches, tell=_teller(show, steps), force=force)
        results = alone.finish(errand)
    return show_results(given, results)


def _teller(show: render.Progress, steps: Sequence[Step]) -> Tell:
    """Return what shows how far it is, once it is told of one more file."""
    sizes = {step.path: _size(step.source) for step in steps}
    whole, done = sum(sizes.values()), [0, 0]

    def tell(result: Result) -> None:
        done[0] += 1
        done[1] += sizes.get(result["path"], 0)
        text = f"{done[0]:,} of {len(sizes):,} files, {human_size(done[1])} of {human_size(whole)}"
        show(done[1], whole, text)

    show(0, whole, f"{len(sizes):,} files, {human_size(whole)}")
    return tell


def _show_plan(given: Options, steps: Iterable[Step]) -> Code:
    planned = [outcome_of(step.path, "planned", size=_size(step.source)) for step in steps]
    return show_results(given, planned)


def _steps(root: Path, paths: list[str], to: str | None) -> list[Step]:
    return [step for path in paths or [os.path.realpath(root)] for step in _plan(root, path, to)]


def _plan(root: Path, given: str, to: str | None) -> Iterator[Step]:
    """Yield what is to be done about one argument."""
    source = Path(given) if os.path.lexists(given) else root / given
    if not os.path.lexists(source):
        raise TierdError("unknown-file", f"there is no file {given}", "", 404)
    top = Path(os.path.realpath(source.parent), source.name)
    real_root = Path(os.path.realpath(root))
    is_inside = top.is_relative_to(real_root)
    if not is_inside and to is None:
        raise RefusedError(f"{given} is not inside the cache root {root}", "say --to DIR to copy it there")
    start = real_root if is_inside else top.parent
    for file in _files(top):
        path = file.relative_to(start)
        yield Step(file, str(path if is_inside else Path(to or "", path)), is_inside, is_named=file == top)


def _files(top: Path) -> Iterator[Path]:
    if not top.is_dir():
        yield top
        return
    for directory, names, files in os.walk(top):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (Path(directory, name) for name in sorted(files) if not name.startswith("."))


def _begin(client: Client, root: Path, step: Step) -> dict[str, Any]:
    if not step.is_inside:
        copy_in(step.source, root / step.path)
    try:
        asset = client.register(step.path)
    except TierdError as error:
        if error.code == "ignored" and not step.is_named:
            return {"path": step.path, "state": IGNORED, "size": 0}
        raise
    if asset["state"] == "stuck":
        client.retry([step.path], wait=False)
    return asset


def _finish(client: Client, path: str, *, force: bool) -> dict[str, Any]:
    """Wait until the asset is safe, or only a person can help; then be that person if told so."""
    asset = _settle(client, path)
    if force and asset["state"] == "stuck":
        client.retry([path], overwrite=True, wait=False)
        asset = _settle(client, path)
    reason = (asset["failure"] or {}).get("message", "") if asset["state"] not in SAFE else ""
    outcome = "done" if asset["state"] in SAFE else "failed"
    return outcome_of(path, outcome, reason=reason, state=asset["state"], size=asset["size"])


def _settle(client: Client, path: str) -> dict[str, Any]:
    while not _is_settled(asset := client.asset(path)):
        time.sleep(POLL_SECONDS)
    return asset


def _is_settled(asset: dict[str, Any]) -> bool:
    """Whether nothing more happens by itself; what the roll-out leaves on disk shows that as its failure."""
    return asset["state"] in _SETTLED or (asset["failure"] or {}).get("code") == "outside"


def copy_in(source: Path, target: Path) -> None:
    """Copy a file to a name that must be free; the name appears when all of it is there."""
    temporary = target.with_name(f".{target.name[:_NAME]}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(source, temporary)
            os.link(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise RefusedError(f"{target} exists", "choose another --to, or remove it") from None
    except OSError as error:
        raise TierdError("file", f"{source} could not be copied to {target}: {error.strerror}", "") from error


def _size(path: Path) -> int:
    return path.lstat().st_size
