"""A configuration file, and a way to run the command in this process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from component.ui.cli import main
from tests.unit.logging_state import logging_restored

CONFIG = """
[component]
jid = "moved.montague.example"
secret = "hunter2"
control = "{control}"
[served]
hosts = ["montague.example", "capulet.example"]
[database]
url = "sqlite+aiosqlite:///{database}"
[metrics]
listen = ""
"""


@dataclass(frozen=True)
class Result:
    """What a run of the command left."""

    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the configuration says that the database is; not created."""
    return tmp_path / "moved.db"


@pytest.fixture
def control_path(tmp_path: Path) -> Path:
    """Where the configuration says that the control socket is; nobody listens."""
    return tmp_path / "control.sock"


@pytest.fixture
def config_file(tmp_path: Path, database: Path, control_path: Path) -> Path:
    """A good configuration."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(database=database, control=control_path))
    path.chmod(0o600)
    return path


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Children heed Ctrl-C, also where a shell runs the tests in the background and ignores it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    with logging_restored():
        yield


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``xmpp-moved`` with these arguments, in an environment without settings for it."""
    for name in os.environ:
        if name.startswith("XMPP_MOVED_"):
            monkeypatch.delenv(name)

    def run(*arguments: str | Path) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run
