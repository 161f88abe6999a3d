"""Draws docs/lifecycle.md from index/lifecycle.py, so that the picture cannot say anything else than the table.

    python docs/lifecycle.py

tests/test_docs.py fails where the page is not what this would write.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from index.lifecycle import HOT, IN_FLIGHT, TRANSITIONS, UNPROTECTED, Event, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from enum import StrEnum

PAGE: Final = Path(__file__).with_suffix(".md")

_HEAD: Final = """\
<!-- Written by docs/lifecycle.py. Do not edit: change index/lifecycle.py and run it again. -->
# The life of an asset

Every change of state is an edge of this picture. Nothing else can happen: the index refuses it.
"""
_RULE: Final = """\
Exactly one edge lets tierd remove a local copy by itself: `demoting` to `cold`, by `evicted`. `demoting` is entered
from `replicated` only. (`removed` is a person's order, `tierd rm`.)
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join((_HEAD, *_picture(), "", _RULE, *_states(), "", *_events(), ""))


def _picture() -> Iterator[str]:
    """Yield the diagram: one arrow for all the events that lead from one state to another."""
    yield from ("```mermaid", "stateDiagram-v2")
    yield from ("    [*] --> new : discovered on disk", "    [*] --> cold : discovered in the store")
    for state, edges in TRANSITIONS.items():
        arrows = defaultdict(list)
        for event, after in edges.items():
            arrows[after].append(event)
        yield from (f"    {state} --> {after} : {', '.join(events)}" for after, events in arrows.items())
    yield "```"


def _states() -> Iterator[str]:
    yield from ("## States", "", "| state | on disk | a mover holds it | the only copy is local | meaning |")
    yield "| --- | --- | --- | --- | --- |"
    for state, meaning in _documented(State):
        marks = ("yes" if state in group else "" for group in (HOT, IN_FLIGHT, UNPROTECTED))
        yield f"| `{state}` | {' | '.join(marks)} | {meaning} |"


def _events() -> Iterator[str]:
    yield from ("## Events", "", "| event | meaning |", "| --- | --- |")
    yield "| `discovered` | A file or an object was found that the index did not know. |"
    yield from (f"| `{event}` | {meaning} |" for event, meaning in _documented(Event))


def _documented(names: type[StrEnum]) -> Iterator[tuple[str, str]]:
    """Yield each member's value and the text that follows it in the source."""
    body = ast.parse(inspect.getsource(names)).body[0]
    texts = [
        each.value for each in ast.walk(body) if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    ]
    meanings = [text.value for text in texts[1:]]
    yield from zip(map(str, names), map(str, meanings), strict=True)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
