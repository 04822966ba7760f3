"""``xmpp-moved fetch`` before it reaches any server, and where it is stopped on the way."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from component.client.account import Published
from component.core.belongings.model import Unread
from component.core.journey.model import Access
from component.engine.belongings.read import Reading
from component.ui.exits import CommandFailed
from component.ui.fetch import Fetched, Wanted, report
from component.ui.keep import check_target, new_file
from component.ui.secret import read_password

from .conftest import Command
from .running import process

OLD, NEW = "juliet@old.example", "juliet@new.example"
PASSWORD = "O Romeo, Romeo"


@contextmanager
def descriptor(data: bytes) -> Iterator[int]:
    """A pipe with this in it; whoever reads it closes it."""
    theirs, ours = os.pipe()
    os.write(ours, data)
    os.close(ours)
    yield theirs


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--access", "open"], "needs --publish"),
        (["--publish", OLD.upper()], "that is the account itself"),
        (["--publish", "new.example"], "is not the address of a user"),
        (["--access", "roster", "--publish", NEW], "roster"),
        (["--direct-tls"], "needs --host or --port"),
        (["--private", "storage:x"], "is not written as {NAMESPACE}NAME"),
        (["--port", "70000"], "--port"),
    ],
)
def test_usage(command: Command, tmp_path: Path, more: list[str], said: str) -> None:
    result = command("fetch", OLD, "-o", tmp_path / "x.xml", *more)
    assert result.code == 2
    assert said in " ".join(result.err.split())
    assert list(tmp_path.iterdir()) == []


def test_the_place_is_looked_at_before_the_password_is_asked_for(
    command: Command, tmp_path: Path
) -> None:
    there = tmp_path / "there.xml"
    there.write_text("x")
    for target, said in (
        (there, f"{there} exists; name another file, or give --force"),
        (tmp_path, f"{tmp_path} is a folder; name a file in it"),
        (tmp_path / "no/x.xml", f"the folder {tmp_path / 'no'} does not exist; name another one"),
    ):
        result = command("fetch", OLD, "-o", target, "--password-fd", "99")
        assert (result.code, result.err) == (1, f"xmpp-moved: {said}\n")


def test_passwords_from_a_descriptor() -> None:
    for data in (b"p\xc3\xa4 ss", b"p\xc3\xa4 ss\n", b"p\xc3\xa4 ss\r\n"):
        with descriptor(data) as number:
            assert read_password(OLD, number) == "pä ss"


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"a\nb\n", "more than one line"), (b"x" * 5000, "more than one line"), (b"\xff", "no UTF-8")],
)
def test_no_passwords_from_a_descriptor(data: bytes, said: str) -> None:
    with descriptor(data) as number, pytest.raises(CommandFailed, match=said):
        read_password(OLD, number)


def test_a_descriptor_that_is_not_open(command: Command, tmp_path: Path) -> None:
    result = command("fetch", OLD, "-o", tmp_path / "x.xml", "--password-fd", "999")
    assert result.code == 2
    assert "--password-fd 999 cannot be read (Bad file descriptor); redirect it" in result.err


def test_there_is_no_option_for_the_password(command: Command) -> None:
    options = command("fetch", "--help").out
    assert "--password-fd" in options
    assert "--password " not in options


def half(file: BinaryIO) -> None:
    """Write a part, and fail."""
    file.write(b"2")
    raise ValueError("half")


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "x"
    with new_file(target, force=False) as file:
        file.write(b"1")
        assert not target.exists()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="half"), new_file(target, force=True) as file:
        half(file)
    assert target.read_bytes() == b"1"
    target.chmod(0o644)
    with new_file(target, force=True) as file:
        file.write(b"3")
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (b"3", 0o600)
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "x"
    check_target(target, force=False)
    with pytest.raises(CommandFailed, match="exists"), new_file(target, force=False):
        target.symlink_to("nowhere")
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(CommandFailed, match="exists"):
        check_target(target, force=False)


def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    with (
        pytest.raises(CommandFailed, match="cannot be written: No such file or directory"),
        new_file(tmp_path / "no" / "x", force=False),
    ):
        pass


def test_the_report(tmp_path: Path) -> None:
    wanted = Wanted(OLD, tmp_path / "x.xml", new=NEW)
    reading = Reading([], [Unread("block list", "service-unavailable")])
    published = Published(Access.PRESENCE, False)
    fetched = Fetched(reading, ["urn:xmpp:omemo:2:devices"], ["urn:x"], published, None)
    assert list(report(wanted, fetched)) == [
        f"{tmp_path / 'x.xml'} holds {OLD} as it was now; only you may read it.",
        "  0 contacts, 0 blocked addresses, 0 profiles, 0 private settings, 0 PEP nodes, "
        "0 PEP items",
        "Not taken along: OMEMO keys and device lists (urn:xmpp:omemo:2:devices): the keys belong "
        "to devices, whose secret halves stay there; with an old list contacts would encrypt for "
        "devices that don't read the new address; each client publishes its own.",
        "The server refuses: block list (service-unavailable).",
        "The server did not hand out all of: urn:x.",
        f"{OLD} says now that it moved to {NEW}; read back, and right.",
        f"Only its contacts can read that, and {NEW} is none of them: where a server there is to "
        "see the proof, publish again with --access whitelist.",
    ]


@pytest.mark.usefixtures("ctrl_c")
def test_the_prompt_and_the_bar(tmp_path: Path) -> None:
    """On a terminal: what is typed is not shown, and something shows that it works."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        there = ("--host", "127.0.0.1", "--port", str(server.getsockname()[1]))
        with process("fetch", OLD, "-o", tmp_path / "x.xml", *there, terminal=True) as running:
            running.until(lambda text: f"Password of {OLD}: " in text)
            running.type(f"{PASSWORD}\n")
            with server.accept()[0]:
                running.until(lambda text: f"Reading {OLD}" in text)
                running.interrupt()
                code, text = running.end()
    assert code == 1
    assert text.rstrip().endswith(f"xmpp-moved: stopped; {tmp_path / 'x.xml'} was not written")
    assert PASSWORD not in text


def test_no_terminal(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "component", "fetch", OLD, "-o", str(tmp_path / "x.xml")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == 2
    assert "there is no terminal to ask for the password; give it with --password-fd" in done.stderr


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped_on_the_way(tmp_path: Path, stop: signal.Signals) -> None:
    """Connected to a server that says nothing: nothing is left, and nothing was told."""
    with socket.create_server(("127.0.0.1", 0)) as server, descriptor(PASSWORD.encode()) as number:
        server.settimeout(60)
        words = ["fetch", OLD, "-o", tmp_path / "x.xml", "--password-fd", number]
        words += ["--host", "127.0.0.1", "--port", server.getsockname()[1]]
        child = subprocess.Popen(
            [sys.executable, "-m", "component", *map(str, words)],
            pass_fds=[number],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(number)
        try:
            with server.accept()[0] as connection:
                connection.settimeout(60)
                heard = connection.recv(1000)
                status = Path(f"/proc/{child.pid}")
                shown = [(status / name).read_bytes() for name in ("cmdline", "environ")]
                child.send_signal(stop)
                out, err = child.communicate(timeout=30)
        finally:
            child.kill()
    assert child.returncode == 1
    assert (out, err) == ("", f"xmpp-moved: stopped; {tmp_path / 'x.xml'} was not written\n")
    assert PASSWORD.encode() not in b"".join([heard, *shown])
    assert list(tmp_path.iterdir()) == []
