"""What the kernel tells of the directories of a tree, each watched by itself.

A watch that enters directories by itself follows symbolic links, out of the root too, and ends as a whole at the first
name that is not UTF-8. So we walk, and set a watch on each directory. Several posts share the directories: a set of
watches cannot grow, so that new directories need a post of their own, and what ends one post costs only its share.

Everything here is synchronous and belongs in one thread.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from watchfiles import Change, watch

from index.asset import RelPath
from tiering.directories import Place, place_at, walk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from tiering.directories import BlindSpots
    from tiering.tree import Tree

ALL: Final = frozenset({RelPath("")})
"""Look at everything. `""`, the root itself, in any other set means the same."""

MOST_PATHS: Final = 5_000
"""More hints at once than this are not worth looking at one by one, and a sign that others were lost."""

_ROUND_SECONDS: Final = 0.04
_STEP_MS: Final = 1
_LONGEST_WAIT_MS: Final = 50
_SHARES: Final = 16
_SMALLEST_SHARE: Final = 500
_MOST_POSTS: Final = 24
_TRIES: Final = 4
"""Directories may come and go faster than they are looked at: the next walk finds the rest."""
_WALK_SECONDS: Final = 15.0
_WALK_SHARE: Final = 20.0
_CALM_SECONDS: Final = 60.0

_FOREIGN_NAME: Final = re.compile(r'Unable to decode path "(?P<before>(?:[^\\]|\\[^x])*?)\\x', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u\{(?P<code>[0-9a-f]+)\}|(?P<letter>.))", re.DOTALL)
_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}

Changes = set[tuple[Change, str]]


class Post:
    """A set of directories that are watched together. Raises RuntimeError once it can tell nothing any more."""

    def __init__(self, root: str, places: frozenset[Place]) -> None:
        """Raise OSError, FileNotFoundError mostly, where a directory cannot be watched."""
        self.places = places
        self._batches = watch(
            *(f"{root}/{place.path}" if place.path else root for place in places),
            watch_filter=None,
            debounce=_LONGEST_WAIT_MS,
            step=_STEP_MS,
            rust_timeout=_STEP_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            force_polling=False,
            recursive=False,
            ignore_permission_denied=True,
        )
        # The first answer, be it that nothing happened, shows that the watches are in place.
        self._first = self._next()

    def read(self) -> Changes:
        """Return what happened since the last call."""
        first, self._first = self._first, set()
        return first | self._next()

    def close(self) -> None:
        """Give the watches back."""
        self._batches.close()

    def _next(self) -> Changes:
        changes = next(self._batches, None)
        if changes is None:
            raise RuntimeError("the watch is over")
        return changes


class Notices:
    """The posts of one tree. `losses` counts how often notices were lost; what was lost is then unknown."""

    def __init__(self, tree: Tree, blind: BlindSpots) -> None:
        self.losses = 0
        self._tree = tree
        self._blind = blind
        self._root = str(tree.root)
        self._identity = (0, 0)
        self._posts: list[Post] = []
        # Directories in which a name appeared that is not UTF-8, and may be gone again: when to try them once more.
        self._avoided: dict[RelPath, float] = {}
        self._next_walk = 0.0
        self._early: Changes = set()

    def __repr__(self) -> str:
        return f"<Notices {len(self._posts)} posts>"

    def open(self) -> None:
        """Watch the whole tree. Raise OSError or RuntimeError where that fails."""
        self._identity = self._look_at_root()
        self._walk()

    def close(self) -> None:
        """Give all watches back."""
        for post in self._posts:
            post.close()
        self._posts.clear()

    def advance(self) -> frozenset[RelPath]:
        """Wait a moment and return what to look at, perhaps nothing. Raise as open does; then all is over."""
        time.sleep(_ROUND_SECONDS)
        # A watch stays with the directory that it began with, and says nothing when a disk is mounted over it.
        if self._look_at_root() != self._identity:
            raise OSError("there is another directory at the cache root now")
        losses = self.losses
        hints = set(self._relative(self._read()))
        # Watched first and told then: what was put there before is found by who looks.
        added = [path for change, path in hints if change is Change.added and place_at(self._tree, path)]
        if added:
            self._forget(added)
            self._cover(added, blind=self._blind.paths)
        hint = {path for _, path in hints}
        if time.monotonic() >= self._next_walk:
            hint |= self._walk()
        return ALL if self.losses > losses or len(hint) > MOST_PATHS else frozenset(hint)

    def _look_at_root(self) -> tuple[int, int]:
        seen = self._tree.root.stat()
        return seen.st_dev, seen.st_ino

    def _read(self) -> Changes:
        changes, self._early = self._early, set()
        orphans: set[Place] = set()
        for post in tuple(self._posts):
            try:
                changes |= post.read()
            except RuntimeError as error:
                self._avoid_cause(error)
                self._posts.remove(post)
                post.close()
                orphans |= post.places
        self._watch(self._unavoided(orphans))
        return changes

    def _relative(self, changes: Changes) -> Iterator[tuple[Change, RelPath]]:
        for change, path in changes:
            within = path[len(self._root) + 1 :]
            if not within or not self._tree.is_ignored(within):
                yield change, RelPath(within)

    def _walk(self) -> set[RelPath]:
        """Look at all directories; return those that were not watched and are now.

        Some were never told of, some are not what they were, and some can be watched again.
        """
        began = time.monotonic()
        self._avoided = {path: until for path, until in self._avoided.items() if until > began}
        found, present = self._cover([""], blind=self._avoided)
        # Of a directory that was moved out of the tree only closing the post takes the watch away.
        stale = [post for post in self._posts if not post.places <= present]
        self._posts = [post for post in self._posts if post not in stale]
        self._watch({place for post in stale for place in post.places & present})
        for post in stale:
            self._retire(post)
        ended = time.monotonic()
        self._next_walk = ended + max(_WALK_SECONDS, _WALK_SHARE * (ended - began))
        return found

    def _forget(self, paths: Sequence[str]) -> None:
        """Take what lies beneath these for not watched: what is made anew may have even the inode of what was there."""
        fresh = walk(self._tree, paths).open
        for post in self._posts:
            if not fresh.isdisjoint(post.places):
                post.places -= fresh

    def _cover(self, paths: Sequence[str], *, blind: Iterable[RelPath]) -> tuple[set[RelPath], set[Place]]:
        """Watch all directories from these on, and what is made there meanwhile.

        Return those that were not watched before, and all. Blind are those of `blind`, and what is found to be.
        """
        found: set[RelPath] = set()
        present: set[Place] = set()
        for _ in range(_TRIES):
            ground = walk(self._tree, paths)
            self._blind.replace(ground.blind.union(blind))
            present = self._unavoided(ground.open)
            fresh = present.difference(*(post.places for post in self._posts))
            if not fresh:
                break
            self._watch(fresh)
            found |= {RelPath(place.path) for place in fresh}
        return found, present

    def _unavoided(self, places: Iterable[Place]) -> set[Place]:
        return {place for place in places if place.path not in self._avoided}

    def _watch(self, places: Collection[Place]) -> None:
        """Watch these too, in shares: whoever sets a watch holds the interpreter until all of a post are set."""
        total = len(places) + sum(len(post.places) for post in self._posts)
        share = max(_SMALLEST_SHARE, -(-total // _SHARES))
        ordered = sorted(places)
        for start in range(0, len(ordered), share):
            self._set_post(frozenset(ordered[start : start + share]), share)

    def _set_post(self, places: frozenset[Place], share: int) -> None:
        """Set a post, in place of smaller ones: so their number stays small, and few watches are set twice."""
        replaced = []
        while self._posts:
            smallest = min(self._posts, key=lambda post: len(post.places))
            is_worth_it = len(smallest.places) <= len(places) and len(smallest.places) + len(places) <= share
            if not is_worth_it and len(self._posts) < _MOST_POSTS:
                break
            self._posts.remove(smallest)
            places |= smallest.places
            replaced.append(smallest)
        self._posts.append(self._begun(places))
        for post in replaced:
            self._retire(post)

    def _begun(self, places: frozenset[Place]) -> Post:
        for _ in range(_TRIES):
            try:
                return Post(self._root, places)
            except FileNotFoundError:
                places = frozenset(place for place in places if place_at(self._tree, place.path))
        return Post(self._root, places)

    def _retire(self, post: Post) -> None:
        """Close a post that others stand in for, with what it still has to tell."""
        try:
            self._early |= post.read()
        except RuntimeError as error:
            self._avoid_cause(error)
        post.close()

    def _avoid_cause(self, error: RuntimeError) -> None:
        """Leave out the directory in which a name ended a post. Raise the error where it says something else."""
        said = _FOREIGN_NAME.match(str(error))
        if said is None:
            raise error
        directory = _ESCAPE.sub(_unescaped, said["before"]).rpartition("/")[0]
        path = RelPath(directory[len(self._root) + 1 :])
        self.losses += 1
        self._avoided[path] = time.monotonic() + _CALM_SECONDS
        self._blind.replace(self._blind.paths | {path})


def _unescaped(found: re.Match[str]) -> str:
    if found["code"]:
        return chr(int(found["code"], 16))
    return _LETTERS.get(found["letter"], found["letter"])
