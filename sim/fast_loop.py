"""An event loop on which a minute takes a second or less, and clocks that agree with it.

The database works in threads, so time cannot simply jump to the next timer; it runs faster.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

SPEED = 100.0
"""Seconds of the loop in one of the wall's."""
T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / SPEED)


class FastLoop(asyncio.SelectorEventLoop):
    """Counts its seconds SPEED times as fast."""

    def __init__(self) -> None:
        super().__init__(_Selector())

    def time(self) -> float:
        """Seconds of this loop."""
        return super().time() * SPEED


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
