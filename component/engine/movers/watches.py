"""What the hook is asked to tell of: movers at work, and old accounts that are still written to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import structlog

from component.core import jids
from component.core.conditions import Condition
from component.core.journey import stages
from component.core.journey.model import Journey, JourneyState
from component.engine.acting import acting_for
from component.engine.movers.accounts import Accounts
from component.engine.movers.backwards import to_withdraw
from component.engine.movers.box import MoverSettings
from component.engine.movers.ports import JourneyStore
from component.engine.ports import Clock
from component.xmpp.errors import RemoteError

if TYPE_CHECKING:
    from component.engine.movers.run import Run

log = structlog.get_logger(__name__)

_AT_ONCE = 50
SEND_MAX = 16
"""Presences that the hook takes in one send (hook protocol, section 4)."""
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
        runs_of: Callable[[str], list[Run]],
        mine: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """``mine(jid)``: whether it is this instance that watches an account where nothing is under
        way any more; of two watches of one user the later counts."""
        self._accounts = accounts
        self._store = store
        self._clock = clock
        self._settings = settings
        self._hosts = hosts
        self._runs_of = runs_of
        self._mine = mine

    async def renew(self, user: str) -> None:
        """Have the hook watch a user as the journeys of now need it; nothing for other hosts.

        :raises LinkError: the hook did not take it.
        """
        if jids.domain(user) not in self._hosts:
            return
        working = [
            run.book.journey
            for run in self._runs_of(user)
            if not run.book.journey.state.final or to_withdraw(run.book)
        ]
        left = await self.leaves_address(user)
        concerned = working or ([left] if left is not None else [])
        try:
            # All of them mean the account that has the name; the newest says which.
            with acting_for({user: concerned[-1].accounts[user]} if concerned else {}):
                pending = await self._accounts.watch(
                    user,
                    requests=bool(working),
                    answers=bool(working),
                    messages=left is not None,
                )
                await self._catch_up(user, pending)
        except RemoteError as error:
            if error.condition != Condition.ITEM_NOT_FOUND:
                raise
            log.info("a watched account is gone", user=user)

    async def _catch_up(self, user: str, pending: tuple[str, ...]) -> None:
        """Approve ways back that came while nobody watched: we, or the server, were down."""
        for run in self._runs_of(user):
            known = [jid for jid in pending if run.approves(user, jid)]
            for start in range(0, len(known), SEND_MAX):
                part = known[start : start + SEND_MAX]
                now = {item.jid: item for item in await self._accounts.approve(user, part)}
                for jid in part:
                    await run.found(jid, now.get(jid))
            if known:
                log.info("ways back caught up", user=user, contacts=len(known))

    async def renew_all(self) -> None:
        """After a reconnect: every old account whose contacts are still told where it went.

        Journeys at work renew their own; paused ones do not work.
        """
        users: set[str] = set()
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
            await asyncio.gather(*(self.renew(user) for user in part))

    async def leaves_address(self, old: str) -> Journey | None:
        """The move whose new address is told to those who write to this account, if any."""
        if not self._settings.answer_senders:
            return None
        journey = await self._store.successor(old)
        if journey is None or journey.state not in _LEFT:
            return None
        over = stages.over(journey, self._settings.statement, self._clock.now())
        return None if over else journey
