"""A server that runs as a child of the tests: its life, and what is told of it when it fails."""

from __future__ import annotations

import asyncio
import os
import signal
from abc import ABC, abstractmethod
from pathlib import Path

from tests.live.servers.base import C2S_PORT, Fault, ServerError, ServerSpec
from tests.live.servers.process import Process, tail

_POLL = 0.02


class ChildServer(ABC):
    """See :class:`tests.live.servers.base.Server`.

    :param ready: seconds that it may take to start.
    :param grace: seconds that it may take to stop.
    """

    def __init__(
        self, kind: str, spec: ServerSpec, folder: Path, *, ready: float, grace: float
    ) -> None:
        self.kind = kind
        self.spec = spec
        self.folder = folder
        self.log_path = folder / f"{self.program}.log"
        self._output = folder / f"{self.program}.out"
        self._ready = ready
        self._grace = grace
        self._process: Process | None = None
        (folder / "faults").mkdir(parents=True, exist_ok=True)

    @property
    @abstractmethod
    def program(self) -> str:
        """What its files are named after."""

    @abstractmethod
    def _spawn(self) -> Process:
        """Start the process."""

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.returncode is None

    def freeze(self) -> None:
        """SIGSTOP: its connections stand, and nothing answers."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGSTOP)

    async def start(self) -> None:
        """Start and wait for stream features on the client port."""
        if self.running:
            raise ServerError(f"{self.spec.name} runs already")
        self._process = self._spawn()
        try:
            async with asyncio.timeout(self._ready):
                while not await self._serves():
                    if not self.running:
                        raise ServerError(self._story("ended while starting"))
                    await asyncio.sleep(_POLL)
        except TimeoutError as slow:
            await self.kill()
            raise ServerError(self._story("was not ready in time")) from slow

    async def stop(self) -> None:
        """SIGTERM, which both kinds answer with an orderly stop, and wait."""
        if self._process is not None:
            await self._process.terminate(self._grace)

    async def kill(self) -> None:
        """SIGKILL and wait."""
        if self._process is not None:
            await self._process.kill()

    def set_fault(self, jid: str, fault: Fault | None) -> None:
        """Write or remove the file that the server's test module reads."""
        path = self.folder / "faults" / jid
        if fault is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(f"{fault.kind}\n{fault.payload}")

    async def _serves(self) -> bool:
        # A connection is accepted by the kernel before a server's loop runs: only an answer counts.
        try:
            reader, writer = await asyncio.open_connection(self.spec.address, C2S_PORT)
        except OSError:
            return False
        try:
            writer.write(
                f"<stream:stream to='{self.spec.hosts[0]}' version='1.0' xmlns='jabber:client'"
                " xmlns:stream='http://etherx.jabber.org/streams'>".encode()
            )
            await reader.readuntil(b"</stream:features>")
        except (OSError, asyncio.IncompleteReadError):
            return False
        finally:
            writer.close()
        return True

    def _story(self, what: str) -> str:
        return (
            f"{self.kind} '{self.spec.name}' {what}; log {self.log_path}\n"
            f"{tail(self._output)}\n{tail(self.log_path)}"
        )
