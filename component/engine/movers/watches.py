"""What the hook is asked to tell of: movers at work, and old accounts that are still written to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import contacts as machine
from component.core.journey import stages
from component.core.journey.model import Journey, JourneyContact, JourneyState
from component.core.journey.told import RETIRED
from component.core.model import RosterItem
from component.engine.acting import acting_for
from component.engine.movers.accounts import Accounts
from component.engine.movers.backwards import to_withdraw
from component.engine.movers.box import MoverSettings
from component.engine.movers.others import OthersMoves
from component.engine.movers.ports import JourneyStore
from component.engine.movers.tombstones import Tombstones
from component.engine.ports import Clock
from component.xmpp.errors import RemoteError

if TYPE_CHECKING:
    from component.engine.movers.book import Book
    from component.engine.movers.run import Run

log = structlog.get_logger(__name__)

_AT_ONCE = 50
SEND_MAX = 5
"""Approvals in one send: what ejabberd's mod_pres_counter, on by default, passes at once.

The hook takes 16 (hook protocol, section 4), and refuses all of them where the server does one."""
_LEFT = frozenset(
    {
        JourneyState.PUBLISHED,
        JourneyState.NOTIFYING,
        JourneyState.SETTLING,
        JourneyState.DONE,
        JourneyState.PAUSED,
    }
)
"""States in which an old account's contacts are told the new address."""


class Watches:
    """Keeps the hook's watches in step with the journeys."""

    def __init__(
        self,
        accounts: Accounts,
        store: JourneyStore,
        clock: Clock,
        settings: MoverSettings,
        hosts: Collection[str],
        tombstones: Tombstones,
        runs_of: Callable[[str], list[Run]],
        others: OthersMoves,
        mine: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """``mine(jid)``: whether it is this instance that watches an account where nothing is under
        way any more; of two watches of one user the later counts."""
        self._accounts = accounts
        self._store = store
        self._clock = clock
        self._settings = settings
        self._hosts = hosts
        self._tombstones = tombstones
        self._runs_of = runs_of
        self._others = others
        self._mine = mine
        self._kept: dict[str, frozenset[str]] = {}
        """Contacts whom the hook does not cut off, by old account."""
        self._left: set[str] = set()
        """Old accounts whose statement stands, of those that were watched here."""

    def has_left(self, user: str) -> bool:
        """Whether an account here has moved, and says so still."""
        return user in self._left

    async def renew(self, user: str) -> None:
        """Have the hook watch a user as the journeys of now need it; nothing for other hosts.

        :raises LinkError: the hook did not take it.
        """
        if jids.domain(user) not in self._hosts:
            return
        await self._tombstones.renew(user)
        working = [
            run.book.journey
            for run in self._runs_of(user)
            if not run.book.journey.state.final or to_withdraw(run.book)
        ]
        left = await self._standing(user)
        (self._left.discard if left is None else self._left.add)(user)
        concerned = working or ([left] if left is not None else [])
        # All of them mean the account that has the name; the newest says which.
        meant = concerned[-1].accounts[user] if concerned else self._others.account(user)
        try:
            with acting_for({user: meant}):
                await self._others.look(user)
                pending = await self._accounts.watch(
                    user,
                    requests=bool(working) or self._others.awaits(user),
                    answers=bool(working),
                    messages=await self.leaves_address(user) is not None,
                )
                await self._catch_up(user, pending)
                await self._keep_anew(user, left)
            log.debug("watched", user=user)
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
            log.info("a watched account is gone", user=user)

    async def _catch_up(self, user: str, pending: tuple[str, ...]) -> None:
        """Approve ways back that came while nobody watched: we, or the server, were down."""
        runs = self._runs_of(user)
        asked = [jid for jid in pending if any(run.book.get(jid) for run in runs)]
        found = await self._accounts.entries(user, asked) if asked else ()
        items = {item.jid: item for item in found}
        for run in runs:
            ours = [jid for jid in asked if run.approves(user, jid, items.get(jid))]
            known = [jid for jid in ours if await _is_still(run, jid)]
            for start in range(0, len(known), SEND_MAX):
                now = await self._approve(user, known[start : start + SEND_MAX])
                for jid, item in now.items():
                    await run.found(jid, item)
            if known:
                log.info("ways back caught up", user=user, contacts=len(known))
        with acting_for({user: self._others.account(user)}):
            known = await self._others.pending(user, pending)
            for start in range(0, len(known), SEND_MAX):
                now = await self._approve(user, known[start : start + SEND_MAX])
                for jid, item in now.items():
                    await self._others.approved(user, jid, item)

    async def _approve(self, user: str, senders: list[str]) -> dict[str, RosterItem | None]:
        """Grant these; one whom the user blocks by now keeps none of the others.

        :returns: of those who were granted, the entries as they are now.
        """
        try:
            now = {item.jid: item for item in await self._accounts.approve(user, senders)}
            return {jid: now.get(jid) for jid in senders}
        except RemoteError as error:
            if error.condition != Condition.NOT_ACCEPTABLE:
                raise
        if len(senders) == 1:
            log.info("a way back is not approved", user=user, contact=senders[0])
            return {}
        granted: dict[str, RosterItem | None] = {}
        for sender in senders:
            granted |= await self._approve(user, [sender])
        return granted

    async def _keep_anew(self, old: str, journey: Journey | None) -> None:
        """Have the hook know who may follow an old account yet that is deleted."""
        wanted: frozenset[str] = frozenset()
        if journey is not None:
            run = next((r for r in self._runs_of(old) if r.book.journey.id == journey.id), None)
            known = run.book if run is not None else await self._store.unfollowed(journey.id)
            wanted = _to_follow(known)
        # Who never gave a list here may have one of another instance, whose move was undone here.
        if wanted or old not in self._kept or self._kept[old]:
            await self._accounts.keep(old, wanted, more=False)
        self._kept[old] = wanted

    async def keep(self, book: Book) -> None:
        """The same as the contacts of a journey at work are now; only what differs is said.

        :raises LinkError: the hook did not take it.
        """
        old = book.journey.old
        if not self.has_left(old):
            return
        before, wanted = self._kept.get(old, frozenset()), _to_follow(book)
        if wanted != before:
            await self._accounts.keep(old, wanted - before, before - wanted, more=True)
            self._kept[old] = wanted

    async def renew_all(self) -> None:
        """After a reconnect: every old account whose contacts are still told where it went.

        Journeys at work renew their own; paused ones do not work.  And who left.
        """
        await self._tombstones.tell_all()
        users: set[str] = set(self._others.accounts())
        at_work: set[str] = set()
        since = self._clock.now() - self._settings.statement
        for journey in await self._store.watched(since):
            if journey.state is JourneyState.DONE:
                users.add(journey.old)
                continue
            at_work |= {journey.old, journey.new}
            if journey.state is JourneyState.PAUSED:
                users |= {journey.old, journey.new}
        waiting = sorted(
            user
            for user in users
            if self._runs_of(user) or (user not in at_work and self._mine(user))
        )
        for start in range(0, len(waiting), _AT_ONCE):
            part = waiting[start : start + _AT_ONCE]
            results = await asyncio.gather(
                *(self.renew(user) for user in part), return_exceptions=True
            )
            for user, result in zip(part, results, strict=True):
                if isinstance(result, RemoteError):
                    # One whom the server refuses keeps none of the others.
                    log.warning("an account cannot be watched", user=user, error=str(result))
                elif isinstance(result, BaseException):
                    raise result

    async def leaves_address(self, old: str) -> Journey | None:
        """The move whose new address is told to those who write to this account, if any."""
        if not self._settings.answer_senders:
            return None
        journey = await self._standing(old)
        return None if journey is None or journey.state is JourneyState.PAUSED else journey

    async def _standing(self, old: str) -> Journey | None:
        """The move that leads away from this account and whose statement stands, if any."""
        journey = await self._store.successor(old)
        if journey is None or journey.state not in _LEFT or journey.told == RETIRED:
            return None
        over = stages.over(journey, self._settings.statement, self._clock.now())
        return None if over else journey


async def _is_still(run: Run, contact: str) -> bool:
    """Whether a contact's name is still theirs; one who cannot be asked for keeps none of the
    others."""
    try:
        return await run.addressees.still(contact)
    except RemoteError as error:
        log.warning("a way back is not looked at", contact=contact, error=str(error))
        return False


def _to_follow(contacts: Iterable[JourneyContact]) -> frozenset[str]:
    return frozenset(contact.jid for contact in contacts if machine.to_follow(contact))
