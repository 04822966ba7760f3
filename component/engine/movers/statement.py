"""The moved statement of a journey: published, read back as a contact would, kept standing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import access as access_rules
from component.core.journey import contacts as machine
from component.core.journey import stages
from component.core.journey.model import Access, ContactState, Kind
from component.core.model import Reason
from component.core.statement import judge
from component.engine.movers.accounts import Accounts
from component.engine.movers.book import Book
from component.engine.movers.box import Box
from component.xmpp.errors import RemoteError

log = structlog.get_logger(__name__)


async def publish(
    accounts: Accounts,
    user: str,
    new: str,
    access: Access,
    readers: Iterable[str],
    *,
    left_out: bool = False,
) -> tuple[Access, tuple[str, ...]]:
    """Publish a user's statement for these readers (XEP-0283 4.1).

    An address that the server cannot put on a whitelist is left out of it.  A server without
    whitelists gets ``presence``, for which the XEP asks, unless somebody is left out: they would
    read where the user goes.

    :param left_out: whether somebody who sees the user's presence is not to read it.
    :returns: the access model that it got, and the readers who are not on the whitelist.
    :raises RemoteError: the user's server refuses, or (:data:`access_rules.NO_WHITELIST`) has no
        whitelists where one is needed; after a refusal that may pass (``wait``) no other access
        model is tried.
    """
    try:
        return access, await accounts.publish(user, new, access, readers)
    except RemoteError as error:
        if access is not Access.WHITELIST or error.type == "wait":
            raise
        await accounts.withdraw(user)
        if left_out:
            raise RemoteError(access_rules.NO_WHITELIST, text=error.condition) from error
        await accounts.publish(user, new, Access.PRESENCE)
        return Access.PRESENCE, ()


MOST_READERS = 5
"""Contacts that are tried as readers in one look at a statement."""


class Statement:
    """What the old account says, or has to say.

    :param note: writes down something about the journey, durably.
    :param save: does so with contacts that have changed.
    """

    def __init__(
        self,
        box: Box,
        book: Book,
        note: Callable[..., Awaitable[Any]],
        save: Callable[[], Awaitable[None]],
    ) -> None:
        self._box = box
        self._book = book
        self._note = note
        self._save = save
        self.old_is_gone = False
        """The last look found the old account deleted."""
        self._neighbours: list[str] | None = None
        self._reader: str | None = None
        """Whoever could read it last, besides its owner."""

    async def put(self) -> None:
        """Publish it, for the readers that the journey's access model lets in.

        A contact whom the server cannot let in could not prove the move: it is the mover's to tell.

        :raises RemoteError: the old account's server refuses.
        """
        journey = self._book.journey
        access = journey.access or Access.PRESENCE
        readers = access_rules.readers(self._book, journey.new)
        left_out = ContactState.SKIPPED in {contact.state for contact in self._book}
        given, refused = await publish(
            self._box.accounts, journey.old, journey.new, access, readers, left_out=left_out
        )
        for contact in map(self._book.get, refused):
            if contact is not None and contact.state in machine.UNSENT:
                log.warning("the server cannot let a contact read", contact=contact.jid)
                given_up = replace(contact, state=ContactState.GIVEN_UP, due_at=None)
                self._book.put(replace(given_up, error=access_rules.NOT_LISTED))
        await self._save()
        if given is not access:
            await self._note(access=given)

    async def admit(self, readers: Iterable[str]) -> None:
        """Let others read it, who belong to the journey from now on.

        :raises RemoteError: the old account's server refuses.
        """
        journey = self._book.journey
        self._neighbours = None
        if stages.publishes(journey) and journey.access is Access.WHITELIST:
            await self._box.accounts.admit(journey.old, readers)

    async def unreadable(self) -> str | None:
        """Why contacts cannot read the statement now; None: they can.

        Its owner has to read it, with the access model that it is to have.  One who is let in by
        that model reads it besides, and what they see counts by
        :func:`~component.core.journey.access.against`: it is the statement that is looked at, not
        the reader.  With nobody left to read it, the owner's word is enough.  Of an account that is
        deleted the tombstone says it.

        :returns: a reason, and after a space the reader whom it concerns.
        """
        journey, accounts = self._book.journey, self._box.accounts
        if journey.kind is Kind.ARRIVE:
            reason = await self._reads(journey.new)
            return None if reason is Reason.VERIFIED else reason.value
        reason = await self._reads(journey.old)
        self.old_is_gone = reason is not Reason.VERIFIED and await self._tombstone()
        if self.old_is_gone:
            return None
        if reason is not Reason.VERIFIED:
            return reason.value
        if await accounts.access(journey.old) is not journey.access:
            return Reason.REFUSED.value
        if self._reader is not None and await self._reads(self._reader) is Reason.VERIFIED:
            return None
        self._reader = None
        seen: dict[str, Reason] = {}
        for reader in await self._readers():
            seen[reader] = await self._reads(reader)
            if seen[reader] is Reason.VERIFIED:
                self._reader = reader
                break
        return access_rules.against(seen)

    async def outlives_the_old_account(self) -> bool:
        """Whether the old account alone is gone, and the journey goes on without it."""
        journey = self._book.journey
        if journey.kind is Kind.ARRIVE or not await self._tombstone():
            return False
        return journey.kind is Kind.AWAY or await self._box.accounts.trouble(journey.new) is None

    async def _tombstone(self) -> bool:
        """Whether the old account is deleted, and its tombstone says what it said."""
        journey, box = self._book.journey, self._box
        if not box.settings.tombstones:
            return False
        try:
            await box.accounts.account(journey.old)
            return False  # the mover's, or somebody else's by now
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                return False
        last = await box.store.successor(journey.old)
        return last is not None and last.id == journey.id

    async def _reads(self, reader: str) -> Reason:
        journey = self._book.journey
        return judge(await self._box.accounts.statement(reader, journey.old), journey.new)

    async def _readers(self) -> list[str]:
        """Who may be asked to read it now: the new account where the access model lets it in, and
        contacts of ours who are still to be told and whom the model lets in as rosters are today.
        """
        journey = self._book.journey
        if self._neighbours is None:
            self._neighbours = [contact.jid for contact in self._book if self._ours(contact.jid)]
        found = map(self._book.get, self._neighbours)
        readers = [c.jid for c in found if c is not None and c.state in machine.UNSENT]
        if journey.access is not Access.PRESENCE:
            return [jid for jid in (journey.new, *readers) if self._ours(jid)][:MOST_READERS]
        roster = await self._box.accounts.roster(journey.old) if readers else {}
        entries = ((jid, roster.get(jid)) for jid in readers)
        return [jid for jid, item in entries if item is not None and item.subscription.grants][
            :MOST_READERS
        ]

    def _ours(self, jid: str) -> bool:
        return jids.domain(jid) in self._box.hosts
