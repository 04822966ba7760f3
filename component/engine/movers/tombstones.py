"""Tombstones: the hooks are told who left, and answered where they went, for who may know it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from component.core import jids
from component.core.journey.model import Access, ContactState, Journey, JourneyContact
from component.core.limits import Buckets, Room, registrable
from component.engine.movers.accounts import Accounts
from component.engine.movers.box import MoverSettings
from component.engine.movers.ports import JourneyStore
from component.engine.ports import Clock
from component.store.errors import StoreError
from component.xmpp.errors import LinkError, RemoteError
from component.xmpp.mover_codecs import Sought

log = structlog.get_logger(__name__)

ASKER_PER_MINUTE = 60
"""Questions of one asker that are looked up."""
OWNER_PER_MINUTE = 600
"""Questions of all askers that are looked up whose domains have one owner."""
REMEMBERED = 10_000
"""Askers, and owners, whose questions are counted."""
AT_ONCE = 8
"""Questions that are looked up at the same time: the journal has better to do."""
WAITING = 2000
"""Questions that may wait for that."""
WAITING_OF_OWNER = 100
"""Those of one owner of domains: who asks much leaves room for others."""
PIECE = 200
"""Names in one order: as long as names may be, the stanza is one that every server takes."""


class Tombstones:
    """Knows whom the hooks ask about, and answers them (hook protocol, section 11)."""

    def __init__(
        self,
        accounts: Accounts,
        store: JourneyStore,
        clock: Clock,
        settings: MoverSettings,
        hosts: Collection[str],
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._clock = clock
        self._settings = settings
        self._hosts = hosts
        self._named: dict[str, set[str]] = {}
        """Who the hook of a host knows; not of those that are being told."""
        self._unsure: dict[str, set[str]] = {}
        """Of whom it may know either, since it was told of them and of all at the same time."""
        self._old: set[str] = set()
        """Hosts whose hook knows no such order."""
        self._askers = Buckets(ASKER_PER_MINUTE, REMEMBERED)
        self._owners = Buckets(OWNER_PER_MINUTE, REMEMBERED)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._waiting = Room(WAITING, WAITING_OF_OWNER)

    # Who left -----------------------------------------------------------------------------------

    async def tell_all(self) -> None:
        """Tell each hook of all who left: it may be new, or have forgotten.

        A hook that knows no such order asks about everybody whose account is gone.

        :raises LinkError: the stream is down, or the server silent; to be done again.
        :raises StoreError: the journal cannot be read; to be done again.
        """
        for host in self._hosts:
            self._named.pop(host, None)
            self._old.discard(host)
            self._unsure[host] = set()
            try:
                # Before the journal is read: who leaves meanwhile is told by :meth:`renew`.
                await self._accounts.tell_left(host, begin=True)
                left = [jid for jid in await self._left() if jids.domain(jid) == host]
                for start in range(0, len(left), PIECE):
                    await self._accounts.tell_left(host, left[start : start + PIECE])
                await self._accounts.tell_left(host, end=True)
            except RemoteError as error:
                log.info("a hook is not told who left", host=host, condition=error.condition)
                self._old.add(host)
                continue
            self._named[host] = set(left)

    async def _left(self) -> Collection[str]:
        return await self._store.left() if self._settings.tombstones else ()

    async def renew(self, user: str) -> None:
        """Tell the hook of one account whether it left, if that is news.

        :raises LinkError, StoreError: as :meth:`tell_all`.
        """
        host = jids.domain(user)
        if host in self._old:
            return
        left = self._settings.tombstones and await self._store.successor(user) is not None
        named, unsure = self._named.get(host), self._unsure.setdefault(host, set())
        if named is None:
            unsure.add(user)
        elif left is (user in named) and user not in unsure:
            return
        if left:
            await self._accounts.tell_left(host, (user,))
        else:
            await self._accounts.tell_left(host, removed=(user,))
        if named is not None:
            (named.add if left else named.discard)(user)
            unsure.discard(user)

    # Where they went ----------------------------------------------------------------------------

    async def successor(self, sought: Sought) -> str | None:
        """Where an account went, if the asker may know it.

        That may who was told, whoever the old account's statement was for everybody; but neither
        the next owner of a contact's name, nor is anybody led to that of the new one.  Strangers
        ask at will, so what one of them, and one owner of domains, costs is bounded;
        who asks beyond that is answered as if there were nothing.
        """
        if not self._settings.tombstones or not self._admits(sought.asker):
            return None
        owner = _owner(sought.asker)
        if not self._waiting.take(owner):
            return None
        try:
            async with self._gate:
                journey = await self._store.successor(sought.account)
                if journey is None or not await self._may_know(journey, sought.asker):
                    return None
                if not await self.leads(journey):
                    return None
        except (LinkError, StoreError) as error:
            log.warning("a tombstone cannot be looked up", error=str(error))
            return None
        finally:
            self._waiting.leave(owner)
        return journey.new

    def _admits(self, asker: str | None) -> bool:
        owner, now = _owner(asker), self._clock.tick()
        # Whose owner has nothing left is not noted: a flood of names must not drive out others.
        return (
            not self._owners.empty(owner, now)
            and self._askers.take(asker or "", now)
            and self._owners.take(owner, now)
        )

    async def _may_know(self, journey: Journey, asker: str | None) -> bool:
        if journey.access is Access.OPEN or asker == journey.new:
            return True
        if asker is None:
            return False
        contact = await self._store.contact(journey.id, asker)
        if contact is None or contact.state is ContactState.SKIPPED:
            return False
        return await self.knows(contact)

    async def knows(self, contact: JourneyContact) -> bool:
        """Whether a contact is still who they were; elsewhere that cannot be known.

        :raises LinkError: nor just now.
        """
        return await self._accounts.still(contact.jid, contact.account)

    async def leads(self, journey: Journey) -> bool:
        """Whether the new account is still the mover's, where it is on a served host.

        :raises LinkError: it cannot be known.
        """
        return await self._accounts.still(journey.new, journey.new_account)


def _owner(asker: str | None) -> str:
    return registrable(jids.domain(asker or ""))
