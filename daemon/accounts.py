"""Users and groups of this host, by name or by number. A number needs no entry: containers often have none."""

from __future__ import annotations

import grp
import pwd


def user_id(name: str) -> int:
    """Return the user's number. Raise LookupError where there is no such user."""
    if _is_number(name):
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise LookupError(f"there is no user {name!r}; a group is written '@{name}'") from None


def group_id(name: str) -> int:
    """Return the group's number. Raise LookupError where there is no such group."""
    if _is_number(name):
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise LookupError(f"there is no group {name!r}") from None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
