"""What runs beside the work: proof that the journal can be written, signs of life, pruning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from component.ops.http import Health
from component.ops.metrics import Metrics
from component.ops.status import sentence
from component.ops.systemd import ServiceManager

log = structlog.get_logger(__name__)

PING_SECONDS: Final = 3.0
"""How often the journal is tried."""
PING_WITHIN: Final = 5.0
"""How long it may take.  With the above, a fault shows within 8 s: /health promises 10."""
LOOK_SECONDS: Final = 3.0
"""How often the hooks are asked whether they are still there."""
TELL_SECONDS: Final = 1.0
"""How often the status and the figures on health are put right."""
FIGURES_SECONDS: Final = 15.0
"""How often figures that the database must be asked for are taken."""
PRUNE_FIRST: Final = 300.0
"""A start has better things to do at first."""
PRUNE_SECONDS: Final = 86400.0


class Pulse:
    """Writes into the journal now and then, and knows whether that worked.

    :param ping: a durable write; whatever it raises says why it failed
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        *,
        every: float = PING_SECONDS,
        within: float = PING_WITHIN,
    ) -> None:
        self._ping = ping
        self._every = every
        self._within = within
        self.trouble: str | None = None
        """Why the last try failed; None where it did not, and before the first."""

    async def run(self) -> None:
        """Try for ever."""
        while True:
            await self.beat()
            await asyncio.sleep(self._every)

    async def beat(self) -> None:
        """Try once."""
        try:
            async with asyncio.timeout(self._within):
                await self._ping()
        except TimeoutError:
            trouble = f"nothing could be written for {self._within:g} s"
        except Exception as error:
            trouble = str(error) or type(error).__name__
        else:
            if self.trouble is not None:
                log.info("the journal can be written again")
            self.trouble = None
            return
        if self.trouble is None:
            log.error("the journal cannot be written; requests pass unfollowed", error=trouble)
        self.trouble = trouble


async def stay_alive(manager: ServiceManager, well: Callable[[], bool]) -> None:
    """Feed the watchdog at half its time, for as long as this loop turns and all is ``well``."""
    if manager.watchdog_seconds is None:
        return
    while True:
        if well():
            manager.alive()
        await asyncio.sleep(manager.watchdog_seconds / 2)


async def regularly(
    work: Callable[[], Awaitable[None]], every: float, *, first: float = 0.0
) -> None:
    """Do ``work`` after ``first`` seconds, then ``every`` so many; a failure is logged."""
    await asyncio.sleep(first)
    complained: str | None = None
    while True:
        try:
            await work()
            complained = None
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if said != complained:
                log.error("upkeep failed; it is tried again", error=said, retry_seconds=every)
            complained = said
        await asyncio.sleep(every)


@asynccontextmanager
async def beside(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run jobs for as long as the block lasts."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Upkeep:
    """All of it for one component.

    :param health: how the component is
    :param started: whether the first attempt to get to work is over, whatever came of it; that is
        told to the service manager, and its status says what is missing
    :param look: looks whether the hooks are still there
    :param figures: takes figures that the database must be asked for
    :param prune: removes what nobody needs any more
    """

    def __init__(
        self,
        manager: ServiceManager,
        metrics: Metrics,
        pulse: Pulse,
        hosts: Sequence[str],
        *,
        health: Callable[[], Health],
        started: Callable[[], bool],
        look: Callable[[], Awaitable[None]],
        figures: Callable[[], Awaitable[None]],
        prune: Callable[[], Awaitable[None]],
    ) -> None:
        self._manager = manager
        self._metrics = metrics
        self._pulse = pulse
        self._hosts = tuple(hosts)
        self._health = health
        self._started = started
        self._look = look
        self._figures = figures
        self._prune = prune

    def tell(self) -> None:
        """Put how the component is into the figures and the service manager's status."""
        health = self._health()
        missing = health.detail["hosts_without_hook"]
        self._metrics.health(
            health.ok,
            health.detail["journal"] == "writable",
            {host: host not in missing for host in self._hosts},
        )
        self._metrics.movers.all_paused(bool(health.detail.get("paused")))
        self._manager.status(sentence(health, hosts=len(self._hosts)))
        if self._started():
            self._manager.ready()

    async def _tell(self) -> None:
        self.tell()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do it for as long as the block lasts."""
        async with beside(
            self._pulse.run(),
            stay_alive(self._manager, lambda: self._pulse.trouble is None),
            regularly(self._tell, TELL_SECONDS),
            regularly(self._look, LOOK_SECONDS),
            regularly(self._figures, FIGURES_SECONDS),
            regularly(self._prune, PRUNE_SECONDS, first=PRUNE_FIRST),
        ):
            yield
