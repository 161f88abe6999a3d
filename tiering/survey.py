"""A look at a few paths at once, whatever each of them is: what hints are worth is found out here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tiering.scan import Oddity, scan
from tiering.tree import FileError, MissingError, NotRegularError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from index.asset import RelPath, Sighting
    from tiering.tree import Tree

LARGEST: Final = 10_000
"""Files in a directory: one with more is left to a full scan, so that no look takes long."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is at the paths, and beneath those that are directories. Not `complete`: some directory was too large."""

    sightings: dict[RelPath, Sighting] = field(default_factory=dict)
    oddities: list[Oddity] = field(default_factory=list)
    directories: list[RelPath] = field(default_factory=list)
    too_large: list[RelPath] = field(default_factory=list)


def survey(tree: Tree, paths: Iterable[RelPath]) -> Survey:
    """Look at each path; of what is in an ignored place, see nothing."""
    found = Survey()
    for path in paths:
        if not tree.is_ignored(path):
            _look(tree, path, found)
    return found


def _look(tree: Tree, path: RelPath, found: Survey) -> None:
    try:
        found.sightings[path] = tree.sight(path)
    except MissingError:
        pass
    except NotRegularError as error:
        if tree.is_directory(path):
            _look_into(tree, path, found)
        else:
            found.oddities.append(Oddity(path, error.reason))
    except FileError as error:
        found.oddities.append(Oddity(path, error.reason))


def _look_into(tree: Tree, path: RelPath, found: Survey) -> None:
    found.directories.append(path)
    batch = next(scan(tree, path, batch_size=LARGEST))
    if batch.upto is not None:
        found.too_large.append(path)
        return
    found.sightings.update((sighting.path, sighting) for sighting in batch.sightings)
    found.oddities.extend(batch.oddities)
