"""A prepared tree, and assets as the index would have them, for tests that work on real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from index.asset import Asset, AssetId
from index.lifecycle import State
from tiering.tree import Tree

IGNORED = (".*", "*.part", "*.tmp", "*.tierd.json", "lost+found")

HOSTILE_NAMES = [
    "plain",
    "with space",
    "new\nline",
    "back\\slash",
    "100%",
    "%2e%2e",
    "a+b#c?d&e",
    "-rf",
    "~",
    "ünï-日本-🎬",
    "bad\udcff\udc80bytes",
    "n" * 255,
    "tab\tbell\x07",
    "'\"`$(x)",
]
"""Names that a Linux file can have and careless code loses."""


def make_tree(root: Path) -> Tree:
    """Return a prepared tree at `root`, which is made."""
    root.mkdir(exist_ok=True)
    tree = Tree(root, ignored=IGNORED)
    tree.prepare()
    return tree


def plant(tree: Tree, path: str, content: bytes = b"content") -> None:
    """Write a file, and the directories above it."""
    place = tree.root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)


def content_of(tree: Tree, path: str) -> bytes:
    """Return what the file holds."""
    return (tree.root / path).read_bytes()


def asset_at(tree: Tree, path: str, **changes: Any) -> Asset:
    """Return the asset that the index would have for the file at `path`, replicated."""
    seen = tree.sight(path)
    asset = Asset(
        id=AssetId("a" * 32),
        path=seen.path,
        state=State.REPLICATED,
        generation=1,
        fingerprint=seen.fingerprint,
        ctime_ns=seen.ctime_ns,
        disk_bytes=seen.disk_bytes,
        mode=seen.mode,
        links=seen.links,
        sha256=None,
        content_type=None,
        proof=None,
        pinned=False,
        type=None,
    )
    return replace(asset, **changes)


def open_descriptors() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
