"""A throw-away Prosody with nothing but component ports, for the tests of the link."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.live.servers.process import Process, tail

PROSODY = shutil.which("prosody")
READY = "Activated service 'component'"
START_SECONDS = 60.0
_POLL = 0.02


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
        self._log = folder / "prosody.log"

    async def start(self) -> None:
        """Start it, and return when it listens."""
        config = self._folder / "prosody.cfg.lua"
        config.write_text(self._config())
        before = self._count(READY)
        command = [PROSODY or "prosody", "-F", "--config", str(config)]
        self._process = Process(command, cwd=self._folder, output=self._log)
        try:
            await self.wait_log(READY, before + 1, START_SECONDS)
        except TimeoutError:
            await self.stop()
            raise RuntimeError(f"prosody did not start:\n{tail(self._log)}") from None

    async def stop(self, *, kill: bool = False) -> None:
        """End it: in order, or as a crash would."""
        if self._process is not None:
            await (self._process.kill() if kill else self._process.terminate())

    async def wait_log(self, text: str, count: int, seconds: float = 10.0) -> None:
        """Wait until its log has ``text`` in that many lines."""
        async with asyncio.timeout(seconds):
            while True:
                if self._count(text) >= count:
                    return
                await asyncio.sleep(_POLL)

    def _count(self, text: str) -> int:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return sum(text in line for line in lines)

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
