"""The command that looks for what is wrong. It needs no daemon, and asks one that runs."""

import sys
from collections.abc import Sequence
from typing import Any

import typer

from daemon import render
from daemon.cli_options import Code, options
from daemon.journal import escape

Found = dict[str, Any]


def doctor(context: typer.Context) -> Code:
    """Look for what is wrong with this host, the configuration and the store, and say what to do."""
    from daemon.examination import findings  # noqa: PLC0415 - the libraries of the stores take long

    given = options(context)
    found = number(findings(given.config, given.socket))
    is_well = all(each["verdict"] != "failed" for each in found)
    if given.json:
        render.show_json({"findings": found, "ok": is_well})
    elif sys.stdout.isatty():
        _show(found)
    else:
        for each in found:
            cells = (each[name] for name in ("number", "verdict", "check", "message", "remedy"))
            render.show_line("\t".join(escape(str(cell)) for cell in cells).rstrip())
    return Code.DONE if is_well else Code.FAILED


def number(found: Sequence[Found]) -> list[Found]:
    """Return the findings with the numbers of their checks, in their order."""
    names = list(dict.fromkeys(each["check"] for each in found))
    numbered = [{"number": names.index(each["check"]) + 1, **each} for each in found]
    return sorted(numbered, key=_number)


def _number(found: Found) -> int:
    number: int = found["number"]
    return number


def _show(found: Sequence[Found]) -> None:
    width = max(len(each["check"]) for each in found)
    for each in found:
        head = f"{each['number']:>2} {each['verdict']:<7}  {each['check']:<{width}}"
        render.show_line(f"{head}  {escape(each['message'])}")
        if each["remedy"]:
            render.show_line(f"{'':<{len(head)}}  -> {escape(each['remedy'])}")
