"""What a file is where no application has said so: its sidecar tells, else the rules that parse its path."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from index.asset import RelPath, printable
from tiering.label import Label, check_tags, fitting
from tiering.metadata import largest_entries
from tiering.template import Template, escape
from tiering.tree import BadNameError, FileError, MissingError
from tiering.vocabulary import MeaningError, checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from index.asset import Asset
    from index.catalog import Catalog
    from tiering.lanes import Lanes
    from tiering.tree import Tree

log = logging.getLogger(__name__)

SIDECAR: Final = ".tierd.json"
SIDECAR_BYTES: Final = 65_536
_OF_THE_FILE: Final = frozenset({"file", "ext"})


@dataclass(frozen=True, slots=True)
class PathRule:
    """What files are whose path is as the template renders it: of a type, with its values and `fields` as fields."""

    type: str
    template: Template
    fields: Mapping[str, str] = field(default_factory=dict)

    def read(self, path: RelPath) -> Label | None:
        """Return what the file is; None where the rule is not about it."""
        values = self.template.parse("/".join(escape(part) for part in path.split("/")))
        if values is None:
            return None
        said = {name: value for name, value in values.items() if name not in _OF_THE_FILE}
        try:
            return Label(self.type, checked(self.type, {**self.fields, **said}))
        except MeaningError:
            return None


class Describer:
    """Finds out what files are. What an application has said is never touched."""

    def __init__(self, catalog: Catalog, tree: Tree, rules: Sequence[PathRule], *, lanes: Lanes) -> None:
        self._catalog = catalog
        self._lanes = lanes
        self._tree = tree
        self._rules = rules

    async def describe(self, asset: Asset) -> Asset:
        """Return the asset, which is being uploaded, with what is known of it; in the index as well."""
        if asset.is_described:
            return asset
        by_sidecar = await self._lanes.run(partial(self.sidecar, asset.path))
        label = by_sidecar or self.by_path(asset.path)
        if not label:
            return asset
        said: dict[str, Any] = {"type": label.type, "fields": label.fields, "tags": label.tags}
        said["by_sidecar"] = bool(by_sidecar)
        now = await self._catalog.describe_first(asset.id, **said)
        return replace(asset, type=now.type, fields=now.fields, tags=now.tags)

    def look(self, path: RelPath) -> Label:
        """Return what the sidecar says, else the rules. Blocking."""
        return self.sidecar(path) or self.by_path(path)

    def by_path(self, path: RelPath) -> Label:
        """Return what the rules say."""
        found = (rule.read(path) for rule in self._rules)
        return next((label for label in found if label is not None), Label())

    def sidecar(self, path: RelPath) -> Label:
        """Return what the sidecar says; nothing where there is none, or no sense in it, which is logged. Blocking."""
        sidecar = RelPath(path + SIDECAR)
        try:
            fd = self._tree.open(sidecar)
            try:
                raw = os.read(fd, SIDECAR_BYTES + 1)
            finally:
                os.close(fd)
            return _label(path, raw)
        except (MissingError, BadNameError):
            # A name with no room for the ending has no sidecar.
            return Label()
        except (FileError, OSError, ValueError, MeaningError) as error:
            log.warning("the sidecar %s is left out: %s", printable(sidecar), error)
            return Label()


def _label(path: RelPath, raw: bytes) -> Label:
    """Return what a sidecar says. Raise ValueError or MeaningError where it cannot be so."""
    if len(raw) > SIDECAR_BYTES:
        raise ValueError(f"it has more than {SIDECAR_BYTES} bytes")
    said = json.loads(raw)
    if not isinstance(said, dict) or said.keys() - {"type", "fields", "tags"}:
        raise ValueError("it should be an object with type, fields and tags")
    kind = said.get("type")
    if not isinstance(kind, str | None):
        raise ValueError("its type is not a word")  # noqa: TRY004 - to its reader every fault of a file is one
    label = Label(kind, checked(kind, _words(said, "fields")), _words(said, "tags"))
    check_tags(label.tags)
    fitting(largest_entries(path), label)
    return label


def _words(said: dict[str, Any], name: str) -> dict[str, str]:
    words = said.get(name) or {}
    if not isinstance(words, dict) or not all(isinstance(value, str | int | float) for value in words.values()):
        raise ValueError(f"its {name} are not names with texts or numbers")
    return {each: str(value) for each, value in words.items()}
