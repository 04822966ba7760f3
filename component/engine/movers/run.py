"""One journey at work: publishes, notifies, waits for answers, and survives whatever comes between.

Everything that must outlive a crash is saved before it has an effect.  A loss of the stream ends
the present round; the next one begins by reading what is true.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import contacts as machine
from component.core.journey import stages
from component.core.journey.model import (
    ContactState,
    JourneyContact,
    JourneyState,
    Kind,
    Progress,
)
from component.core.journey.stages import Word
from component.core.journey.told import ENDED, UNSAID, knows_stop, owes_end
from component.core.model import NOBODYS, PresenceKind, RosterItem
from component.core.notices import Published
from component.engine.movers import backwards, furnish
from component.engine.movers.addressees import Addressees
from component.engine.movers.book import Book
from component.engine.movers.box import Box
from component.engine.movers.guard import Guard
from component.engine.movers.notifier import LOOK_MAX_SECONDS, Notifier
from component.engine.movers.onward import Onward
from component.engine.movers.statement import Statement
from component.engine.movers.voice import TIME_OVER, Voice
from component.store.errors import LeaseLost, StoreError
from component.xmpp.errors import LinkError, LinkLost, RemoteError
from component.xmpp.mover_codecs import HeardOf

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5.0
"""Wait after the server, or the journal, refused to work."""
OLD_IS_GONE = "old-account-gone"
"""Detail of a move away that ended because its account was deleted."""
LOOKS_PER_SECOND = 5.0
"""Rosters that are read a second while all journeys work, at most."""
ENTRIES_PER_SECOND = 100.0
"""Entries of one roster that are read a second while its journey works, at most."""


class Run:
    """Works on one journey until there is nothing to do."""

    def __init__(self, box: Box, book: Book) -> None:
        self.box = box
        self.book = book
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._look_every = self._look_first()
        self._look_at = 0.0
        self._fresh = True
        """Nothing is known of what happened before: watch, and look."""
        self._worked = False
        self.statement = Statement(box, book, self._note, self.save)
        self._guard = Guard(box, book, self.statement, self.become)
        self.notifier = Notifier(self)
        self.onward = Onward(self)
        self.addressees = Addressees(self)
        self.way_back_stated = False
        """An undo's statement was published, its readers included, by this very run."""
        self.rechecks = 0
        """Looks at what an undo had already restored."""
        self.voice = Voice(box, book, self._note, lambda: self.statement.old_is_gone)
        self._left = asyncio.Event()
        """Set once another instance is to work on it."""

    # What others may do to it -------------------------------------------------------------------

    @property
    def speaker(self) -> str:
        """The account in whose name contacts are spoken to."""
        journey = self.book.journey
        if journey.kind is Kind.AWAY:
            return journey.old
        if journey.kind is Kind.BOTH and journey.state is JourneyState.UNDOING:
            return journey.old
        return journey.new

    def progress(self) -> Progress:
        """How far it is."""
        return self.voice.now()

    def wake(self) -> None:
        """Something changed: look now."""
        self._look_every = self._look_first()
        self._wake.set()

    def _look_first(self) -> float:
        """How soon to look after something happened: the server reads a whole roster for it."""
        looks, entries = self.box.pace.journeys() / LOOKS_PER_SECOND, len(self.book)
        return max(self.box.settings.look_seconds, looks, entries / ENTRIES_PER_SECOND)

    def leave(self) -> None:
        """End the work after the present step, for another instance to go on."""
        self._left.set()
        self.wake()

    def reconnected(self) -> None:
        """The stream is back: watches are gone, and what was missed stands on the rosters."""
        if self._worked:
            self.notifier.cut_off()
        self._fresh = True
        self.wake()

    @property
    def outlives_old(self) -> bool:
        """Whether the journey goes on, or comes to its end, without the old account."""
        journey = self.book.journey
        state = journey.resume_to if journey.detail is None else None
        if journey.state is not JourneyState.PAUSED:
            state = journey.state
        return self.box.settings.tombstones and state in _OUTLIVING

    def look_anew(self) -> None:
        """An account of it may be gone: the next round sees."""
        self._look_at = 0.0
        self.wake()

    async def become(
        self,
        word: Word,
        detail: str | None = None,
        contacts: Sequence[JourneyContact] = (),
        **changes: Any,
    ) -> bool:
        """Take the journey to its next state, durably; False where that is not allowed.

        :param contacts: saved in the same transaction.
        :param changes: to the journey, besides.
        """
        async with self._lock:
            before = self.book.journey
            if not stages.allows(before, word):
                return False
            after = stages.after(before, word, self.box.clock.now(), detail)
            if word in (Word.RESUME, Word.CANCEL) and knows_stop(before):
                after = replace(after, told=None)  # the next stop is news again
            after = replace(after, **changes)
            if not await self.box.store.save(after, contacts, expect={before.state}):
                return False
            self.book.journey = after
            for contact in contacts:
                self.book.put(contact)
        log.info("journey", id=after.id, state=after.state.value, old=after.old, new=after.new)
        self.box.changed(self.progress)
        self.wake()
        return True

    async def heard(self, heard: HeardOf) -> None:
        """A contact answered, and the server has put that into the roster."""
        now, tick = self.box.clock.now(), self.box.clock.tick()
        domain = jids.domain(heard.sender)
        withdrawn = self.notifier.heard_from(heard.sender)
        # What only answers a withdrawal says that the domain lives, and nothing of the contact.
        answering = "" if withdrawn else heard.sender
        event: machine.Event
        if heard.kind is None:
            condition = heard.condition or Condition.UNDEFINED_CONDITION
            event = machine.Bounced(condition)
            if condition.startswith("remote-server"):
                self.box.pace.failed(domain, tick)
                self.notifier.cut_off(domain)
            else:
                self.box.pace.answered(domain, tick, self.book.journey.id, answering)
        else:
            event = machine.Heard(heard.kind, heard.item)
            self.box.pace.answered(domain, tick, self.book.journey.id, answering)
        if heard.user != self.speaker or self.book.journey.state is JourneyState.UNDOING:
            pass  # the next look tells
        elif not (withdrawn and heard.kind is PresenceKind.UNSUBSCRIBED):
            self._heard_of(heard, event, now)
        self.wake()
        await self.save()

    def _heard_of(self, heard: HeardOf, event: machine.Event, now: datetime) -> None:
        """The account that speaks to contacts heard: its entry counts, no other account's."""
        contact = self.book.get(heard.sender)
        if contact is not None and self.book.journey.kind is Kind.AWAY:
            self.book.put(backwards.followed_away(contact, heard.item))
        elif contact is not None:
            self.book.apply(heard.sender, event, now, self.box.settings.schedule)

    def approves(self, user: str, sender: str, item: RosterItem | None) -> bool:
        """Whether a request to the new account is the way back of somebody we notified.

        Only of those who saw the old account: the new one shows itself to nobody else unasked.  Nor
        to whom its owner has removed or revoked there, which is remembered.

        :param item: the new account's entry of the sender as it is now.
        """
        journey, contact = self.book.journey, self.book.get(sender)
        if contact is None or not stages.notifies(journey) or user != journey.new:
            return False
        if not contact.subscription.grants or contact.account == NOBODYS:
            return False
        to_come = contact.sent_at is None and contact.state in machine.UNSENT
        if to_come and self.onward.knows(sender) and journey.state in _APPROVING:
            return True  # told soon
        # Whoever had followed before a cancelled one's end stays, and so completes their half.
        half = (
            journey.state is JourneyState.CANCELLED and contact.state is not ContactState.ACCEPTED
        )
        if half or (journey.state not in (*_APPROVING, JourneyState.CANCELLED)):
            return False
        if machine.may_come_back(contact, item):
            return True
        if item is None and contact.state is not ContactState.QUEUED:  # nobody else removes it
            now, schedule = self.box.clock.now(), self.box.settings.schedule
            if self.book.apply(sender, machine.TakenBack(), now, schedule):
                log.info("a contact was removed", id=journey.id, contact=sender)
                self.wake()
        return False

    async def departed(self, jid: str, now: str | None) -> None:
        """An account is gone: if it was a contact, whoever has the name next is none.

        :param now: the token of the account that has the name by now; None: nobody has it.
        """
        contact = self.book.get(jid)
        if contact is not None and (now is None or contact.account != now):
            self.addressees.lost(jid)
            self.wake()
            await self.save()

    async def found(self, jid: str, item: RosterItem | None) -> None:
        """The new account's entry of a contact whose way back was approved, as it is now."""
        self.notifier.approved(jid, item)
        self.wake()
        await self.save()

    # The work -----------------------------------------------------------------------------------

    async def work(self) -> None:
        """Until the journey is paused, or at its end and nothing is left to withdraw.

        :raises LeaseLost: another instance works on it.
        """
        self._fresh = True
        self._guard.look_anew()
        while self.busy():
            await self.box.up.wait()
            try:
                if self._fresh:
                    self._fresh = False
                    self._worked = True
                    # Before a word is said: a name may have got another owner while we were away.
                    if await self._changed_hands():
                        continue
                    if self.book.journey.state is not JourneyState.UNDOING:
                        await self.addressees.note()
                    await self.box.rewatch(self.book.journey.new)
                    await self.box.rewatch(self.book.journey.old)
                    self._look_at = 0.0
                await self._round()
            except LinkLost:
                self._fresh = True
                await asyncio.sleep(0)
            except LeaseLost:
                raise
            except (LinkError, StoreError) as error:
                self._fresh = True
                if await self._account_is_gone(error):
                    continue
                log.warning("a journey waits", id=self.book.journey.id, error=str(error))
                await self._pause_for(RETRY_SECONDS)
        if self._left.is_set():
            return  # whoever goes on sets watches of their own
        for user in {self.book.journey.new, self.book.journey.old}:
            with contextlib.suppress(LinkError, StoreError):
                await self.box.rewatch(user)
        self.box.pace.forget(self.book.journey.id)

    async def _account_is_gone(self, error: Exception) -> bool:
        """The hook knows no such user: nothing can be done, so the journey is paused.

        It ends where somebody else has the name: accounts are not given back.
        """
        if not isinstance(error, RemoteError) or error.condition != Condition.ITEM_NOT_FOUND:
            return False
        if await self._goes_on_alone():
            return True
        if await self._changed_hands():
            return True
        missing = None
        for jid, account in self.book.journey.accounts.items():
            if account is not None and await self.box.accounts.account_now(jid) is None:
                missing = jid
        if await self.become(Word.PAUSE, error.condition):
            with contextlib.suppress(LinkError):
                await self.voice.end()
            return True
        if missing is not None:  # it ends already, and what is left to do is that account's
            await self.lost(missing, None)
        return missing is not None

    async def _goes_on_alone(self) -> bool:
        """Whether the old account alone is gone, and its tombstone speaks for it."""
        try:
            if not await self.statement.outlives_the_old_account():
                return False
        except (LinkError, StoreError):
            return True  # nothing is known; the next round asks again
        self._look_at = 0.0
        return True

    async def _changed_hands(self) -> bool:
        """Whether somebody else has the name of an account of the journey: then it ends."""
        for jid, account in self.book.journey.accounts.items():
            if account in (None, NOBODYS):
                continue
            now = await self.box.accounts.account_now(jid)
            if now not in (None, account):
                await self.lost(jid, now)
                return True
        return False

    async def lost(self, jid: str, now: str | None) -> None:
        """One of its accounts is gone for good: the journey ends as it is.

        Nothing is sent in that account's name any more, and its name's next owner hears nothing.

        :param now: the token of the account that has the name by now; None: nobody has it.
        """
        journey = self.book.journey
        # A new account that is still here takes back what nobody has answered.
        over = jid == journey.new or journey.kind is Kind.AWAY
        closed = [
            replace(contact, state=ContactState.GIVEN_UP, due_at=None, error=Condition.GONE.value)
            for contact in self.book
            if over and contact.state in machine.OPEN
        ]
        changes: dict[str, Any] = {}
        if jid == journey.new:
            changes["new_account"] = NOBODYS
        elif now is not None:
            changes["old_account"] = NOBODYS
        if journey.owner == jid:
            other = journey.new if jid == journey.old else journey.old
            here = journey.accounts[other] not in (None, NOBODYS)
            changes |= {"owner": other, "progress_id": None} if here else {"told": UNSAID}
        # At once: how it ended is told to the owner who is left.
        if not await self.become(Word.LOST, Condition.GONE, contacts=closed, **changes):
            for contact in closed:
                self.book.put(contact)
            await self.save()
            await self._note(**changes)
        log.warning("an account of a journey is gone", id=journey.id, jid=jid)

    def busy(self) -> bool:
        """Whether there is something to do."""
        journey = self.book.journey
        return not self._left.is_set() and (
            journey.state.running or backwards.to_withdraw(self.book) or owes_end(self.book.journey)
        )

    async def _round(self) -> None:
        match self.book.journey.state:
            case JourneyState.PREFLIGHTED:
                await self._publish()
            case JourneyState.PUBLISHED:
                await self._begin()
            case JourneyState.NOTIFYING | JourneyState.SETTLING:
                await self._notify_round()
            case JourneyState.UNDOING:
                await backwards.undo_round(self)
            case _ if owes_end(self.book.journey):
                await self.voice.end()
            case JourneyState.CANCELLED:
                await backwards.withdraw_round(self)
            case _:
                pass  # paused, or ended, while the stream was awaited

    async def _publish(self) -> None:
        """Copy, then publish."""
        await furnish.furnish(self)
        if self.book.journey.state is not JourneyState.PREFLIGHTED:
            return  # paused or cancelled meanwhile
        if not await self._guard.publish():
            await self._pause_for(RETRY_SECONDS)

    async def _begin(self) -> None:
        journey = self.book.journey
        await self.box.rewatch(journey.old)  # from now on its contacts may be told
        if journey.kind is Kind.AWAY:
            waiting = [c.line for c in self.book if c.state is not ContactState.SKIPPED]
            if self.box.handovers is not None:
                await self.box.handovers.offers.begin(journey)
            await self.voice.once("published", Published(journey, tuple(waiting)))
        await self.become(Word.BEGUN)

    # Notifying ----------------------------------------------------------------------------------

    async def _notify_round(self) -> None:
        wait = self.box.settings.look_seconds
        if self.box.clock.tick() >= self._look_at:
            if not await self._guard.stands():
                await self._wait_for_the_statement()
                return
            await self.look()
            if self.statement.old_is_gone:
                await self._go_on_alone()
                if self.book.journey.state not in _APPROVING:
                    return
            else:
                await self.box.keep(self.book)
            self._look_at = self.box.clock.tick() + self._look_every
            self._look_every = min(self._look_every * 2, LOOK_MAX_SECONDS)
        if self.onward.due:
            await self.onward.look()
        if stages.notifies(self.book.journey) and not self.box.held():
            wait = await self.notifier.catch_up()
            may, later = self.notifier.may_speak()
            if may and not await self._guard.stands_lately():
                await self._wait_for_the_statement()
                return
            wait = min(wait, await self.notifier.send_due() if may else later)
        await self._advance()
        await self.voice.progress()
        if self.book.journey.state not in _APPROVING:
            return
        await self._pause_for(min(wait, self._until_next()))

    async def _wait_for_the_statement(self) -> None:
        if self.book.waits:
            await self.voice.progress()
        await self._pause_for(RETRY_SECONDS)

    async def _go_on_alone(self) -> None:
        """The old account was deleted: its tombstone says where it went.

        The new account goes on, and its owner is told there.  Where that one is elsewhere, nothing
        is left to do here.
        """
        journey = self.book.journey
        if journey.kind is Kind.AWAY:
            await self._note(told=ENDED)  # whoever has the name now is told nothing
            await self.become(Word.ALL_NOTIFIED)
            await self.become(Word.ALL_SETTLED, OLD_IS_GONE)
        elif journey.owner == journey.old:
            await self._note(owner=journey.new, progress_id=None)

    def _until_next(self) -> float:
        """Seconds until the next look, retry or end of a silence."""
        until = max(0.0, self._look_at - self.box.clock.tick())
        due = self.book.next_due()
        until = min(until, self.voice.waits() or until, self.onward.wait)
        if due is not None and stages.notifies(self.book.journey) and not self.box.held():
            until = min(until, max(0.0, (due - self.box.clock.now()).total_seconds()))
        return until

    async def look(self) -> None:
        """Read the speaker's roster: what stands there is what counts."""
        if self.statement.old_is_gone and self.speaker == self.book.journey.old:
            return
        roster = await self.box.accounts.roster(self.speaker)
        now, schedule = self.box.clock.now(), self.box.settings.schedule
        for contact in self.book:
            if self.book.journey.kind is Kind.AWAY:
                self.book.put(backwards.followed_away(contact, roster.get(contact.jid)))
            elif contact.state in _LOOKED_AT:
                found = machine.Found(roster.get(contact.jid))
                self.book.apply(contact.jid, found, now, schedule)
        self.notifier.looked()
        await self.save()

    async def _advance(self) -> None:
        book = self.book
        await self.save()
        if book.journey.state is JourneyState.NOTIFYING and not (
            stages.notifies(book.journey) and book.any_in(machine.UNSENT)
        ):
            await self.become(Word.ALL_NOTIFIED)
        if book.journey.state is not JourneyState.SETTLING:
            return
        settled = self._settled()
        over = stages.over(book.journey, self.box.settings.statement, self.box.clock.now())
        # The last look may find one who has moved on, and is to be told yet.
        if not over and not (settled and await self.onward.last_look() and self._settled()):
            return
        missed = () if settled else book.missed()
        why = None if settled else TIME_OVER
        if await self.become(Word.ALL_SETTLED, why, contacts=missed):
            await self.voice.progress(at_once=True)

    def _settled(self) -> bool:
        return self.book.settled() and not self.notifier.owes

    # Small things -------------------------------------------------------------------------------

    async def save(self) -> None:
        """Make what changed durable."""
        changed = self.book.take_dirty()
        if not changed:
            return
        try:
            await self.box.store.save(contacts=changed, id=self.book.journey.id)
        except BaseException:
            self.book.mark_dirty(changed)
            raise
        self.box.changed(self.progress)

    async def _note(self, **changes: Any) -> None:
        """Write down something about the journey that is not its state."""
        async with self._lock:
            noted = replace(self.book.journey, **changes)
            await self.box.store.save(noted)
            self.book.journey = noted

    async def _pause_for(self, seconds: float) -> None:
        """Wait, but not past a wake-up."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
        else:
            await asyncio.sleep(0)
        self._wake.clear()

    async def wait_out(self, seconds: float) -> bool:
        """Wait, whatever news there is; False, and at once, where another instance is to go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._left.wait()
        return not self._left.is_set()

    async def wait_for_news(self) -> None:
        """Wait until the next look is due or somebody answers."""
        await self._pause_for(self._look_every)
        self._look_every = min(self._look_every * 2, LOOK_MAX_SECONDS)


_APPROVING = frozenset(
    {JourneyState.PUBLISHED, JourneyState.NOTIFYING, JourneyState.SETTLING, JourneyState.PAUSED}
)
_OUTLIVING = frozenset({JourneyState.PUBLISHED, JourneyState.NOTIFYING, JourneyState.SETTLING})
"""States of which the old account's tombstone says what its statement said."""
_LOOKED_AT = frozenset(
    {
        ContactState.SENDING,
        ContactState.SENT,
        ContactState.PENDING,
        ContactState.UNREACHABLE,
        ContactState.ACCEPTED,
        ContactState.REFUSED,
        ContactState.GIVEN_UP,
    }
)
