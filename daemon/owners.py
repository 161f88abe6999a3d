"""Our three package names are generic: another distribution that owns one of them would run in our place."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from typing import Final

OURS: Final = ("daemon", "index", "tiering")


def foreign_owners() -> list[str]:
    """Return what is wrong, in words: one sentence a package name that another distribution owns too."""
    owners = packages_distributions()
    return [
        f"the package {name!r} belongs to {', '.join(sorted(others))} as well; "
        "install tierd in an environment of its own (uv tool install, pipx)"
        for name in OURS
        if (others := {owner for owner in owners.get(name, ()) if owner != "tierd"})
    ]
