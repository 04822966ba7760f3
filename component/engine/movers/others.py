"""Moves between two accounts here that the mover's own client makes (XEP-0283).

The client publishes the statement and tells the contacts; their servers follow, and ask the new
account for the way back.  That is approved here, as in a move of ours, where

* the contact side has verified that the old account names the new one, which has asked a contact of
  ours to follow it there.  So both accounts are proven to be one person's;
* it is not long ago.  The contact side's journal says when, so a restart forgets nothing;
* the old account lets the contact see it, and the new account has asked the contact.

Nobody is approved whom the mover's own client did not ask, nor who saw the old account not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime, timedelta

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey.model import ContactState
from component.core.model import Divert, Reason, RosterItem
from component.core.records import Change
from component.engine.movers.accounts import Accounts
from component.engine.movers.ports import FollowJournal, JourneyStore
from component.engine.ports import Clock
from component.store.errors import StoreError
from component.xmpp.errors import LinkError, RemoteError
from component.xmpp.mover_codecs import WayBack

log = structlog.get_logger(__name__)

APPROVED_FOR = timedelta(days=1)
"""How long after the last contact of ours was followed ways back are approved."""
MOST = 1000
"""New accounts that are remembered at once."""
PATIENCE_SECONDS = 5.0
"""For the watch that is set before a verdict leaves, which has a deadline of its own."""


class OthersMoves:
    """Knows which moves are made by others, and whose ways back belong to them.

    :param ours: whether a journey of ours works on a move from one account to another, and so
        looks after the ways back.
    :param watch: has the hook watch a user as the journeys of now need it.
    """

    def __init__(
        self,
        accounts: Accounts,
        store: JourneyStore,
        journal: FollowJournal,
        clock: Clock,
        hosts: Collection[str],
        ours: Callable[[str, str], bool],
        watch: Callable[[str], Awaitable[None]],
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._journal = journal
        self._clock = clock
        self._hosts = frozenset(hosts)
        self._ours = ours
        self._watch = watch
        self._moves: OrderedDict[str, dict[str, datetime]] = OrderedDict()
        """Until when ways back are approved: by new account, then by old one."""

    async def load(self) -> None:
        """Those of the contact side's journal; raises StoreError."""
        for move in await self._journal.accepted_since(self._clock.now() - APPROVED_FOR):
            if self._here(move.old, move.new):
                self._note(move.old, move.new, move.at)

    def _here(self, old: str, new: str) -> bool:
        return {jids.domain(old), jids.domain(new)} <= self._hosts

    def _note(self, old: str, new: str, at: datetime) -> None:
        self._moves.setdefault(new, {})[old] = at + APPROVED_FOR
        self._moves.move_to_end(new)
        if len(self._moves) > MOST:
            self._moves.popitem(last=False)

    def forget(self, jid: str) -> None:
        """An account is gone: whoever has its name next has made none of these moves."""
        self._moves.pop(jid, None)
        for olds in self._moves.values():
            olds.pop(jid, None)

    def accounts(self) -> tuple[str, ...]:
        """New accounts whose ways back may be approved."""
        return tuple(new for new in self._moves if self.awaits(new))

    def awaits(self, new: str) -> bool:
        """Whether ways back to this account may be approved now."""
        return bool(self._olds(new))

    def _olds(self, new: str) -> list[str]:
        now, olds = self._clock.now(), self._moves.get(new, {})
        return [old for old, until in olds.items() if now < until and not self._ours(old, new)]

    async def expect(self, divert: Divert) -> None:
        """A contact of ours is about to follow: their way back comes at once.

        The watch is there before the verdict leaves, so that nobody is shown the request.
        """
        old, new = divert.old, divert.new
        if not self._here(old, new) or self._ours(old, new):
            return
        watched = self.awaits(new)
        self._note(old, new, self._clock.now())
        if watched:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._watch(new)
        except (LinkError, StoreError, TimeoutError) as error:
            log.warning("ways back are not awaited yet", new=new, error=str(error))

    async def approves(self, way_back: WayBack) -> bool:
        """Whether a request to a watched account is the way back of a contact of such a move."""
        item = way_back.item
        if item is None or not (item.ask or item.subscription.receives):
            return False  # the new account has not asked them
        for old in self._olds(way_back.user):
            try:
                if await self._granted(old, way_back.sender):
                    return True
            except (LinkError, StoreError) as error:
                log.warning("a way back is not looked at", user=way_back.user, error=str(error))
        return False

    async def _granted(self, old: str, contact: str) -> bool:
        """Whether the old account lets a contact see it; did so, where it is gone."""
        try:
            item = next(iter(await self._accounts.entries(old, (contact,))), None)
            return item is not None and item.subscription.grants
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
        journey = await self._store.successor(old)
        known = None if journey is None else await self._store.contact(journey.id, contact)
        chosen = known is not None and known.state is not ContactState.SKIPPED
        return known is not None and chosen and known.subscription.grants

    async def pending(self, new: str, senders: Iterable[str]) -> list[str]:
        """Of those who have asked already while nobody watched: whose requests are approved."""
        waiting = list(senders) if self.awaits(new) else []
        if not waiting:
            return []
        items = {item.jid: item for item in await self._accounts.entries(new, waiting)}
        asked = (WayBack("", new, sender, items.get(sender)) for sender in waiting)
        return [one.sender for one in asked if await self.approves(one)]

    async def approved(self, new: str, contact: str, item: RosterItem | None) -> None:
        """Write down what was done to the new account's list, and why."""
        for old in self._olds(new):
            with contextlib.suppress(StoreError):  # it is done, and the log says so
                found = await self._journal.list_moves(limit=1, old=old, new=new)
                if found:
                    change = Change(contact, None, item)
                    await self._journal.explain(
                        found[0].id, self._clock.now(), new, (change,), Reason.WAY_BACK
                    )
            log.info("a way back is approved", user=new, contact=contact, old=old)
