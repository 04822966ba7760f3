"""The old account's side of a hand-over, as a part of a move away (docs/handover.md).

An offer is begun when the statement stands, and neither stops nor delays the move: what cannot be
had now is tried again by :class:`~component.engine.movers.handovers.Handovers`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

import structlog

from component.account.handover import LIFETIME, BadParcel
from component.core.journey.handover import Handover, HandoverState, withdrawn
from component.core.journey.model import Journey, Kind
from component.core.notices import HandoverTrouble
from component.engine.handover.give import Ended, Giver, NotNamed
from component.engine.movers.accounts import Accounts
from component.engine.movers.box import MoverSettings
from component.engine.movers.ports import HandoverStore
from component.engine.ports import Clock, Teller
from component.store.errors import StoreError
from component.xmpp.errors import LinkError, LinkLost

log = structlog.get_logger(__name__)

WAIT_SECONDS = 20.0
"""How long a move waits for its offer, so that the mover mostly hears of both in one."""
_S = HandoverState
_ENDED = {
    Ended.RECEIVED: _S.RECEIVED,
    Ended.EXPIRED: _S.EXPIRED,
    Ended.CANCELLED: _S.CANCELLED,
}


def named(journey: Journey) -> dict[str, Any]:
    """Whose hand-over it is, for the log."""
    return {"id": journey.id, "old": journey.old, "new": journey.new}


class Offers:
    """Offers the old accounts of moves away, and sees to it that each offer ends."""

    def __init__(
        self,
        accounts: Accounts,
        store: HandoverStore,
        teller: Teller,
        clock: Clock,
        settings: MoverSettings,
    ) -> None:
        self._accounts = accounts
        self._giver = Giver(accounts, clock)
        self._store = store
        self._teller = teller
        self._clock = clock
        self._settings = settings
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def begin(self, journey: Journey) -> None:
        """Offer what the old account holds; the statement stands and was read back.

        Waits for a while; from then on the work goes on in the background.

        :raises StoreError: nothing was begun.
        """
        if journey.kind is not Kind.AWAY or not self._settings.carry:
            return
        known = await self._store.get(journey.id)
        if known is None:
            known = Handover(journey.id, _S.OFFERING, self._clock.now() + LIFETIME)
            await self._store.put(known)
        if known.state in (_S.OFFERING, _S.TROUBLED):
            await asyncio.wait({self._start(journey, known)}, timeout=WAIT_SECONDS)

    async def look(self, journey: Journey, known: Handover) -> None:
        """See what has become of an offer; try again what could not be made.

        :raises LinkError, StoreError: it is looked at again.
        """
        if journey.id in self._tasks:
            return
        if withdrawn(journey):
            await self.withdraw(journey)
            return
        async with self._lock(journey.old):
            if await self._replaced(journey):
                await self._end(journey, known, _S.CANCELLED)
                return
            ended = await self._giver.tidy(journey.old)
            if ended is None:
                return
            lost = ended is Ended.NOTHING and known.state is _S.OFFERED
            state = _S.CANCELLED if lost else _ENDED.get(ended)
            if state is None and self._clock.now() >= known.until:
                state = _S.EXPIRED
            if state is None and not self._settings.carry:
                state = _S.CANCELLED
            if state is not None:
                await self._end(journey, known, state)
                return
        self._start(journey, known)

    async def withdraw(self, journey: Journey) -> None:
        """The move is taken back, or has had its time: what it offered goes.

        :raises LinkError, StoreError: it is tried again.
        """
        if journey.kind is not Kind.AWAY:
            return
        known = await self._store.get(journey.id)
        if known is None or known.state.ended:
            return
        task = self._tasks.get(journey.id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        async with self._lock(journey.old):
            if not await self._replaced(journey):
                await self._giver.withdraw(journey.old)
            await self._end(journey, known, _S.CANCELLED)

    async def done(self) -> None:
        """Wait until nothing is being offered."""
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def stop(self) -> None:
        """End the work; the journal knows what was begun."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The work -------------------------------------------------------------------------------------

    def _start(self, journey: Journey, known: Handover) -> asyncio.Task[None]:
        if journey.id not in self._tasks:
            name = f"offer of journey {journey.id}"
            self._tasks[journey.id] = asyncio.create_task(self._offer(journey, known), name=name)
            self._tasks[journey.id].add_done_callback(lambda _: self._tasks.pop(journey.id, None))
        return self._tasks[journey.id]

    async def _offer(self, journey: Journey, known: Handover) -> None:
        """Offer; whatever goes wrong, the move does not hear of it."""
        try:
            async with self._lock(journey.old):
                await self._offer_once(journey, known)
        except (NotNamed, LinkLost, StoreError) as error:
            log.info("an offer waits", id=journey.id, error=str(error))
        except BadParcel as error:
            log.warning("an account cannot be offered", id=journey.id, error=error.text)
            await self._trouble(journey, replace(known, state=_S.REFUSED))
        except LinkError as error:
            log.warning("an offer failed; it is tried again", id=journey.id, error=str(error))
            if known.state is not _S.TROUBLED:
                await self._trouble(journey, replace(known, state=_S.TROUBLED))
        except Exception:
            log.exception("an offer failed; it is tried again", id=journey.id)

    async def _offer_once(self, journey: Journey, known: Handover) -> None:
        offer = await self._giver.offer(journey.old, journey.new)
        manifest = offer.manifest
        await self._put(known, _S.OFFERED, manifest.expires, manifest.sha256)
        log.info(
            "handover offered",
            **named(journey),
            bytes=manifest.compressed,
            chunks=len(manifest.chunks),
            unread=len(offer.unread),
            until=manifest.expires.isoformat(),
        )

    async def _trouble(self, journey: Journey, known: Handover) -> None:
        """Tell the owner, once: it is noted before it is said."""
        with contextlib.suppress(LinkError, StoreError):
            await self._store.put(known)
            lasting = known.state is _S.REFUSED
            if not await self._accounts.owner_hears(journey):
                return  # whoever has that name now has nothing to do with it
            self._teller.tell(journey.owner, HandoverTrouble(journey, lasting=lasting))

    async def _end(self, journey: Journey, known: Handover, state: HandoverState) -> None:
        await self._put(known, state)
        log.info(f"handover {state.value}", **named(journey))

    async def _put(
        self,
        known: Handover,
        state: HandoverState,
        until: datetime | None = None,
        parcel: str | None = None,
    ) -> None:
        now = replace(known, state=state, until=until or known.until, parcel=parcel or known.parcel)
        await self._store.put(now)

    async def _replaced(self, journey: Journey) -> bool:
        """A later move of the account has an offer; there is one node for all of them."""
        others = await self._store.open(journey.old)
        return any(other.journey > journey.id for other in others)

    def _lock(self, old: str) -> asyncio.Lock:
        """One offer of an account at a time."""
        return self._locks.setdefault(old, asyncio.Lock())
