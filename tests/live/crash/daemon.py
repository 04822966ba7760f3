"""Components with fail points as processes that start within a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.live.crash.points import FAIL, TRACE, Target
from tests.live.daemon import Daemon, DaemonError
from tests.live.nursery import Forked

_MODULE = "tests.live.crash.component"


class CrashDaemon(Daemon):
    """A component that dies where it is told to; always forked, since it starts so often."""

    own_process = False
    module = _MODULE

    def __init__(self, folder: Path) -> None:
        self.trace = folder / "points"
        self.earlier: list[str] = []
        """Points that were reached before the last :meth:`begin`, in order."""
        super().__init__(folder, {})

    async def begin(self, target: Target | None = None) -> bool:
        """Start, to die at ``target``; False where it died before it was ready.

        :raises DaemonError: it ended for another reason, or was not ready in time.
        """
        self.environment = {TRACE: str(self.trace)}
        if target is not None:
            self.environment[FAIL] = str(target)
        self.earlier = self.reached
        self.trace.write_text("")
        await self.start(until_ready=False)
        try:
            await self.log_says("ready")
        except DaemonError:
            if self.running or not self.taken:
                raise
            return False
        return True

    def forget_points(self) -> None:
        """Let ``reached`` begin anew."""
        self.trace.write_text("")
        self.earlier = []

    async def ended(self) -> None:
        """Return once the process has ended."""
        process = self._process
        assert isinstance(process, Forked)
        await process.ended()

    @property
    def reached(self) -> list[str]:
        """Points that were reached since :meth:`forget_points`, in order."""
        return [*self.earlier, *(line.lstrip("!") for line in self._lines)]

    @property
    def taken(self) -> bool:
        """Whether the process died at its target."""
        return bool(self._lines) and self._lines[-1].startswith("!")

    @property
    def _lines(self) -> list[str]:
        return self.trace.read_text().splitlines() if self.trace.exists() else []


@asynccontextmanager
async def dying(daemon: Daemon, target: Target) -> AsyncIterator[None]:
    """Start a running component anew, to die at ``target``; whoever starts it afterwards has it as
    it was."""
    await daemon.stop()
    daemon.module, daemon.environment = _MODULE, {FAIL: str(target)}
    try:
        await daemon.start()
        yield
    finally:
        del daemon.module
        daemon.environment = {}
