"""A throw-away Prosody with nothing but component ports, for the tests of the link."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

PROSODY = shutil.which("prosody")
READY = b"Activated service 'component'"
START_SECONDS = 20.0


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class LinkServer:
    """Prosody in a folder of its own, on loopback.

    :param components: the secret of each component's JID.
    """

    def __init__(self, folder: Path, components: Mapping[str, str]) -> None:
        self.port = free_port()
        self._folder = folder
        self._components = dict(components)
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.log: list[str] = []
        self._logged = asyncio.Condition()

    async def start(self) -> None:
        """Start it, and return when it listens."""
        config = self._folder / "prosody.cfg.lua"
        config.write_text(self._config())
        self._process = await asyncio.create_subprocess_exec(
            PROSODY or "prosody", "-F", "--config", str(config), stdout=PIPE, stderr=STDOUT
        )
        listening = asyncio.Event()
        self._reader = asyncio.create_task(self._read(listening))
        try:
            await asyncio.wait_for(listening.wait(), START_SECONDS)
        except TimeoutError:
            await self.stop()
            raise RuntimeError("prosody did not start:\n" + "".join(self.log[-20:])) from None

    async def stop(self, *, kill: bool = False) -> None:
        """End it: in order, or as a crash would."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if kill:
                process.kill()
            else:
                process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._reader is not None:
            await self._reader

    async def wait_log(self, text: str, count: int, seconds: float = 10.0) -> None:
        """Wait until its log has ``text`` in that many lines."""
        async with asyncio.timeout(seconds), self._logged:
            await self._logged.wait_for(lambda: sum(text in line for line in self.log) >= count)

    async def _read(self, listening: asyncio.Event) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._logged:
                self.log.append(line.decode(errors="replace"))
                self._logged.notify_all()
            if READY in line:
                listening.set()

    def _config(self) -> str:
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        lines = [
            "run_as_root = true",
            "daemonize = false",
            f'pidfile = "{self._folder}/prosody.pid"',
            f'data_path = "{data}"',
            'log = { info = "*console" }',
            "c2s_ports = {}",
            "s2s_ports = {}",
            "http_ports = {}",
            "https_ports = {}",
            f"component_ports = {{ {self.port} }}",
            'component_interfaces = { "127.0.0.1" }',
            "modules_enabled = {}",
            'modules_disabled = { "s2s", "c2s", "tls", "http", "posix" }',
            'VirtualHost "localhost"',
        ]
        for jid, secret in self._components.items():
            lines += [f'Component "{jid}"', f'    component_secret = "{secret}"']
        return "\n".join(lines) + "\n"


@contextlib.asynccontextmanager
async def link_server(folder: Path, components: Mapping[str, str]) -> AsyncIterator[LinkServer]:
    """A running server, ended with the block."""
    server = LinkServer(folder, components)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
