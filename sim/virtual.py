"""An event loop without a wall clock: where nothing is left to do, the next timer is now."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(RuntimeError):
    """Everything waits for something that will never happen."""


class _Selector(selectors.DefaultSelector):
    """Waits for nobody: time is what was asked to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise Stuck("no timer is left, and nothing is ready")
            self.now += max(0.0, timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its seconds pass when there is nothing else to do.

    Nothing that it runs may wait for threads, sockets or processes: they would not be waited for.
    """

    def __init__(self) -> None:
        self._clockwork = _Selector()
        super().__init__(self._clockwork)
        # A nanosecond, asyncio's own, is lost in a float of years: timers would never be due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._clockwork.now


class VirtualClock:
    """Both clocks of the engine, by the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begin = datetime(2026, 3, 1, 12, tzinfo=UTC) - timedelta(seconds=self._loop.time())

    def now(self) -> datetime:
        """Time of day."""
        return self._begin + timedelta(seconds=self._loop.time())

    def tick(self) -> float:
        """Seconds of the loop."""
        return self._loop.time()


def play(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a virtual loop; raises :class:`Stuck`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
