"""Commands that do by themselves what a daemon would, where none runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from daemon.cli import run
from daemon.instance import hold_lock

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a.jpg", "d/b.jpg", "d/c.png")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache root with files in it, and a configuration that names it."""
    root = tmp_path / "media"
    (root / "d").mkdir(parents=True)
    for name in NAMES:
        (root / name).write_text(f"what is in {name}")
    (tmp_path / "config.toml").write_text('[metrics]\nlisten = "127.0.0.1:0"\n[upload]\nsettle = "0s"\n')
    monkeypatch.chdir(tmp_path)
    return root


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run a command; return the JSON that it printed."""
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    printed = capsys.readouterr()
    return json.loads(printed.out or printed.err)


def results(said: Any) -> dict[str, str]:
    """Return what became of each file."""
    return {result["path"]: result["outcome"] for result in said["results"]}


def test_files_are_safe_in_the_store_without_a_daemon(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So many of those that are not yet, as often as it is asked; what is ignored is none of them."""
    (root / "d" / "half.part").write_text("not done")
    assert results(told(capsys, "upload", "--dry-run")) == dict.fromkeys(NAMES, "planned")
    assert not (root / ".tierd").exists()
    assert results(told(capsys, "upload", "--limit", "2")) == dict.fromkeys(NAMES[:2], "done")
    assert results(told(capsys, "upload", "--limit", "2", "--dry-run")) == {NAMES[2]: "planned"}
    assert results(told(capsys, "upload", "--limit", "2", "--batch-size", "1")) == {NAMES[2]: "done"}
    assert results(told(capsys, "upload", "--limit", "2")) == {}
    assert results(told(capsys, "upload", "d")) == dict.fromkeys(NAMES[1:], "done")
    assert sorted(path.name for path in (root.parent / "var" / "cold").glob("**/*.*g")) == ["a.jpg", "b.jpg", "c.png"]


def test_an_object_in_the_way_is_replaced_only_by_force(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As through the daemon; the others are safe all the same."""
    told(capsys, "upload", "d")
    stranger = root.parent / "var" / "cold" / "a.jpg"
    stranger.write_text("a stranger's")
    assert results(told(capsys, "upload", code=4)) == dict.fromkeys(NAMES, "done") | {"a.jpg": "failed"}
    assert stranger.read_text() == "a stranger's"
    assert results(told(capsys, "upload", "--force"))["a.jpg"] == "done"
    assert stranger.read_text() == "what is in a.jpg"


def test_another_root_and_store_have_an_index_of_their_own(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is believed of the configured ones stays as it is."""
    told(capsys, "upload")
    photos = root.parent / "photos"
    photos.mkdir()
    (photos / "p.png").write_text("a photo")
    both = ("--cache-dir", "photos", "--store", "file:./elsewhere")
    assert results(told(capsys, "upload", *both)) == {"p.png": "done"}
    assert (root.parent / "elsewhere" / "p.png").read_text() == "a photo"
    assert told(capsys, "upload", *both, "--limit", "9")["results"] == []
    assert told(capsys, "upload", "--limit", "9")["results"] == []
    assert told(capsys, "upload", "--cache-dir", "nowhere", code=3)["error"]["code"] == "unknown-file"
    assert "--store: store.url: is 'nonsense'" in str(told(capsys, "upload", "--store", "nonsense", code=78))


def test_an_empty_host_learns_what_the_store_has(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Told first; taken in; known from then on. Files that are there are not lacking."""
    told(capsys, "upload")
    for file in (root.parent / "var").glob("index.db*"):
        file.unlink()
    (root / "a.jpg").unlink()
    assert told(capsys, "discover")["assets"] == len(NAMES)
    listed = told(capsys, "discover", "--by-listing")
    assert (listed["objects"], listed["taken"], listed["bytes"]) == (3, 1, len("what is in a.jpg"))
    assert told(capsys, "discover", "--by-listing")["taken"] == 0
    assert told(capsys, "discover", "--by-listing", "--foreign", code=2)["error"]
    found = told(capsys, "discover", "--sync")
    assert (found["assets"], {stray["path"] for stray in found["lacking"]}) == (len(NAMES), set(NAMES))
    assert told(capsys, "discover", "--sync")["assets"] == 0
    assert told(capsys, "upload", "--limit", "9", "--dry-run")["results"] != []


def test_a_daemon_that_runs_is_not_disturbed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two would spoil each other's index: whoever comes second is refused."""
    told(capsys, "upload")
    with hold_lock(root / ".tierd" / "lock"):
        for command in (("upload", "--store", "file:./elsewhere"), ("discover", "--store", "file:./elsewhere")):
            error = told(capsys, *command, code=5)["error"]
            assert (error["code"], "holds" in error["message"]) == ("refused", True)


def test_a_store_that_cannot_be_reached_is_no_news_of_assets(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was done, and trying again may help."""
    monkeypatch.setenv("TIERD_STORE__URL", "s3://bucket")
    monkeypatch.setenv("TIERD_STORE__ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    told(capsys, "upload", code=75)
    told(capsys, "discover", code=75)
    assert (root / "a.jpg").exists()
