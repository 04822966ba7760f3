"""What the service manager is told, and ``/health``, across a restart of a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.live.cases import cases
from tests.live.daemon import Daemon
from tests.live.servers.base import HookOptions
from tests.live.servers.differences import KINDS, Kind
from tests.live.topology import Arrangement, Topology, component_settings

AT_MOST = 60.0


async def told(messages: asyncio.Queue[str], holds: Callable[[str], bool]) -> str:
    """The next message to the service manager of which this is true."""
    async with asyncio.timeout(AT_MOST):
        while not holds(message := await messages.get()):
            pass
        return message


@asynccontextmanager
async def managed(daemon: Daemon, name: str) -> AsyncIterator[asyncio.Queue[str]]:
    """What a daemon, once it is started, tells a service manager, until the end."""
    daemon.own_process = True  # as the service manager starts it
    messages: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0xmpp-moved-test-{name}-{id(daemon)}")
        # Read as it comes: the socket keeps ten messages, and the component drops what is too much.
        loop.add_reader(manager, lambda: messages.put_nowait(manager.recv(65536).decode()))
        # The component's alone: the server would speak there too.
        daemon.environment["NOTIFY_SOCKET"] = "@" + manager.getsockname()[1:].decode()
        daemon.environment["WATCHDOG_USEC"] = "2000000"
        try:
            yield messages
        finally:
            loop.remove_reader(manager)


@pytest.mark.parametrize("kind", cases(["ejabberd-24.12"], KINDS.values()), indirect=True)
async def test_a_start_without_the_hook_is_over(kind: Kind, tmp_path: Path) -> None:
    """``systemctl enable --now`` returns; the status line and /health say what is missing."""
    stage = Topology(kind, Arrangement(hook=None), tmp_path)
    server = stage.servers["montague"]
    stage.daemon = daemon = Daemon(
        tmp_path / "component", component_settings(server.spec.address, ())
    )
    async with managed(daemon, tmp_path.name) as messages:
        try:
            await server.start()
            await daemon.start(until_ready=False)
            missing = await told(messages, lambda m: m.startswith(("STATUS=No hook on", "READY")))
            assert missing.startswith("STATUS=No hook on")
            await told(messages, lambda m: m == "READY=1")
            code, text = await daemon.run_command("check")
            assert code == 1
            assert "hook on montague.example: none" in " ".join(text.split())
        finally:
            await stage.stop()


@pytest.mark.parametrize("kind", cases(["prosody-0.12"], KINDS.values()), indirect=True)
async def test_across_a_restart_of_the_server(kind: Kind, tmp_path: Path) -> None:
    stage = Topology(kind, Arrangement(hook=HookOptions()), tmp_path)
    server, daemon = stage.servers["montague"], stage.daemon
    assert daemon is not None
    async with managed(daemon, tmp_path.name) as messages:
        try:
            await daemon.start(until_ready=False)
            # The start is over when it was tried: nobody waits for a server, or for its hook.
            waiting = await told(messages, lambda m: m.startswith(("STATUS=No stream", "READY")))
            assert waiting.startswith("STATUS=No stream")
            await told(messages, lambda m: m == "READY=1")
            await server.start()
            await told(messages, lambda m: m.startswith("STATUS=Following moves on"))
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
            await stage.stop()
