"""Too many clients of /health and /metrics at once."""

from __future__ import annotations

import contextlib
import socket

from component.ops.http import MAX_CLIENTS, HttpServer
from component.ops.metrics import Metrics
from tests.unit.ops.test_http import LOOPBACK, ask, well


def test_clients_that_say_nothing_take_no_more_than_their_share() -> None:
    """Each costs a descriptor and a thread, and the journal and the stream need some."""
    with HttpServer(LOOPBACK, Metrics().registry, well) as server, contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            for _ in range(MAX_CLIENTS)
        ]
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as late:
            assert late.recv(1) == b""  # turned away, at once
        for silent in crowd:
            silent.close()
        status = 0
        for _ in range(50):
            with contextlib.suppress(OSError):
                status, _ = ask(server.port, "/health")
                break
        assert status == 200
