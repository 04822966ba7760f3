"""What the service manager is told, and ``/health``, across a restart of a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.cases import cases
from tests.live.servers.base import HookOptions
from tests.live.servers.differences import KINDS, Kind
from tests.live.topology import Arrangement, Topology

AT_MOST = 60.0


async def told(messages: asyncio.Queue[str], holds: Callable[[str], bool]) -> str:
    """The next message to the service manager of which this is true."""
    async with asyncio.timeout(AT_MOST):
        while not holds(message := await messages.get()):
            pass
        return message


@pytest.mark.parametrize("kind", cases(["prosody-0.12"], KINDS.values()), indirect=True)
async def test_across_a_restart_of_the_server(kind: Kind, tmp_path: Path) -> None:
    stage = Topology(kind, Arrangement(hook=HookOptions()), tmp_path)
    server, daemon = stage.servers["montague"], stage.daemon
    assert daemon is not None
    daemon.own_process = True  # as the service manager starts it
    messages: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0xmpp-moved-test-{tmp_path.name}-{id(tmp_path)}")
        # Read as it comes: the socket keeps ten messages, and the component drops what is too much.
        loop.add_reader(manager, lambda: messages.put_nowait(manager.recv(65536).decode()))
        # The component's alone: the server would speak there too.
        daemon.environment["NOTIFY_SOCKET"] = "@" + manager.getsockname()[1:].decode()
        daemon.environment["WATCHDOG_USEC"] = "2000000"
        try:
            await daemon.start(until_ready=False)
            waiting = await told(messages, lambda m: m.startswith(("STATUS=No stream", "READY")))
            assert waiting.startswith("STATUS=No stream")
            await server.start()
            await told(messages, lambda m: m.startswith("STATUS=Following moves on"))
            await told(messages, lambda m: m == "READY=1")
            await told(messages, lambda m: m == "WATCHDOG=1")
            await server.stop()
            await told(messages, lambda m: m.startswith("STATUS=No stream"))
            await server.start()
            again = await told(
                messages, lambda m: m.startswith(("STATUS=Following moves on", "READY"))
            )
            assert again.startswith("STATUS")
            assert await daemon.stop() == 0
            await told(messages, lambda m: m == "STOPPING=1")
        finally:
            loop.remove_reader(manager)
            await stage.stop()
