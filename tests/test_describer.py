"""What a file is where no application has said so: its sidecar tells, else its path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from core import a_place
from trees import plant

from index.asset import RelPath
from tiering.describer import PathRule
from tiering.label import Label
from tiering.layouts import named
from tiering.template import Template

if TYPE_CHECKING:
    from pathlib import Path

    from core import Place

PATH = "frames/rhobh/s05/e02/f 1.jpg"
KEY = "artifacts/frames/rhobh/s05/e02/f%201.jpg"
RULES = (
    PathRule("artifact", Template("{kind}/{show}/s{season:02}/e{episode:02}/{file}"), {"region": "US"}),
    PathRule("media", Template("{media_type}/{file}")),
)
BY_PATH = Label("artifact", {"kind": "frames", "show": "rhobh", "season": "5", "episode": "2", "region": "US"})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place where no daemon ever was."""
    return a_place(tmp_path)


async def found(place: Place, sidecar: bytes | None, said: Label | None = None) -> tuple[Label, str]:
    """Upload a file, and return what is known of it then, and its key."""
    async with place.core(layout=named("episodic"), path_rules=RULES, describes=True) as core:
        if sidecar is not None:
            plant(core.tree, f"{PATH}.tierd.json", sidecar)
        await core.new(PATH)
        if said is not None:
            await core.registry.describe(RelPath(PATH), type=said.type, fields=said.fields, tags=said.tags)
        await core.upload_all()
        asset = await core.find(PATH)
        assert asset.proof is not None
        assert await core.catalog.count_misplaced() == 0
        return Label(asset.type, asset.fields, asset.tags), asset.proof.key


async def test_a_path_says_what_its_file_is(place: Place) -> None:
    """And the first upload goes to the right place."""
    assert await found(place, None) == (BY_PATH, KEY)


async def test_a_sidecar_says_more(place: Place) -> None:
    """It counts before the rules; numbers may be numbers."""
    fields = {"kind": "thumbnails", "show": "x", "season": 1, "episode": 12}
    label, key = await found(place, json.dumps({"type": "artifact", "fields": fields, "tags": {"a": "b"}}).encode())
    assert label == Label("artifact", {name: str(value) for name, value in fields.items()}, {"a": "b"})
    assert key == "artifacts/thumbnails/x/s01/e12/f%201.jpg"


async def test_what_an_application_has_said_counts_first(place: Place) -> None:
    """Neither of the others touches it."""
    label, key = await found(place, b'{"type": "media"}', Label("plate", {}, {"a": "b"}))
    assert (label, key) == (Label("plate", {}, {"a": "b"}), f"other/{PATH}")


@pytest.mark.parametrize(
    "sidecar",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"kind": "x"}',
        b'{"type": 5}',
        b'{"fields": ["a"]}',
        b'{"fields": {"a": null}}',
        b'{"type": "artifact", "fields": {"season": "x"}}',
        b'{"tags": {"a": "50%"}}',
        b'{"fields": {"a": "' + b"n" * 2000 + b'"}}',
        b" " * 65_536 + b"{}",
    ],
)
async def test_a_sidecar_that_makes_no_sense_is_left_out(
    place: Place, sidecar: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, and the file is uploaded all the same."""
    assert await found(place, sidecar) == (BY_PATH, KEY)
    assert f"{PATH}.tierd.json is left out" in caplog.text


async def test_a_name_with_no_room_for_the_ending_has_no_sidecar(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """And nobody is told at each upload."""
    async with place.core(describes=True) as core:
        assert (await core.hot("n" * 250)).type is None
        assert not caplog.text


@pytest.mark.parametrize("path", ["frames/rhobh/s5/e02/f.jpg", "audio/f.mp3", "f.jpg", "image/a/f.jpg"])
def test_a_path_that_no_rule_is_about_says_nothing(path: str) -> None:
    """Also one whose values the type does not allow."""
    assert [rule.read(RelPath(path)) for rule in RULES] == [None, None]
