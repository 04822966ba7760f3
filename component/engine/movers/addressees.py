"""Whether the contacts of one journey are still whose names they were: those of served hosts.

A contact is an account, as a mover is: names are given to others.  Whose name each is, is asked
before anybody hears of the move, and again before a word is said to it or a request from it
approved.  Whoever has the name next gets nothing of the move.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from component.core import jids
from component.core.journey import contacts as machine
from component.core.journey.model import ContactState, JourneyContact
from component.core.model import NOBODYS
from component.xmpp.errors import RemoteError

if TYPE_CHECKING:
    from component.engine.movers.run import Run

log = structlog.get_logger(__name__)

AT_ONCE = 8
"""Contacts that are asked for at once for one journey: others wait for the server, too."""
_SAVED_AT_ONCE = 512


class Addressees:
    """Compares the contacts of one journey with the accounts that they were."""

    def __init__(self, run: Run) -> None:
        self._run = run

    async def note(self) -> None:
        """Ask whose name each contact is that nobody has asked for.

        :raises LinkError: the stream is down; the rest is asked next time.
        :raises StoreError: as :meth:`Run.save`.
        """
        book = self._run.book
        for contact in book:
            if contact.account == NOBODYS:
                book.put(machine.departed(contact))
        unknown = [contact.jid for contact in book if self._is_asked(contact)]
        for start in range(0, len(unknown), AT_ONCE):
            await asyncio.gather(*map(self._note, unknown[start : start + AT_ONCE]))
            if start % _SAVED_AT_ONCE == 0:
                await self._run.save()
        await self._run.save()

    def _is_asked(self, contact: JourneyContact) -> bool:
        told = contact.account is None and contact.state is not ContactState.SKIPPED
        return told and "@" in contact.jid and jids.domain(contact.jid) in self._run.box.hosts

    async def _note(self, jid: str) -> None:
        try:
            account = await self._run.box.accounts.account_now(jid)
        except RemoteError as error:
            # Nobody is kept from moving by one account that cannot be asked for.
            log.warning("whose name a contact is cannot be known", jid=jid, error=str(error))
            return
        contact = self._run.book.get(jid)
        if contact is not None and contact.account is None:
            there = replace(contact, account=account)
            self._run.book.put(machine.departed(contact) if account is None else there)

    async def still(self, jid: str) -> bool:
        """Whether a contact's name is still theirs; if it is another's, they are done with.

        :raises LinkError: it cannot be known.
        """
        contact = self._run.book.get(jid)
        if contact is None or contact.account is None:
            return True
        if contact.account == NOBODYS:
            return False
        now = await self._run.box.accounts.account_now(jid)
        if now not in (None, contact.account):  # the server would have said if it were gone
            self.lost(jid)
        return now == contact.account

    def lost(self, jid: str) -> None:
        """The account of a contact is gone for good; to be saved."""
        contact = self._run.book.get(jid)
        if contact is not None and self._run.book.put(machine.departed(contact)):
            log.info("a contact is gone", id=self._run.book.journey.id, contact=jid)
            self._run.box.let_out(jid)
