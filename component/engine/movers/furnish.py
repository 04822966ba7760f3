"""A step of a move to an account here: the old one's things come into the new one.

Before anybody hears of the move: who is blocked at the old account is blocked at the new one first.
Contacts who are told of the move come with that, with names and groups; here come all others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey.model import ContactState, Kind
from component.engine.movers.drafts import BLOCKED
from component.xmpp.errors import LinkError, LinkLost, RemoteError

if TYPE_CHECKING:
    from component.engine.movers.run import Run

log = structlog.get_logger(__name__)


async def furnish(run: Run) -> None:
    """Bring everything along, and leave out of the move whom either account blocks by now.

    A part that cannot be had keeps nobody from moving: the report of the copy names it.

    :raises LinkError: the stream is down, or an answer did not come.
    :raises StoreError: nothing more could be written down.
    """
    journey, carrier = run.book.journey, run.box.carrier
    if journey.kind is Kind.AWAY:
        return
    if carrier is not None and run.box.settings.carry:
        # Who is told gets name and groups with the notification: an entry that was there before
        # would look, after a crash, like a request that was refused.  Who is not told is not
        # wanted, or blocked.
        left_out = [contact.jid for contact in run.book]
        try:
            await carrier.carry(journey, left_out)
            await _acknowledge(run)
        except RemoteError as error:
            if error.condition == Condition.ITEM_NOT_FOUND:
                raise  # no such account: the journey cannot go on either
            log.warning("an account's things stay behind", id=journey.id, error=str(error))
    await _leave_out_blocked(run)


async def _acknowledge(run: Run) -> None:
    """What came from elsewhere is here; a receipt that is refused is given by housekeeping."""
    journey, handovers = run.book.journey, run.box.handovers
    if handovers is None or journey.kind is not Kind.ARRIVE:
        return
    try:
        await handovers.arrivals.copied(journey)
    except LinkLost:
        raise
    except LinkError as error:
        log.warning("a receipt is not given yet", id=journey.id, error=str(error))


async def _leave_out_blocked(run: Run) -> None:
    """Who was blocked after the draft was made gets no stanza either."""
    journey, accounts, carrier = run.book.journey, run.box.accounts, run.box.carrier
    blocked = set(await accounts.blocked(journey.new))
    if journey.kind is Kind.BOTH:
        blocked |= await accounts.blocked(journey.old)
    elif carrier is not None:
        # Where the new account's server has no block list, they are still not to be told.
        blocked |= set(await carrier.blocked(journey))
    keys = {jids.key(jids.entity(jid) or jid) for jid in blocked}
    for contact in run.book:
        mine = {jids.key(contact.jid), jids.key(jids.domain(contact.jid))}
        if contact.state is ContactState.QUEUED and mine & keys:
            run.book.put(replace(contact, state=ContactState.SKIPPED, error=BLOCKED))
    await run.save()


async def take_back(run: Run) -> None:
    """Undo the copy.  Raises as :func:`furnish`."""
    journey, carrier = run.book.journey, run.box.carrier
    if carrier is None or journey.kind is Kind.AWAY:
        return
    try:
        await carrier.take_back(journey)
    except RemoteError as error:
        log.warning("an account's things are not taken back", id=journey.id, error=str(error))


async def offer_no_more(run: Run) -> None:
    """What the old account offers goes, as its statement does.

    What is refused now is tried again by housekeeping.

    :raises LinkLost, StoreError: the stream is down, or nothing could be written down.
    """
    if run.box.handovers is None:
        return
    try:
        await run.box.handovers.offers.withdraw(run.book.journey)
    except LinkLost:
        raise
    except LinkError as error:
        log.warning("an offer is not withdrawn yet", id=run.book.journey.id, error=str(error))
