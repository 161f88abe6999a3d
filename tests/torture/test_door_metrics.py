"""However many assets, users and nonsense requests there are: the number of metric series stays what it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from door import Who, a_door, ask
from effort import scaled

if TYPE_CHECKING:
    import pytest

PART = "S9 bounded metrics"

MOST = 500
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
ASSETS = scaled(test=50, quick=500, long=5000)
USERS = range(4400, 4405)


def test_no_series_is_made_by_what_clients_say(record_property: pytest.RecordProperty) -> None:
    """The same series before and after, at most 500, and no label says whose, which, or where."""
    with a_door(LOG__LEVEL="info", TIERING__INTERVAL="1d") as door:
        before = set(door.series())
        door.drop(**{f"canary-{number}": b"x%d" % number for number in range(ASSETS)})
        door.wait_replicated(ASSETS)
        for uid in USERS:
            with door.connect_as(Who(uid, uid)) as line:
                for number in range(10):
                    ask(line, "GET", f"/v1/content/canary-{uid}-{number}")
                    ask(line, "PURGE", f"/v1/status?canary={number}")
                    ask(line, "GET", f"/canary/{number}", headers={"User-Agent": f"canary-{number}"})
        assert door.ask("CANARY", "/v1/status").status == 400
        door.client.demote(["canary-1", "canary-2"])
        assert door.ask("GET", "/v1/content/canary-1").status == 200
        after = set(door.series())
    assert after == before
    assert len(after) <= MOST
    values = {value for series in after for _, value in LABEL.findall(series)}
    told = ("canary", str(door.directory), *map(str, USERS))
    assert not [value for value in values for word in told if word in value.lower()]
    record_property("series", len(after))
