"""The configurations of the pages for those who come from another system work alone, and place what the pages say."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from pages import PROJECT, codes, rows

from daemon import config
from index.asset import RelPath
from tiering.keys import KEY_BYTES, Layout, Subject
from tiering.label import Label
from tiering.layouts import named

if TYPE_CHECKING:
    from pathlib import Path

    from daemon.settings import Settings

PAGES = sorted((PROJECT / "docs" / "coming-from").glob("*.md"))


def configured(page: Path, directory: Path) -> Settings:
    """Return what holds with the page's configuration and nothing else."""
    (text,) = re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    (directory / "media").mkdir()
    file = directory / "tierd.toml"
    file.write_text(text)
    return config.load(file, {})


def key_of(layout: Layout, label: Label, cells: list[str]) -> str:
    """Return the key of the asset in a table's row: its path, and content type, MD5 and day where those are told."""
    path, *content = [codes(cell)[0] for cell in cells[:-1]]
    kind, md5, day = content or (None, None, None)
    made = None if day is None else int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp() * 1e9)
    return layout.keys_for(Subject(RelPath(path), label.type, label.fields, kind, md5, made))[0]


def test_there_is_a_page_for_each_of_the_five() -> None:
    """None is forgotten, and none is empty."""
    assert len(PAGES) == 5
    assert all(page.read_text(encoding="utf-8").count("    $ tierd ") > 5 for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_configuration_places_what_it_says(page: Path, tmp_path: Path) -> None:
    """Every path of its table has the key that is beside it."""
    settings = configured(page, tmp_path)
    rules = [rule.rule() for rule in settings.metadata.rules or ()]
    layout = named(settings.layout.name, key_bytes=KEY_BYTES)
    table = rows(page.read_text(encoding="utf-8"), "path")
    assert table
    for cells in table:
        path = RelPath(codes(cells[0])[0])
        label = next((found for rule in rules if (found := rule.read(path))), Label())
        assert key_of(layout, label, cells) == codes(cells[-1])[0]
