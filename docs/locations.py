"""Keeps an application's own table true to where its assets are, whatever tierd does with them. See locations.md.

.venv/bin/python docs/locations.py SOCKET DATABASE
"""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.client import Client, TierdError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = """
CREATE TABLE IF NOT EXISTS asset (id TEXT PRIMARY KEY, path TEXT NOT NULL, on_disk INTEGER NOT NULL, url TEXT);
CREATE TABLE IF NOT EXISTS follower (cursor INTEGER NOT NULL);
"""
HOT = {"new", "uploading", "verifying", "replicated", "demoting", "stuck"}
AGAIN_SECONDS = 1.0


class Table:
    """The application's table, and the cursor of the last event that it has seen: one transaction changes both."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(database)
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @property
    def cursor(self) -> int | None:
        """The last event that was seen; None where the assets have never been read."""
        row = self._connection.execute("SELECT cursor FROM follower").fetchone()
        return None if row is None else int(row[0])

    def rows(self) -> set[tuple[str, bool, str | None]]:
        """Return what it says: path, whether the asset is on disk, and the URL of its remote copy."""
        found = self._connection.execute("SELECT path, on_disk, url FROM asset").fetchall()
        return {(path, bool(on_disk), url) for path, on_disk, url in found}

    def apply(self, event: dict[str, Any]) -> None:
        """Take one event in. An event that comes twice changes nothing the second time."""
        with self._connection:
            self._put(event["id"], event["location"])
            self._remember(event["cursor"])

    def replace(self, assets: Iterable[dict[str, Any]], cursor: int) -> None:
        """Begin anew with all assets, as they are after this event or later."""
        with self._connection:
            self._connection.execute("DELETE FROM asset")
            for asset in assets:
                url = None if asset["state"] == "damaged" else asset["url"]
                self._put(asset["id"], {"href": asset["href"], "on_disk": asset["state"] in HOT, "url": url})
            self._remember(cursor)

    def _put(self, asset_id: str, location: dict[str, Any] | None) -> None:
        self._connection.execute("DELETE FROM asset WHERE id = ?", (asset_id,))
        if location is not None:
            row = (asset_id, location["href"], location["on_disk"], location["url"])
            self._connection.execute("INSERT INTO asset VALUES (?, ?, ?, ?)", row)

    def _remember(self, cursor: int) -> None:
        self._connection.execute("DELETE FROM follower")
        self._connection.execute("INSERT INTO follower VALUES (?)", (cursor,))


def read_anew(client: Client, table: Table) -> None:
    """Read all assets. The cursor is asked for first: what happens meanwhile is seen again, and not missed."""
    cursor = client.status()["newest_event"]
    table.replace(client.assets(), cursor)


def follow(client: Client, table: Table) -> None:
    """Follow what happens until the daemon ends; raise UnreachableError then."""
    try:
        if table.cursor is None:
            read_anew(client, table)
        for event in client.events(after=table.cursor or 0, moves=True):
            table.apply(event)
    except TierdError as error:
        if error.code != "cursor-expired":
            raise
        # Away for too long, or the index was rebuilt: what was missed, nobody can tell one by one.
        read_anew(client, table)


def main(socket: str, database: str) -> None:
    """Keep the table true, for ever."""
    client, table = Client(socket), Table(Path(database))
    while True:
        try:
            follow(client, table)
        except UnreachableError:
            time.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
