"""Components with fail points as processes that start within a moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import component
from tests.live.crash.points import FAIL, TRACE, Target
from tests.live.daemon import Daemon, DaemonError
from tests.live.servers.process import LEASH, Child


class Forked(Child):
    """A process that the nursery forked; see :class:`Child`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._gone = False
        self._handle = -1
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:  # it died before we looked
            self._gone = True

    @property
    def pid(self) -> int:
        """Process id."""
        return self._pid

    @property
    def returncode(self) -> int | None:
        """0 once it has ended, however: its parent is the nursery, which does not say."""
        if not self._gone:
            try:
                signal.pidfd_send_signal(self._handle, 0)
            except ProcessLookupError:
                self._gone = True
                os.close(self._handle)
        return 0 if self._gone else None

    async def wait(self, timeout: float) -> int:
        """Return once it has ended; raises TimeoutError."""
        async with asyncio.timeout(timeout):
            await self.ended()
        return 0

    async def ended(self) -> None:
        """Return once it has ended."""
        if self.returncode is not None:
            return
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        # One watcher for each call, since a descriptor can be watched only once.
        handle = os.dup(self._handle)
        loop.add_reader(handle, over.set)
        try:
            while self.returncode is None:
                over.clear()
                await over.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    def _signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)


class Nursery:
    """Where components are forked; ends with this process."""

    def __init__(self, output: Path) -> None:
        with output.open("ab") as sink:
            self._child = subprocess.Popen(
                [*LEASH, sys.executable, "-m", "tests.live.crash.component", "nursery"],
                cwd=Path(component.__file__).parent.parent,
                env={k: v for k, v in os.environ.items() if not k.startswith("XMPP_MOVED")},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )

    def fork(self, config: Path, output: Path, environment: Mapping[str, str]) -> Forked:
        """A new component."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        order = {"config": str(config), "output": str(output), "environment": dict(environment)}
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise DaemonError("the nursery is gone")
        return Forked(int(answer))

    def close(self) -> None:
        """End it; components that still live end with it."""
        self._child.kill()
        self._child.communicate()


class CrashDaemon(Daemon):
    """A component that dies where it is told to.

    :param nursery: who forks it.
    """

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self._nursery = nursery
        self.trace = folder / "points"
        self.earlier: list[str] = []
        """Points that were reached before the last :meth:`begin`, in order."""
        super().__init__(folder, {})

    def _spawn(self) -> Child:
        return self._nursery.fork(self.config_path, self.log_path, self.environment)

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
