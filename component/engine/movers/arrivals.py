"""The new account's side of a hand-over, as a part of a move to us (docs/handover.md).

The parcel of the old account is the list of contacts of a draft, and what is copied before anybody
is told; its receipt stands until the parcel is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from component.account.errors import BadFile
from component.account.handover import LIFETIME, BadParcel
from component.account.model import Blocked, Contact, Piece
from component.core.journey.handover import Handover, HandoverState, withdrawn
from component.core.journey.model import Journey, JourneyState
from component.core.notices import HandoverTrouble
from component.engine.handover.fetches import Fetches, TooSlow
from component.engine.handover.give import NotNamed
from component.engine.handover.take import NothingOffered, Taken
from component.engine.movers.accounts import Accounts
from component.engine.movers.handover import named
from component.engine.movers.orders import Given
from component.engine.movers.ports import HandoverStore
from component.engine.ports import Clock, Teller
from component.xmpp.errors import LinkError, LinkLost

log = structlog.get_logger(__name__)

DRAFT_SECONDS = 60.0
"""How long somebody who asks waits for a parcel; what came by then is kept."""
COPY_SECONDS = 600.0
RETRY_SECONDS = 5.0
TRIES = 5
"""Before a move goes on without: for as long it waits for an unreadable statement too."""
_S = HandoverState


class Lacking(StrEnum):
    """Why there are no contacts from the old account; stable, the interfaces name them."""

    NOT_NAMED = "not-named"
    """It does not say that it moved to the asker: nothing is to be had, or to be said of it."""
    PACKING = "packing"
    """It names the asker, and has nothing ready (yet)."""
    SLOW = "slow"
    BAD = "bad"
    UNREACHABLE = "unreachable"


class NotBrought(Exception):
    """The old account's contacts cannot be had.

    :ivar why: the kind of reason; ``detail``: what is wrong with the parcel, or how much of it
        is here.
    """

    def __init__(self, why: Lacking, detail: str = "") -> None:
        super().__init__(f"{why.value}: {detail}" if detail else why.value)
        self.why = why
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Brought:
    """What a draft takes from a parcel."""

    contacts: tuple[Given, ...]
    blocked: frozenset[str]


class Arrivals:
    """Fetches the parcels of accounts that arrive here, and sees to it that their receipts go."""

    def __init__(
        self, accounts: Accounts, store: HandoverStore, teller: Teller, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._fetches = Fetches(accounts, clock)
        self._store = store
        self._teller = teller
        self._clock = clock

    async def contacts(
        self, old: str, new: str, *, most: int, seconds: float = DRAFT_SECONDS
    ) -> Brought:
        """The old account's contacts and whom it blocks, for a draft of the new account's owner.

        :param most: contacts of a move; one more is read, for the checks to find.
        :raises NotBrought: there are none to be had, or not all of it is here yet.
        """
        try:
            taken = await self._fetches.fetch(old, new, seconds)
            return await asyncio.to_thread(_read, taken, most)
        except NotNamed:
            raise NotBrought(Lacking.NOT_NAMED) from None
        except NothingOffered:
            raise NotBrought(Lacking.PACKING) from None
        except TooSlow as slow:
            raise NotBrought(Lacking.SLOW, f"{slow.here}/{slow.count}") from None
        except (BadParcel, BadFile) as bad:
            self._fetches.forget(new)
            log.warning("a parcel is refused", old=old, new=new, error=str(bad))
            raise NotBrought(Lacking.BAD, str(bad)) from None
        except LinkError as error:
            log.info("no parcel can be had", old=old, new=new, error=str(error))
            raise NotBrought(Lacking.UNREACHABLE, str(error)) from None

    async def pieces(self, journey: Journey) -> Iterable[Piece] | None:
        """See :class:`~component.engine.belongings.ports.Parcels`."""
        known = await self._store.get(journey.id)
        if known is not None and known.state.ended:
            return None
        try:
            taken = await self._patiently(journey)
            # Read to its end once before anything is made of it: what is wrong may stand there.
            await asyncio.to_thread(deque, taken.pieces(), 0)
        except (NotNamed, NothingOffered) as error:
            log.info("a move goes on without a parcel", id=journey.id, error=str(error))
            return None
        except LinkLost:
            raise
        except (BadParcel, BadFile, TooSlow, LinkError) as error:
            log.warning("a parcel is left where it is", id=journey.id, error=str(error))
            self._fetches.forget(journey.new)
            until = self._clock.now() + LIFETIME
            await self._store.put(Handover(journey.id, _S.REFUSED, until))
            with contextlib.suppress(LinkError):
                if await self._accounts.owner_hears(journey):
                    self._teller.tell(journey.owner, HandoverTrouble(journey, lasting=True))
            return None
        manifest = taken.manifest
        await self._store.put(Handover(journey.id, _S.FETCHED, manifest.expires, manifest.sha256))
        log.info(
            "handover fetched",
            **named(journey),
            bytes=manifest.compressed,
            chunks=len(manifest.chunks),
        )
        return taken.pieces()

    async def copied(self, journey: Journey) -> None:
        """Everything is in the new account: the old one's server may delete the parcel.

        :raises LinkError, StoreError: it is tried again.
        """
        known = await self._store.get(journey.id)
        if known is None or known.state not in (_S.FETCHED, _S.COPIED):
            return
        known = replace(known, state=_S.COPIED)
        await self._store.put(known)
        self._fetches.forget(journey.new)
        await self._acknowledge(journey, known)

    async def look(self, journey: Journey, known: Handover) -> None:
        """Give a receipt that could not be given; delete one that nobody looks for any more.

        :raises LinkError, StoreError: it is looked at again.
        """
        over = self._clock.now() >= known.until
        if known.state is _S.ACKNOWLEDGED:
            taker = self._fetches.taker(journey.old, journey.new)
            if await taker.tidy(known.until):
                await self._store.put(replace(known, state=_S.RECEIVED))
                log.info("handover receipt deleted", **named(journey))
        elif known.state is _S.COPIED and not over:
            await self._acknowledge(journey, known)
        elif over or withdrawn(journey) or journey.state not in _COPYING:
            state = _S.EXPIRED if over else _S.CANCELLED
            await self._store.put(replace(known, state=state))
            log.info(f"handover {state.value}", **named(journey))

    async def withdraw(self, journey: Journey) -> None:
        """Delete a receipt before its time; the parcel then stays where it is until it expires.

        :raises LinkError, StoreError: it is tried again.
        """
        known = await self._store.get(journey.id)
        if known is None or known.state.ended:
            return
        if known.state is _S.ACKNOWLEDGED:
            await self._fetches.taker(journey.old, journey.new).withdraw()
        await self._store.put(replace(known, state=_S.CANCELLED))
        log.info("handover receipt withdrawn", **named(journey))

    async def _patiently(self, journey: Journey) -> Taken:
        """Fetch it; a server that does not answer is asked a few times."""
        for _ in range(TRIES - 1):
            try:
                return await self._fetch(journey)
            except LinkLost:
                raise
            except (TooSlow, LinkError) as error:
                log.info("a parcel is not to be had yet", id=journey.id, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        return await self._fetch(journey)

    async def _fetch(self, journey: Journey) -> Taken:
        return await self._fetches.fetch(journey.old, journey.new, COPY_SECONDS, patient=True)

    async def _acknowledge(self, journey: Journey, known: Handover) -> None:
        assert known.parcel is not None, "a parcel that was copied has a hash"
        await self._fetches.taker(journey.old, journey.new).acknowledge(known.parcel)
        await self._store.put(replace(known, state=_S.ACKNOWLEDGED))
        log.info("handover received", **named(journey))


_COPYING = frozenset({JourneyState.PREFLIGHTED, JourneyState.PAUSED})


def _read(taken: Taken, most: int) -> Brought:
    contacts: list[Given] = []
    blocked: set[str] = set()
    for piece in taken.pieces():
        if isinstance(piece, Contact) and len(contacts) <= most:
            contacts.append(
                Given(piece.jid, piece.name, piece.groups, piece.subscription, piece.ask)
            )
        elif isinstance(piece, Blocked):
            blocked.add(piece.jid)
    return Brought(tuple(contacts), frozenset(blocked))
