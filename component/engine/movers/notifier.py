"""Telling contacts: whom the pace allows, each once, withdrawn first where it is a second time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from component.core import jids
from component.core.journey import contacts as machine
from component.core.journey.model import JourneyContact, JourneyState
from component.core.model import PresenceKind, RosterItem, SendPlan, Step, Subscription
from component.xmpp.errors import RemoteError
from component.xmpp.mover_codecs import Notification

if TYPE_CHECKING:
    from component.engine.movers.run import Run

BATCH = 64
"""Notifications under way at once for one journey."""
WITHDRAW_SECONDS = 10.0
"""How long the answer to a withdrawn request is awaited; not every server gives one."""
LOOK_MAX_SECONDS = 3600.0
_AT_WORK = frozenset({JourneyState.NOTIFYING, JourneyState.SETTLING})


class Notifier:
    """Sends a journey's notifications."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known_as: str | None = None
        self._withdrawing: dict[str, asyncio.Event] = {}

    def heard_from(self, jid: str) -> bool:
        """Something came from a contact: whether a withdrawal has waited for it, and may go on."""
        waiting = self._withdrawing.get(jid)
        if waiting is None:
            return False
        waiting.set()
        return True

    async def send_due(self) -> float:
        """Notify whom the pace allows now; seconds until the next may be."""
        run = self._run
        nick = await self._nick() if run.book.domains() else ""
        now, tick = run.box.clock.now(), run.box.clock.tick()
        journey = run.book.journey
        if journey.state not in _AT_WORK:
            return LOOK_MAX_SECONDS  # stopped while the rosters were looked at
        for jid in run.book.ripen(now):
            run.book.apply(jid, machine.TimePassed(), now, run.box.settings.schedule)
        batch: list[JourneyContact] = []
        wait = LOOK_MAX_SECONDS
        while len(batch) < BATCH:
            domain, wait = run.box.pace.next(journey.id, run.book.domains(), tick)
            if domain is None:
                break
            contact = run.book.pop(domain, now)
            if contact is None:
                continue
            run.box.pace.spend(journey.id, domain, tick)
            run.book.apply(contact.jid, machine.Leaving(), now, run.box.settings.schedule)
            batch.append(contact)
        await run.save()
        if not batch:
            return wait
        status = run.box.teller.status_text(journey.owner, journey.old, journey.new)
        words = Notification(journey.old, status, nick)
        results = await asyncio.gather(
            *(self._notify(contact.jid, machine.repeats(contact), words) for contact in batch),
            return_exceptions=True,
        )
        now = run.box.clock.now()
        lost: BaseException | None = None
        for contact, result in zip(batch, results, strict=True):
            run.box.gauges.notified(
                again=machine.repeats(contact), left=isinstance(result, machine.Left)
            )
            if isinstance(result, BaseException):
                lost = result  # it may have left: the next look tells
            else:
                run.book.apply(contact.jid, result, now, run.box.settings.schedule)
        await run.save()
        if lost is not None:
            raise lost
        return 0.0

    async def _nick(self) -> str:
        """What the mover calls themself, for people whose client knows nothing of moves."""
        if self._known_as is None:
            run = self._run
            accounts = [run.book.journey.new, run.book.journey.old]
            names = [
                await run.box.accounts.nick(jid)
                for jid in accounts
                if jids.domain(jid) in run.box.hosts
            ]
            mine = next((name for name in names if name), None)
            self._known_as = mine or run.book.journey.new.partition("@")[0]
        return self._known_as

    async def _notify(self, jid: str, again: bool, words: Notification) -> machine.Event:
        run = self._run
        contact = run.book.get(jid)
        assert contact is not None
        before = contact.before
        item = RosterItem(jid, Subscription.NONE, False, contact.name, contact.groups)
        named = item if contact.name or contact.groups else None
        try:
            if again or (before is not None and before.ask):
                await self.take_back(jid, words)
            if run.book.journey.state not in _AT_WORK:
                return machine.NotLeft(run.book.journey.state.value)
            plan = SendPlan((Step(PresenceKind.SUBSCRIBE, jid),), named)
            items = await run.box.accounts.notify(run.speaker, plan, words)
        except RemoteError as error:
            if error.condition == "item-not-found":
                raise
            return machine.NotLeft(error.condition, error.condition == "not-acceptable")
        return machine.Left(items.get(jid))

    async def take_back(self, jid: str, words: Notification) -> None:
        """Withdraw an earlier request, and await what its addressee's server says to that.

        ejabberd answers ``unsubscribe`` with ``unsubscribed`` (seen on 24.12).  If that came
        after the new request, our server would take it for the answer to that one and forget
        that we asked.
        """
        run = self._run
        answered = self._withdrawing.setdefault(jid, asyncio.Event())
        try:
            plan = SendPlan((Step(PresenceKind.UNSUBSCRIBE, jid),))
            await run.box.accounts.notify(run.speaker, plan, words)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WITHDRAW_SECONDS):
                    await answered.wait()
        finally:
            self._withdrawing.pop(jid, None)
