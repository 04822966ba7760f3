"""Waiting for what somebody is told, without looking at a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class News:
    """Somebody hears things; others wait until what was heard is enough."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Something was heard, or happened elsewhere."""
        self._event.set()

    async def until(
        self,
        holds: Callable[[], bool],
        what: str,
        timeout: float = 60.0,
        *,
        story: Callable[[], str] = str,
    ) -> None:
        """Wait for something; raises AssertionError after ``timeout`` seconds, with the story."""
        try:
            async with asyncio.timeout(timeout):
                while not holds():
                    self._event.clear()
                    await self._event.wait()
        except TimeoutError:
            raise AssertionError(f"{what}: not within {timeout} s {story()}".rstrip()) from None
