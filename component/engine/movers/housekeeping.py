"""What has to be done from time to time, whether a move runs or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from component.core.journey.model import Journey, JourneyState, Refused
from component.core.journey.told import RETIRED
from component.engine.acting import acting_for
from component.engine.movers.accounts import Accounts
from component.engine.movers.box import MoverSettings
from component.engine.movers.handovers import Handovers
from component.engine.movers.ports import JourneyStore
from component.engine.ports import Clock
from component.store.errors import StoreError
from component.xmpp.errors import LinkError, RemoteError

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3600.0
DRAFT_LIFE = timedelta(days=1)


class Housekeeping:
    """Drops drafts that nobody confirmed, and withdraws statements that have had their time.

    :param up: set while the hooks can be asked.
    :param renew: has the hook watch a user as the journeys of now need it.
    :param obtain: makes this instance the one that works on a journey; raises Refused.
    :param mine: whether this instance is to look at a journey's hand-over.
    :param owners: sees whether the accounts of a journey are still whose they were.
    """

    def __init__(
        self,
        accounts: Accounts,
        store: JourneyStore,
        clock: Clock,
        settings: MoverSettings,
        up: asyncio.Event,
        renew: Callable[[str], Awaitable[None]],
        obtain: Callable[[int], Awaitable[bool]],
        handovers: Handovers | None = None,
        mine: Callable[[Journey], bool] = lambda _: True,
        owners: Callable[[Journey], Awaitable[None]] | None = None,
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._clock = clock
        self._settings = settings
        self._up = up
        self._renew = renew
        self._obtain = obtain
        self._handovers = handovers
        self._mine = mine
        self._owners = owners

    async def run(self) -> None:
        """Once an hour, and hand-overs at their own pace, until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._hourly())
            if self._handovers is not None:
                both.create_task(self._handovers.run(self._up, self._mine))

    async def _hourly(self) -> None:
        while True:
            await self._up.wait()
            try:
                await self.once()
            except (LinkError, StoreError) as error:
                log.warning("housekeeping failed; it is tried again", error=str(error))
            await asyncio.sleep(EVERY_SECONDS)

    async def once(self) -> None:
        """What is due now.

        :raises LinkError, StoreError: the rest is done next time.
        """
        now = self._clock.now()
        await self._store.drop_drafts(now - DRAFT_LIFE)
        # Of a deletion the hook tells at once, but not whoever was away or was not there.
        for journey in await self._store.watched(now - self._settings.statement):
            if self._owners is not None and self._mine(journey):
                try:
                    await self._owners(journey)
                except RemoteError as error:  # one of them keeps none of the others
                    log.warning("an owner is not known", id=journey.id, error=str(error))
        # Those whose owner has still to hear of the end wait until that is done.
        for journey in await self._store.had_time(now - self._settings.statement):
            try:
                await self.retire(journey)
            except Refused:
                continue  # the instance that has it does this
            except RemoteError as error:
                log.info("no statement to withdraw", old=journey.old, error=str(error))
                await self.retired(journey)

    async def retire(self, journey: Journey) -> None:
        """Withdraw the statement of a move that is done, and what it offers.

        :raises Refused: another instance has it.
        :raises RemoteError: the account's server refuses.
        :raises LinkError, StoreError: it is done next time.
        """
        await self._obtain(journey.id)
        with acting_for(journey.accounts):
            if self._handovers is not None:
                await self._handovers.offers.withdraw(journey)
            await self._accounts.withdraw(journey.old)
        await self.retired(journey)

    async def retired(self, journey: Journey) -> None:
        """Nothing of a move that is done stands any more; raises LinkError, StoreError."""
        await self._store.save(replace(journey, told=RETIRED), expect={JourneyState.DONE})
        await self._renew(journey.old)
        log.info("a statement had its time", id=journey.id, old=journey.old)
