"""Moves between two accounts here that the mover's own client makes (XEP-0283).

The client publishes the statement and tells the contacts; their servers follow, and ask the new
account for the way back.  That is approved here, as in a move of ours, where

* the contact side has verified that the old account names the new one, which has asked a contact of
  ours to follow it there.  So both accounts are proven to be one person's;
* it is not long ago.  The contact side's journal says when, so a restart forgets nothing;
* both accounts are still those of then: the journal has their tokens, and whoever has one of the
  names by now is somebody else;
* its statement stands still, unless the account is gone;
* the old account lets the contact see it, and the new account has asked the contact since the move
  began: whom it had seen long before was not asked;
* the contact was not approved before: whoever asks again was revoked by hand.

Nobody is approved whom the mover's own client did not ask, nor who saw the old account not.

Where a journey of ours led from the one account to the other, its book says who was told, so nobody
else comes in: while it is at work its run looks after the ways back, once it is done the book does
here, and one that was taken back lets nobody in.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import contacts as machine
from component.core.journey.model import ContactState, Journey, JourneyState
from component.core.model import NOBODYS, Reason, RosterItem, same_account
from component.core.records import Accepted, Change
from component.core.statement import judge
from component.engine.acting import acting_for
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
STANDS_SECONDS = 120.0
"""How long a look at a move's statement holds."""
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
        self._moves: OrderedDict[str, dict[str, Accepted]] = OrderedDict()
        """By new account, all of which have its token, then by old one."""
        self._seen: dict[str, frozenset[str]] = {}
        """Whom a new account saw before its ways back were awaited."""
        self._given: dict[str, set[str]] = {}
        """Whose way back was approved, by new account; the journal has them, too."""
        self._stood: dict[tuple[str, str], float] = {}
        """Until when a look at a statement holds, by old account and new one."""

    async def load(self) -> None:
        """Those of the contact side's journal; raises StoreError."""
        found = await self._journal.accepted_since(self._clock.now() - APPROVED_FOR)
        for move in {(move.old, move.new): move for move in found}.values():
            if self._here(move.old, move.new) and await self._may_be_awaited(move):
                self._note(move)

    def _here(self, old: str, new: str) -> bool:
        return {jids.domain(old), jids.domain(new)} <= self._hosts

    def _note(self, move: Accepted) -> None:
        if move.new_account in (None, NOBODYS):
            return  # nobody's, or of a release that did not ask whose it is
        if move.new_account != self.account(move.new):
            self._drop(move.new)  # of an earlier owner of the name
        self._moves.setdefault(move.new, {})[move.old] = move
        self._moves.move_to_end(move.new)
        if len(self._moves) > MOST:
            self._drop(next(iter(self._moves)))

    def _drop(self, new: str) -> None:
        for known in (self._moves, self._seen, self._given):
            known.pop(new, None)
        for pair in [pair for pair in self._stood if new in pair]:
            del self._stood[pair]

    def forget(self, jid: str) -> None:
        """An account is gone, and its name anybody's."""
        self._drop(jid)
        for olds in self._moves.values():
            olds.pop(jid, None)

    async def left_behind(self, new: str, now: str | None) -> list[Accepted]:
        """Moves of old accounts here into one that is gone, whose statements may name it still.

        :param now: the token of the account that has the name by now; None: nobody has it.
        :raises StoreError: the journal cannot be read.
        """
        return [
            move
            for move in await self._journal.leading_to(new)
            if self._here(move.old, new)
            and move.old_account not in (None, NOBODYS)
            and (now is None or move.new_account not in (None, now))
        ]

    async def _journey(self, move: Accepted) -> Journey | None:
        """The newest journey of ours between the two accounts, whichever way it leads."""
        for journey in await self._store.last_started(move.new):
            tokens = journey.accounts
            taken_back = journey.state in (JourneyState.UNDONE, JourneyState.CANCELLED)
            if taken_back and journey.ended_at is not None and journey.ended_at < move.at:
                continue  # what the mover's client does afterwards is a move of its own
            if set(tokens) == {move.old, move.new} and all(
                account is None or same_account(tokens[jid], account)
                for jid, account in ((move.old, move.old_account), (move.new, move.new_account))
            ):
                return journey
        return None

    async def _may_be_awaited(self, move: Accepted) -> bool:
        """Whether ways back of a move are not a run's to look after, of whatever instance."""
        journey = await self._journey(move)
        return journey is None or _leads(journey, move)

    async def look(self, new: str) -> None:
        """Before a new account is watched: whom it has seen for long was not asked now.

        After a restart those count too who accepted while nobody watched: their requests, which
        cannot be told from old ones, are shown to the owner.

        :raises LinkError: its list cannot be read.
        """
        if self.awaits(new) and new not in self._seen:
            roster = await self._accounts.roster(new)
            seen = (jid for jid, item in roster.items() if item.subscription.receives)
            self._seen[new] = frozenset(seen)

    def account(self, new: str) -> str | None:
        """The token of a new account whose ways back may be approved."""
        return next((move.new_account for move in self._moves.get(new, {}).values()), None)

    def accounts(self) -> tuple[str, ...]:
        """New accounts whose ways back may be approved."""
        return tuple(new for new in self._moves if self.awaits(new))

    def awaits(self, new: str) -> bool:
        """Whether ways back to this account may be approved now."""
        return bool(self._into(new))

    def _into(self, new: str) -> list[Accepted]:
        since, moves = self._clock.now() - APPROVED_FOR, self._moves.get(new, {}).values()
        return [move for move in moves if since < move.at and not self._ours(move.old, new)]

    async def expect(self, move: Accepted) -> None:
        """A contact of ours is about to follow: their way back comes at once.

        The watch is there before the verdict leaves, so that nobody is shown the request.
        """
        new = move.new
        if not self._here(move.old, new) or self._ours(move.old, new):
            return
        try:
            if not await self._may_be_awaited(move):
                return
        except StoreError as error:
            log.warning("ways back are not awaited", new=new, error=str(error))
            return
        watched = self.awaits(new) and self.account(new) == move.new_account
        self._note(move)
        if watched or not self.awaits(new):
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._watch(new)
        except (LinkError, StoreError, TimeoutError) as error:
            log.warning("ways back are not awaited yet", new=new, error=str(error))

    async def approves(self, way_back: WayBack) -> bool:
        """Whether a request to a watched account is the way back of a contact of such a move."""
        for move in self._into(way_back.user):
            if way_back.account != move.new_account:
                continue
            try:
                if await self._belongs(move, way_back) and await self._stands(move):
                    return True
            except (LinkError, StoreError) as error:
                log.warning("a way back is not looked at", user=way_back.user, error=str(error))
        return False

    async def _belongs(self, move: Accepted, way_back: WayBack) -> bool:
        """Whether a contact was told of a move, and comes back for the first time."""
        new, contact, item = way_back.user, way_back.sender, way_back.item
        if item is None or not (item.ask or item.subscription.receives):
            return False  # the new account has not asked them, or not any more
        journey = await self._journey(move)
        if journey is not None:
            known = await self._store.contact(journey.id, contact)
            if known is None or not machine.may_come_back(known, item):
                return False
            if not _leads(journey, move) or not await self._accounts.still(contact, known.account):
                return False
        elif not item.ask and contact in self._seen.get(new, (contact,)):
            return False  # it has long seen them
        return not await self._was_given(move, contact) and await self._granted(move, contact)

    async def _was_given(self, move: Accepted, contact: str) -> bool:
        if contact in self._given.get(move.new, ()):
            return True
        return await self._journal.explained(
            move.old, move.new, move.new_account, contact, Reason.WAY_BACK
        )

    async def _stands(self, move: Accepted) -> bool:
        """Whether the old account says still that it has moved; a tombstone does for good."""
        pair, tick = (move.old, move.new), self._clock.tick()
        if self._stood.get(pair, tick) > tick:
            return True
        try:
            with acting_for({move.old: move.old_account}):
                answer = await self._accounts.statement(move.old, move.old)
            if judge(answer, move.new) is not Reason.VERIFIED:
                return False
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
        self._stood[pair] = tick + STANDS_SECONDS
        return True

    async def _granted(self, move: Accepted, contact: str) -> bool:
        """Whether the old account lets a contact see it; did so, where it is gone."""
        try:
            with acting_for({move.old: move.old_account}):
                item = next(iter(await self._accounts.entries(move.old, (contact,))), None)
            return item is not None and item.subscription.grants
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
        journey = await self._store.successor(move.old)
        if journey is None or not same_account(journey.old_account, move.old_account):
            return False
        known = await self._store.contact(journey.id, contact)
        chosen = known is not None and known.state is not ContactState.SKIPPED
        if known is None or not chosen or not known.subscription.grants:
            return False
        return await self._accounts.still(contact, known.account)

    async def pending(self, new: str, senders: Iterable[str]) -> list[str]:
        """Of those who have asked already while nobody watched: whose requests are approved."""
        waiting = list(senders) if self.awaits(new) else []
        if not waiting:
            return []
        account = self.account(new)
        try:
            with acting_for({new: account}):
                items = {item.jid: item for item in await self._accounts.entries(new, waiting)}
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
            self.forget(new)  # somebody else has the name by now
            return []
        asked = (WayBack("", new, sender, items.get(sender), account) for sender in waiting)
        return [one.sender for one in asked if await self.approves(one)]

    async def approved(self, new: str, contact: str, item: RosterItem | None) -> None:
        """Write down what was done to the new account's list, and why."""
        self._given.setdefault(new, set()).add(contact)
        for move in self._into(new):
            with contextlib.suppress(StoreError):  # it is done, and the log says so
                # Later ones may have been passed on, or be of a time when nobody asked whose it is.
                record = await self._journal.newest_to(move.old, new, move.new_account)
                if record is not None:
                    change = Change(contact, None, item)
                    await self._journal.explain(
                        record, self._clock.now(), new, (change,), Reason.WAY_BACK
                    )
            log.info("a way back is approved", user=new, contact=contact, old=move.old)


def _leads(journey: Journey, move: Accepted) -> bool:
    """Whether a journey of ours is done, and led where somebody follows it."""
    return journey.state is JourneyState.DONE and journey.new == move.new
