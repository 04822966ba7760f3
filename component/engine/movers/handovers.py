"""The hand-overs of all journeys: both sides, and the look at what still stands."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from component.core.journey.handover import overdue
from component.core.journey.model import Journey, Kind
from component.engine.acting import acting_for
from component.engine.movers.accounts import Accounts
from component.engine.movers.arrivals import Arrivals
from component.engine.movers.box import MoverSettings
from component.engine.movers.handover import Offers
from component.engine.movers.ports import HandoverStore, JourneyStore
from component.engine.ports import Clock, Teller
from component.store.errors import StoreError
from component.xmpp.errors import LinkError, LinkLost

log = structlog.get_logger(__name__)

APART_SECONDS = 1.0
"""Between two of them, so that thousands are no burst."""
LOOKS = 10
"""So many looks at a roster fit between two at a hand-over: five minutes as configured."""


class Handovers:
    """What is begun and not at its end, from the journal: it survives a restart."""

    def __init__(
        self,
        accounts: Accounts,
        store: HandoverStore,
        journeys: JourneyStore,
        teller: Teller,
        clock: Clock,
        settings: MoverSettings,
    ) -> None:
        self._store = store
        self._journeys = journeys
        self._clock = clock
        self._settings = settings
        self.offers = Offers(accounts, store, teller, clock, settings)
        self.arrivals = Arrivals(accounts, store, teller, clock)
        self.leftovers = 0
        """What should have been gone for a day when it was looked at last."""
        self._wake = asyncio.Event()

    @property
    def wanted(self) -> bool:
        """Whether accounts are handed over at all (``[movers] carry``)."""
        return self._settings.carry

    @property
    def every(self) -> float:
        """Seconds between two looks at one hand-over."""
        return LOOKS * self._settings.look_seconds

    async def run(self, up: asyncio.Event, mine: Callable[[Journey], bool]) -> None:
        """Look at all that is open, over and over, until cancelled.

        :param up: set while the hooks can be asked.
        :param mine: whether this instance is to look at a journey's.
        """
        while True:
            await up.wait()
            self._wake.clear()
            try:
                await self.once(mine)
            except (LinkError, StoreError) as error:
                log.info("hand-overs are looked at again later", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.every):
                    await self._wake.wait()

    def hurry(self) -> None:
        """The stream is back: what could not be done can be, perhaps."""
        self._wake.set()

    async def once(self, mine: Callable[[Journey], bool]) -> None:
        """Look at each that is open; what other servers refuse is looked at again next time.

        :raises LinkLost, StoreError: the rest is done next time.
        """
        left, found = 0, await self._store.open()
        for known in found:
            journey = await self._journeys.get(known.journey)
            if journey is None or not mine(journey):
                continue
            side = self.offers if journey.kind is Kind.AWAY else self.arrivals
            try:
                with acting_for(journey.accounts):
                    await side.look(journey, known)
            except LinkLost:
                raise
            except LinkError as error:
                log.info("a hand-over is looked at again later", id=journey.id, error=str(error))
            except StoreError:
                raise
            except Exception:
                log.exception("a hand-over cannot be looked at", id=journey.id)
            now = await self._store.get(journey.id)
            if now is not None and overdue(now, journey, self._clock.now()):
                left += 1
                log.warning("a hand-over has left something", id=journey.id, kind=journey.kind)
            await asyncio.sleep(min(APART_SECONDS, self.every / 2 / len(found)))
        self.leftovers = left

    async def withdraw(self) -> tuple[list[int], dict[int, str]]:
        """Take back all that still stands, but for what moves under way are at work on.

        :returns: the journeys of which something is gone, and why others' could not be taken back.
        :raises LinkLost, StoreError: the rest is done next time.
        """
        gone: list[int] = []
        left: dict[int, str] = {}
        for known in await self._store.open():
            journey = await self._journeys.get(known.journey)
            if journey is None or journey.state.running:
                continue
            side = self.offers if journey.kind is Kind.AWAY else self.arrivals
            try:
                with acting_for(journey.accounts):
                    await side.withdraw(journey)
                gone.append(journey.id)
            except LinkLost:
                raise
            except LinkError as error:
                left[journey.id] = str(error)
        return gone, left

    async def stop(self) -> None:
        """End the work; the journal knows what was begun."""
        await self.offers.stop()
