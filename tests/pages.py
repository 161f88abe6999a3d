"""The documentation, taken apart by its conventions: headings, table rows, and what stands in backticks."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parent.parent
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


def read(name: str) -> str:
    """Return the text of a page, by its name below the project's root."""
    return (PROJECT / name).read_text(encoding="utf-8")


def sections(name: str, level: str = "##") -> dict[str, str]:
    """Return what stands below each heading of this level."""
    parts = re.split(rf"^{level} (.+)$", read(name), flags=re.MULTILINE)
    texts = [re.split(r"^##? ", text, flags=re.MULTILINE)[0] for text in parts[2::2]]
    return dict(zip(parts[1::2], texts, strict=True))


def rows(text: str, first: str | None = None) -> list[list[str]]:
    """Return the cells of every table row, without heads; `first` is the head's first cell of the tables meant."""
    found: list[list[str]] = []
    head: str | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            head = None
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if head is None:
            head = cells[0]
        elif set(cells[0]) != {"-"} and first in {None, head}:
            found.append(cells)
    return found


def codes(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_codes(text: str, first: str | None = None) -> list[str]:
    """Return what stands in backticks in the first cell of every table row."""
    return [code for row in rows(text, first) for code in codes(row[0])]


def prose(text: str) -> str:
    """Return the text without its blocks of code."""
    return re.sub(r"^```.*?^```$|^    .*?$", "", text, flags=re.MULTILINE | re.DOTALL)
