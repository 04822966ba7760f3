"""Room for a few at a time: who comes first goes first, and none is held while another is free."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence


class _Lane:
    """So many may be in it; the others wait in the order in which they came."""

    def __init__(self) -> None:
        self.inside = 0
        self.queue: deque[asyncio.Future[None]] = deque()

    def pass_on(self, width: int) -> None:
        while self.queue and self.inside < width:
            waiter = self.queue.popleft()
            if not waiter.done():
                self.inside += 1
                waiter.set_result(None)


class Lanes:
    """A lane for each key; one that nobody uses is forgotten.

    :param width: how many may be in a lane, as of now.
    """

    def __init__(self, width: Callable[[str], int]) -> None:
        self._width = width
        self._lanes: dict[str, _Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def waiting(self, key: str) -> int:
        """How many wait for this lane."""
        lane = self._lanes.get(key)
        return sum(not waiter.done() for waiter in lane.queue) if lane is not None else 0

    def try_enter(self, keys: Sequence[str]) -> bool:
        """Enter all of these lanes, if that takes no waiting."""
        lanes = [self._lanes.setdefault(key, _Lane()) for key in keys]
        free = all(
            lane.inside < self._width(key) and not lane.queue
            for key, lane in zip(keys, lanes, strict=True)
        )
        for key, lane in zip(keys, lanes, strict=True):
            lane.inside += free
            self._forget(key)
        return free

    async def enter(self, keys: Sequence[str]) -> None:
        """Enter these lanes, one after the other: the narrow ones first.

        Cancelled, it has entered none.
        """
        entered: list[str] = []
        try:
            for key in keys:
                await self._enter(key)
                entered.append(key)
        except BaseException:
            self.leave(entered)
            raise

    async def _enter(self, key: str) -> None:
        if self.try_enter((key,)):
            return
        lane = self._lanes[key]
        waiter = asyncio.get_running_loop().create_future()
        lane.queue.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self.leave((key,))  # its turn came at the same moment
            raise

    def leave(self, keys: Sequence[str]) -> None:
        """Leave these lanes; who waits longest comes in."""
        for key in keys:
            lane = self._lanes[key]
            lane.inside -= 1
            lane.pass_on(self._width(key))
            self._forget(key)

    def _forget(self, key: str) -> None:
        lane = self._lanes[key]
        if not lane.inside and not any(not waiter.done() for waiter in lane.queue):
            del self._lanes[key]
