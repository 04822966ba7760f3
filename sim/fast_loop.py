"""An event loop that does not wait: where nothing is left to do, its time jumps to the next timer.

The database works in threads.  While one of them does, time passes as on the wall, so that no
timer is due before an answer that is only a matter of milliseconds.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.at_work = 0  # calls in threads that have not been answered
        self.jumped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if self.at_work or not timeout or timeout < 0:
            return super().select(timeout)
        # A signal or another thread may have something, though none was asked.
        if not (ready := super().select(0)):
            self.jumped += timeout
        return ready


class FastLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer where no thread works."""

    def __init__(self) -> None:
        self._jumps = _Selector()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Seconds of this loop."""
        return super().time() + self._jumps.jumped

    def create_future(self) -> asyncio.Future[Any]:
        """A future; aiosqlite, and SQLAlchemy for it, make one for each call of its thread."""
        future = super().create_future()
        if "aiosqlite" in sys._getframe(1).f_globals["__name__"]:
            self._await(future)
        return future

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call a function in a thread."""
        future = super().run_in_executor(executor, func, *args)
        self._await(future)
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """End the threads."""
        self._jumps.at_work += 1  # Python 3.12 bounds the time that this may take
        await super().shutdown_default_executor(*args)

    def _await(self, future: asyncio.Future[Any]) -> None:
        self._jumps.at_work += 1
        future.add_done_callback(self._answered)

    def _answered(self, _: asyncio.Future[Any]) -> None:
        self._jumps.at_work -= 1


def play(main: Coroutine[Any, Any, T]) -> T:
    """Run a test on a fast loop."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(main)


class LoopClock:
    """Both clocks of the engine by the running loop; days are jumped over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._jumped = 0.0

    def now(self) -> datetime:
        """Time of day."""
        return datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=self.tick())

    def tick(self) -> float:
        """Seconds since the test began."""
        return self._loop.time() - self._begin + self._jumped

    def jump(self, seconds: float) -> None:
        """Let time pass; whoever waits for it has to be woken."""
        self._jumped += seconds
