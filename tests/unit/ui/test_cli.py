"""The command as a whole: help, versions, exit codes, and how ``check`` prints."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from component import __version__
from component.core.records import CheckLine
from component.ui.show import print_check
from component.ui.terminal import make_console, marks, printable

from .conftest import Command

LINES = [
    CheckLine("stream", True, "moved.montague.example at 127.0.0.1:5347"),
    CheckLine(
        "hook", False, "no answer from [red]capulet.example[/red]", "install it:\nhook prosody"
    ),
    CheckLine("hook", True, "0.1.0", "update it"),
]


def test_version(command: Command) -> None:
    assert command("--version").out == f"xmpp-moved {__version__}\n"


@pytest.mark.parametrize(
    "name", ["run", "check", "moves", "show", "undo", "pause", "resume", "hook", "db"]
)
def test_help(command: Command, name: str) -> None:
    assert name in command("--help").out
    assert command(name, "--help").code == 0


def test_no_command_and_an_unknown_one_are_usage_mistakes(command: Command) -> None:
    assert command().code == 2
    assert command("undone").code == 2


def test_configuration_mistakes_end_with_78(command: Command, config_file: Path) -> None:
    config_file.write_text("[contacts]\ndedline_seconds = 5\n")
    for arguments in (["run"], ["check"], ["moves"], ["db", "upgrade"], ["hook", "prosody"]):
        result = command("--config", config_file, *arguments)
        assert result.code == 78
        assert 'did you mean "deadline_seconds"?' in result.err
        assert "Traceback" not in result.err


@pytest.mark.parametrize("kept", ["with root", "by the service alone"])
def test_only_what_connects_needs_the_secret(
    command: Command, config_file: Path, tmp_path: Path, kept: str
) -> None:
    """It may be root's alone, or handed to the service and named nowhere here."""
    secret = tmp_path / "secret"  # whoever runs the tests could read it if it were there
    line = f'secret_file = "{secret}"' if kept == "with root" else ""
    config_file.write_text(config_file.read_text().replace('secret = "hunter2"', line))
    backup = tmp_path / "backup.db"
    for arguments in (
        ["db", "upgrade"],
        ["db", "backup", str(backup)],
        ["db", "restore", str(backup)],
        ["moves"],
        ["hook", "prosody"],
        ["hook", "snikket"],
        ["hook", "ejabberd"],
    ):
        result = command("--config", config_file, *arguments)
        assert (result.code, result.err) == (0, ""), arguments
    # These do what they can: there is no such move, and no component to be told.
    for arguments in (
        ["show", "1"],
        ["pause"],
        ["resume"],
        ["undo", "1", "--yes"],
        ["moves", "--watch"],
    ):
        result = command("--config", config_file, *arguments)
        assert result.code == 1, arguments
        assert "secret" not in result.err
    for arguments in (["run"], ["check"], ["hook", "prosody", "--show-secret"]):
        result = command("--config", config_file, *arguments)
        assert result.code == 78, arguments
        assert "secret_file" in result.err
        assert "Traceback" not in result.err


def test_config_file_from_the_environment(
    command: Command, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XMPP_MOVED_CONFIG", str(config_file))
    assert "moved.montague.example" in command("hook", "prosody").out


def test_warnings_go_to_standard_error(command: Command, config_file: Path) -> None:
    config_file.chmod(0o644)
    result = command("--config", config_file, "hook", "prosody")
    assert result.err.startswith(f"xmpp-moved: warning: {config_file} holds the component's secret")


def test_module_is_the_command() -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("XMPP_MOVED_")}
    done = subprocess.run(
        [sys.executable, "-m", "component", "--config", "/nonexistent", "check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr == (
        "xmpp-moved: /nonexistent: cannot be read (No such file or directory); copy "
        "config.example.toml there, or name another file with --config or XMPP_MOVED_CONFIG\n"
    )


def test_run_with_a_metrics_port_in_use(command: Command, config_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = config_file.read_text()
        config_file.write_text(text.replace('listen = ""', f'listen = "127.0.0.1:{port}"'))
        result = command("--config", config_file, "run")
    assert result.code == 1
    assert f'[metrics] listen = "127.0.0.1:{port}" cannot be used' in result.err


def test_check_lines_without_colour() -> None:
    out = io.StringIO()
    for line in LINES:
        print_check(make_console(out), line)
    assert out.getvalue().splitlines() == [
        "✓ stream: moved.montague.example at 127.0.0.1:5347",
        "✗ hook: no answer from [red]capulet.example[/red]",
        "  install it:",
        "  hook prosody",
        "! hook: 0.1.0",
        "  update it",
    ]


def test_check_lines_on_a_stream_without_unicode() -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="latin-1") as out:
        assert marks(out) == ("ok  ", "note", "FAIL")
        for line in LINES:
            print_check(make_console(out), line)
        out.flush()
        assert raw.getvalue().splitlines()[:2] == [
            b"ok   stream: moved.montague.example at 127.0.0.1:5347",
            b"FAIL hook: no answer from [red]capulet.example[/red]",
        ]


def test_printable_shows_what_would_steer_a_terminal() -> None:
    assert printable("Rómeo 🌹") == "Rómeo 🌹"
    assert printable("a\x1b[2Jb\n\u202ec\x9b") == "a\\x1b[2Jb\\n\\u202ec\\x9b"
