"""Our package names are generic: where somebody else owns one, the daemon does not start."""

from __future__ import annotations

import pytest

from daemon import owners


@pytest.mark.parametrize(
    ("owned", "culprits"),
    [
        ({}, []),
        ({"daemon": ["tierd"], "index": ["tierd", "tierd"], "tiering": ["tierd"], "other": ["x"]}, []),
        ({"daemon": ["tierd", "python-daemon"]}, ["python-daemon"]),
        ({"daemon": ["b", "a"], "tiering": ["tierd", "c"]}, ["a, b", "c"]),
    ],
)
def test_each_stranger_is_named(
    monkeypatch: pytest.MonkeyPatch, owned: dict[str, list[str]], culprits: list[str]
) -> None:
    """With the package that he owns, and what to do."""
    monkeypatch.setattr(owners, "packages_distributions", lambda: owned)
    said = owners.foreign_owners()
    assert len(said) == len(culprits)
    for sentence, culprit in zip(said, culprits, strict=True):
        assert f"belongs to {culprit} as well" in sentence
        assert "uv tool install" in sentence


def test_here_they_are_ours() -> None:
    """In the environment that the tests run in."""
    assert owners.foreign_owners() == []
