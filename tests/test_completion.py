"""What a shell offers, and the manual page: made from the command line itself, and there at once."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
import typer
from pages import PROJECT
from stub import Answer, Request, Stub

from daemon.cli import build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ASSETS = ["shoot/0001.jpg", "shoot/0002.jpg", "shoot 2/a b.jpg", "other.bin", "c\x1b[2J"]
SLOW = {
    "dataclasses",
    "inspect",
    "typer",
    "rich",
    "pydantic",
    "asyncio",
    "aiohttp",
    "http.client",
    "daemon.cli",
    "daemon.client",
}


def script() -> ModuleType:
    """Return what makes both."""
    spec = importlib.util.spec_from_file_location("pages_of_packaging", PROJECT / "packaging" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, written once."""
    target = tmp_path_factory.mktemp("pages")
    script().main(target)
    return target / "share"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Stub]:
    """Somebody who knows these assets."""
    with Stub(tmp_path / "s") as stub:
        stub.answers["GET /v1/paths"] = paths_of
        yield stub


def paths_of(asked: Request) -> Answer:
    """Answer as the daemon does."""
    prefix = unquote(asked.target.partition("prefix=")[2])
    ends = {path: path.find("/", len(prefix)) for path in ASSETS if path.startswith(prefix)}
    return Answer({"paths": sorted({path if end < 0 else path[: end + 1] for path, end in ends.items()})})


def complete(pages: Path, socket: Path, *words: str) -> list[str]:
    """Return what bash offers after these words; the last is the one that is being typed."""
    script = 'source "$1"; shift; COMP_WORDS=(tierd "$@"); COMP_CWORD=$#; _tierd; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(pages / "bash-completion/completions/tierd"), *words],
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TIERD_API__SOCKET": str(socket)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], ["status", "stats"]),
        (["--json", "--socket", "x", "sta"], ["status", "stats"]),
        (["config", ""], ["check"]),
        (["verify", "--d"], ["--deep", "--dry-run"]),
        (["promote", "sho"], ["shoot/", "shoot\\ 2/"]),
        (["promote", "other.bin", "shoot/"], ["shoot/0001.jpg", "shoot/0002.jpg"]),
        (["pin", "shoot\\ 2/"], ["shoot\\ 2/a\\ b.jpg"]),
        (["pin", "c"], [""]),
        (["pin", "nothing"], [""]),
        (["status", ""], [""]),
        (["no-such-command", ""], [""]),
    ],
)
def test_what_bash_offers(pages: Path, daemon: Stub, words: list[str], offered: list[str]) -> None:
    """Commands, options, and paths of assets as far as the next slash, quoted."""
    assert sorted(complete(pages, daemon.socket_path, *words)) == sorted(offered)


LINES = {
    "sta": ["stats", "status"],
    "--json --socket x sta": ["stats", "status"],
    "config ": ["check"],
    "verify --d": ["--deep", "--dry-run"],
    "promote sho": ["shoot 2/", "shoot/"],
    "promote other.bin shoot/": ["shoot/0001.jpg", "shoot/0002.jpg"],
    "pin shoot\\ 2/": ["shoot 2/a b.jpg"],
    "pin nothing": [],
    "status ": [],
    "no-such-command ": [],
}
FISH = 'source $argv[1]; for line in $argv[2..-1]; complete -C"tierd $line"; echo; end'
ZSH = """
compadd() {
    local each
    for each in "${(@)@[${@[(i)--]}+1,-1]}"; do [[ $each == ${(Q)PREFIX}* ]] && print -r -- $each; done
}
_files() { }
for line in "${@[2,-1]}"; do
    words=(tierd ${(z)line}); [[ $line == *[^\\\\]' ' ]] && words+=('')
    CURRENT=$#words PREFIX=$words[-1]
    source $1
    print
done
"""
"""What zsh calls from a completion stands in for zsh, which wants a terminal for it."""


@pytest.mark.parametrize(
    ("shell", "script", "file"),
    [
        (["fish", "-N", "-c"], FISH, "fish/vendor_completions.d/tierd.fish"),
        (["zsh", "-f", "-c"], ZSH, "zsh/vendor-completions/_tierd"),
    ],
    ids=["fish", "zsh"],
)
def test_what_other_shells_offer(
    pages: Path, daemon: Stub, tmp_path: Path, shell: list[str], script: str, file: str
) -> None:
    """The same; each quotes by itself what it takes."""
    (tmp_path / "empty").mkdir()
    name = ["zsh"] if shell[0] == "zsh" else []
    done = subprocess.run(
        [*shell, script, *name, str(pages / file), *LINES],
        cwd=tmp_path / "empty",
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "TIERD_API__SOCKET": str(daemon.socket_path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert dict(zip(LINES, map(sorted, parts(done.stdout)), strict=True)) == LINES


def parts(text: str) -> Iterator[list[str]]:
    """Yield the lines before each empty one."""
    part: list[str] = []
    for line in text.splitlines():
        if line:
            part.append(line)
        else:
            yield part
            part = []


def test_without_a_daemon_nothing_is_offered(pages: Path, tmp_path: Path) -> None:
    """Nor said: there is no place for it."""
    assert complete(pages, tmp_path / "gone", "promote", "a") == [""]


def test_nothing_slow_is_imported() -> None:
    """It has a tenth of a second, and the command line takes longer than that to load."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "daemon", "_complete", "x"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    imported = set(re.findall(r"\|\s+([\w.]+)$", done.stderr, flags=re.MULTILINE))
    assert "daemon.completing" in imported
    assert imported.isdisjoint(SLOW)


def test_the_manual_has_every_command_and_option(pages: Path) -> None:
    """As --help has them."""
    text = (pages / "man/man1/tierd.1").read_text(encoding="utf-8").replace("\\-", "-")
    for words, command in script().leaves(typer.main.get_command(build())):
        if not hasattr(command, "commands"):
            part = text.partition(f".SS tierd {words} ")[2].partition(".SS")[0]
            assert command.help.splitlines()[0] in part, words
            assert all(option in part for each in command.params for option in each.opts if option[0] == "-"), words
