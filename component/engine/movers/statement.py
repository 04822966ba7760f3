"""The moved statement of a journey: published, read back as a contact would, kept standing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Any

from component.core import jids
from component.core.journey import access as access_rules
from component.core.journey.model import Access, ContactState, Kind
from component.core.model import Reason, Subscription
from component.core.statement import judge
from component.engine.movers.accounts import Accounts
from component.engine.movers.book import Book
from component.engine.movers.box import Box
from component.xmpp.errors import RemoteError


async def publish(
    accounts: Accounts, user: str, new: str, access: Access, readers: Iterable[str]
) -> Access:
    """Publish a user's statement for these readers (XEP-0283 4.1).

    :returns: the access model that it got: a server without whitelists gets ``presence``, for
        which the XEP asks.
    :raises RemoteError: the user's server refuses; after a refusal that may pass (``wait``) no
        other access model is tried.
    """
    try:
        await accounts.publish(user, new, access, readers)
    except RemoteError as error:
        if access is not Access.WHITELIST or error.type == "wait":
            raise
        await accounts.withdraw(user)
        await accounts.publish(user, new, Access.PRESENCE)
        return Access.PRESENCE
    return access


class Statement:
    """What the old account says, or has to say.

    :param note: writes down something about the journey, durably.
    """

    def __init__(self, box: Box, book: Book, note: Callable[..., Awaitable[Any]]) -> None:
        self._box = box
        self._book = book
        self._note = note
        self._neighbours: list[str] | None = None

    async def put(self) -> None:
        """Publish it, for the readers that the journey's access model lets in.

        :raises RemoteError: the old account's server refuses.
        """
        journey = self._book.journey
        access = journey.access or Access.PRESENCE
        readers = access_rules.readers(self._book, journey.new)
        given = await publish(self._box.accounts, journey.old, journey.new, access, readers)
        if given is not access:
            await self._note(access=given)

    async def unreadable(self) -> str | None:
        """Why contacts cannot read the statement now; None: they can.

        It is read as the new account where the access model lets that one in, else as a contact
        of ours who is to be told; in any case as its owner, with the access model it really has.
        """
        journey = self._book.journey
        accounts = self._box.accounts
        if journey.kind is Kind.ARRIVE:
            reason = judge(await accounts.statement(journey.new, journey.old), journey.new)
            return None if reason is Reason.VERIFIED else reason.value
        readers = [journey.old]
        if journey.access in (Access.WHITELIST, Access.OPEN) and self._ours(journey.new):
            readers.append(journey.new)
        elif journey.access is Access.PRESENCE:
            readers += self._neighbour()
        for reader in readers:
            reason = judge(await accounts.statement(reader, journey.old), journey.new)
            if reason is not Reason.VERIFIED:
                return reason.value
        if await accounts.access(journey.old) is not journey.access:
            return Reason.REFUSED.value
        return None

    def _neighbour(self) -> list[str]:
        """A contact of ours who is told, if there is one; looked for once among all."""
        if self._neighbours is None:
            self._neighbours = [
                c.jid
                for c in self._book
                if self._ours(c.jid) and c.subscription in (Subscription.FROM, Subscription.BOTH)
            ]
        found = map(self._book.get, self._neighbours)
        told = (c.jid for c in found if c is not None and c.state is not ContactState.SKIPPED)
        return list(islice(told, 1))

    def _ours(self, jid: str) -> bool:
        return jids.domain(jid) in self._box.hosts
