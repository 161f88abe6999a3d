"""`tierd simulate`: what it prints, and how it says what is wrong with a trace."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
from stub import Stub, lines

from daemon import cli

if TYPE_CHECKING:
    from pathlib import Path

TRACE = "time,id,size\n" + "".join(f"{number},{'ab'[number % 2]},10\n" for number in range(10))


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a trace where there is no configuration, and a daemon nowhere."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "trace.csv"
    file.write_text(TRACE)
    return file


def results(capfd: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    """Return what a simulation says."""
    assert cli.run(["--json", "simulate", *arguments]) == 0
    found: list[dict[str, Any]] = json.loads(capfd.readouterr().out)["results"]
    return found


def test_what_it_says(trace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Two assets that take turns: half a disk is none, a whole one is all."""
    found = results(capfd, str(trace), "--policy", "lru,heat", "--size", "10B,50%,100%", "--watermarks", "1/1")
    assert found[0] == {
        "trace": "trace.csv",
        "policy": "lru",
        "preset": None,
        "size_bytes": 10,
        "object_miss_ratio": 1.0,
        "byte_miss_ratio": 1.0,
        "bytes_promoted": 80,
        "bytes_demoted": 80,
        "requests": 8,
        "dollars": pytest.approx(8 * 0.0004 / 1000 + 80 / 2**30 * 0.09),
    }
    assert [(each["policy"], each["preset"], each["size_bytes"]) for each in found[1:]] == [
        ("heat", "balanced", 10),
        ("lru", None, 10),
        ("heat", "balanced", 10),
        ("lru", None, 20),
        ("heat", "balanced", 20),
    ]
    assert found[-1]["object_miss_ratio"] == found[-2]["bytes_promoted"] == 0


def test_money_is_counted_as_the_configuration_says(trace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its prices, whatever else is in it; a wrong price is refused before anything is simulated."""
    config = trace.with_name("config.toml")
    config.write_text("[prices]\nget = 125\negress = 0\n[cache]\nroot = 7\n")
    found = results(capfd, str(trace), "--policy", "lru", "--size", "10B", "--watermarks", "1/1")
    assert found[0]["dollars"] == 1.0
    config.write_text("[prices]\nget = -1\n")
    assert cli.run(["simulate", str(trace)]) == 78
    out, err = capfd.readouterr()
    assert "prices.get" in err
    assert not out


def test_presets_and_admission(trace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each preset is a case of its own; `cut` is taken."""
    found = results(capfd, str(trace), "--preset", "bytes, requests", "--size", "10B", "--admission", "cut")
    assert [each["preset"] for each in found] == ["bytes", "requests", None, None]


def test_a_picture(trace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is well-formed, and has a line for each curve."""
    assert cli.run(["simulate", str(trace), "--policy", "lru", "--plot", str(tmp_path / "x.svg")]) == 0
    root = ET.fromstring((tmp_path / "x.svg").read_text())
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 2
    assert "lru" in capfd.readouterr().out


@pytest.mark.parametrize("place", ["nowhere/x.svg", "."])
def test_a_picture_has_a_place_before_anything_is_counted(
    trace: Path, place: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where none can be written, that is said at once."""
    assert cli.run(["simulate", str(trace), "--plot", place]) == 2
    said = capfd.readouterr()
    assert (said.out, f"{place} cannot be written" in said.err) == ("", True)


def test_broken_rows_are_named(trace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With their lines, on stderr; what is right is simulated."""
    # Spreadsheets begin a file with a mark.
    trace.write_text(f"\ufeff{TRACE}11,a\n12,a,-3\n", encoding="utf-8")
    assert cli.run(["--json", "simulate", str(trace), "--size", "5%"]) == 4
    out, err = capfd.readouterr()
    assert len(json.loads(out)["results"]) == 3
    assert "2 broken rows were left out" in err
    assert "line 12: " in err
    assert "line 13: " in err


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "line 1"), ("a,b\n", "line 1"), ("time,id,size\n", "no request"), ("time,id,size\nx", "line 2")],
)
def test_a_trace_that_is_none(trace: Path, capfd: pytest.CaptureFixture[str], text: str, said: str) -> None:
    """What is wrong with it is said."""
    trace.write_text(text)
    assert cli.run(["simulate", str(trace)]) == 1
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--size", "5"),
        ("--size", "-5%"),
        ("--size", "1GiB,"),
        ("--policy", "heat,mru"),
        ("--preset", "hot"),
        ("--watermarks", "0.8"),
        ("--watermarks", "0.8/0.9"),
        ("--admission", "some"),
        ("--from-history",),
    ],
)
def test_wrong_options_are_refused(trace: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """Before anything is simulated; what would be right is said."""
    assert cli.run(["simulate", str(trace), *arguments]) == 2
    out, err = capfd.readouterr()
    assert arguments[0] in err
    assert not out


def test_what_a_daemon_remembers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line stands for as many reads as it says."""
    with Stub(tmp_path / "s") as server:
        monkeypatch.setenv("TIERD_API__SOCKET", str(tmp_path / "s"))
        server.answers["GET /v1/history"] = lines({"time": 1.0, "id": 7, "size": 10, "times": 5})
        assert results(capfd, "--from-history", "--policy", "lru", "--size", "100%")[0]["requests"] == 4
        server.answers["GET /v1/history"] = lines()
        assert cli.run(["simulate", "--from-history"]) == 1
        assert "remembers no reads" in capfd.readouterr().err
