"""A sidecar that comes after the upload is taken as one that was there before: the remote copy follows."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from core import a_place

from tiering import sidecars as module
from tiering.describer import PathRule
from tiering.layouts import named
from tiering.sidecars import Sidecars, find_sidecars
from tiering.template import Template

if TYPE_CHECKING:
    from pathlib import Path

    from core import Core

SAID: dict[str, Any] = {
    "type": "artifact",
    "fields": {"kind": "thumbnails", "show": "rhobh", "season": 5, "episode": 2},
}


def write(core: Core, path: str, said: object = SAID) -> None:
    """Write the sidecar of an asset."""
    file = core.tree.root / f"{path}.tierd.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(said))


def of(core: Core) -> Sidecars:
    """Return what looks for sidecars of this core."""
    return Sidecars(core.catalog, core.tree, core.describer)


@pytest.mark.parametrize("cold", [False, True])
async def test_a_late_one_is_taken_and_the_remote_copy_follows(tmp_path: Path, *, cold: bool) -> None:
    """Hot or cold, however deep; once."""
    async with a_place(tmp_path).core(layout=named("episodic"), describes=True) as core:
        await (core.cold if cold else core.hot)("in/a b/track.jpg")
        write(core, "in/a b/track.jpg")
        assert await of(core).look() == 1
        assert await core.rekeyer.place_all() is None
        asset = await core.find("in/a b/track.jpg")
        assert asset.proof is not None
        assert asset.proof.key == "artifacts/thumbnails/rhobh/s05/e02/track.jpg"
        assert await of(core).look() == 0


async def test_what_an_application_said_stays(tmp_path: Path) -> None:
    """A rule's word counts less than a sidecar's, an application's more; also one that comes between."""
    rules = (PathRule("plate", Template("in/{show}/{file}")),)
    async with a_place(tmp_path).core(describes=True, path_rules=rules) as core:
        by_rule = await core.hot("in/x/a.jpg")
        by_hand = await core.hot("b.jpg")
        assert by_rule.type == "plate"
        await core.catalog.describe(by_hand.id, type="media", fields={}, tags={})
        write(core, "in/x/a.jpg")
        write(core, "b.jpg")
        assert await of(core).look() == 1
        assert (await core.find("in/x/a.jpg")).type == "artifact"
        assert (await core.find("b.jpg")).type == "media"
        assert not await core.catalog.describe_late(by_hand, type="artifact", fields={}, tags={})
        assert (await core.find("b.jpg")).type == "media"


@pytest.mark.parametrize("late", [False, True])
async def test_what_is_edited_later_is_taken_again(tmp_path: Path, *, late: bool) -> None:
    """However it came to be believed, also by another life of the index; until an application says something else."""
    place = a_place(tmp_path)
    async with place.core(layout=named("episodic"), describes=True) as core:
        if not late:
            write(core, "a.jpg")
        await core.hot("a.jpg")
        if late:
            write(core, "a.jpg")
            assert await of(core).look() == 1
    if late:
        (tmp_path / "index.db").unlink()
    async with place.core(layout=named("episodic"), describes=True) as core:
        await core.scan()
        await core.discovery.discover()
        await core.upload_all()
        if late:
            assert await of(core).look() == 0
        write(core, "a.jpg", {**SAID, "fields": {**SAID["fields"], "episode": 3}})
        assert await of(core).look() == 1
        assert await core.rekeyer.place_all() is None
        asset = await core.find("a.jpg")
        assert asset.proof is not None
        assert asset.proof.key == "artifacts/thumbnails/rhobh/s05/e03/a.jpg"
        await core.registry.describe(asset.path, type="plate", fields={}, tags={})
        write(core, "a.jpg")
        assert await of(core).look() == 0
        assert (await core.find("a.jpg")).type == "plate"


async def test_useless_ones_are_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Broken, of nobody, or of a file that is ignored; one that is mended is taken."""
    async with a_place(tmp_path).core(describes=True) as core:
        await core.hot("a.jpg")
        write(core, "a.jpg", ["no", "sidecar"])
        write(core, "nobody.jpg")
        write(core, ".hidden/b.jpg")
        core.tree.root.joinpath("dir.tierd.json").mkdir()
        core.tree.root.joinpath(".tierd.json").write_text("{}")
        sidecars = of(core)
        assert await sidecars.look() == await sidecars.look() == 0
        assert caplog.text.count("is left out") == 1
        assert {found.path for found in find_sidecars(core.tree)} == {"a.jpg", "nobody.jpg"}
        write(core, "a.jpg", SAID | {"tags": {"a": "longer"}})
        assert await sidecars.look() == 1


async def test_it_looks_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    async with a_place(tmp_path).core(describes=True) as core:
        await core.hot("a.jpg")
        running: Any = asyncio.create_task(of(core).run())
        write(core, "a.jpg")
        try:
            async with asyncio.timeout(20):
                while (await core.find("a.jpg")).type is None:  # noqa: ASYNC110 - a scan of the tree sets no event
                    await asyncio.sleep(0.001)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
