"""Contacts who move on themselves while a move is under way: it goes after them.

Of two friends who move at the same time each knows the other's old address alone.  Where an account
of a journey has followed a contact, the entry that this made belongs to the journey: the contact is
told at the new address, too, and what they had under the old one is theirs there.

* What an account here has followed, the contact side's journal says.  It is written down before
  anything changes, so of two journeys the later one finds what the other's contact has done.
* Of an old account elsewhere there is no journal here: before the end each contact's own statement
  is read, by the new account.  An old account elsewhere lets the new address in as it follows, a
  moment later; whoever is refused asks a few times.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from component.core import jids
from component.core.journey import contacts as machine
from component.core.journey.access import NOT_LISTED
from component.core.journey.model import ContactState, JourneyContact, Kind
from component.core.model import Reason, RosterItem
from component.core.records import FollowedBy
from component.engine.movers.notifier import LOOK_MAX_SECONDS

if TYPE_CHECKING:
    from component.engine.movers.run import Run

log = structlog.get_logger(__name__)

AT_ONCE = 8
"""Statements of contacts that are read at once for one journey."""
PATIENCE_SECONDS = 10.0
"""For a contact's statement: the end of a move does not wait for a server that is silent."""
TRIES = 5
"""How often a statement is read that exists but may not be read."""
_ANSWERED = frozenset({ContactState.ACCEPTED, ContactState.MUTUAL, ContactState.REFUSED})


class Onward:
    """Looks whether contacts of one journey have moved on, and takes up their new addresses."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._due = True
        self._waits = False
        self._read: set[str] = set()
        """Contacts whose statement needs no other look."""
        self._silent: set[str] = set()
        """Domains that did not answer: nobody else is asked about there."""
        self._refused: Counter[str] = Counter()
        self._taken_up: set[str] = set()

    @property
    def due(self) -> bool:
        """Whether there may be somebody to take up now."""
        return self._due or self._waits

    def tell(self) -> None:
        """An account of the journey has followed somebody."""
        self._due = True
        self._run.wake()

    def knows(self, jid: str) -> bool:
        """Whether this is the new address of a contact, who is told sooner or later."""
        return jid in self._taken_up

    async def concerns(self, jid: str) -> bool:
        """Whether our own accounts have followed somebody from this address, or to it.

        :raises StoreError: the journal cannot be read.
        """
        run, journey = self._run, self._run.book.journey
        followed: list[FollowedBy] = []
        for account in (journey.old, journey.new):
            if jids.domain(account) in run.box.hosts:
                followed += await run.box.journal.followed_by(account, journey.created_at)
        return self.knows(jid) or any(jid in (record.old, record.new) for record in followed)

    @property
    def wait(self) -> float:
        """Seconds until the next look."""
        return self._run.box.settings.look_seconds if self._waits else LOOK_MAX_SECONDS

    # By the journal -----------------------------------------------------------------------------

    async def look(self) -> bool:
        """Take up whom an account of this journey has followed; False: somebody is to come yet.

        :raises LinkError: the stream is down, or a roster cannot be read.
        :raises StoreError: the journal cannot be read.
        """
        self._due = False
        run, journey = self._run, self._run.book.journey
        complete = True
        records: list[FollowedBy] = []
        for account in (journey.old, journey.new):
            if jids.domain(account) in run.box.hosts:
                records += await run.box.journal.followed_by(account, journey.created_at)
        last: dict[str, FollowedBy] = {}
        for record in sorted(records, key=lambda r: r.id):
            last.pop(record.new, None)  # they are back
            last[record.old] = record
        for record in last.values():
            contact = run.book.get(record.old)
            if contact is None or record.new in (journey.old, journey.new):
                continue
            if record.open or not await self._take_up(contact, record.new, record):
                complete = False
        self._waits = not complete
        return complete

    async def _take_up(self, contact: JourneyContact, jid: str, record: FollowedBy | None) -> bool:
        """Add a contact's new address; False where it is too early."""
        run, journey = self._run, self._run.book.journey
        known = run.book.get(jid)
        if known is None or known.error == machine.MOVED_ON:
            if contact.state is ContactState.SKIPPED and contact.error != machine.MOVED_ON:
                return True  # left out under any address
            if record is not None and await self._too_early(contact, record):
                return False
            let_in = await run.statement.admit(jid)
            new = await self._successor(contact, jid)
            if not let_in and new.state in machine.UNSENT:
                new = replace(new, state=ContactState.GIVEN_UP, error=NOT_LISTED)
            run.book.add(new) if known is None else run.book.put(new)
            self._taken_up.add(jid)
            await run.addressees.note()
            log.info("a contact has moved on", id=journey.id, contact=contact.jid, to=jid)
        if journey.kind is not Kind.AWAY:  # where their revocation of the old account is awaited
            run.book.put(machine.left_behind(contact))
        await run.save()
        return True

    async def _too_early(self, contact: JourneyContact, record: FollowedBy) -> bool:
        """Whether the new address does not show itself to the old account yet: until it does, it
        could not follow."""
        run, journey = self._run, self._run.book.journey
        if journey.kind is not Kind.BOTH or not contact.subscription.receives:
            return False
        patience = record.at + run.box.settings.schedule.pending_after
        if record.contact != journey.old or patience < run.box.clock.now():
            return False
        item = (await run.box.accounts.roster(journey.old)).get(record.new)
        return item is not None and item.ask

    async def _successor(self, contact: JourneyContact, jid: str) -> JourneyContact:
        run, journey = self._run, self._run.book.journey
        now, schedule = run.box.clock.now(), run.box.settings.schedule
        if journey.kind is Kind.AWAY:
            waiting = machine.successor(contact, jid, None, None, now, schedule)
            return replace(waiting, state=ContactState.PENDING)
        item = (await run.box.accounts.roster(journey.new)).get(jid)
        before: RosterItem | None = item
        for own in await run.box.journal.followed_by(journey.new, journey.created_at):
            if (own.old, own.new) == (contact.jid, jid):
                before = own.new_item  # the entry is our own account's doing
        return machine.successor(contact, jid, item, before, now, schedule)

    # By statements ------------------------------------------------------------------------------

    async def last_look(self) -> bool:
        """Before the end: whether nobody has moved on who was not taken up.

        :raises LinkError, StoreError: as :meth:`look`.
        """
        if not await self.look():
            return False
        run, journey = self._run, self._run.book.journey
        if journey.kind is not Kind.ARRIVE or not run.box.follows(journey.new, journey.new_account):
            return True
        asked = [contact for contact in run.book if self._is_asked(contact)]
        for start in range(0, len(asked), AT_ONCE):
            part = asked[start : start + AT_ONCE]
            await asyncio.gather(*(self._ask(contact) for contact in part))
        self._waits = any(self._is_asked(contact) for contact in asked)
        return not self._waits and not run.book.any_in(machine.UNSENT)

    def _is_asked(self, contact: JourneyContact) -> bool:
        gone = contact.state is ContactState.GIVEN_UP and contact.error in machine.LASTING
        return contact.jid not in self._read and (contact.state in _ANSWERED or gone)

    async def _ask(self, contact: JourneyContact) -> None:
        run, journey = self._run, self._run.book.journey
        domain = jids.domain(contact.jid)
        if domain in self._silent:
            self._read.add(contact.jid)
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await run.box.accounts.statement(journey.new, contact.jid)
        except TimeoutError:
            self._silent.add(domain)
            self._read.add(contact.jid)
            return
        self._refused[contact.jid] += 1
        if answer.failure is Reason.REFUSED and self._refused[contact.jid] < TRIES:
            return
        self._read.add(contact.jid)
        own = {jids.key(jid) for jid in (contact.jid, journey.old, journey.new)}
        if answer.names is not None and jids.key(answer.names) not in own:
            await self._take_up(contact, answer.names, None)
