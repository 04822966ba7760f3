"""The smallest configuration, and how the tests write one and read what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from component.config import ConfigError, load

SMALLEST = """
[component]
jid = "moved.montague.example"
secret = "hunter2"
[served]
hosts = ["montague.example"]
"""


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    """A configuration file with this text."""
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def problems(folder: Path, text: str) -> list[str]:
    """What is said to be wrong with this text, in order."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return [str(problem) for problem in caught.value.problems]
