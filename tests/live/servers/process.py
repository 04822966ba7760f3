"""A child process whose output goes to a file and whose end can be awaited."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

LEASH = ("setpriv", "--pdeathsig", "KILL")
"""Ends the child with this process, however that ends (util-linux; prctl(2))."""


class Child(ABC):
    """What is asked of a child process, whoever started it."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """Process id."""

    @property
    @abstractmethod
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""

    @abstractmethod
    async def wait(self, timeout: float) -> int:
        """Return the exit code; raises TimeoutError after ``timeout`` seconds."""

    @abstractmethod
    def _signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing where it has ended."""

    async def terminate(self, grace: float = 10.0) -> int:
        """SIGTERM, SIGKILL after ``grace`` seconds; return the exit code."""
        self._signal(signal.SIGTERM)
        try:
            return await self.wait(grace)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """SIGKILL; return the exit code."""
        self._signal(signal.SIGKILL)
        return await self.wait(10.0)


class Process(Child):
    """One child in a session of its own; never tied to an event loop, so it may outlive a test.

    Args:
        command: program and arguments.
        cwd: working folder.
        output: file that receives stdout and stderr, appended.
        env: whole environment; None inherits.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        output: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        with output.open("ab") as sink:
            self._child = subprocess.Popen(
                [*LEASH, *command],
                cwd=cwd,
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self._child.poll()

    async def wait(self, timeout: float) -> int:
        """Return the exit code; raises TimeoutError after ``timeout`` seconds."""
        try:
            return await asyncio.to_thread(self._child.wait, timeout)
        except subprocess.TimeoutExpired as slow:
            raise TimeoutError(f"process {self.pid} still runs") from slow

    def _signal(self, number: signal.Signals) -> None:
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)


def tail(path: Path, lines: int = 25) -> str:
    """Return the last lines of a log, or a word on why there is none."""
    if not path.exists():
        return f"({path} does not exist)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
