"""A step of a move between two accounts here: the old one's things come into the new one.

Before anybody hears of the move: who is blocked at the old account is blocked at the new one first.
Contacts who are told of the move come with that, with names and groups; here come all others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from component.core import jids
from component.core.journey.model import ContactState, Kind
from component.engine.movers.drafts import BLOCKED
from component.xmpp.errors import RemoteError

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
    if journey.kind is not Kind.BOTH:
        return
    if carrier is not None and run.box.settings.carry:
        # Who is told gets name and groups with the notification: an entry that was there before
        # would look, after a crash, like a request that was refused.  Who is not told is not
        # wanted, or blocked.
        left_out = [contact.jid for contact in run.book]
        try:
            await carrier.carry(journey, left_out)
        except RemoteError as error:
            if error.condition == "item-not-found":
                raise  # no such account: the journey cannot go on either
            log.warning("an account's things stay behind", id=journey.id, error=str(error))
    await _leave_out_blocked(run)


async def _leave_out_blocked(run: Run) -> None:
    """Who was blocked after the draft was made gets no stanza either."""
    journey, accounts = run.book.journey, run.box.accounts
    blocked = await accounts.blocked(journey.old) | await accounts.blocked(journey.new)
    keys = {jids.key(jids.entity(jid) or jid) for jid in blocked}
    for contact in run.book:
        mine = {jids.key(contact.jid), jids.key(jids.domain(contact.jid))}
        if contact.state is ContactState.QUEUED and mine & keys:
            run.book.put(replace(contact, state=ContactState.SKIPPED, error=BLOCKED))
    await run.save()


async def take_back(run: Run) -> None:
    """Undo the copy.  Raises as :func:`furnish`."""
    journey, carrier = run.book.journey, run.box.carrier
    if carrier is None or journey.kind is not Kind.BOTH:
        return
    try:
        await carrier.take_back(journey)
    except RemoteError as error:
        log.warning("an account's things are not taken back", id=journey.id, error=str(error))
