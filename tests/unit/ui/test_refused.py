"""A server that does not take the secret: exit code 77 for ``run``, a line for ``check``."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Command

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' "
    b"xmlns='jabber:component:accept' from='moved.montague.example' id='1'>"
)
REFUSAL = (
    b"<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    b"</stream:stream>"
)


class Refusing(socketserver.BaseRequestHandler):
    """Answers any handshake as XEP-0114 section 3 has it for a wrong secret."""

    def handle(self) -> None:
        self.request.settimeout(10)
        self._read_until(b"jabber:component:accept")
        self.request.sendall(HEADER)
        self._read_until(b"</handshake>")
        self.request.sendall(REFUSAL)

    def _read_until(self, mark: bytes) -> None:
        got = b""
        while mark not in got and len(got) < 10_000:
            chunk = self.request.recv(1000)
            if not chunk:
                return
            got += chunk


@pytest.fixture
def refused(config_file: Path) -> Iterator[Path]:
    """A configuration whose server refuses the secret."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        text = config_file.read_text()
        port = server.server_address[1]
        config_file.write_text(text.replace("[served]", f"port = {port}\n[served]"))
        yield config_file
        server.shutdown()
        thread.join()


def test_run_ends_with_77(command: Command, refused: Path) -> None:
    result = command("--config", refused, "run")
    assert result.code == 77
    assert "secret" in result.err.splitlines()[-1]
    assert "hunter2" not in result.err
    assert "Traceback" not in result.err


def test_check_says_so_and_ends_with_1(command: Command, refused: Path) -> None:
    result = command("--config", refused, "check")
    assert result.code == 1
    assert "✓ database: " in result.out
    assert "✗ stream: " in result.out
    assert "secret" in result.out
    assert "Traceback" not in result.err


def test_check_of_an_odd_account_is_a_usage_mistake(command: Command, refused: Path) -> None:
    result = command("--config", refused, "check", "--test-account", "montague.example")
    assert result.code == 2
    assert "--test-account" in result.err
