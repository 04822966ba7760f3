"""The ways back: what a cancelled journey withdraws, and how an undone one restores everybody.

Cancelling: first the statement goes, so that nobody follows any more, then, a moment later, every
request that nobody has answered.  Contacts who followed stay.

Undoing, where both accounts are here: the new account states that it moved back (XEP-0283 knows
no other way to move a contact), the old statement goes, and

* a contact whose server revoked the old account is notified from the old account; when it grants
  again, the new account's entry is put back;
* everybody else only loses the request, or the contact, that the move had added.

Where only one account is here each server does its half: the new account's side states the way
back and withdraws, the old account's side notifies those who had followed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import access as access_rules
from component.core.journey import contacts as machine
from component.core.journey.model import (
    Access,
    ContactState,
    JourneyContact,
    JourneyState,
    Kind,
)
from component.core.journey.stages import Word
from component.core.model import PresenceKind, Reason, RosterItem, SendPlan, Step
from component.core.notices import UndoneTold
from component.core.restore import restore_entry
from component.core.statement import judge
from component.engine.movers import furnish
from component.engine.movers.statement import publish
from component.xmpp.errors import RemoteError
from component.xmpp.mover_codecs import Notification

if TYPE_CHECKING:
    from component.engine.movers.book import Book
    from component.engine.movers.run import Run

_AT_ONCE = 64
GRACE_SECONDS = 2.0
"""Between the statement's withdrawal and a request's: whoever read the one before is following now,
and would lose both addresses."""


def followed_away(contact: JourneyContact, item: RosterItem | None) -> JourneyContact:
    """AWAY: a contact that revoked the old account has followed (XEP-0283 4.4).

    :param item: the old account's entry as it is now.
    """
    if contact.state is not ContactState.PENDING or not contact.subscription.receives:
        return contact
    if item is not None and item.subscription.receives:
        return contact
    return replace(contact, state=contact.goal, due_at=None)


# Cancelling -----------------------------------------------------------------------------------


def to_withdraw(book: Book) -> bool:
    """Whether a cancelled journey has something left to take back, or an approval to give again."""
    left = book.any_in(machine.OPEN) or any(map(machine.owed, book))
    return left and book.journey.state is JourneyState.CANCELLED


async def withdraw_round(run: Run) -> None:
    """Take back the statement and every request without an answer."""
    journey = run.book.journey
    if journey.kind is not Kind.ARRIVE and journey.started_at is not None:
        await furnish.offer_no_more(run)
        await run.box.accounts.withdraw(journey.old)
    roster: Mapping[str, RosterItem] = {}
    if journey.kind is not Kind.AWAY:
        told = any(_told(contact) for contact in run.book if contact.state in machine.OPEN)
        if told and not await run.wait_out(GRACE_SECONDS):
            return
        roster = await run.box.accounts.roster(journey.new)
    waiting = [contact for contact in run.book if contact.state in machine.OPEN]
    speaks = {c.jid for c in waiting if journey.kind is not Kind.AWAY and _told(c)}
    async for part in _in_turn(run, waiting, speaks):
        await asyncio.gather(*(_withdraw(run, contact, roster) for contact in part))
        await run.save()
    if any(map(machine.owed, run.book)):  # whoever has followed stays, and is to see the mover
        await run.notifier.catch_up()
        await run.wait_out(_NEWS_SECONDS)
    if any(c.state is ContactState.ACCEPTED and c.state is not c.goal for c in run.book):
        await run.wait_out(run.box.settings.look_seconds)  # their way back may be on its way


async def _in_turn(
    run: Run, waiting: Sequence[JourneyContact], speaks: Collection[str]
) -> AsyncIterator[Sequence[JourneyContact]]:
    """Contacts in parts, as soon as their domains take what is sent to them.

    It ends before its time where the journey goes on to something else; and when it has waited for
    a cancelled one, since whoever followed meanwhile stays: the rosters are to be read anew.

    :param speaks: JIDs that presences are sent to; the others come at once.
    """
    pace, state = run.box.pace, run.book.journey.state
    while waiting and run.book.journey.state is state:
        part: list[JourneyContact] = []
        rest: list[JourneyContact] = []
        tick, least = run.box.clock.tick(), _NEWS_SECONDS
        for contact in waiting:
            domain, sends = jids.domain(contact.jid), contact.jid in speaks
            wait = pace.may_say(domain, tick, _PRESENCES) if sends else 0.0
            if wait > 0.0 or len(part) >= _AT_ONCE:
                rest.append(contact)
                least = min(least, wait)
                continue
            part.append(contact)
            if sends:
                pace.said(domain, tick, _PRESENCES)
        if part:
            yield part
        elif not await run.wait_out(least) or state is JourneyState.CANCELLED:
            return
        waiting = rest


_PRESENCES = 2
"""What a contact is sent at most: unsubscribe and unsubscribed, or those of a new request."""
_NEWS_SECONDS = 5.0
"""How long is waited at most until the journey is looked at."""


async def _withdraw(run: Run, contact: JourneyContact, roster: Mapping[str, RosterItem]) -> None:
    item = roster.get(contact.jid)
    if run.book.journey.kind is Kind.AWAY or not _told(contact):
        state = ContactState.SKIPPED
    elif item is not None and item.subscription.receives:
        # Answered in the last moment: a contact who followed stays.
        state = contact.goal
    else:
        try:
            await _put_back_new(run, contact, item)
            state = ContactState.RESTORED
        except RemoteError as error:
            # One that cannot be taken back must not keep the others.
            contact = replace(contact, error=error.condition)
            state = ContactState.GIVEN_UP
    run.book.put(replace(contact, state=state, due_at=None))


def _told(contact: JourneyContact) -> bool:
    return contact.sent_at is not None or contact.state is ContactState.SENDING


async def _put_back_new(run: Run, contact: JourneyContact, item: RosterItem | None) -> None:
    """The new account's entry of a contact as it was before the move."""
    restoration = restore_entry(contact.jid, contact.before, item)
    if not restoration.nothing:
        await run.box.accounts.put_back(run.book.journey.new, restoration)


# Undoing --------------------------------------------------------------------------------------


def begin_undo(book: Book) -> list[JourneyContact]:
    """The contacts without the tries of the way there: those of the way back are counted anew."""
    begun: list[JourneyContact] = []
    for contact in book:
        state = contact.state
        # Who was told, and then removed by hand, has to be brought back all the same.
        told_before = _told(contact) and contact.error == machine.TAKEN_BACK
        left_out = state is ContactState.SKIPPED and not told_before
        if left_out or not (_told(contact) or book.journey.kind is Kind.AWAY):
            begun.append(replace(contact, state=ContactState.RESTORED, due_at=None))
            continue
        if state is ContactState.GIVEN_UP:
            state = ContactState.PENDING  # its request is still there to be taken back
        error = contact.error if told_before else None
        begun.append(replace(contact, state=state, attempts=0, due_at=None, error=error))
    return begun


async def undo_round(run: Run) -> None:
    """One round of an undo; the journey ends when everybody is restored or given up."""
    journey = run.book.journey
    if journey.kind is Kind.AWAY:
        await furnish.offer_no_more(run)
        await run.box.accounts.withdraw(journey.old)
        await _undo_round(run, {}, await run.box.accounts.roster(journey.old))
    else:
        await _state_way_back(run)
        new = await run.box.accounts.roster(journey.new)
        if journey.kind is Kind.BOTH:
            await run.box.accounts.withdraw(journey.old)
            await _undo_round(run, new, await run.box.accounts.roster(journey.old))
        else:
            await run.voice.once("undo-elsewhere", UndoneTold(run.progress(), journey.old))
            await _undo_arrival(run, new)
    await run.save()
    if not all(contact.state in _CLOSED for contact in run.book):
        await run.wait_for_news()
    elif not await _still_moving(run):
        if journey.kind is not Kind.AWAY:
            await run.box.accounts.withdraw(journey.new)
        await furnish.take_back(run)
        await run.become(Word.UNDONE)


async def _still_moving(run: Run) -> bool:
    """Look once more after a while: an answer that was on its way may have changed a roster.

    A contact's server that followed in the very moment of the undo revokes the old account after
    we looked; such contacts are taken up again.
    """
    if run.rechecks >= _RECHECKS:
        return False
    run.rechecks += 1
    if not await run.wait_out(run.box.settings.look_seconds):
        return True  # whoever goes on looks
    journey, accounts = run.book.journey, run.box.accounts
    here = journey.kind is not Kind.AWAY
    new = await accounts.roster(journey.new) if here else {}
    old = await accounts.roster(journey.old) if journey.kind is not Kind.ARRIVE else None
    moving = False
    for contact in run.book:
        if contact.state is not ContactState.RESTORED or not (_told(contact) or not here):
            continue
        left = old is not None and _has_left(contact, old.get(contact.jid))
        if left:
            moving = True
            run.book.put(replace(contact, state=contact.goal, attempts=0, due_at=None))
            continue
        restoration = restore_entry(contact.jid, contact.before, new.get(contact.jid))
        if here and not restoration.nothing:
            moving = True
            with contextlib.suppress(RemoteError):
                await accounts.put_back(journey.new, restoration)
    await run.save()
    return moving


_RECHECKS = 5


def _has_left(contact: JourneyContact, old: RosterItem | None) -> bool:
    """The contact's server has revoked the old account (XEP-0283 4.4).

    Not where its owner has removed the contact before they had answered.
    """
    if old is None and contact.error == machine.TAKEN_BACK:
        return False
    return contact.subscription.receives and not (old is not None and old.subscription.receives)


_CLOSED = frozenset({ContactState.RESTORED, ContactState.GIVEN_UP})


async def _state_way_back(run: Run) -> None:
    """The new account names the old one, for those whose server has to follow back."""
    journey = run.book.journey
    told = [contact for contact in run.book if contact.state not in _CLOSED]
    if not told:
        return
    answer = await run.box.accounts.statement(journey.new, journey.new)
    stands = judge(answer, journey.old) is Reason.VERIFIED
    if stands and run.way_back_stated:
        return  # after a crash it may stand without its readers
    readers = access_rules.readers(told, journey.old)
    await publish(run.box.accounts, journey.new, journey.old, Access.WHITELIST, readers)
    run.way_back_stated = True


async def _undo_round(
    run: Run, new: Mapping[str, RosterItem], old: Mapping[str, RosterItem]
) -> None:
    """The old account is here: notify those who had left it, restore those who had not."""
    now = run.box.clock.now()
    waiting = [contact for contact in run.book if contact.state not in _CLOSED]
    here = run.book.journey.kind is Kind.BOTH
    speaks = {
        contact.jid
        for contact in waiting
        if (_is_due(contact, now) if _has_left(contact, old.get(contact.jid)) else here)
    }
    async for part in _in_turn(run, waiting, speaks):
        results = await asyncio.gather(
            *(
                _undo_one(run, contact, new.get(contact.jid), old.get(contact.jid))
                for contact in part
            ),
            return_exceptions=True,
        )
        lost: BaseException | None = None
        for contact, result in zip(part, results, strict=True):
            if isinstance(result, RemoteError):
                due = now + _delay(run, contact.attempts)
                run.book.put(replace(contact, error=result.condition, due_at=due))
            elif isinstance(result, BaseException):
                lost = result
            else:
                run.book.put(result)
        await run.save()
        if lost is not None:
            raise lost


async def _undo_one(
    run: Run, contact: JourneyContact, new: RosterItem | None, old: RosterItem | None
) -> JourneyContact:
    journey = run.book.journey
    if not _has_left(contact, old):
        if journey.kind is Kind.BOTH:
            await _put_back_new(run, contact, new)
        return replace(contact, state=ContactState.RESTORED, due_at=None)
    now = run.box.clock.now()
    if not _is_due(contact, now):
        return contact
    if contact.attempts > len(run.box.settings.schedule.retries):
        return replace(contact, state=ContactState.GIVEN_UP, due_at=None)
    if contact.attempts == 0 and old is not None and old.ask:
        # It left before a crash.
        return replace(contact, attempts=1, due_at=now + _delay(run, 0))
    if not await run.addressees.still(contact.jid):
        if journey.kind is Kind.BOTH:
            await _put_back_new(run, contact, new)
        known, error = run.book.get(contact.jid) or contact, Condition.GONE.value
        return replace(known, state=ContactState.GIVEN_UP, due_at=None, error=error)
    status = run.box.teller.status_text(journey.owner, journey.new, journey.old)
    words = Notification(journey.new, status)
    if old is not None and old.ask:
        await run.notifier.take_back(contact.jid, words)
    plan = SendPlan((Step(PresenceKind.SUBSCRIBE, contact.jid),))
    await run.box.accounts.notify(journey.old, plan, words)
    return replace(
        contact, attempts=contact.attempts + 1, due_at=now + _delay(run, contact.attempts)
    )


def _is_due(contact: JourneyContact, now: datetime) -> bool:
    """Whether one who has left the old account is to be asked."""
    return not contact.attempts or (contact.due_at is not None and contact.due_at <= now)


def _delay(run: Run, attempts: int) -> timedelta:
    retries = run.box.settings.schedule.retries
    return retries[min(attempts, len(retries) - 1)] if retries else timedelta(days=7)


async def _undo_arrival(run: Run, new: Mapping[str, RosterItem]) -> None:
    """Only the new account is here: withdraw what was not accepted, wait for the others.

    Their servers follow the old account's word and leave by themselves.  When the old statement
    is gone and a while has passed, who is still there had accepted by hand.
    """
    journey = run.book.journey
    now = run.box.clock.now()
    answer = await run.box.accounts.statement(journey.new, journey.old)
    gone = judge(answer, journey.new) is not Reason.VERIFIED
    leaving: list[JourneyContact] = []
    for contact in run.book:
        if contact.state in _CLOSED:
            continue
        item = new.get(contact.jid)
        present = item is not None and item.subscription.receives
        before = contact.before
        if present and not (before is not None and before.subscription.receives):
            if not gone:
                continue
            if contact.due_at is None:
                due = now + run.box.settings.schedule.pending_after
                run.book.put(replace(contact, due_at=due))
                continue
            if contact.due_at > now:
                continue
        leaving.append(contact)
    async for part in _in_turn(run, leaving, {contact.jid for contact in leaving}):
        for contact in part:
            try:
                await _put_back_new(run, contact, new.get(contact.jid))
            except RemoteError as error:
                run.book.put(replace(contact, error=error.condition))
                continue
            run.book.put(replace(contact, state=ContactState.RESTORED, due_at=None))
        await run.save()
