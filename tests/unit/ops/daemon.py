"""``xmpp-moved run`` as a process, watched as a service manager would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.unit.ops.fake_server import HOST, JID

ROOT = Path(__file__).parents[3]
AT_MOST = 30.0
CONFIG = """
[component]
jid = "{jid}"
secret = "hunter2"
port = {port}
control = ""
[served]
hosts = ["{host}"]
[database]
url = "sqlite+aiosqlite:///{database}"
[metrics]
listen = "127.0.0.1:{metrics}"
[log]
format = "json"
"""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Watched:
    """The process, what it logged, and what it told the service manager."""

    def __init__(self, folder: Path, port: int) -> None:
        self.database = folder / "moved.db"
        self.config = folder / "config.toml"
        self.metrics = free_port()
        self.text = CONFIG.format(
            jid=JID, host=HOST, port=port, database=self.database, metrics=self.metrics
        )
        self.configure()
        self.told: list[str] = []
        self.log: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self._over = False
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def configure(self, extra: str = "") -> None:
        """Write the configuration."""
        self.config.write_text(self.text + extra)
        self.config.chmod(0o600)

    async def start(self, manager: socket.socket, **environ: str) -> None:
        """Start it; it tells ``manager``, a datagram socket that is bound."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("XMPP_MOVED")}
        address = manager.getsockname()
        name = "@" + address[1:].decode() if isinstance(address, bytes) else str(address)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "component", "--config", str(self.config), "run"),
            env=clean | {"NOTIFY_SOCKET": name} | environ,
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        self._tasks = [
            asyncio.create_task(self._read_log()),
            asyncio.create_task(self._listen(manager)),
        ]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), AT_MOST)
        finally:
            await asyncio.wait(self._tasks[:1], timeout=AT_MOST)
            for task in self._tasks:
                task.cancel()

    async def kill(self) -> None:
        """End it whatever it does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        for task in self._tasks:
            task.cancel()

    async def until(self, holds: Callable[[], bool], within: float = AT_MOST) -> None:
        """Wait until this is true of what was logged and told."""
        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(lambda: holds() or self._over)
        except TimeoutError:
            raise AssertionError(f"not so in {within} s\n{self.told}\n{self.log}") from None
        assert holds(), f"it ended\n{self.told}\n{self.log}"

    async def ended(self, within: float = AT_MOST) -> None:
        """Wait until it has ended by itself.

        A signal before its exit code is known would take that away (Popen.send_signal looks first).
        """
        await self.until(lambda: self._over, within)
        assert self._process is not None
        await asyncio.wait_for(self._process.wait(), within)

    def events(self) -> list[str]:
        """What was logged."""
        return [str(entry["event"]) for entry in self.log]

    async def logged(self, event: str, within: float = AT_MOST) -> dict[str, Any]:
        """The last log line of this event, once there is one."""
        await self.until(lambda: event in self.events(), within)
        return [entry for entry in self.log if entry["event"] == event][-1]

    async def health(self) -> tuple[int, dict[str, Any]]:
        """What ``/health`` says."""
        return await asyncio.to_thread(self._ask)

    async def healthy(self, wanted: bool, within: float) -> dict[str, Any]:
        """Wait until ``/health`` is green, or red, and return what it says."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while True:
            status, said = await self.health()
            if (status == 200) is wanted:
                return said
            assert loop.time() < deadline, f"{status} after {within} s: {said}\n{self.log}"
            await asyncio.sleep(0.1)

    async def metric(self, line: str) -> str:
        """The value of a figure, by its name with labels."""
        url = f"http://127.0.0.1:{self.metrics}/metrics"
        with await asyncio.to_thread(urllib.request.urlopen, url, None, 10) as answer:
            text = str(answer.read().decode())
        return next(
            found.removeprefix(line + " ")
            for found in text.splitlines()
            if found.startswith(line + " ")
        )

    def _ask(self) -> tuple[int, dict[str, Any]]:
        url = f"http://127.0.0.1:{self.metrics}/health"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError as error:
            return 0, {"error": str(error)}

    async def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.decode().rstrip()}
            async with self._news:
                self.log.append(entry)
                self._news.notify_all()
        async with self._news:
            self._over = True
            self._news.notify_all()

    async def _listen(self, manager: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = await loop.sock_recv(manager, 65536)
            async with self._news:
                self.told.append(message.decode())
                self._news.notify_all()


@contextlib.contextmanager
def service_manager(*, abstract: bool = False) -> Any:
    """A datagram socket as systemd has it, at a path or with an abstract name."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"\0{folder}" if abstract else f"{folder}/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(name)
            manager.setblocking(False)
            yield manager


@contextlib.asynccontextmanager
async def watched(
    folder: Path, port: int, extra: str = "", *, abstract: bool = False, **environ: str
) -> AsyncIterator[Watched]:
    """The component at work for as long as the block lasts.

    :param port: where its server listens, or does not
    """
    daemon = Watched(folder, port)
    daemon.configure(extra)
    with service_manager(abstract=abstract) as manager:
        await daemon.start(manager, **environ)
        try:
            yield daemon
        finally:
            await daemon.kill()
