"""What the service manager is told, and ``/health``, across a restart of a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from tests.live.servers.base import HookOptions
from tests.live.servers.differences import Kind
from tests.live.topology import Arrangement, Topology

AT_MOST = 30.0


async def told(manager: socket.socket, holds: Callable[[str], bool]) -> str:
    """The next message to the service manager of which this is true."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(AT_MOST):
        while True:
            message = (await loop.sock_recv(manager, 65536)).decode()
            if holds(message):
                return message


async def test_across_a_restart_of_the_server(kind: Kind, tmp_path: Path) -> None:
    stage = Topology(kind, Arrangement(hook=HookOptions()), tmp_path)
    server, daemon = stage.servers["montague"], stage.daemon
    assert daemon is not None
    daemon.own_process = True  # as the service manager starts it
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0xmpp-moved-test-{tmp_path.name}-{id(tmp_path)}")
        manager.setblocking(False)
        # The component's alone: the server would speak there too.
        daemon.environment["NOTIFY_SOCKET"] = "@" + manager.getsockname()[1:].decode()
        # Rarely: what nobody reads while the server starts stands in a queue of ten.
        daemon.environment["WATCHDOG_USEC"] = "8000000"
        try:
            await daemon.start(until_ready=False)
            waiting = await told(manager, lambda m: m.startswith(("STATUS=No stream", "READY")))
            assert waiting.startswith("STATUS=No stream")
            await server.start()
            await told(manager, lambda m: m.startswith("STATUS=Following moves on"))
            await told(manager, lambda m: m == "READY=1")
            await told(manager, lambda m: m == "WATCHDOG=1")
            await server.stop()
            await told(manager, lambda m: m.startswith("STATUS=No stream"))
            await server.start()
            again = await told(
                manager, lambda m: m.startswith(("STATUS=Following moves on", "READY"))
            )
            assert again.startswith("STATUS")
            assert await daemon.stop() == 0
            await told(manager, lambda m: m == "STOPPING=1")
        finally:
            await stage.stop()
